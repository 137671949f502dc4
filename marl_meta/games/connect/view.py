"""What one game shows: the kernel side of `types.Observation`.

A move changes two cells and the lines through them. A view is written every other move, so it catches up by two; it is
written as a whole when a game begins.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from marl_meta.games.connect.parameters import (
    AGENTS,
    BARRED,
    LAST,
    MISSING,
    MISSINGS,
    NOBODY,
    PLAYABLE,
    READY,
    STONES,
    WORTH,
)
from marl_meta.games.connect.state import BLOCKED, EMPTY, SECOND, is_open, landing
from marl_meta.games.kernel import inner, rare
from marl_meta.types import BoolArray, FloatArray, LinkArray, SmallIntArray

_AGENTS = len(AGENTS)
_COUNTED = MISSING + MISSINGS - STONES
BEHIND = 2
"""So many moves a view may be behind and catch up; the game knows the last ones."""


class View(NamedTuple):
    """The arrays of an Observation that a kernel fills; what each row shows."""

    entities: FloatArray
    """[B,E,F]"""
    numbers: FloatArray
    """[B,E*F] the same memory, in a row, which is copied faster."""
    team: SmallIntArray
    """[B,E]"""
    present: BoolArray
    """[B,E]"""
    private: FloatArray
    """[B,2,1]"""
    acting: BoolArray
    """[B,2]"""
    mask: BoolArray
    """[B,2,A]"""
    rules: FloatArray
    """[B,R]"""
    links: LinkArray
    """[B,E,L]"""
    targets: LinkArray
    """[B,A]"""
    written: npt.NDArray[np.int64]
    """[B,3] the variant, which of the row's games it is, and after how many moves."""


@inner
def show(view: Any, tables: Any, state: Any, b: Any, mover: Any) -> None:
    """Write what game b shows to row b of the view, in which it is the turn of `mover`."""
    game = state.games[b]
    v = game.variant
    rule = tables.rules[v]
    if view.written[b, 0] != v:
        describe(view, tables, v, b)
    if view.written[b, 1] == game.number and view.written[b, 2] >= game.step - BEHIND:
        if game.earlier != NOBODY:
            show_cell(view, state, rule, b, game.earlier)
        if game.before != NOBODY:
            show_move(view, tables, state, rule, b, game.before)
        if game.last != NOBODY:
            show_move(view, tables, state, rule, b, game.last)
    else:
        show_board(view, tables, state, b)
    view.written[b, 0] = v
    view.written[b, 1] = game.number
    view.written[b, 2] = game.step
    for i in range(_AGENTS):
        view.acting[b, i] = i == mover
        view.private[b, i, 0] = np.float32(i == mover)


@inner
def show_move(view: Any, tables: Any, state: Any, rule: Any, b: Any, cell: Any) -> None:
    """Write what a stone on a cell has changed: the cell, the one above it, their lines, and the action."""
    v = state.games[b].variant
    show_cell(view, state, rule, b, cell)
    for place in range(tables.through.shape[2]):
        line = tables.through[v, cell, place]
        if line == NOBODY:
            break
        show_line(view, tables, state, rule, b, np.uint64(line))
    action, target = cell, np.int64(NOBODY)
    if rule.gravity:
        action = cell % rule.width
        above = cell - rule.width
        if above >= 0:
            show_cell(view, state, rule, b, above)
            for place in range(tables.through.shape[2]):
                line = tables.through[v, above, place]
                if line == NOBODY:
                    break
                show_ready(view, tables, state, rule, b, np.uint64(line))
            if state.cells[b, above] == EMPTY:
                target = above + _AGENTS
    show_action(view, b, np.uint64(action), target)


