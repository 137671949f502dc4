"""The interface of whoever plays in a tournament and is not one of our own: what it is told, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

FaultKind = Literal["crash", "timeout", "illegal", "shape", "nan", "flood", "memory", "start"]

FAULTS: Mapping[str, str] = {
    "start": "it could not be started: its code fails to import, is not found, or takes too long",
    "crash": "its code raised an exception, or its process ended",
    "timeout": "it did not answer in time",
    "illegal": "an action that does not exist, or is not allowed now",
    "shape": "an answer that is none: not readable, actions missing, of others, or of another form",
    "nan": "a number that is not finite",
    "flood": "an answer too long, or too many processes",
    "memory": "more memory than it may have",
}
"""What each kind of fault (FaultKind) means."""

Action = int | npt.NDArray[np.float32] | npt.NDArray[np.int64]
"""Of a Choice a number, of Choices an array of numbers, of a Box an array."""


class Fault(Exception):  # noqa: N818 (what it is called in reports)
    """What an entrant did wrong, for which it forfeits the game: a kind, and one sentence that says what happened."""

    def __init__(self, kind: FaultKind, sentence: str) -> None:
        super().__init__(kind, sentence)
        self.kind: FaultKind = kind
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, slots=True)
class Choice:
    """Actions `start` to `start` + n - 1 (a Discrete space)."""

    n: int
    names: tuple[str, ...] = ()
    """Of the actions, where they have any."""
    start: int = 0


@dataclass(frozen=True, slots=True)
class Choices:
    """Actions that are arrays of whole numbers, each one of a few (a MultiDiscrete space)."""

    shape: tuple[int, ...]
    sizes: tuple[int, ...]
    """How many values each number has, row by row; they follow each other."""
    starts: tuple[int, ...]
    """The least value of each."""


@dataclass(frozen=True, slots=True)
class Box:
    """Actions that are arrays of finite numbers (a Box space)."""

    shape: tuple[int, ...]
    low: tuple[float, ...]
    """The least of each number, row by row."""
    high: tuple[float, ...]
    """The most of each."""


ActionSpace = Choice | Choices | Box


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """What an entrant is told before a series: K games under the same rules, some of which nobody shows it.

    Everything in it can be written as JSON.
    """

    game: str
    side: str
    """The team that it plays."""
    games: int
    """K: games of the series."""
    own: tuple[str, ...]
    """Names of the agents that it plays."""
    agents: Mapping[str, str]
    """All agents, each with its team."""
    actions: Mapping[str, ActionSpace]
    """What each of its own agents may do."""
    rules: Mapping[str, Any] = field(default_factory=dict)
    """The rules that are shown."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """What it may use up, see Limits."""

    def record(self) -> dict[str, Any]:
        """Return it as plain values.

        What an agent may do is `{n, names, start}`, `{shape, sizes, starts}` or `{shape, low, high}`.
        """
        return {
            "game": self.game, "side": self.side, "games": self.games, "own": list(self.own),
            "agents": dict(self.agents), "actions": {agent: asdict(space) for agent, space in self.actions.items()},
            "rules": dict(self.rules), "limits": dict(self.limits),
        }  # fmt: skip


def read_info(record: Mapping[str, Any]) -> SeriesInfo:
    """Return what `SeriesInfo.record` wrote."""
    spaces = {agent: _read_space(space) for agent, space in record["actions"].items()}
    return SeriesInfo(**{**record, "own": tuple(record["own"]), "actions": spaces})


def _read_space(record: Mapping[str, Any]) -> ActionSpace:
    if "n" in record:
        return Choice(record["n"], tuple(record["names"]), record["start"])
    shape = tuple(record["shape"])
    if "sizes" in record:
        return Choices(shape, tuple(record["sizes"]), tuple(record["starts"]))
    return Box(shape, tuple(record["low"]), tuple(record["high"]))


class Player(Protocol):
    """Whoever plays a side of a game. Everything is by the name of the agent.

    A series is `start_series`, then for each of its games `reset`, and for each step `act` and `observe`. What it
    remembers from one game of a series to the next is its own affair.
    """

    name: str

    def start_series(self, info: SeriesInfo) -> None:
        """Get ready for K games under the same rules, and forget those before."""

    def reset(self, agents: list[str], info: Mapping[str, Any], seed: int) -> None:
        """Get ready for a game in which it plays `agents`; `info` has the `game`'s number, from 0."""

    def act(self, observations: Mapping[str, Any], infos: Mapping[str, Mapping[str, Any]], step: int) -> Any:
        """Return an action of each agent that has an observation, which are those that act now.

        Where not every action is allowed, `infos[agent]["action_mask"]` is int8 [A], 1 for those that are.
        """

    def observe(
        self, rewards: Mapping[str, float], terminations: Mapping[str, bool], truncations: Mapping[str, bool],
        observations: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Take note of what the step led to.

        Where that ended the game `observations` are what its agents see last. Who has no argument of this name is not
        told.
        """

    def close(self) -> None:
        """Release what it holds."""
