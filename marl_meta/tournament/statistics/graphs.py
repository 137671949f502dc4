"""Which entrants reach which others: reachability, connected groups and strongly connected groups of small graphs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]


def reachable(edges: Flags) -> Flags:
    """Return [M,M]: whether a path of any length, also none, leads from row to column of `edges` [M,M]."""
    found = edges | np.eye(len(edges), dtype=bool)
    for middle in range(len(edges)):  # Warshall 1962
        found |= found[:, middle, None] & found[middle]
    return found


def components(edges: Flags) -> list[list[int]]:
    """Return the strongly connected groups of `edges` [M,M], each in order, by their first members.

    Of a symmetric matrix these are the connected groups.
    """
    paths = reachable(edges)
    both = paths & paths.T
    firsts = both.argmax(1)  # the lowest index of each one's group
    return [np.flatnonzero(firsts == first).tolist() for first in np.unique(firsts)]
