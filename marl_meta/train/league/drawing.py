"""Who is drawn as an opponent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

LEAST = 0.02
"""Priority of who is always beaten: whom we beat in six games of seven has about as much."""


def likelihoods(chances: Sequence[float], way: Literal["none", "uniform", "prioritised"]) -> npt.NDArray[np.float64]:
    """Return how likely each member is to be drawn, whom the learners beat with these chances p; they sum to 1.

    uniform: all alike, fictitious self-play (Heinrich et al. 2015). prioritised: in proportion to (1 - p)^2, so that
    the learners meet those most who beat them (Vinyals et al. 2019, "Grandmaster level in StarCraft II using
    multi-agent reinforcement learning", prioritised fictitious self-play), and LEAST at least.
    """
    p = np.asarray(chances, np.float64)
    priorities = np.maximum((1.0 - p) ** 2, LEAST) if way == "prioritised" else np.ones_like(p)
    found: npt.NDArray[np.float64] = priorities / priorities.sum()
    return found
