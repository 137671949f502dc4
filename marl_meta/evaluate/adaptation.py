"""How well a team adapts, on a scale from random play (0) to a team that is told the hidden rules (1).

For each variant  S_k = (R_k - R_random) / (R_oracle - R_random),  where R_k is the mean over games of the team's return
(summed over its agents) in episode k of a trial, and R_random and R_oracle are means over all K episodes.

Variants on which the oracle hardly earns more than random play are left out: there the score is a quotient of noise.
All players play the same games, so the bootstrap draws games, and with them the returns of all players at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from marl_meta.evaluate.robust import (
    REPLICATES,
    Doubles,
    Over,
    Samples,
    improvement,
    interquartile_mean,
    interval,
    samples,
)

ENOUGH = 0.9
"""A team has adapted once it scores so much."""

LOW_QUANTILE = 0.2

LEAST = 0.1
"""Left out are variants on which the oracle's lead over random play is less than this share of its median lead."""

CLEARLY = 3.0
"""And all of them unless the median lead is more than so many standard errors."""

_PORTION = 3_000_000
"""Replicates are worked out in portions of about so many numbers, to bound memory."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float

    def record(self) -> dict[str, float]:
        """Return it as plain values."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Curve:
    """What the scores of one learner come to, over variants and seeds; tuples are over the K episodes of a trial."""

    iqm: tuple[float, ...]
    low: tuple[float, ...]
    """95 % interval over seeds and games: on exactly these variants."""
    high: tuple[float, ...]
    variants_low: tuple[float, ...]
    """95 % interval over variants as well: for all variants of their kind."""
    variants_high: tuple[float, ...]
    lowest: tuple[float, ...]
    """The 20th percentile over variants."""
    area: Interval
    """Under the curve: of the mean over episodes."""
    gain: Interval
    """S_K - S_1: what the experience of a trial is worth."""

    @property
    def episodes_to_enough(self) -> float:
        """The first episode (from 1) whose score is at least 0.9; infinite where none is."""
        return next((float(k + 1) for k, score in enumerate(self.iqm) if score >= ENOUGH), math.inf)


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """Team returns in the trials of one learner and of those that it is measured by."""

    own: Doubles
    """[S,V,n,K]."""
    oracle: Doubles
    """[S,V,n,K]: each seed's own, or the same for all."""
    random: Doubles
    """[V,n,K]."""

    def clear(self) -> npt.NDArray[np.bool_]:
        """Return [V]: where every seed's oracle leads enough over random play; nowhere if it does not on the whole."""
        gaps = (self.oracle - self.random).mean(-1)  # [S,V,n]
        games = max(gaps.shape[-1] - 1, 1)
        error = np.sqrt(gaps.var(-1).mean(-1) / games / gaps.shape[1])  # of the mean over all variants, [S]
        each = gaps.mean(-1)
        usual = np.median(each, axis=-1)
        found: npt.NDArray[np.bool_] = ((usual > CLEARLY * error + 1e-9) & (each > LEAST * usual[:, None]).T).all(-1)
        return found

    def scores(self, weights: Doubles | None = None) -> Doubles:
        """Return S_k [...,S,V,K], of all games alike or with `weights` [...,V,n] that sum to 1.

        Among games drawn again the oracle may happen to lead by nothing: its lead counts as at least the share LEAST of
        that over all games.
        """
        if weights is None:
            weights = np.full(self.random.shape[:2], 1.0 / self.random.shape[1])
        own = np.einsum("...vn,svnk->...svk", weights, self.own)
        floor = np.einsum("...vn,vn->...v", weights, self.random.mean(-1))[..., None, :]
        top = np.einsum("...vn,svn->...sv", weights, self.oracle.mean(-1))
        lead = self.oracle.mean((-1, -2)) - self.random.mean((-1, -2))
        found: Doubles = (own - floor[..., None]) / np.maximum(top - floor, LEAST * lead)[..., None]
        return found

    def of(self, variants: npt.NDArray[np.bool_]) -> Trials:
        """Return the trials of some variants."""
        return Trials(self.own[:, variants], self.oracle[:, variants], self.random[variants])


