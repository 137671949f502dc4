"""Statistics that a few odd variants or seeds cannot carry away.

Interquartile means, the probability of improvement, and bootstrap samples for their intervals, after Agarwal et al.,
"Deep Reinforcement Learning at the Edge of the Statistical Precipice", 2021.

Shapes: S seeds (teams that were trained alike), V variants, n games (trials) of each, K episodes of a trial, R
replicates of the bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

CONFIDENCE = 0.95
REPLICATES = 2000

Over = Literal["games", "variants"]


def interquartile_mean(values: Doubles) -> Doubles:
    """Return the mean [...] of the middle half of `values` [m,...]: floor(m / 4) are cut off at each end."""
    cut = len(values) // 4
    middle: Doubles = np.sort(values, axis=0)[cut : len(values) - cut].mean(0)
    return middle


def improvement(own: Doubles, other: Doubles) -> Doubles:
    """Return the probability [...] that one learner beats another on a variant: 0.5 where they are alike.

    `own` [...,S,V] and `other` [...,S',V] are what their teams earn. It is the mean over variants of the share of pairs
    of teams in which the first earns more, ties counting half (the Mann-Whitney U statistic over S * S').
    """
    pairs = own[..., :, None, :], other[..., None, :, :]
    wins = (pairs[0] > pairs[1]) + 0.5 * (pairs[0] == pairs[1])
    found: Doubles = wins.mean((-1, -2, -3))
    return found


@dataclass(frozen=True, slots=True)
class Samples:
    """What R replicates of the bootstrap are made of."""

    games: Doubles
    """[R,V,n] how much of each variant's mean every game is."""
    variants: Indices
    """[R,V'] which variants count."""

    def seeds(self, count: int, rng: np.random.Generator) -> Indices:
        """Return which of `count` seeds count in each replicate, [R,S']."""
        return drawn(len(self.games), count, rng)


def samples(variants: int, games: int, over: Over, rng: np.random.Generator, replicates: int) -> Samples:
    """Return replicates of `games` games of each of `variants` variants.

    Over `games`, each variant is a stratum, whose games are drawn anew; over `variants`, these are drawn too.
    Of m things m - 1 are drawn, which makes up for the spread that a small sample lacks (McCarthy and Snowden 1985).
    """
    which = rng.integers(games, size=(replicates, variants, max(games - 1, 1)))
    weights = np.zeros((replicates, variants, games))
    rows = np.arange(replicates)[:, None, None], np.arange(variants)[:, None], which
    np.add.at(weights, rows, 1.0 / which.shape[2])
    chosen = np.tile(np.arange(variants), (replicates, 1)) if over == "games" else drawn(replicates, variants, rng)
    return Samples(weights, chosen)


def drawn(replicates: int, count: int, rng: np.random.Generator) -> Indices:
    """Return [R,max(count - 1, 1)] of 0..count-1, drawn with replacement."""
    return rng.integers(count, size=(replicates, max(count - 1, 1)))


def interval(replicates: Doubles) -> tuple[Doubles, Doubles]:
    """Return the ends of the 95 % percentile interval of [R,...]."""
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(replicates, (tail, 1.0 - tail), axis=0)
    return low, high
