"""Seeds of the parts of a run."""

from __future__ import annotations

import numpy as np


def mixed_seed(seed: int, *parts: int) -> int:
    """Return a seed for one part of a run, far from those of other parts and runs."""
    return int(np.random.SeedSequence([seed, *parts]).generate_state(1, np.uint64)[0] >> 1)