def curve(trials: Trials, seed: int = 0, replicates: int = REPLICATES) -> Curve:
    """Return what the scores come to; the variants of `trials` are all clear ones, and there is at least one."""
    exact, wide = (_replicates(trials, over, seed, replicates) for over in ("games", "variants"))
    whole = _statistics(trials.scores()[None])
    low, high = interval(exact)
    variants_low, variants_high = interval(wide)
    episodes = trials.own.shape[-1]

    def numbers(array: Doubles, first: int = 0) -> tuple[float, ...]:
        return tuple(float(number) for number in array[first : first + episodes])

    area, gain = (Interval(float(whole[0, k]), float(low[k]), float(high[k])) for k in (-2, -1))
    return Curve(
        iqm=numbers(whole[0]),
        low=numbers(low),
        high=numbers(high),
        variants_low=numbers(variants_low),
        variants_high=numbers(variants_high),
        lowest=numbers(whole[0], episodes),
        area=area,
        gain=gain,
    )


def _replicates(trials: Trials, over: Over, seed: int, replicates: int) -> Doubles:
    """Return the statistics [R,2K+2] of bootstrap samples."""
    rng = np.random.default_rng([seed, *trials.own.shape])
    found = []
    portion = max(1, _PORTION // trials.own.size)
    for start in range(0, replicates, portion):
        count = min(portion, replicates - start)
        sample = samples(trials.random.shape[0], trials.random.shape[1], over, rng, count)
        scores = trials.scores(sample.games)
        chosen = np.take_along_axis(scores, sample.variants[:, None, :, None], 2)
        seeds = sample.seeds(trials.own.shape[0], rng)
        found.append(_statistics(np.take_along_axis(chosen, seeds[:, :, None, None], 1)))
    return np.concatenate(found)


def _statistics(scores: Doubles) -> Doubles:
    """Return [R,2K+2] of scores [R,S,V,K]: interquartile means, 20th percentiles, area, gain."""
    pooled = np.moveaxis(scores.reshape(len(scores), -1, scores.shape[-1]), 1, 0)
    middle = interquartile_mean(pooled)
    lowest = np.quantile(pooled, LOW_QUANTILE, axis=0)
    area = interquartile_mean(pooled.mean(-1))
    return np.concatenate([middle, lowest, area[:, None], (middle[:, -1] - middle[:, 0])[:, None]], 1)


def better(own: Doubles, other: Doubles, seed: int = 0, replicates: int = REPLICATES) -> list[Interval]:
    """Return, for each of K episodes, the probability that one learner earns more than another on a variant.

    Returns are [S,V,n,K] and [S',V,n,K], of the same games; the interval is over seeds and games.
    """
    rng = np.random.default_rng([seed, *own.shape, len(other)])
    whole = improvement(*(np.moveaxis(returns.mean(2), -1, 0) for returns in (own, other)))
    found = []
    portion = max(1, _PORTION // (own.size + other.size))
    for start in range(0, replicates, portion):
        sample = samples(own.shape[1], own.shape[2], "games", rng, min(portion, replicates - start))
        found.append(improvement(_means(own, sample, rng), _means(other, sample, rng)))
    low, high = interval(np.concatenate(found, 1).T)
    return [Interval(float(whole[k]), float(low[k]), float(high[k])) for k in range(own.shape[-1])]


def _means(returns: Doubles, sample: Samples, rng: np.random.Generator) -> Doubles:
    """Return the mean returns [K,R,S',V] of a bootstrap sample of [S,V,n,K]."""
    means = np.einsum("rvn,svnk->krsv", sample.games, returns)
    seeds = sample.seeds(len(returns), rng)
    return np.take_along_axis(means, seeds[None, :, :, None], 2)
