"""Reading boards: which of PettingZoo's games are variants of `connect`, and what is on the board of a variant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from marl_meta.export.grid import Grid
from marl_meta.games import Family
from marl_meta.games.connect.parameters import ENTITY_FEATURES, MISSINGS, compile_tables

PLACES: Mapping[str, dict[str, Any]] = {
    "connect_four": {},
    "tictactoe": {"width": 3, "height": 3, "in_a_row": 3, "gravity": False},
}
"""Games of PettingZoo that are variants of `connect`, by the name of their module: the rules that differ."""
_CHANGING = ("playable", "blocked", "last", "stones", "missing_1", "ready")


def make_grid(family: Family, rules: Mapping[str, Any]) -> Grid:
    """Return the board of a variant of `connect`, of its complete `rules`."""
    tables = compile_tables(family, [family.variant(rules)]).tables
    return Grid(
        height=rules["height"], width=rules["width"], gravity=bool(rules["gravity"]),
        planes=3 if rules["blocked"] else 2,
        columns={name: ENTITY_FEATURES.index(name) for name in _CHANGING}, missing=MISSINGS,
        empty=tables.numbers[0].reshape(tables.present.shape[1], -1).copy(), there=tables.present[0].copy(),
        links=tables.links[0].astype(np.int64), actions=tables.targets.shape[1],
    )  # fmt: skip
