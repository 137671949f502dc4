"""An observation of a board as what everybody else shows of one: numbers on cells, and planes of a player's stones."""

from __future__ import annotations

import numpy as np

from marl_meta.games.connect.lines import CELL, KINDS
from marl_meta.games.connect.parameters import AGENTS, BARRED, ENTITY_FEATURES, HEIGHT, LAST, NOBODY
from marl_meta.types import FloatArray, Layout, Observation, SmallIntArray

BLOCKED = -1
"""On a board that is drawn, a cell on which nobody can put a stone."""


def is_board(layout: Layout) -> bool:
    """Return whether games of this layout are played on boards of this family."""
    return layout.kinds == KINDS and layout.entity_features == ENTITY_FEATURES


def board_of(observation: Observation, layout: Layout, b: int, *, last: bool = True) -> SmallIntArray:
    """Return what is on the cells of game b, int8 [height,width] from the top left.

    0 is an empty cell, 1 + i a stone of player i, BLOCKED a cell on which nobody can put one. Without the `last` stone
    it is as it was before. Raises ValueError for a layout of other games.
    """
    if not is_board(layout):
        raise ValueError(f"these games have no board, but {layout.kinds}")
    chosen = (observation.kind[b] == CELL) & observation.present[b]
    features = observation.entities[b, chosen]
    width = int((features[:, HEIGHT] == features[0, HEIGHT]).sum())
    barred = features[:, BARRED] > 0
    board: SmallIntArray = np.where(barred, np.int8(BLOCKED), observation.team[b, chosen] - np.int8(NOBODY))
    if not last:
        board[features[:, LAST] > 0] = 0
    return board.reshape(-1, width)


def planes_of(board: SmallIntArray, agent: int, *, blocked: bool) -> SmallIntArray:
    """Return a board as `agent` sees it, int8 [height,width,2]: its own stones, the other's, as connect_four_v3 has it.

    Where cells may be `blocked`, a third plane says which are.
    """
    planes = [board == 1 + agent, board == len(AGENTS) - agent]
    return np.stack([*planes, board == BLOCKED] if blocked else planes, -1).astype(np.int8)


def flat_planes(observation: Observation, layout: Layout, b: int, agent: int, *, blocked: bool) -> FloatArray:
    """Return the planes of game b as `agent` sees it in a row, float32 [height * width * planes]."""
    planes = planes_of(board_of(observation, layout, b), agent, blocked=blocked)
    return planes.reshape(-1).astype(np.float32)
