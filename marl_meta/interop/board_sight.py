"""What there is to draw of a third-party board game that is played in a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.interop.scenery import board_shape, board_style, cells_of
from marl_meta.interop.vector import PettingZooVector
from marl_meta.replay.encoding import encode_board
from marl_meta.replay.record import Scene
from marl_meta.types import VectorGame


def sight_of(game: VectorGame, b: int) -> BoardSight | None:
    """Return what looks at the board of game b of a batch; None where there is none."""
    if not isinstance(game, PettingZooVector):
        return None
    slots = range(game.num_agents)
    shape = board_shape([game.observation_space(b, slot) for slot in slots])
    return None if shape is None else BoardSight(game, b, board_style(shape, len(slots)))


class BoardSight:
    """Looks at a board as its first player is shown it, moment by moment (`replay.recorder.Sight`)."""

    def __init__(self, game: PettingZooVector, b: int, style: Any) -> None:
        self._game, self._b, self._style = game, b, style
        self._moments: list[npt.NDArray[np.int64]] = []

    def look(self, *, over: bool) -> None:
        """Keep what is on the cells now, or at the end of the episode that is over."""
        shown = self._game.seen(self._b, 0, over=over)
        if shown is None:  # the first player has left
            self._moments.append(self._moments[-1])
            return
        self._moments.append(cells_of(np.asarray(shown["observation"] if isinstance(shown, dict) else shown)))

    def scene(self) -> Scene:
        """Return what was kept, and begin anew."""
        kept, self._moments = self._moments, []
        return encode_board(np.stack(kept), self._style)
