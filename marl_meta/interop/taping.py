"""What happens in one PettingZoo environment, taken down as it happens.

Within the loop as little is done as possible: what was shown is kept as bytes, what was paid as it came. When the loop
is over it is made into a replay (`developing`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from marl_meta.interop.origin import core_of
from marl_meta.interop.scenery import Camera, camera_for
from marl_meta.replay.record import GameRecord


@dataclass(slots=True)
class TapedEpisode:
    """What is kept of one episode."""

    seed: int | None
    shown: list[list[bytes]] = field(default_factory=list)
    """Of every moment, T+1: the observations of all agents, or of the one whose turn it is."""
    actions: list[dict[str, Any]] = field(default_factory=list)
    """Of every step, by agent."""
    rewards: list[dict[str, Any]] = field(default_factory=list)
    terminated: list[dict[str, bool]] = field(default_factory=list)
    truncated: list[dict[str, bool]] = field(default_factory=list)
    over: bool = False

    def has_ended(self, agents: list[str]) -> bool:
        """Return whether the game of every agent has ended."""
        ended: set[str] = set()
        for flags in (*self.terminated, *self.truncated):
            ended |= {agent for agent, flag in flags.items() if flag}
        return set(agents) <= ended


class Tape:
    """Takes down what one environment is asked and what it answers."""

    def __init__(self, env: Any, game: GameRecord, *, frames: bool | None = None) -> None:
        self.env, self.game = env, game
        self.agents: list[str] = list(env.possible_agents)
        self.camera: Camera = camera_for(env, game, self.agents, frames=frames)
        self.episodes: list[TapedEpisode] = []
        self._episode: TapedEpisode | None = None
        self._waits = False
        """Of an AEC environment: whether nobody has looked since the last turn."""

    def reset_parallel(self, reset: Callable[..., Any]) -> Callable[..., Any]:
        """Return `reset`, which is listened to."""

        def listened(*arguments: Any, **named: Any) -> Any:
            found = reset(*arguments, **named)
            self._begin(_seed_of(arguments, named))
            self._see(found[0])
            return found

        return listened

    def step_parallel(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return `step`, which is listened to."""

        def listened(actions: Mapping[str, Any]) -> Any:
            kept = {agent: _kept(action) for agent, action in actions.items()}
            found = step(actions)
            if self._episode is None:
                return found
            observations, rewards, terminations, truncations = found[:4]
            self._note(kept, rewards, terminations, truncations)
            self._see(observations)
            if not self.env.agents:
                self._close(over=True)
            return found

        return listened

    def observe(self, observe: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return `observe`, which is listened to, so that nothing has to be observed twice."""
        self._observe, core = observe, core_of(self.env)

        def listened(agent: Any) -> Any:
            found = observe(agent)
            if self._waits and agent == core.agent_selection:
                self._see_turn(agent, found)
            return found

        return listened

    def reset_aec(self, reset: Callable[..., Any]) -> Callable[..., Any]:
        """Return `reset`, which is listened to."""

        def listened(*arguments: Any, **named: Any) -> Any:
            self.finish()  # while the game still is where the episode under way ended
            found = reset(*arguments, **named)
            self._begin(_seed_of(arguments, named))
            self._waits = True
            return found

        return listened

    def step_aec(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return `step`, which is listened to."""
        core = core_of(self.env)  # asking through all wrappers takes longer than a move of a small game

        def listened(action: Any) -> Any:
            agent, kept = core.agent_selection, _kept(action)
            self._catch_up()
            found = step(action)
            if self._episode is None:
                return found
            if kept is not None:  # else an agent that is dead takes its leave: nothing happens
                self._note({agent: kept}, core.rewards, core.terminations, core.truncations)
                self._waits = True
            if not core.agents:
                self._catch_up()
                self._close(over=True)
            return found

        return listened

    def finish(self) -> None:
        """Put aside the episode that is under way."""
        self._catch_up()
        if self._episode is not None:
            self._close(over=self._episode.has_ended(self.agents))

    def _begin(self, seed: int | None) -> None:
        if self._episode is not None:
            self._close(over=False)
        self.camera.restart()
        self._episode = TapedEpisode(seed)

    def _see(self, observations: Mapping[str, Any]) -> None:
        assert self._episode is not None
        self._episode.shown.append([_bytes_of(observations.get(agent)) for agent in self.agents])
        self.camera.look(observations)

    def _see_turn(self, agent: str | None, shown: Any) -> None:
        self._waits = False
        if self._episode is not None:
            self._episode.shown.append([_bytes_of(shown)])
            self.camera.look({} if agent is None else {agent: shown})

    def _catch_up(self) -> None:
        """See what nobody has looked at since the last turn."""
        if self._waits:
            core = core_of(self.env)
            agent = core.agent_selection if core.agents else None
            self._see_turn(agent, None if agent is None else self._observe(agent))

    def _note(
        self, actions: dict[str, Any], rewards: Mapping[str, Any], terminations: Mapping[str, bool],
        truncations: Mapping[str, bool],
    ) -> None:  # fmt: skip
        episode = self._episode
        assert episode is not None
        episode.actions.append(actions)
        episode.rewards.append(dict(rewards))
        episode.terminated.append(dict(terminations))
        episode.truncated.append(dict(truncations))

    def _close(self, *, over: bool) -> None:
        assert self._episode is not None
        self.camera.finish()
        self._episode.over = over
        self.episodes.append(self._episode)
        self._episode = None


def _kept(action: Any) -> Any:
    """Return an action that stays what it is, whatever becomes of the array that it came in."""
    return action if action is None or isinstance(action, int | np.generic) else np.array(action)


def _seed_of(arguments: tuple[Any, ...], named: Mapping[str, Any]) -> int | None:
    """Return the seed that `reset` was given."""
    seed = arguments[0] if arguments else named.get("seed")
    return None if seed is None else int(seed)


def _bytes_of(value: Any) -> bytes:
    """Return the bytes of an observation of any make, without the zeros at its end."""
    if isinstance(value, np.ndarray):
        return value.tobytes().rstrip(b"\0")
    if value is None:
        return b""
    if isinstance(value, Mapping):
        return b"".join(_bytes_of(value[key]) for key in sorted(value))
    if isinstance(value, tuple | list):
        return b"".join(map(_bytes_of, value))
    array = np.asarray(value)
    return array.tobytes().rstrip(b"\0") if array.dtype.kind in "biuf" else repr(value).encode()
