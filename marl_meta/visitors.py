"""Visitors: players who take a team's place in some games of a batch, so that the others meet more than each other.

A visitor plays all agents of one team in a block of adjacent games. Whoever plays that team elsewhere goes on computing
actions for these agents, which are not played; and what a visitor does teaches nobody (`Visitors.counted`). When other
visitors come, trials are under way that began against somebody else. These count for nobody until they are over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from marl_meta.types import BoolArray, IntArray, Observation, Snapshot, Step

if TYPE_CHECKING:
    from marl_meta.rollout import Controller

Record = TypeVar("Record", Observation, Step)


def of_games(record: Record, games: slice) -> Record:
    """Return the record of some games of a batch: of every field the rows [b,...], which are no copies."""
    found = replace(record, **{one.name: _rows(getattr(record, one.name), games) for one in fields(record)})
    if isinstance(found, Step) and not found.game_over.any():
        return replace(found, final=None)
    return found


def _rows(value: Any, games: slice) -> Any:
    if isinstance(value, Observation):
        return of_games(value, games)
    return None if value is None else value[games]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who plays a team in some games."""

    games: slice
    """Of the batch: `slice(first, last + 1)`."""
    agents: IntArray
    """Slots of the team's agents."""
    controller: Controller


class Visitors:
    """The visitors in a batch of B games, in blocks that do not overlap; at first there are none."""

    def __init__(self, games: int) -> None:
        self._visitors: Sequence[Visitor] = ()
        self.block = np.full(games, -1, np.int64)
        """[B] the number of the visitor that plays in a game, -1 for none."""
        self.waiting = np.zeros(games, np.bool_)
        """[B] whether a trial is under way that began before the visitor came."""

    def seat(self, visitors: Sequence[Visitor], fresh: BoolArray) -> None:
        """Let other visitors play from now on; `fresh` [B] are the games in which a trial is about to begin."""
        self._visitors = visitors
        self.block[:] = -1
        for number, visitor in enumerate(visitors):
            self.block[visitor.games] = number
            visitor.controller.reset(visitor.games.stop - visitor.games.start, visitor.agents)
        self.waiting = (self.block >= 0) & ~fresh

    def act(self, observation: Observation, actions: IntArray) -> None:
        """Put the visitors' actions into `actions` [B,N]."""
        for visitor in self._visitors:
            actions[visitor.games, visitor.agents] = visitor.controller.act(of_games(observation, visitor.games))

    def counted(self, acting: BoolArray) -> BoolArray:
        """Return whose steps count [B,N]: those who act, but for visitors and for all in games that wait."""
        if not self._visitors:
            return acting
        counted = acting & ~self.waiting[:, None]
        for visitor in self._visitors:
            counted[visitor.games, visitor.agents] = False
        return counted

    def observe(self, step: Step) -> None:
        """Take note of what the last actions led to."""
        for visitor in self._visitors:
            visitor.controller.observe(of_games(step, visitor.games))
        self.waiting &= ~step.trial_over

    def snapshot(self) -> Snapshot:
        """Return the state of those who are seated; nothing where nobody is."""
        if not self._visitors:
            return {}
        state: Snapshot = {"waiting": self.waiting.copy()}
        for number, visitor in enumerate(self._visitors):
            state |= {f"{number}/{key}": array for key, array in visitor.controller.snapshot().items()}
        return state

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, with the same visitors seated."""
        if not self._visitors:
            return
        self.waiting = snapshot["waiting"].copy()
        for number, visitor in enumerate(self._visitors):
            start = f"{number}/"
            own = {name.removeprefix(start): array for name, array in snapshot.items() if name.startswith(start)}
            visitor.controller.restore(own)