@inner
def show_cell(view: Any, state: Any, rule: Any, b: Any, cell: Any) -> None:
    """Write a cell."""
    owner, entity = state.cells[b, np.uint64(cell)], np.uint64(cell + _AGENTS)
    below = cell + rule.width
    lies = rule.gravity == 0 or below >= rule.cells or state.cells[b, np.uint64(below)] != EMPTY
    view.team[b, entity] = owner if owner <= SECOND else NOBODY
    view.entities[b, entity, PLAYABLE] = np.float32(owner == EMPTY and lies)
    view.entities[b, entity, BARRED] = np.float32(owner == BLOCKED)
    view.entities[b, entity, LAST] = np.float32(cell == state.games[b].last)


@inner
def show_line(view: Any, tables: Any, state: Any, rule: Any, b: Any, line: Any) -> None:
    """Write a line; one that nobody can complete is not there."""
    entity = line + np.uint64(view.team.shape[1] - state.ready.shape[1])
    first, second = np.int64(state.stones[b, line, 0]), np.int64(state.stones[b, line, 1])
    if not is_open(first, second):
        if view.present[b, entity]:
            view.present[b, entity] = False
            view.team[b, entity] = NOBODY
            for column in range(np.uint64(STONES), np.uint64(WORTH + 1)):
                view.entities[b, entity, column] = 0.0
        return
    stones = np.uint64(first + second)
    view.team[b, entity] = NOBODY if stones == 0 else (0 if first > 0 else 1)
    for column in range(np.uint64(_COUNTED)):
        view.entities[b, entity, np.uint64(STONES) + column] = tables.counted[rule.in_a_row, stones, column]
    view.entities[b, entity, READY] = tables.counted[rule.in_a_row, np.uint64(state.ready[b, line]), 0]


@inner
def show_ready(view: Any, tables: Any, state: Any, rule: Any, b: Any, line: Any) -> None:
    """Write how many cells of a line are playable."""
    entity = line + np.uint64(view.team.shape[1] - state.ready.shape[1])
    if view.present[b, entity]:
        view.entities[b, entity, READY] = tables.counted[rule.in_a_row, np.uint64(state.ready[b, line]), 0]


@inner
def show_action(view: Any, b: Any, action: Any, target: Any) -> None:
    """Write which entity an action is about: NOBODY where it is not legal."""
    view.targets[b, action] = target
    for i in range(np.uint64(_AGENTS)):
        view.mask[b, i, action] = target != NOBODY


@rare
def show_board(view: Any, tables: Any, state: Any, b: Any) -> None:
    """Write the whole board."""
    game = state.games[b]
    v = game.variant
    rule = tables.rules[v]
    for entity in range(view.team.shape[1]):
        view.present[b, entity] = tables.present[v, entity]
        view.team[b, entity] = entity if entity < _AGENTS else NOBODY
    for number in range(view.numbers.shape[1]):
        view.numbers[b, number] = tables.numbers[v, number]
    for action in range(rule.actions):
        show_action(view, b, action, tables.targets[v, action])
    if game.free == rule.cells:
        return
    for cell in range(rule.cells):
        show_cell(view, state, rule, b, cell)
    for line in range(state.ready.shape[1]):
        if tables.present[v, line + (view.team.shape[1] - state.ready.shape[1])]:
            show_line(view, tables, state, rule, b, np.uint64(line))
    for action in range(rule.actions):
        cell = landing(state, rule, b, action)
        show_action(view, b, action, np.int64(NOBODY) if cell == NOBODY else cell + _AGENTS)
        if game.free == 0:  # every row of a mask has a legal action
            for i in range(_AGENTS):
                view.mask[b, i, action] = True


@rare
def describe(view: Any, tables: Any, v: Any, b: Any) -> None:
    """Write what depends on the variant alone, and forget what was shown."""
    for entity in range(view.links.shape[1]):
        for column in range(view.links.shape[2]):
            view.links[b, entity, column] = tables.links[v, entity, column]
    for column in range(view.rules.shape[1]):
        view.rules[b, column] = tables.features[v, column]
    for action in range(view.targets.shape[1]):
        show_action(view, b, action, np.int64(NOBODY))
    view.written[b, 1] = NOBODY
