"""What players are shown of a board, in the form of PettingZoo's connect_four_v3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from marl_meta.games.connect.planes import board_of, planes_of
from marl_meta.types import Layout, Observation, SmallIntArray

Board = dict[str, SmallIntArray]
"""`observation` int8 [height,width,2 or 3], planes of zeros and ones, and `action_mask` int8 [A]."""


class BoardView:
    """Shows players the board of one variant: their own stones, the other's, where cells may be blocked those.

    The mask is zero for who is not to move, as in connect_four_v3.
    """

    def __init__(self, layout: Layout, rules: Mapping[str, Any], actions: int) -> None:
        self._layout, self._blocked, self._actions = layout, rules["blocked"] > 0, actions
        shape = (rules["height"], rules["width"], 3 if self._blocked else 2)
        self.space = spaces.Dict(
            {
                "observation": spaces.Box(0, 1, shape, np.int8),
                "action_mask": spaces.Box(0, 1, (actions,), np.int8),
            }
        )

    def __call__(self, shown: Observation, agent: int, *, moves: bool) -> Board:
        """Return what an agent of a batch of one is shown, who is to move or not."""
        assert shown.targets is not None
        planes = planes_of(board_of(shown, self._layout, 0), agent, blocked=self._blocked)
        legal = (shown.targets[0, : self._actions] >= 0) & moves
        return {"observation": planes, "action_mask": legal.astype(np.int8)}
