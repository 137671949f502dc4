"""Looking ahead on a board that is known from an observation alone: alpha-beta search in compiled loops.

A position is worth, to who is to move, the sum over the lines that somebody can still complete of 2^(stones - 1),
counted for the own ones and against the other's; completing a line is worth more than all of these together. Where
that loses, everything has the opposite sign. Only the most promising cells are looked at: those on the lines that are
worth most to either player. (Knuth and Moore, "An analysis of alpha-beta pruning", 1975.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from marl_meta.games.connect.lines import AROUND, CELL, ROW, WRAPPED_ROW
from marl_meta.games.connect.parameters import BARRED, NOBODY, PLAYABLE, STONES, WORTH
from marl_meta.games.kernel import inner, kernel, rare
from marl_meta.types import BoolArray, FloatArray, IntArray, LinkArray, Observation, SmallIntArray

DEEPEST = 4
WIN = 10_000_000
_SOONER = 1_000
"""How much more a win is worth, and how much less a loss, a move earlier."""
_NEARLY = 1
"""Moves whose values differ by no more are as good as each other, so that games vary."""
_PROMISING = 12
"""Cells that are looked at in each position."""
_AROUND = len(AROUND)


class Shown(NamedTuple):
    """What the kernels read of an Observation."""

    entities: FloatArray
    kind: SmallIntArray
    team: SmallIntArray
    present: BoolArray
    acting: BoolArray
    links: LinkArray
    targets: LinkArray


class Board(NamedTuple):
    """A position of one game, by entity, and the room to look ahead from it."""

    links: LinkArray
    """[E,L] of the observation."""
    empty: BoolArray
    """[E] cells on which a stone can be put some time."""
    playable: BoolArray
    """[E] cells on which one can be put now."""
    stones: SmallIntArray
    """[E,2] of each player on each line."""
    length: SmallIntArray
    """[E] of each line that counts and can still be completed, 0 elsewhere."""
    cells: IntArray
    """[DEEPEST + 1,E] the moves that are looked at, by how many are still to come, the most promising first."""
    hopes: IntArray
    """[DEEPEST + 1,E] how promising they are; at last what the own moves are worth."""
    frames: npt.NDArray[np.void]
    """[DEEPEST + 1] how far the search is among them."""


FRAME = np.dtype([(name, "i8") for name in ("next", "count", "best", "floor", "ceiling", "score", "above")])


def look_ahead(
    observation: Observation, agents: IntArray, chance: npt.NDArray[np.float64], depth: int
) -> IntArray:  # fmt: skip
    """Return actions [B,n] of the agents [n], by so many moves that they foresee; `chance` [B,n] says which of equals.

    With depth 0 they see what completes a line at once. Agents that do not act get their first legal action.
    """
    links, targets = observation.links, observation.targets
    if links is None or targets is None:
        raise ValueError("only observations whose actions are about cells, and cells on lines, can be looked into")
    shown = Shown(
        observation.entities, observation.kind, observation.team, observation.present, observation.acting, links,
        targets,
    )  # fmt: skip
    entities = links.shape[1]
    room = Board(
        links=links[0],
        empty=np.zeros(entities, np.bool_),
        playable=np.zeros(entities, np.bool_),
        stones=np.zeros((entities, 2), np.int8),
        length=np.zeros(entities, np.int8),
        cells=np.zeros((DEEPEST + 1, entities), np.int64),
        hopes=np.zeros((DEEPEST + 1, entities), np.int64),
        frames=np.zeros(DEEPEST + 1, FRAME),
    )
    actions: IntArray = observation.action_mask[:, agents].argmax(-1)
    choose(shown, agents, room, chance, depth, actions)
    return actions


@kernel
def choose(shown: Any, agents: Any, room: Any, chance: Any, depth: Any, actions: Any) -> None:
    """Write the action of each agent that acts to `actions` [B,n]; see `look_ahead`."""
    for b in range(len(shown.targets)):
        for n in range(len(agents)):
            if not shown.acting[b, agents[n]]:
                continue
            board = Board(
                shown.links[b], room.empty, room.playable, room.stones, room.length, room.cells, room.hopes,
                room.frames,
            )  # fmt: skip
            sign = read(shown, b, board)
            count = rate(board, np.int64(shown.team[b, agents[n]]), sign, depth)
            cell = pick(board, count, chance[b, n])
            for action in range(shown.targets.shape[1]):
                if shown.targets[b, action] == cell:
                    actions[b, n] = action
                    break


@inner
def read(shown: Any, b: Any, board: Any) -> Any:
    """Write the position of game b to the board; return 1 if completing a line wins, -1 if it loses.

    Where players are not told, lines that cross the seam do not count, and completing others wins, as by default.
    """
    sign = np.int64(1)
    for e in range(len(board.length)):
        kind, team, there = shown.kind[b, e], shown.team[b, e], shown.present[b, e]
        is_cell = there and kind == CELL
        board.empty[e] = is_cell and team == NOBODY and shown.entities[b, e, BARRED] == 0.0
        board.playable[e] = is_cell and shown.entities[b, e, PLAYABLE] > 0.0
        board.length[e] = board.stones[e, 0] = board.stones[e, 1] = 0
        worth = shown.entities[b, e, WORTH]
        if there and kind >= ROW and (worth != 0.0 or kind < WRAPPED_ROW):
            length = 0
            while length < board.links.shape[1] and board.links[e, length] != NOBODY:
                length += 1
            board.length[e] = length
            if team != NOBODY:
                board.stones[e, team] = np.int64(shown.entities[b, e, STONES] * length + 0.5)
            if worth < 0.0:
                sign = np.int64(-1)
    return sign


@rare
def rate(board: Any, player: Any, sign: Any, depth: Any) -> Any:
    """Rate the player's moves: write them to the last row of `cells`, their values to that of `hopes`; how many."""
    if depth == 0:
        return glance(board, player, sign)
    count = gather(board, player, sign, DEEPEST, _PROMISING)
    ceiling = 3 * WIN  # for the other: so that the values of moves that are nearly as good are exact
    for i in range(count):
        cell = board.cells[DEEPEST, i]
        more, completed = gain(board, player, cell)
        value: int = sign * more
        if completed:
            value = sign * (WIN + _SOONER * depth)
        elif depth > 1:
            above = place(board, player, cell)
            value = -search(board, 1 - player, sign, depth - 1, np.int64(-3 * WIN), ceiling, -value)
            take_back(board, player, cell, above)
        board.hopes[DEEPEST, i] = value
        ceiling = min(ceiling, _NEARLY + 1 - value)
    return count


