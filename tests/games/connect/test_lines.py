"""Which lines a board has, and which rules are the same game."""

from __future__ import annotations

from collections import Counter

import pytest

from marl_meta.games import load_family
from marl_meta.games.connect.lines import KINDS, canonical, lines_of

FAMILY = load_family("connect")
NARROW = {"width": 4, "height": 6, "in_a_row": 6}
SMALL = {"width": 3, "height": 3, "in_a_row": 3}


@pytest.mark.parametrize(
    ("board", "expected"),
    [
        # (w-k+1)h rows, w(h-k+1) columns, 2(w-k+1)(h-k+1) diagonals; around, each of h rows has k-1 more, and so on.
        ((7, 6, 4), {"row": 24, "column": 21, "diagonal": 24, "wrapped_row": 18, "wrapped_diagonal": 18}),
        ((3, 3, 3), {"row": 3, "column": 3, "diagonal": 2, "wrapped_diagonal": 4}),
        ((2, 2, 2), {"row": 2, "column": 2, "diagonal": 2}),
        ((6, 1, 3), {"row": 4, "wrapped_row": 2}),
        ((3, 5, 4), {"column": 6, "wrapped_diagonal": 12}),
    ],
)
def test_lines_of_small_boards(board, expected):
    lines = lines_of(*board)
    assert Counter(KINDS[line.kind] for line in lines) == expected
    assert len({frozenset(line.cells) for line in lines}) == len(lines)
    assert all(len(set(line.cells)) == board[2] for line in lines)


@pytest.mark.parametrize(
    ("rules", "stands"),
    [
        ({}, {}),
        ({"width": 3, "height": 4, "in_a_row": 6}, {"in_a_row": 4}),
        # No diagonal is so long but one around the board.
        ({**NARROW, "diagonals": False}, {"diagonals": True}),
        ({**NARROW, "diagonals": False, "wrap": True}, {"diagonals": True, "wrap": False}),
        ({**NARROW, "wrap": True}, {"wrap": True}),
        ({"width": 4, "height": 1, "wrap": True, "gravity": False}, {"wrap": False, "gravity": True}),
        ({**SMALL, "wrap": True, "diagonals": False}, {"wrap": False, "diagonals": False}),
        ({**SMALL, "wrap": True}, {"wrap": True}),
        ({"width": 2, "height": 2, "in_a_row": 2, "blocked": 8}, {"blocked": 2}),
        ({"told": False, "misere": True}, {"told": False, "misere": True}),
    ],
)
def test_one_of_the_rules_of_a_game_stands_for_all(rules, stands):
    complete = FAMILY.complete(rules)
    assert canonical(complete) == {**complete, **stands}
    assert FAMILY.variant(rules).variant_id == FAMILY.variant({**rules, **stands}).variant_id


def test_what_stands_for_a_game_stands_for_itself_and_has_the_same_lines():
    for variant in FAMILY.sample(seed=5, count=200):
        assert canonical(variant.rules) == variant.rules
        board = (variant.rules["width"], variant.rules["height"], variant.rules["in_a_row"])
        assert lines_of(*board)
