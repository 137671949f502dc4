"""A team in the forms in which loops of others want an agent: a PettingZoo policy, or a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from marl_meta.export.environments import Place, place_of, third_party_place
from marl_meta.export.player import TeamPlayer
from marl_meta.export.sights import family_sight
from marl_meta.export.standalone import as_function
from marl_meta.team.team import Team
from marl_meta.trust import trained_game
from marl_meta.types import UserError
from marl_meta.wording import listed

_SAY = {"entry_point": "game={!r}, or give the env", "family": "game={!r}, or give the env"}


def find_place(
    team: Team, env: Any = None, game: str | None = None, kwargs: Mapping[str, Any] | None = None,
    rules: Mapping[str, Any] | None = None, schema: str | None = None,
) -> Place:  # fmt: skip
    """Return where a team is to play: in `env`, in a `game` (family or entry point), or what it was trained on.

    `rules` are a family's, `kwargs` an entry point's. Raises UserError where that is no game that it can read, and
    where it is only the team's file that names somebody else's code to be run.
    """
    if env is not None:
        return place_of(env, schema)
    trained = team.trained_on.get("game") if game is not None else trained_game(team.trained_on, _SAY)
    trained = trained if isinstance(trained, Mapping) else {}
    if game is None and trained.get("family") == "pettingzoo":
        given = trained["kwargs"] if kwargs is None else kwargs
        return third_party_place(trained["entry_point"], given, schema or trained["schema"])
    name = game or trained.get("family")
    if name is None:
        raise UserError(f"It is not written down what the team {team.name!r} was trained on; name an env or a game.")
    if ":" in name:
        return third_party_place(name, kwargs, schema)
    return Place(family_sight(name, rules if rules is not None else trained.get("rules")))


class Policy:
    """A team for PettingZoo loops: `policy(observation, agent)` returns an action of any of the agents it can play.

    Told `reward` and `over` (terminated or truncated), as `env.last()` has them, it adapts to the rules as it does
    elsewhere: `env.step(policy(observation, agent, reward, termination or truncation))` is a whole loop, in which it
    answers None where a game is over for the agent. Not told, it plays as it did when it came. What it finds out is
    kept from game to game, until `start_series`. Every agent decides by itself, from what it is shown.
    """

    def __init__(self, team: Team, place: Place, seed: int = 0, *, deterministic: bool = False) -> None:
        self._team, self._place, self._seed, self._deterministic = team, place, seed, deterministic
        self._players: dict[str, TeamPlayer] = {}

    def start_series(self) -> None:
        """Forget what was found out: the rules, or the others, are new."""
        self._players = {}

    def reset(self) -> None:
        """Begin a game anew, where the last one was left before its end."""
        for agent, player in self._players.items():
            player.reset([agent], {}, 0)

    def __call__(self, observation: Any, agent: str, reward: float | None = None, over: bool = False) -> Any:
        """Return the agent's action, or None where the game is over for it.

        `observation` is a vector or `{observation, action_mask}`. Raises UserError for an agent that the team cannot
        play.
        """
        player = self._players.get(agent) or self._enter(agent)
        shown = {agent: self._place.reads(agent, observation)}
        if over:
            player.observe({agent: reward}, {agent: True}, {}, shown)
            return None
        player.observe({agent: reward}, {}, {})
        return self._place.says(agent, player.act(shown)[agent])

    def _enter(self, agent: str) -> TeamPlayer:
        sight = self._place.seen.sight
        if agent not in sight.eyes:
            raise UserError(f"The game has no agent {agent!r}; its agents are {listed(sight.agents)}.")
        slot = sight.eyes[agent].slot
        player = TeamPlayer(self._team, self._seed + slot, deterministic=self._deterministic)
        player.enter(self._place.seen, sight.teams[sight.team[slot]], (agent,))
        self._players[agent] = player
        return player


def function_of(
    team: Team, place: Callable[[Mapping[str, Any]], Place], seed: int, *, deterministic: bool
) -> Callable[..., int]:
    """Return a team as kaggle-environments has agents, `f(obs, config)`; see `standalone.as_function`.

    `place(rules)` says where it plays, by the rules that `config` shows; it is asked once for each choice of them.
    """
    places: dict[str, Place] = {}

    class _Player(TeamPlayer):
        def start_series(self, info: Any) -> None:
            rules = info.get("rules") or {}
            key = str(sorted(rules.items()))
            if key not in places:
                places[key] = place(rules)
            seen = places[key].seen
            (name,) = info["own"]
            if name not in seen.sight.eyes:
                raise UserError(f"The game has no agent {name!r}; its agents are {listed(seen.sight.agents)}.")
            slot = seen.sight.eyes[name].slot
            self.enter(seen, seen.sight.teams[seen.sight.team[slot]], (name,))

    return as_function(lambda: _Player(team, seed, deterministic=deterministic))