@inner
def glance(board: Any, player: Any, sign: Any) -> Any:
    """Rate moves by what they complete, or keep the other from completing, at once."""
    count = gather(board, player, sign, DEEPEST, len(board.empty))
    for i in range(count):
        cell = board.cells[DEEPEST, i]
        _, own = gain(board, player, cell)
        _, other = gain(board, 1 - player, cell)
        value = sign * 2 * WIN if own else np.int64(0)
        if other and not own and sign > 0:
            value = np.int64(WIN)
        board.hopes[DEEPEST, i] = value
    return count


@inner
def pick(board: Any, count: Any, chance: Any) -> Any:
    """Return one of the best moves, those that are nearly as good included."""
    values = board.hopes[DEEPEST]
    floor = -3 * WIN
    for i in range(count):
        floor = max(floor, int(values[i]) - _NEARLY)
    equals = 0
    for i in range(count):
        equals += values[i] >= floor
    chosen = min(int(chance * equals), equals - 1)
    for i in range(count):
        if values[i] >= floor:
            if chosen == 0:
                return board.cells[DEEPEST, i]
            chosen -= 1
    return np.int64(NOBODY)


@rare
def search(board: Any, player: Any, sign: Any, depth: Any, floor: Any, ceiling: Any, score: Any) -> Any:
    """Return what a position is worth to the player who is to move, so many moves ahead; `score` is what it shows.

    A value of `floor` or less, or of `ceiling` or more, is only a bound. The moves that led to where it looks are kept
    in `frames`, one for each that is still to come (kernels that call themselves cannot be cached).
    """
    left = depth
    enter(board, player, sign, left, floor, ceiling, score)
    while True:
        frame = board.frames[left]
        if frame.next < frame.count and frame.best < frame.ceiling:
            cell = board.cells[left, frame.next]
            frame.next += 1
            more, completed = gain(board, player, cell)
            if completed:
                frame.best = max(frame.best, sign * (WIN + _SOONER * left))
            elif left == 1:
                frame.best = max(frame.best, frame.score + sign * more)
            else:
                frame.above = place(board, player, cell)
                left, player = left - 1, 1 - player
                floor, ceiling = -frame.ceiling, -max(frame.best, frame.floor)
                enter(board, player, sign, left, floor, ceiling, -(frame.score + sign * more))
        elif left == depth:
            return frame.best
        else:
            left, player = left + 1, 1 - player
            above = board.frames[left]
            take_back(board, player, board.cells[left, above.next - 1], above.above)
            above.best = max(above.best, -frame.best)


