"""Numbers of a report as texts, and as values that JSON has: it has no NaN."""

from __future__ import annotations

from typing import Any

import numpy as np


def number(value: float) -> float | None:
    """Return a number to six digits after the point; None for NaN."""
    return None if np.isnan(value) else round(float(value), 6)


def numbers(values: Any) -> Any:
    """Return an array as lists of such numbers."""
    return [numbers(one) if np.ndim(one) else number(one) for one in values]


def decimal(value: float) -> str:
    """Return a number with two decimals, and no minus before what is rounded to nothing; nothing for NaN."""
    return "" if np.isnan(value) else f"{round(float(value), 2) + 0.0:.2f}"


def whole(value: float) -> str:
    """Return a rounded number; nothing for NaN."""
    return "" if np.isnan(value) else f"{value:.0f}"


def surely(probability: float) -> str:
    """Return a probability in whole percents; never that something is certain."""
    if probability > 0.99:
        return ">99%"
    return "<1%" if probability < 0.01 else percent(probability)


def percent(share: float) -> str:
    """Return a share in whole percents, with no minus before what is rounded to nothing."""
    return f"{round(100.0 * share) + 0:d}%"
