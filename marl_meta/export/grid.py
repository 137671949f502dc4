"""What a board shows: from planes of stones to its cells and lines, as the network sees them.

This file needs numpy alone: scripts that stand alone carry it with them. The same numbers as those of
`games.connect.view`. Shape letters as elsewhere; the first two entities are the players, then come C cells, row by row
from the top left, then the lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]

FREE, BARRED_CELL = -1, -2
"""What is on a cell that holds no stone: nothing, or nothing ever."""
_PLAYERS = 2


class Position(NamedTuple):
    """What there is to see."""

    entities: Numbers
    """[E,F]"""
    team: Places
    """[E] whose a cell or a line is, -1 for nobody's."""
    present: Truths
    """[E]"""
    targets: Places
    """[A] the entity that each action is about, -1 for illegal ones."""


@dataclass(frozen=True)
class Grid:
    """The board of one variant."""

    height: int
    width: int
    gravity: bool
    planes: int
    """Planes of an observation: own stones, the other's, and where there are any the cells that are blocked."""
    columns: Mapping[str, int]
    """Where the features that change stand among F: playable, blocked, last, stones, missing_1, ready."""
    missing: int
    """How many features say how many stones a line lacks."""
    empty: Numbers
    """[E,F] the features on an empty board."""
    there: Truths
    """[E] which slots are taken."""
    links: Places
    """[E,L] places of what an entity is linked with, -1 for none; those of a line are its cells."""
    actions: int

    @property
    def size(self) -> int:
        """How many numbers an observation has."""
        return self.height * self.width * self.planes

    def cells(self, planes: Any, player: int) -> Places:
        """Return whose stone is on each cell [C], FREE or BARRED_CELL, of the planes that a player sees.

        Raises ValueError for planes of another size.
        """
        given = np.asarray(planes)
        if given.size != self.size:
            raise ValueError(
                f"A board of these rules is shown as {self.height} x {self.width} x {self.planes} numbers, not as "
                f"{given.size}."
            )
        found = np.full(self.height * self.width, FREE, np.int64)
        each = given.reshape(-1, self.planes) != 0
        for plane, owner in zip(range(self.planes), (player, 1 - player, BARRED_CELL), strict=False):
            found[each[:, plane]] = owner
        return found

    def show(self, cells: Places, before: Places | None, player: int) -> Position:
        """Return what there is to see where it is a player's turn; `before` is the position that it saw last."""
        other = 1 - player
        new = np.flatnonzero((cells == other) & ((before != other) if before is not None else True))
        free = cells == FREE
        held = np.ones_like(free)
        if self.gravity:
            held[: -self.width] = ~free[self.width :]
        playable = free & held
        on_cells = slice(_PLAYERS, _PLAYERS + cells.size)
        entities, present = self.empty.copy(), self.there.copy()
        team = np.full(len(present), -1, np.int64)
        team[:_PLAYERS] = np.arange(_PLAYERS)
        team[on_cells] = np.where(cells >= 0, cells, -1)
        entities[on_cells, self.columns["playable"]] = playable
        entities[on_cells, self.columns["blocked"]] = cells == BARRED_CELL
        entities[on_cells, self.columns["last"]] = False
        if len(new) == 1:
            entities[_PLAYERS + new[0], self.columns["last"]] = True
        self._show_lines(cells, playable, entities, team, present)
        return Position(entities, team, present, self._targets(playable))

    def _show_lines(self, cells: Places, playable: Truths, entities: Numbers, team: Places, present: Truths) -> None:
        first = _PLAYERS + cells.size
        members = self.links[first:] - _PLAYERS
        inside = members >= 0
        length = np.maximum(inside.sum(1), 1)
        on = cells[np.maximum(members, 0)]
        stones = np.stack([(inside & (on == one)).sum(1) for one in range(_PLAYERS)], 1)
        total = stones.sum(1)
        opened = self.there[first:] & (stones.min(1) == 0) & ~(inside & (on == BARRED_CELL)).any(1)
        shown = entities[first:]
        shown[:, self.columns["stones"]] = total / length
        for lacks in range(1, self.missing + 1):
            shown[:, self.columns["missing_1"] + lacks - 1] = length - total == lacks
        shown[:, self.columns["ready"]] = (inside & playable[np.maximum(members, 0)]).sum(1) / length
        shown[~opened] = 0.0
        present[first:] = opened
        team[first:] = np.where(opened & (total > 0), stones.argmax(1), -1)

    def _targets(self, playable: Truths) -> Places:
        found = np.full(self.actions, -1, np.int64)
        for cell in np.flatnonzero(playable):
            found[cell % self.width if self.gravity else cell] = _PLAYERS + cell
        return found

    def record(self) -> dict[str, Any]:
        """Return it as plain values, for a JSON file."""
        return {
            "height": self.height, "width": self.width, "gravity": self.gravity, "planes": self.planes,
            "columns": dict(self.columns), "missing": self.missing, "empty": self.empty.tolist(),
            "there": self.there.tolist(), "links": self.links.tolist(), "actions": self.actions,
        }  # fmt: skip


def read_grid(record: Mapping[str, Any]) -> Grid:
    """Return what `Grid.record` wrote."""
    arrays = {
        "empty": np.array(record["empty"], np.float32), "there": np.array(record["there"], np.bool_),
        "links": np.array(record["links"], np.int64),
    }  # fmt: skip
    return Grid(**{**record, **arrays})
