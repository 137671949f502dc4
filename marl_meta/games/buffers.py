"""The arrays that the kernels of a compiled simulator write, and the records in which players get them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from marl_meta.types import Observation, Step

Arrays = tuple[npt.NDArray[Any], ...]
View = TypeVar("View", bound=Arrays)
"""The arrays of an observation, in the order in which a simulator's kernels take them."""

NEVER = -1
"""In a view's array `written`, which says for which variant each row was described: for none yet."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """One set of output arrays of a batch; its records are made once and hold these very arrays."""

    view: Arrays
    """The observation."""
    final: Arrays
    """The last observations of ended games."""
    step: Step
    """The step in which no game ended."""
    step_with_final: Step

    @property
    def outcome(self) -> Arrays:
        """The arrays reward, terminated, truncated, game_over and trial_over."""
        step = self.step
        return step.reward, step.terminated, step.truncated, step.game_over, step.trial_over


def make_buffer(make_view: Callable[[], View], observe: Callable[[View], Observation]) -> Buffer:
    """Return a set of output arrays in which nothing has happened; `observe` makes the record of what a view shows."""
    view, final = make_view(), make_view()
    observation, last = observe(view), observe(final)
    num_games, agents = observation.acting.shape
    reward = np.zeros((num_games, agents), np.float32)
    terminated, truncated = (np.zeros((num_games, agents), np.bool_) for _ in range(2))
    game_over, trial_over = (np.zeros(num_games, np.bool_) for _ in range(2))
    outcome = (reward, terminated, truncated, game_over, trial_over)
    return Buffer(view, final, Step(observation, *outcome, final=None), Step(observation, *outcome, last))
