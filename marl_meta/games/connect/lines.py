"""What a board is made of: its cells, the lines that may count on it, and which rules are the same game.

Cells are numbered row by row from the top left. A line is `in_a_row` cells next to each other. On a board whose left
and right edges are joined some of them cross the seam, and their kinds say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

Rules = Mapping[str, Any]

KINDS = ("player", "cell", "row", "column", "diagonal", "wrapped_row", "wrapped_diagonal")
PLAYER, CELL, ROW, COLUMN, DIAGONAL, WRAPPED_ROW, WRAPPED_DIAGONAL = range(len(KINDS))

AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""Steps (rows down, columns to the right) to a cell's neighbours: above first, then clockwise."""

_ALONG = {
    (0, 1): (ROW, WRAPPED_ROW),
    (1, 0): (COLUMN, COLUMN),
    (1, 1): (DIAGONAL, WRAPPED_DIAGONAL),
    (1, -1): (DIAGONAL, WRAPPED_DIAGONAL),
}
"""Steps from one cell of a line to the next, and the kinds of such lines: within the edges, and across the seam."""


class Line(NamedTuple):
    """A line of a board."""

    kind: int
    """Index into KINDS."""
    cells: tuple[int, ...]


@lru_cache(maxsize=1024)
def lines_of(width: int, height: int, in_a_row: int) -> tuple[Line, ...]:
    """Return all lines that count under any rules of diagonals and wrapping, kind by kind, the same cells only once."""
    found = []
    for (down, right), kinds in _ALONG.items():
        if down == 0 and in_a_row > width:
            continue  # around the board, it would come to its own cells again
        for row in range(height - down * (in_a_row - 1)):
            for column in range(width):
                crosses = not 0 <= column + right * (in_a_row - 1) < width
                places = [(row + down * i, (column + right * i) % width) for i in range(in_a_row)]
                found.append(Line(kinds[crosses], tuple(y * width + x for y, x in places)))
    unique: dict[frozenset[int], Line] = {}
    for line in sorted(found):  # on a narrow ring several ways around are the same cells; first is one without the seam
        unique.setdefault(frozenset(line.cells), line)
    return tuple(unique.values())


def counts(kind: int, rules: Rules) -> bool:
    """Return whether lines of a kind count under these rules."""
    slanted, wrapped = kind in (DIAGONAL, WRAPPED_DIAGONAL), kind in (WRAPPED_ROW, WRAPPED_DIAGONAL)
    return bool((rules["diagonals"] or not slanted) and (rules["wrap"] or not wrapped))


def neighbours(cell: int, width: int, height: int, *, wrap: bool) -> list[int]:
    """Return the cells around a cell, in the order of AROUND; -1 where there is none."""
    found = []
    for down, right in AROUND:
        row, column = cell // width + down, cell % width + right
        if wrap:
            column %= width
        found.append(row * width + column if 0 <= row < height and 0 <= column < width else -1)
    return found


def canonical(rules: Rules) -> dict[str, Any]:
    """Return the rules that stand for all complete rules that are the same game.

    Of rules that let the same lines count, those stand for all that have diagonals, and else those without wrapping. On
    a single row it makes no difference whether stones fall. As many cells are blocked as leave room for a line. A line
    that is longer than both sides of the board, where nobody could win, is as long as the longer side instead.
    """
    found = dict(rules)
    width, height = rules["width"], rules["height"]
    found["in_a_row"] = min(rules["in_a_row"], max(width, height))
    found["gravity"] = rules["gravity"] or height == 1
    found["blocked"] = min(rules["blocked"], width * height - found["in_a_row"])
    kinds = {line.kind for line in lines_of(width, height, found["in_a_row"])}
    count = {kind for kind in kinds if counts(kind, rules)}
    for diagonals, wrap in ((True, False), (True, True), (False, False), (False, True)):
        flags = {"diagonals": diagonals, "wrap": wrap}
        if {kind for kind in kinds if counts(kind, flags)} == count:
            return found | flags
    raise AssertionError("the rules' own flags were not among all of them")
