"""Alpha-rank: entrants by how long evolution dwells on each.

After Omidshafiei et al., "alpha-Rank: Multi-Agent Evaluation by Evolution", Scientific Reports 9, 2019 (arXiv
1903.01373). A population of m plays one strategy. A mutant appears and takes over or dies out; selection, of
intensity alpha, favours what earns more. Between populations of one strategy each this is a Markov chain, and its
stationary distribution the masses. Everything is done with logarithms: the masses are right to many digits even where
a take-over has the probability e^-10000, and the limit of large alpha needs no approximation of its own.

That limit looks at the signs of payoff differences only: 0.51 to 0.49 counts as much as 1 to 0. Where payoffs are
measured, read it beside their intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from marl_meta.evaluate.robust import Doubles, Indices
from marl_meta.types import UserError

POPULATION = 50

_TIE = 1e-12
"""Payoffs that differ by less than this share of the largest difference are equal."""

_MOVED = 1e-9
"""A sweep ends when no mass moves by more than this as alpha doubles..."""

_CLEAR = 10.0
"""...and alpha times the smallest difference is at least this: at small alpha nothing has begun to move."""

_DOUBLINGS = 100


@dataclass(frozen=True, slots=True, eq=False)
class AlphaRank:
    """Masses [M] of M strategies."""

    masses: Doubles
    log_masses: Doubles
    ranks: Indices
    """1 for the greatest mass; equals share a rank. Vanishing masses are ranked by how fast they vanish."""
    alpha: float
    """The selection intensity of these masses."""
    settled: bool
    """Whether the ranking no longer changes with larger alpha; always False where alpha was given."""


def alpha_rank(payoff: Doubles, alpha: float | None = None, population: int = POPULATION) -> AlphaRank:
    """Return the ranking in one population of what row earns against column, `payoff` [M,M].

    The game is symmetric and of constant sum: payoff + payoff' is the same everywhere, or UserError. So win rates, with
    0.5 on the diagonal, do, and antisymmetric matrices. A mutant r among s is ahead by  u = alpha (payoff_rs -
    payoff_sr)  and takes over with probability (1 - e^-u) / (1 - e^-mu), 1 / m for u = 0: selection compares what two
    earn of each other, as OpenSpiel's does unless told otherwise. Without `alpha` it is doubled until the ranking is
    stable.
    """
    payoff = _finite(payoff)
    total = payoff + payoff.T if payoff.shape[0] == payoff.shape[-1] else np.array([0.0, np.inf])
    if np.ptp(total) > 1e-9 * max(float(np.abs(payoff).max()), 1e-300):
        raise UserError("alpha-rank: what two entrants earn of a game must add up to the same for all pairs")
    gaps = payoff.T - payoff  # [s,r]: what r is ahead by among s
    np.fill_diagonal(gaps, 0.0)
    return _ranked(gaps, alpha, population)


def log_fixation(u: Doubles, population: int) -> Doubles:
    """Return log of (1 - e^-u) / (1 - e^-mu), the chance of one mutant to take over; -log m at u = 0."""
    size = np.maximum(np.abs(u), 1e-300)
    # For u < 0 both fractions are turned round, which takes out e^((m-1)u).
    ratio = np.log(-np.expm1(-size)) - np.log(-np.expm1(-population * size))
    found: Doubles = np.minimum(u * (population - 1), 0.0) + ratio
    return found


def log_stationary(log_rates: Doubles) -> Doubles:
    """Return the logarithms of the stationary distribution [n] of a chain with off-diagonal `log_rates` [n,n].

    By elimination of one state after another, without any subtraction (Grassmann, Taksar and Heyman 1985), so that even
    the smallest masses have all their digits; here with logarithms. The diagonal is ignored; -inf is no transition.
    """
    rates = log_rates.copy()
    n = len(rates)
    np.fill_diagonal(rates, -np.inf)
    for last in range(n - 1, 0, -1):  # in a state less, the chain goes on from `last` as if nothing had been there
        rates[:last, last] -= np.logaddexp.reduce(rates[last, :last])
        passed = rates[:last, last, None] + rates[last, :last]
        rates[:last, :last] = np.logaddexp(rates[:last, :last], passed)
    masses = np.zeros(n)
    for state in range(1, n):
        masses[state] = np.logaddexp.reduce(masses[:state] + rates[:state, state])
    found: Doubles = masses - np.logaddexp.reduce(masses)
    return found


def _ranked(gaps: Doubles, alpha: float | None, population: int) -> AlphaRank:
    """Return the ranking by `gaps` [M,M], what a mutant (column) is ahead by at alpha 1."""
    choices, steps = max(len(gaps) - 1, 1), ~np.eye(len(gaps), dtype=bool)
    largest = float(np.abs(gaps).max(initial=0.0))
    gaps = np.where(np.abs(gaps) <= _TIE * largest, 0.0, gaps)

    def masses(intensity: float) -> Doubles:
        rates = log_fixation(intensity * gaps, population) - math.log(choices)
        return log_stationary(np.where(steps, rates, -np.inf))

    settled = alpha is None
    if alpha is not None:
        logs = masses(alpha)
    elif largest == 0.0:
        alpha, logs = 1.0, masses(1.0)
    else:
        alpha, logs, settled = _sweep(masses, largest, float(np.abs(gaps[gaps != 0.0]).min()))
    return AlphaRank(np.exp(logs), logs, _ranks(logs), alpha, settled)


def _sweep(masses: Callable[[float], Doubles], largest: float, smallest: float) -> tuple[float, Doubles, bool]:
    """Return the first alpha that, doubled, changes nothing any more, its log masses, and whether there is one."""
    alpha = 0.1 / largest
    logs = masses(alpha)
    for _ in range(_DOUBLINGS):
        alpha *= 2.0
        before, logs = logs, masses(alpha)
        still = float(np.abs(np.exp(logs) - np.exp(before)).max()) <= _MOVED
        if still and alpha * smallest >= _CLEAR and (_ranks(logs) == _ranks(before)).all():
            return alpha, logs, True
    return alpha, logs, False


def _ranks(logs: Doubles) -> Indices:
    """Return ranks [n] from 1; log masses count as equal within 1e-6, or a billionth of their size if that is more."""
    order = np.argsort(-logs, kind="stable")
    down = -np.diff(logs[order])
    new = down > np.maximum(1e-6, 1e-9 * np.abs(logs[order][1:]))
    places = np.arange(1, len(logs) + 1)
    ranks = np.empty(len(logs), np.int64)
    ranks[order] = np.maximum.accumulate(np.where(np.append(True, new), places, 1))
    return ranks


def _finite(payoff: Doubles) -> Doubles:
    payoff = np.asarray(payoff, np.float64)
    if payoff.ndim != 2 or not payoff.size or not np.isfinite(payoff).all():
        raise UserError("alpha-rank: payoffs must be a matrix of finite numbers: have every two entrants meet")
    return payoff
