"""Visitors: players who take a team's place in some games of a batch, so that the others meet more than each other.

A visitor plays all agents of one team in a block of adjacent games. Whoever plays that team elsewhere goes on computing
actions for these agents, which are not played; and what a visitor does teaches nobody (`Visitors.counted`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

    label: tuple[str, str]
    """Who it is, and the team."""
    games: slice
    """Of the batch: `slice(first, last + 1)`."""
    agents: IntArray
    """Slots of the team's agents."""
    controller: Controller


class Visitors:
    """The visitors in a batch of B games, in blocks that do not overlap; at first there are none.

    When others come, each game changes hands as its trial ends: over a trial, opponents stay the same.
    """

    def __init__(self, games: int) -> None:
        self.before: Sequence[Visitor] = ()
        """Those who leave, where trials that they play are under way."""
        self.now: Sequence[Visitor] = ()
        self._changed = np.ones(games, np.bool_)
        """[B] whether it is the turn of `now`."""

    @property
    def settled(self) -> bool:
        """Whether every game has changed hands: only then may others be invited."""
        return bool(self._changed.all())

    def invite(self, visitors: Sequence[Visitor], fresh: BoolArray) -> None:
        """Let others play from the next trials on; `fresh` [B] are the games in which one is about to begin."""
        assert self.settled
        self.seat(self.now, visitors)
        touched = np.zeros_like(fresh)
        for visitor in visitors:
            visitor.controller.reset(visitor.games.stop - visitor.games.start, visitor.agents)
        for visitor in (*self.before, *visitors):
            touched[visitor.games] = True
        self._change(fresh | ~touched)

    def seat(self, before: Sequence[Visitor], now: Sequence[Visitor]) -> None:
        """Have these visitors, whose state `restore` brings."""
        self.before, self.now = before, now

    def _change(self, changed: BoolArray) -> None:
        self._changed = changed
        if self.settled:
            self.before = ()

    def _playing(self) -> Iterator[tuple[Visitor, IntArray]]:
        """Yield the visitors, and in which of their games [b'] it is their turn."""
        for visitor in self.before:
            yield visitor, np.flatnonzero(~self._changed[visitor.games])
        for visitor in self.now:
            yield visitor, np.flatnonzero(self._changed[visitor.games])

    def at(self, game: int) -> Visitor | None:
        """Return who plays in a game; None for nobody."""
        for visitor in self.now if self._changed[game] else self.before:
            if visitor.games.start <= game < visitor.games.stop:
                return visitor
        return None

    def act(self, observation: Observation, actions: IntArray) -> None:
        """Put the visitors' actions into `actions` [B,N]."""
        for visitor, turn in self._playing():
            played = visitor.controller.act(of_games(observation, visitor.games))
            actions[np.ix_(visitor.games.start + turn, visitor.agents)] = played[turn]

    def counted(self, acting: BoolArray) -> BoolArray:
        """Return whose steps teach a learner [B,N]: those who act, but for visitors."""
        counted = acting.copy()
        for visitor, turn in self._playing():
            counted[np.ix_(visitor.games.start + turn, visitor.agents)] = False
        return counted

    def observe(self, step: Step) -> None:
        """Take note of what the last actions led to.

        Whoever is still to come sees a trial that others play, and forgets it with that trial's end.
        """
        for visitor in (*self.before, *self.now):
            visitor.controller.observe(of_games(step, visitor.games))
        self._change(self._changed | step.trial_over)

    def snapshot(self) -> Snapshot:
        """Return the state of all of them; nothing where nobody is."""
        if not self.before and not self.now:
            return {}
        state: Snapshot = {"changed": self._changed.copy()}
        for start, visitor in self._named():
            state |= {f"{start}{key}": array for key, array in visitor.controller.snapshot().items()}
        return state

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, with the same visitors seated."""
        for start, visitor in self._named():
            visitor.controller.reset(visitor.games.stop - visitor.games.start, visitor.agents)
            own = {name.removeprefix(start): array for name, array in snapshot.items() if name.startswith(start)}
            visitor.controller.restore(own)
        if "changed" in snapshot:
            self._change(snapshot["changed"].copy())

    def _named(self) -> Iterator[tuple[str, Visitor]]:
        for place, visitors in (("before", self.before), ("now", self.now)):
            for number, visitor in enumerate(visitors):
                yield f"{place}/{number}/", visitor
