"""What an observation says of a board, read by the names of its columns, its kinds and its links alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from marl_meta.types import Layout, Observation

Cell = tuple[int, int]


def cells_of(observation: Observation, layout: Layout, b: int, width: int) -> dict[int, Cell]:
    """Return the place (x, y) of each entity that is a cell."""
    cells = [e for e in np.flatnonzero(observation.kind[b] == layout.kinds.index("cell")) if observation.present[b, e]]
    return {int(e): (i % width, i // width) for i, e in enumerate(cells)}


def features(observation: Observation, layout: Layout, b: int, entity: int) -> dict[str, float]:
    """Return an entity's features by name."""
    return dict(zip(layout.entity_features, observation.entities[b, entity].tolist(), strict=True))


def lines_of(observation: Observation, layout: Layout, b: int, width: int) -> dict[frozenset[Cell], dict[str, Any]]:
    """Return what is shown of each line that is there, by its cells."""
    cells, found = cells_of(observation, layout, b, width), {}
    for entity in np.flatnonzero(observation.present[b]):
        kind = layout.kinds[observation.kind[b, entity]]
        if kind in ("player", "cell"):
            continue
        linked = observation.links[b, entity]
        shown = features(observation, layout, b, entity)
        for name in ("row", "parity", "playable", "blocked", "last"):
            assert shown.pop(name) == 0
        place = frozenset(cells[int(e)] for e in linked if e >= 0)
        assert place not in found
        found[place] = {"kind": kind, "team": int(observation.team[b, entity]), **shown}
    return found
