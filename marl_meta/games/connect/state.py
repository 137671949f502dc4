"""A position: whose stones are where, and how far each line is."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from marl_meta.games.connect.parameters import NOBODY, Tables
from marl_meta.games.kernel import inner, rare
from marl_meta.games.random import draw_index
from marl_meta.types import SmallIntArray

FIRST, SECOND, EMPTY, BLOCKED = 0, 1, -1, 2
"""What can be on a cell: a player's stone, nothing, or nobody's stone."""

_CLOSED = 16
"""What a blocked cell adds to both players' stones on its lines: more than they can have there."""
_TRIES = 16
"""Cells that are drawn for each that is to be blocked, at most: some would leave no line."""


class State(NamedTuple):
    """The positions of B games, with C cells and Q lines at most."""

    games: npt.NDArray[np.void]
    """[B]"""
    cells: SmallIntArray
    """[B,C] what is on each."""
    stones: SmallIntArray
    """[B,Q,2] of each player on each line."""
    ready: SmallIntArray
    """[B,Q] how many cells of each line are playable."""


def make_state(tables: Tables, games: npt.NDArray[np.void]) -> State:
    """Return the positions of games that have not begun."""
    count, (_, cells, _), (_, lines) = len(games), tables.through.shape, tables.valid.shape
    return State(
        games,
        np.full((count, cells), EMPTY, np.int8),
        np.zeros((count, lines, 2), np.int8),
        np.zeros((count, lines), np.int8),
    )


@inner
def is_open(first: Any, second: Any) -> Any:
    """Return whether somebody can still complete a line on which the players have so many stones."""
    return first == 0 or second == 0


@inner
def landing(state: Any, rule: Any, b: Any, action: Any) -> Any:
    """Return the cell on which the stone of an action comes to lie, or NOBODY where there is none."""
    if rule.gravity == 0:
        return np.int64(action) if state.cells[b, action] == EMPTY else np.int64(NOBODY)
    cell = rule.cells - rule.width + np.int64(action)
    while cell >= 0 and state.cells[b, cell] != EMPTY:
        cell -= rule.width
    return max(cell, np.int64(NOBODY))


@inner
def put(state: Any, tables: Any, b: Any, cell: Any, owner: Any) -> Any:
    """Put a stone on a playable cell; return whether it completes a line that counts."""
    game = state.games[b]
    v = game.variant
    rule = tables.rules[v]
    state.cells[b, cell] = owner
    game.free -= 1
    completed = False
    for place in range(tables.through.shape[2]):
        found = tables.through[v, cell, place]
        if found == NOBODY:
            break
        line = np.uint64(found)
        state.ready[b, line] -= 1
        if owner == BLOCKED:
            state.stones[b, line, FIRST] += _CLOSED
            state.stones[b, line, SECOND] += _CLOSED
        else:
            state.stones[b, line, owner] += 1
            completed |= state.stones[b, line, owner] == rule.in_a_row and tables.valid[v, line]
    above = cell - rule.width
    if rule.gravity and above >= 0:
        for place in range(tables.through.shape[2]):
            line = tables.through[v, above, place]
            if line == NOBODY:
                break
            state.ready[b, line] += 1
    return completed


@inner
def begin_position(state: Any, tables: Any, b: Any) -> None:
    """Clear the board of game b, and block its cells."""
    game = state.games[b]
    v = game.variant
    clear(state, tables, b)
    game.step = 0
    for _ in range(_TRIES * tables.rules[v].blocked):
        if tables.rules[v].cells - game.free >= tables.rules[v].blocked:
            break
        cell = drawn_cell(state, tables, b)
        if leaves_a_line(state, tables, b, cell):
            put(state, tables, b, cell, np.int64(BLOCKED))


@inner
def clear(state: Any, tables: Any, b: Any) -> None:
    """Clear the board of game b."""
    game = state.games[b]
    game.number += 1
    game.free = tables.rules[game.variant].cells
    game.last = game.before = game.earlier = NOBODY
    state.cells[b] = EMPTY
    for line in range(state.ready.shape[1]):
        state.ready[b, line] = tables.ready[game.variant, line]
        state.stones[b, line, FIRST] = state.stones[b, line, SECOND] = 0


@rare
def drawn_cell(state: Any, tables: Any, b: Any) -> Any:
    """Return a playable cell: every empty one as likely, and with gravity the lowest in its column."""
    game = state.games[b]
    rule = tables.rules[game.variant]
    number = draw_index(game, game.free)
    for cell in range(rule.cells):
        if state.cells[b, cell] == EMPTY:
            if number == 0:
                return landing(state, rule, b, cell % rule.width if rule.gravity else cell)
            number -= 1
    return np.int64(NOBODY)


@rare
def leaves_a_line(state: Any, tables: Any, b: Any, cell: Any) -> Any:
    """Return whether a row or a column could still be completed if a cell were blocked.

    Others do not matter, since whether they count may be hidden, and must not show in where cells are blocked.
    """
    v = state.games[b].variant
    left = 0
    for line in range(state.ready.shape[1]):
        left += tables.straight[v, line] and state.stones[b, line, FIRST] == 0
    for place in range(tables.through.shape[2]):
        line = tables.through[v, cell, place]
        if line != NOBODY:
            left -= tables.straight[v, line] and state.stones[b, line, FIRST] == 0
    return left > 0
