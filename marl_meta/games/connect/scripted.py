"""Hand-written players of the family `connect`: they see what everybody sees, and look ahead by so many moves.

All are `marl_meta.games.scripted.RememberingPolicy`s, which remember nothing: they draw among moves that are as good.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from marl_meta.games.connect.search import look_ahead
from marl_meta.types import IntArray, Observation


def one_ply(
    observation: Observation, agents: IntArray, memory: IntArray, chance: npt.NDArray[np.float64]
) -> tuple[IntArray, IntArray]:
    """Complete a line where that wins, keep the other from it, and avoid it where it loses; else play at random."""
    return look_ahead(observation, agents, chance, 0), memory


def minimax_2(
    observation: Observation, agents: IntArray, memory: IntArray, chance: npt.NDArray[np.float64]
) -> tuple[IntArray, IntArray]:
    """Look two moves ahead: one's own and the answer to it."""
    return look_ahead(observation, agents, chance, 2), memory


def minimax_4(
    observation: Observation, agents: IntArray, memory: IntArray, chance: npt.NDArray[np.float64]
) -> tuple[IntArray, IntArray]:
    """Look four moves ahead: two of one's own and the answers to them."""
    return look_ahead(observation, agents, chance, 4), memory
