"""When a tournament may stop: sequential tests of who is better, which may be looked at after every game.

For two entrants A and B let s be A's expected score of a paired unit, and let the margin of d Elo points stand for a
score of  1 / (1 + 10^(-d/400)).  Two sequential probability ratio tests (Wald 1945) run side by side, as in the test of
three hypotheses of Sobel and Wald (1949):

    above:  d = 0  against  d = +margin        below:  d = 0  against  d = -margin

A is above B once the first has decided for +margin, below once the second has for -margin, and the two are level once
both have decided for 0. With errors (alpha, beta), each test has alpha / 2 and beta, and so

    P(a better one is called, though both are equal) <= alpha
    P(the wrong one is called better)                <= alpha / 2
    P(level is called, though d is margin or more)   <= beta

Between 0 and the margin either answer is right. The bounds are Wald's, log((1 - beta) / (alpha / 2)) and
log(beta / (1 - alpha / 2)); they hold approximately, since the distribution of scores is estimated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from marl_meta.evaluate.robust import Doubles
from marl_meta.tournament.statistics.graphs import reachable
from marl_meta.tournament.statistics.outcomes import Outcomes, units
from marl_meta.types import UserError

MARGIN = 50.0
ALPHA = 0.05
BETA = 0.05

_LATTICE = np.linspace(0.0, 1.0, 5)
_SEEN = 1e-3
"""Each of the five possible scores of a unit counts as seen at least so often: an unseen one stays possible."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the games of two entrants say so far."""

    first: str
    second: str
    call: Literal["above", "below", "level", "open"]
    """`above`: the first is better; `open`: more games are needed."""
    above: float
    """Log-likelihood ratio of +margin to 0."""
    below: float
    """Log-likelihood ratio of -margin to 0."""
    units: int


def settled(outcomes: Outcomes, margin: float = MARGIN, alpha: float = ALPHA, beta: float = BETA) -> bool:
    """Return whether the whole order is settled: every two entrants are called above, below or level.

    Two who have not met are in order if a chain of such calls leads from one down to the other. The arguments are those
    of `verdicts`.
    """
    calls = verdicts(outcomes, margin, alpha, beta)
    number = {name: i for i, name in enumerate(outcomes.names)}
    better = np.zeros((len(number), len(number)), bool)
    for one in calls:
        pair = number[one.first], number[one.second]
        better[pair if one.call == "above" else pair[::-1]] = one.call in {"above", "below"}
    over = reachable(better)
    chained = over | over.T
    unmet = (one for one in calls if one.units == 0)
    return all(one.call != "open" for one in calls if one.units) and all(
        bool(chained[number[one.first], number[one.second]]) for one in unmet
    )


def verdicts(
    outcomes: Outcomes, margin: float = MARGIN, alpha: float = ALPHA, beta: float = BETA
) -> tuple[Verdict, ...]:
    """Return what the games between every two entrants say, each of the M (M - 1) / 2 tests by its own games.

    `alpha` and `beta` are for all of them together: each has its share (Bonferroni). Units with fewer games than others
    are half played and do not count. For use after every round, not only at the end.
    """
    found = units(outcomes)
    M = len(outcomes.names)
    count = max(M * (M - 1) // 2, 1)
    whole = found.games == found.games.max(initial=0)
    calls = []
    for i, j in combinations(range(M), 2):
        here = whole & (found.low == i) & (found.high == j)
        one = verdict(found.total[here] / found.games[here], margin, alpha / count, beta / count)
        calls.append(replace(one, first=outcomes.names[i], second=outcomes.names[j]))
    return tuple(calls)


def verdict(scores: Doubles, margin: float = MARGIN, alpha: float = ALPHA, beta: float = BETA) -> Verdict:
    """Return what paired units say so far; `scores` [U] are the first's mean scores of them, in any order."""
    if not margin > 0.0 or not 0.0 < alpha < 1.0 or not 0.0 < beta < 0.5:
        raise UserError("sprt: the margin must be more than 0 points, alpha in (0,1) and beta in (0,0.5)")
    target = 1.0 / (1.0 + 10.0 ** (-margin / 400.0))
    values, weights = tally(scores)
    level = best_likelihood(values, weights, 0.5)
    above = best_likelihood(values, weights, target) - level
    below = best_likelihood(values, weights, 1.0 - target) - level
    upper, lower = math.log((1.0 - beta) / (alpha / 2.0)), math.log(beta / (1.0 - alpha / 2.0))
    call: Literal["above", "below", "level", "open"] = "open"
    if above >= upper:
        call = "above"
    elif below >= upper:
        call = "below"
    elif above <= lower and below <= lower:
        call = "level"
    return Verdict("first", "second", call, above, below, len(scores))


def tally(scores: Doubles) -> tuple[Doubles, Doubles]:
    """Return the distinct scores [k] of units, 0, 1/4, ... 1 among them, and how often each was seen [k]."""
    scores = np.asarray(scores, np.float64)
    if not ((scores >= 0.0) & (scores <= 1.0)).all():
        raise UserError("sprt: scores must be in [0,1]")
    values, counts = np.unique(np.concatenate([_LATTICE, np.round(scores, 9)]), return_counts=True)
    weights = counts - np.isin(values, _LATTICE)
    return values, np.maximum(weights.astype(np.float64), _SEEN)


def best_likelihood(values: Doubles, weights: Doubles, mean: float) -> float:
    """Return the greatest log-likelihood of `weights` [k] over distributions on `values` [k] with a given mean.

    Less that without the constraint. The maximum is at p_i = w_i / (1 + x (v_i - mean)), with shares w, and x so that
    the mean is right (Owen 1988, as the generalised SPRT of Van den Bergh 2017 for chess engines has it); by bisection.
    """
    share = weights / weights.sum()
    away = values - mean
    low, high = -1.0 / away.max(), -1.0 / away.min()  # between them all p_i are positive, and the sum below decreases
    for _ in range(200):
        x = (low + high) / 2.0
        if x in (low, high):
            break
        if float((share * away / (1.0 + x * away)).sum()) > 0.0:
            low = x
        else:
            high = x
    return -float((weights * np.log1p(x * away)).sum())
