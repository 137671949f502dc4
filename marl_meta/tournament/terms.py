"""In which terms entrants from outside are told about a game, and answer.

Of a family of ours they are shown flat vectors, and answer with the numbers of actions. Of a third-party game they are
shown what the game itself shows, and answer with actions of its own spaces, as in any PettingZoo loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from marl_meta.games.flat import flattener
from marl_meta.interop.actions import ContinuousActions
from marl_meta.interop.vector import PettingZooVector
from marl_meta.tournament.outsiders.player import Action, ActionSpace, Box, Choice, Choices
from marl_meta.tournament.outsiders.wire import portable
from marl_meta.types import Observation, Step, UserError, VectorGame


class Terms(Protocol):
    """How the agents of a lone game are told about it."""

    def shown(self, observation: Observation, slot: int) -> tuple[Any, Mapping[str, Any]]:
        """Return what the agent of a slot is shown now: its observation and its info."""

    def ending(self, step: Step, slot: int) -> Any:
        """Return what the agent of a slot sees where the game has just ended with `step`; None where nobody knows."""

    def space(self, slot: int) -> ActionSpace:
        """Return what the agent may do."""

    def number(self, slot: int, action: Action) -> int:
        """Return the number of an action of its space."""


def terms_of(game: VectorGame, observation: Observation, rules: Mapping[str, Any]) -> Terms:
    """Return the terms of a lone game that has these rules, and shows this at its start."""
    return OwnTerms(game) if isinstance(game, PettingZooVector) else FlatTerms(game, observation, rules)


class FlatTerms:
    """Those of our families: flat vectors, and actions by number."""

    def __init__(self, game: VectorGame, observation: Observation, rules: Mapping[str, Any]) -> None:
        self._flatten = flattener(game.layout, observation, rules)
        self._names = game.layout.actions
        self._counts = game.action_counts[0]

    def shown(self, observation: Observation, slot: int) -> tuple[Any, Mapping[str, Any]]:
        """Return a vector, and the mask where not everything is allowed."""
        mask = observation.action_mask[0, slot, : self._counts[slot]]
        return self._flatten(observation, 0, slot), {} if mask.all() else {"action_mask": mask.astype(np.int8)}

    def ending(self, step: Step, slot: int) -> Any:
        """Return a vector."""
        return None if step.final is None else self._flatten(step.final, 0, slot)

    def space(self, slot: int) -> ActionSpace:
        """Return the actions that there are, and their names."""
        count = int(self._counts[slot])
        return Choice(count, self._names[:count])

    def number(self, slot: int, action: Action) -> int:  # noqa: ARG002 (actions of all are numbered alike)
        """Return the action itself."""
        return int(action)


class OwnTerms:
    """Those of a third-party game, which are its own."""

    def __init__(self, game: PettingZooVector) -> None:
        self._game = game

    def shown(self, observation: Observation, slot: int) -> tuple[Any, Mapping[str, Any]]:  # noqa: ARG002 (it is the game's)
        """Return observation and info as the game has them; of an info what can be told to another process."""
        found, info = self._game.original(0, slot)
        if not portable(found):
            raise UserError(
                f"What {self._game.agent_names[slot]!r} is shown cannot be told to an entrant from outside: it is a "
                f"{type(found).__name__}; arrays, numbers and texts can, and dicts, tuples and lists of them."
            )
        return found, {key: value for key, value in info.items() if isinstance(key, str) and portable(value)}

    def ending(self, step: Step, slot: int) -> Any:  # noqa: ARG002 (it is the game's)
        """Return the observation that the game ended with, where it gave the agent one."""
        found = self._game.seen(0, slot, over=True)
        return found if found is not None and portable(found) else None

    def space(self, slot: int) -> ActionSpace:
        """Return the agent's action space."""
        codec = self._game.codec(0, slot)
        if isinstance(codec, ContinuousActions):
            low, high = (tuple(np.ravel(bound).astype(float).tolist()) for bound in (codec.space.low, codec.space.high))
            return Box(tuple(codec.space.shape), low, high)
        if codec.digits is None:
            return Choice(codec.count, start=codec.decode(0))
        sizes, starts = codec.digits
        return Choices(tuple(sizes.shape), tuple(sizes.ravel().tolist()), tuple(starts.ravel().tolist()))

    def number(self, slot: int, action: Action) -> int:
        """Return the number of an action of the agent's space."""
        return self._game.codec(0, slot).encode(action)