@inner
def enter(board: Any, player: Any, sign: Any, left: Any, floor: Any, ceiling: Any, score: Any) -> None:
    """Begin to look at the moves of a position, with so many moves still to come."""
    frame = board.frames[left]
    frame.next, frame.count = 0, gather(board, player, sign, left, _PROMISING)
    frame.best = -3 * WIN if frame.count > 0 else 0
    frame.floor, frame.ceiling, frame.score = floor, ceiling, score


@inner
def weight(stones: Any) -> Any:
    """Return what a line is worth on which one player has so many stones, and the other none."""
    return np.int64(0) if stones == 0 else np.int64(1) << np.int64(stones - 1)


@inner
def gain(board: Any, player: Any, cell: Any) -> Any:
    """Return how much more a position is worth after a stone on a cell, and whether that completes a line."""
    more, completed = np.int64(0), False
    for column in range(board.links.shape[1] - _AROUND):
        line = board.links[cell, column]
        if line == NOBODY:
            break
        if board.length[line] > 0:
            own, other = board.stones[line, player], board.stones[line, 1 - player]
            if other == 0:
                more += weight(own + 1) - weight(own)
                completed |= own + 1 == board.length[line]
            elif own == 0:
                more += weight(other)
    return more, completed


@inner
def place(board: Any, player: Any, cell: Any) -> Any:
    """Put a stone on a cell; return the cell above if that is playable now and was not."""
    board.empty[cell] = board.playable[cell] = False
    for column in range(board.links.shape[1] - _AROUND):
        line = board.links[cell, column]
        if line == NOBODY:
            break
        board.stones[line, player] += 1
    above = np.int64(board.links[cell, board.links.shape[1] - _AROUND])
    if above == NOBODY or not board.empty[above] or board.playable[above]:
        return np.int64(NOBODY)
    board.playable[above] = True
    return above


@inner
def take_back(board: Any, player: Any, cell: Any, above: Any) -> None:
    """Undo `place`, which returned `above`."""
    board.empty[cell] = board.playable[cell] = True
    for column in range(board.links.shape[1] - _AROUND):
        line = board.links[cell, column]
        if line == NOBODY:
            break
        board.stones[line, player] -= 1
    if above != NOBODY:
        board.playable[above] = False


@rare
def gather(board: Any, player: Any, sign: Any, row: Any, most: Any) -> Any:
    """Write the most promising playable cells to a row of `cells`, best first, and how promising; return how many."""
    count = 0
    for cell in range(len(board.playable)):
        if not board.playable[cell]:
            continue
        own, completes = gain(board, player, cell)
        other, prevents = gain(board, 1 - player, cell)
        hope = sign * (own + other + WIN * (2 * np.int64(completes) + np.int64(prevents)))
        at = min(count, most)
        while at > 0 and board.hopes[row, at - 1] < hope:
            if at < most:
                board.hopes[row, at], board.cells[row, at] = board.hopes[row, at - 1], board.cells[row, at - 1]
            at -= 1
        if at < most:
            board.hopes[row, at], board.cells[row, at] = hope, cell
            count += count < most
    return count
