"""Games of one side: how entrants score between random play (0) and the best known play (1), alone and together.

A score is that of `evaluate/adaptation.py`: for each variant the mean return less random play's, over the lead of the
best; then the interquartile mean over variants. Intervals draw the games of each variant (stratified), and with them
the returns of everybody in those games. Variants on which the best hardly leads are left out, as there.

Shapes: M entrants, V variants, n games of each, R replicates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from marl_meta.evaluate.adaptation import Interval, Trials
from marl_meta.evaluate.robust import REPLICATES, Doubles, interquartile_mean, interval, samples
from marl_meta.types import UserError

_PORTION = 3_000_000
"""Replicates are worked out in portions of about so many numbers, to bound memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Normalised scores of M entrants."""

    score: Doubles
    """[M] interquartile mean over variants."""
    low: Doubles
    """[M] 95 % interval, for exactly these variants."""
    high: Doubles
    left_out: tuple[int, ...]
    """Variants on which the best hardly leads over random play."""


@dataclass(frozen=True, slots=True, eq=False)
class CrossPlay:
    """How M entrants score with each other: row takes the first seats, column the others."""

    score: Doubles
    """[M,M] interquartile mean over variants."""
    low: Doubles
    """[M,M] 95 % interval."""
    high: Doubles
    self_play: Interval
    """Interquartile mean over entrants and variants of each with itself."""
    cross_play: Interval
    """The same over all two different ones."""
    gap: Interval
    """Self-play less cross-play: what is lost with partners that one has not trained with."""
    gaps: tuple[Interval, ...]
    """The same for each entrant, over its own games in either seat."""
    left_out: tuple[int, ...]


def scores(returns: Doubles, random: Doubles, best: Doubles, seed: int = 0, replicates: int = REPLICATES) -> Scores:
    """Return the normalised scores of entrants whose team returns are [M,V,n]; `random` and `best` are [V,n].

    All are of the same games: game g of variant v has one seed.
    """
    trials, left_out = _trials(returns, random, best)
    whole, drawn = _replicates(trials, seed, replicates, _each)
    low, high = interval(drawn)
    return Scores(whole, low, high, left_out)


def cross_play(
    returns: Doubles, random: Doubles, best: Doubles, seed: int = 0, replicates: int = REPLICATES
) -> CrossPlay:
    """Return how entrants do with each other, from team returns [M,M,V,n] of the same games; M is at least 2."""
    M = len(returns)
    if returns.ndim != 4 or returns.shape[1] != M or M < 2:
        raise UserError(f"cross-play: returns must be [M,M,V,n] with two entrants or more, not {returns.shape}")
    trials, left_out = _trials(returns.reshape(M * M, *returns.shape[2:]), random, best)
    whole, drawn = _replicates(trials, seed, replicates, _together)
    low, high = interval(drawn)
    found = [Interval(float(whole[k]), float(low[k]), float(high[k])) for k in range(M * M, len(whole))]
    score, least, most = (array[: M * M].reshape(M, M) for array in (whole, low, high))
    return CrossPlay(score, least, most, found[0], found[1], found[2], tuple(found[3:]), left_out)


def _trials(returns: Doubles, random: Doubles, best: Doubles) -> tuple[Trials, tuple[int, ...]]:
    """Return trials of one episode on the clear variants, and the variants that are left out."""
    if returns.ndim != 3 or not returns.shape[1:] == random.shape == best.shape:
        raise UserError(f"returns must be of the same games: {returns.shape}, random {random.shape}, best {best.shape}")
    own, floor, top = (np.asarray(array, np.float64)[..., None] for array in (returns, random, best))
    clear = Trials(top[None], top[None], floor).clear()
    if not clear.any():
        raise UserError(
            "the best known play hardly leads over random play on any variant: there is nothing to score by"
        )
    kept = Trials(own, np.broadcast_to(top, own.shape), floor).of(clear)
    return kept, tuple(np.flatnonzero(~clear).tolist())


def _replicates(
    trials: Trials, seed: int, replicates: int, statistics: Callable[[Doubles], Doubles]
) -> tuple[Doubles, Doubles]:
    """Return `statistics` [k] of all games alike, and of bootstrap samples [R,k]."""
    rng = np.random.default_rng([seed, *trials.own.shape])
    found = []
    variants, games = trials.random.shape[:2]
    portion = max(1, _PORTION // trials.own.size)
    for start in range(0, replicates, portion):
        count = min(portion, replicates - start)
        sample = samples(variants, games, "games", rng, count)
        found.append(statistics(trials.scores(sample.games)[..., 0]))
    return statistics(trials.scores()[None, ..., 0])[0], np.concatenate(found)


def _each(scores: Doubles) -> Doubles:
    """Return [R,M] of scores [R,M,V]: the interquartile mean over variants."""
    return interquartile_mean(np.moveaxis(scores, -1, 0))


def _together(scores: Doubles) -> Doubles:
    """Return [R,M*M+3+M] of scores [R,M*M,V]: each cell, self-play, cross-play, the gap, and each entrant's gap."""
    R, cells, V = scores.shape
    M = round(cells**0.5)
    square = scores.reshape(R, M, M, V)
    own = np.eye(M, dtype=bool)

    def over(which: npt.NDArray[np.bool_]) -> Doubles:
        return interquartile_mean(square[:, which].reshape(R, -1).T)

    alone, together = over(own), over(~own)
    gaps = []
    for i in range(M):
        mine = (np.arange(M) == i)[:, None] ^ (np.arange(M) == i)  # in one seat or the other, not in both
        gaps.append(interquartile_mean(square[:, i, i].T) - over(mine))
    return np.concatenate([_each(scores), np.stack([alone, together, alone - together, *gaps], 1)], 1)
