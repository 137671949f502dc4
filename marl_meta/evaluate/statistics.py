"""How sure a mean return is: bootstrap confidence intervals over games and over variants.

Returns are [V,n,K]: V variants, n games (trials) of each, K episodes of a trial. What is estimated is the mean over
variants of the mean over games, for each of the K episodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from marl_meta.types import FloatArray

Doubles = npt.NDArray[np.float64]

CONFIDENCE = 0.95
REPLICATES = 2000
_MOST_NUMBERS = 4_000_000
"""Replicates are drawn in portions of about so many numbers, to bound memory."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean return and its 95 % confidence intervals, one number for each of the K episodes of a trial."""

    mean: tuple[float, ...]
    low: tuple[float, ...]
    """Of the mean over exactly these variants: games are resampled within each variant (stratified)."""
    high: tuple[float, ...]
    variants_low: tuple[float, ...] | None
    """Of the mean over all variants of the kind: variants are resampled. None where there is one only."""
    variants_high: tuple[float, ...] | None


def estimate(returns: FloatArray, seed: int = 0) -> Estimate:
    """Return the mean of `returns` [V,n,K] and its intervals; `seed` draws the bootstrap's samples."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, *returns.shape]))
    low, high = bootstrap(returns, "games", rng)
    several = len(returns) > 1
    low_, high_ = bootstrap(returns, "variants", rng) if several else (None, None)
    return Estimate(
        mean=_numbers(returns.astype(np.float64).mean((0, 1))),
        low=_numbers(low),
        high=_numbers(high),
        variants_low=None if low_ is None else _numbers(low_),
        variants_high=None if high_ is None else _numbers(high_),
    )


def bootstrap(
    returns: FloatArray,
    over: Literal["games", "variants"],
    rng: np.random.Generator,
    confidence: float = CONFIDENCE,
    replicates: int = REPLICATES,
) -> tuple[Doubles, Doubles]:
    """Return the percentile bootstrap interval [K], [K] of the mean of `returns` [V,n,K].

    Over `games`, each variant is a stratum: its n games are resampled, and the variants are as they are. Over
    `variants`, these are resampled, each with all of its games. Of m things m - 1 are drawn, with replacement: so the
    variance of the replicates is that of the mean without bias, however few games a variant has (McCarthy and Snowden
    1985). Raises ValueError where there are not two things to resample.
    """
    if returns.ndim != 3:
        raise ValueError(f"returns must be [V,n,K], not of shape {returns.shape}")
    values = returns.astype(np.float64)
    if over == "variants":
        values = values.mean(1)[None]  # one stratum, whose members are the variants
    strata, members, episodes = values.shape
    if members < 2:
        raise ValueError(f"an interval over {over} needs at least two of them")
    means = np.empty((replicates, episodes))
    portion = max(1, _MOST_NUMBERS // values.size)
    rows = np.arange(strata)[:, None]
    for start in range(0, replicates, portion):
        count = min(portion, replicates - start)
        drawn = rng.integers(members, size=(count, strata, members - 1))
        means[start : start + count] = values[rows, drawn].mean((1, 2))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, (tail, 1.0 - tail), axis=0)
    return low, high


def _numbers(array: Doubles) -> tuple[float, ...]:
    return tuple(float(number) for number in array)
