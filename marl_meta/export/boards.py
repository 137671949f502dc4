"""Reading boards: from planes of stones, as PettingZoo's connect four shows them, to what our games show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.games import Family, make_vec
from marl_meta.games.connect.planes import is_board
from marl_meta.games.connect.state import BLOCKED, EMPTY
from marl_meta.types import Layout, Observation, SmallIntArray, UserError

PLACES: Mapping[str, dict[str, Any]] = {
    "connect_four": {},
    "tictactoe": {"width": 3, "height": 3, "in_a_row": 3, "gravity": False},
}
"""Games of PettingZoo that are variants of `connect`, by the name of their module: the rules that differ."""
NOWHERE = -1


class BoardReader:
    """Positions of one variant of `connect`, put on a board of our own, which says what there is to see."""

    def __init__(self, family: Family, rules: Mapping[str, Any]) -> None:
        self._game = make_vec(family, num_games=1, rules=rules)
        if not is_board(self._game.layout):
            raise ValueError(f"games of {family.name} have no boards")
        self._game.reset(0)
        self._shape = rules["height"], rules["width"]
        self._planes = 3 if rules["blocked"] else 2
        self.size: int = rules["height"] * rules["width"] * self._planes
        """How many numbers an observation has."""

    @property
    def layout(self) -> Layout:
        """Of what it returns."""
        return self._game.layout

    def cells(self, planes: Any, player: int) -> SmallIntArray:
        """Return what is on each cell int8 [C], of the planes that a player sees: its own stones, then the other's.

        Raises UserError for planes of another size.
        """
        given = np.asarray(planes)
        if given.size != self.size:
            height, width = self._shape
            raise UserError(
                f"A board of these rules is shown as {height} x {width} x {self._planes} numbers, not as {given.size}."
            )
        found: SmallIntArray = np.full(self._shape[0] * self._shape[1], EMPTY, np.int8)
        each = given.reshape(-1, self._planes) != 0
        for plane, owner in zip(range(self._planes), (player, 1 - player, BLOCKED), strict=False):
            found[each[:, plane]] = owner
        return found

    def show(self, cells: SmallIntArray, before: SmallIntArray | None, player: int) -> Observation:
        """Return what there is to see where it is a player's turn; `before` is the position that it saw last."""
        other = 1 - player
        new = np.flatnonzero((cells == other) & ((before != other) if before is not None else True))
        snapshot = self._game.snapshot()
        snapshot["cells"][0], snapshot["last"][0] = EMPTY, new[0] if len(new) == 1 else NOWHERE
        snapshot["cells"][0, : len(cells)] = cells
        shown = self._game.restore(snapshot).observation
        acting = np.zeros_like(shown.acting)
        acting[0, player] = True
        private = np.zeros_like(shown.private)
        private[0, player] = 1.0
        arrays: dict[str, npt.NDArray[Any] | None] = {
            name: None if array is None else array.copy()
            for name, array in ((name, getattr(shown, name)) for name in Observation.__dataclass_fields__)
        }
        arrays |= {"acting": acting, "private": private}
        return Observation(**arrays)  # type: ignore[arg-type]  # each as its field wants it
