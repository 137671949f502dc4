"""A team as a player of flat observations, by the names of agents: what PettingZoo loops and tournaments hand out.

It is told about a series, then plays game after game of it, and keeps what it finds out from one to the next, by its
own way of adapting. It sees its own agents' observations and masks, and what they were paid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from marl_meta.export.grid import Grid, Places
from marl_meta.export.sight import Sight
from marl_meta.export.sights import Seen, family_sight
from marl_meta.meta.controller import GradientController
from marl_meta.team.controllers import TeamController
from marl_meta.team.team import Team
from marl_meta.types import BoolArray, IntArray, Layout, Observation, Step, UserError
from marl_meta.wording import listed

Observations = Mapping[str, Any]
Infos = Mapping[str, Mapping[str, Any]]
Flags = Mapping[str, bool]


class Series(Protocol):
    """What a player is told before a series: some of `marl_meta.tournament.outsiders.player.SeriesInfo`."""

    @property
    def game(self) -> str:
        """The family."""

    @property
    def side(self) -> str:
        """The team that it plays."""

    @property
    def own(self) -> tuple[str, ...]:
        """Names of the agents that it plays."""

    @property
    def rules(self) -> Mapping[str, Any]:
        """The rules that are shown."""


class TeamPlayer:
    """Plays a team's agents in a loop that hands out flat observations by agent.

    `start_series(info)` for a game that `info` names; or `enter(seen, side)` for one that is seen as `seen` says. Then
    for each game `reset`, and for each step `act` and `observe`.
    """

    def __init__(self, team: Team, seed: int = 0, *, deterministic: bool = False) -> None:
        self.name = team.name
        self._team, self._seed, self._deterministic = team, seed, deterministic
        self._seen: Seen | None = None
        self._kept: dict[tuple[str, str], Seen] = {}

    def start_series(self, info: Series) -> None:
        """Get ready for games under the same rules, and forget those before.

        Raises UserError for a game that the team cannot play.
        """
        key = info.game, str(sorted(info.rules.items()))
        if key not in self._kept:
            self._kept[key] = family_sight(info.game, info.rules)
        self.enter(self._kept[key], info.side, info.own)

    def enter(self, seen: Seen, side: str | None = None, own: tuple[str, ...] | None = None) -> None:
        """Get ready for games that are seen so, and forget those before; `own` are the agents, by default the side's.

        Raises UserError for a game that the team cannot play, and for agents that it does not have.
        """
        sight = seen.sight
        side = side or sight.teams[0]
        if side not in sight.teams:
            raise UserError(f"{sight.game} has no side {side!r}; its sides are {listed(sight.teams)}.")
        names = own if own is not None else tuple(sight.side(side))
        for name in names:
            if name not in sight.eyes:
                raise UserError(f"{sight.game} has no agent {name!r} under these rules; it has {listed(sight.agents)}.")
        self._player = self._team.controller(seen.layout, side, self._seed, self._deterministic)
        self._seen, self.agents = seen, names
        self._slots: IntArray = np.array([sight.eyes[name].slot for name in names], np.int64)
        self._player.reset(1, self._slots)
        self._rewards: dict[str, float | None] | None = None
        self._board: Places | None = None
        """The position that was seen last, of a game on a board."""

    @property
    def controller(self) -> TeamController | GradientController:
        """Who decides: what it believes and thinks can be asked there."""
        self._entered()
        return self._player

    def reset(self, agents: list[str], info: Mapping[str, Any], seed: int) -> None:  # noqa: ARG002 (a Player's)
        """Get ready for a game; what was learnt in those before is kept."""
        self._close_step(None)
        self._board = None

    def act(self, observations: Observations, infos: Infos | None = None, step: int = 0) -> dict[str, int]:  # noqa: ARG002
        """Return an action of each agent that has an observation: a vector, or `{observation, action_mask}`.

        A mask may also be in the agent's info. Raises UserError for an observation of another length.
        """
        observation = self._observation(observations, infos or {})
        self._close_step(observation)
        chosen = self._player.act(observation)
        self._rewards = {}
        places = {name: place for place, name in enumerate(self.agents)}
        return {name: int(chosen[0, places[name]]) for name in observations}

    def observe(
        self,
        rewards: Mapping[str, float | None],
        terminations: Flags,
        truncations: Flags,
        observations: Observations | None = None,
    ) -> None:
        """Take note of what the step led to; where all its agents' games end, `observations` may be their last.

        A reward of None is one that it is not told: then the step is no evidence of the rules.
        """
        if self._rewards is None:
            return
        self._rewards.update({name: rewards.get(name, 0.0) for name in self.agents})
        if all(terminations.get(name, False) or truncations.get(name, False) for name in self.agents):
            own = {name: one for name, one in (observations or {}).items() if name in self.agents}
            last = self._observation(own, {}) if own else None
            dead = np.array([bool(terminations.get(name, False)) for name in self.agents])
            self._end_game(last, dead)

    def close(self) -> None:
        """Release nothing."""

    def _entered(self) -> Seen:
        if self._seen is None:
            raise UserError(f"The team {self.name!r} plays no game yet; start_series comes first.")
        return self._seen

    def _close_step(self, following: Observation | None) -> None:
        """Let the team take note of its last step: `following` is what it sees now, None where it was not told."""
        self._entered()
        if self._rewards is None:
            return
        if following is None:  # the game was left without an end
            self._end_game(None, np.zeros(len(self.agents), np.bool_))
            return
        self._note(following, None, np.zeros(len(self.agents), np.bool_), over=False)

    def _end_game(self, last: Observation | None, dead: BoolArray) -> None:
        if last is None:
            self._player.look_away()
        self._note(last or self._before, last, dead, over=True)

    def _note(self, shown: Observation, last: Observation | None, dead: BoolArray, *, over: bool) -> None:
        assert self._rewards is not None
        count = shown.acting.shape[1]
        reward, terminated = np.zeros((1, count), np.float32), np.zeros((1, count), np.bool_)
        given = [self._rewards.get(name) for name in self.agents]
        reward[0, self._slots] = [0.0 if one is None else one for one in given]
        if any(one is None for one in given):
            self._player.look_away()
        terminated[0, self._slots] = dead
        truncated = np.zeros((1, count), np.bool_)
        truncated[0, self._slots] = over & ~dead
        ended = np.array([over])
        self._player.observe(Step(shown, reward, terminated, truncated, ended, np.zeros(1, np.bool_), last))
        self._rewards = None

    def _observation(self, observations: Observations, infos: Infos) -> Observation:
        """Return what its own agents see, as a batch of one: others' places from whoever sees them."""
        layout, sight = self._entered().layout, self._entered().sight
        if sight.grid is not None:
            self._before = self._position(layout, sight, sight.grid, observations)
            return self._before
        agents, entities = len(sight.agents), len(sight.kind)
        shown = np.zeros((1, entities, len(layout.entity_features)), np.float32)
        present, private = np.zeros((1, entities), np.bool_), np.zeros((1, agents, len(layout.private_features)))
        sees = np.zeros((1, agents, entities), np.bool_)
        acting, mask = np.zeros((1, agents), np.bool_), np.zeros((1, agents, len(layout.actions)), np.bool_)
        mask[:, :, 0] = True
        for name, given in observations.items():
            if name not in self.agents:
                raise UserError(f"The team {self.name!r} plays {listed(self.agents)}, not {name!r}.")
            slot = sight.eyes[name].slot
            vector, legal = _parts(given, infos.get(name, {}))
            try:
                seen_entities, sees[0, slot], private[0, slot] = sight.look(name, vector)
            except ValueError as error:
                raise UserError(str(error)) from None
            new = sees[0, slot] & ~present[0]
            shown[0, new] = seen_entities[new]
            present[0] |= sees[0, slot]
            acting[0, slot] = True
            mask[0, slot] = _mask(legal, sight.eyes[name].actions, len(layout.actions), name)
        everything = not any(sight.eyes[name].hides.any() for name in self.agents)
        observation = Observation(
            entities=shown, kind=sight.kind[None].astype(np.int8), team=sight.team[None].astype(np.int8),
            present=present, private=private.astype(np.float32), sees=None if everything else sees, acting=acting,
            action_mask=mask, rules=sight.rule_values[None],
        )  # fmt: skip
        self._before = observation
        return observation

    def _position(self, layout: Layout, sight: Sight, grid: Grid, observations: Observations) -> Observation:
        """Return what there is to see on a board, as a batch of one; of several players who are shown it, one acts."""
        for name in observations:
            if name not in self.agents:
                raise UserError(f"The team {self.name!r} plays {listed(self.agents)}, not {name!r}.")
        name, given = next(iter(observations.items()))
        player = sight.eyes[name].slot
        try:
            cells = grid.cells(_parts(given, {})[0], player)
        except ValueError as error:
            raise UserError(str(error)) from None
        shown = grid.show(cells, self._board, player)
        self._board = cells
        turn = (np.arange(len(sight.agents)) == player)[None]
        legal = np.zeros((1, len(sight.agents), len(layout.actions)), np.bool_)
        legal[0, player] = shown.targets >= 0
        return Observation(
            entities=shown.entities[None], kind=sight.kind[None].astype(np.int8), team=shown.team[None].astype(np.int8),
            present=shown.present[None], private=turn[..., None].astype(np.float32), sees=None, acting=turn,
            action_mask=legal, rules=sight.rule_values[None], links=grid.links[None].astype(np.int16),
            targets=shown.targets[None].astype(np.int16),
        )  # fmt: skip


def _parts(given: Any, info: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return an observation's vector and its mask, None where there is none."""
    if isinstance(given, Mapping):
        return given["observation"], given.get("action_mask", info.get("action_mask"))
    return given, info.get("action_mask")


def _mask(legal: Any, actions: int, width: int, name: str) -> BoolArray:
    """Return which of all actions of the layout are legal [A]: those of the mask, else all that the agent has."""
    found = np.zeros(width, np.bool_)
    if legal is None:
        found[:actions] = True
        return found
    given = np.asarray(legal).reshape(-1) != 0
    if given.size > width or not given.any():
        raise UserError(f"The action mask of {name} must allow some of at most {width} actions, not {given.tolist()}.")
    found[: given.size] = given
    return found
