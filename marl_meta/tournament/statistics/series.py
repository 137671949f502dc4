"""Whether entrants adapt within a series: what they score in the first, second, ... K-th game of it.

All statistics are linear in a series, so that each series has its own slope, area and gain, and one bootstrap over
whole series gives the intervals of all of them: the games of a series are never torn apart.

Shapes: V variants, n series of each, K games of a series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from marl_meta.evaluate.adaptation import Interval
from marl_meta.evaluate.robust import REPLICATES, Doubles
from marl_meta.evaluate.statistics import bootstrap
from marl_meta.types import FloatArray, UserError


@dataclass(frozen=True, slots=True)
class Series:
    """What the scores of series come to, with 95 % intervals."""

    games: tuple[Interval, ...]
    """Mean score in each of the K games."""
    slope: Interval
    """Score per game, of the line of least squares through the K means; 0 for a single game."""
    area: Interval
    """Mean of the K means."""
    gain: Interval
    """The last game less the first."""


def series(scores: Doubles, seed: int = 0, replicates: int = REPLICATES) -> Series:
    """Return what `scores` [V,n,K] come to: means over variants of means over series.

    Each variant is a stratum, whose n series are drawn anew; with n = 1 the variants are drawn instead, as if they were
    a sample of many. One series alone has no intervals, and is a UserError.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 3 or not scores.size or not np.isfinite(scores).all():
        raise UserError(f"series: scores must be finite numbers [V,n,K], not of shape {scores.shape}")
    V, n, K = scores.shape
    if V * n < 2:
        raise UserError("series: one series has no interval; play at least two")
    weights = _weights(K)
    values = scores @ weights
    rng = np.random.default_rng([seed, V, n, K])
    # The bootstrap works in double precision, whatever comes in.
    low, high = bootstrap(cast("FloatArray", values), "games" if n > 1 else "variants", rng, replicates=replicates)
    mean = values.mean((0, 1))
    found = [Interval(float(mean[k]), float(low[k]), float(high[k])) for k in range(K + 3)]
    return Series(tuple(found[:K]), *found[K:])


def lead(own: Doubles, other: Doubles, seed: int = 0, replicates: int = REPLICATES) -> Series:
    """Return the same of the differences between two entrants in the same series, [V,n,K] each: `own` less `other`.

    What both have in common, such as the luck of a seed, is not in these intervals.
    """
    own, other = np.asarray(own, np.float64), np.asarray(other, np.float64)
    if own.shape != other.shape:
        raise UserError(f"series: two entrants must have played the same series, not {own.shape} and {other.shape}")
    return series(own - other, seed, replicates)


def _weights(K: int) -> Doubles:
    """Return [K,K+3]: what each game counts for every game's score, the slope, the area and the gain."""
    at = np.arange(K) - (K - 1) / 2.0
    slope = at / max(float((at**2).sum()), 1e-300)
    gain = np.eye(K)[-1] - np.eye(K)[0]
    return np.column_stack([np.eye(K), slope, np.full(K, 1.0 / K), gain])
