"""Nash averaging: how good each entrant is against the best mixture of all.

After Balduzzi et al., "Re-evaluating Evaluation", NeurIPS 2018. Who picks an entrant, and who picks its opponent, play
a zero-sum game; of its equilibria one has maximal entropy, and what each earns against that is the Nash average. It
does not change when somebody enters whom all others beat, nor, where there is one equilibrium only, when copies of an
entrant do: an average over opponents changes. What it is not is continuous: where two equilibria are close, small
changes of the payoffs, such as noise, change the mixture by much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_meta.evaluate.robust import Doubles
from marl_meta.tournament.statistics.complementary import complementary
from marl_meta.tournament.statistics.entropy import Face, most_even
from marl_meta.tournament.statistics.outcomes import Flags, PayoffMatrix
from marl_meta.types import UserError


@dataclass(frozen=True, slots=True, eq=False)
class NashAverage:
    """The maximum-entropy equilibrium of M rows against N columns, and what each earns against it."""

    rows: Doubles
    """[M] the mixture of rows."""
    columns: Doubles
    """[N] the mixture of columns; the same where the game is symmetric."""
    row_average: Doubles
    """[M] what each row earns against `columns`: at most `value`."""
    column_average: Doubles
    """[N] what each column earns against `rows`: at most -`value`. Agents against tasks: how hard each task is."""
    value: float
    """What rows earn in equilibrium; 0 where the game is symmetric."""
    row_support: Flags
    """[M] which rows some equilibrium plays; exactly those have a positive part here."""
    column_support: Flags
    """[N]."""


def nash_average(payoff: Doubles) -> NashAverage:
    """Return the Nash averages of a symmetric zero-sum game, `payoff` [M,M] antisymmetric, or UserError.

    The equilibria are all p in the simplex with payoff p <= 0.
    """
    payoff = _finite(payoff)
    size = max(float(np.abs(payoff).max()), 1e-300)
    if payoff.shape[0] != payoff.shape[1] or np.abs(payoff + payoff.T).max() > 1e-9 * size:
        raise UserError("Nash averaging: what row earns of column must be what column loses to row")
    payoff = (payoff - payoff.T) / 2.0
    inside, slack = complementary(payoff)
    face = Face(payoff / size, inside, slack, inside > slack)
    mixture = most_even(face)
    average = payoff @ mixture
    return NashAverage(mixture, mixture, average, average, 0.0, face.support, face.support)


def nash_average_two(payoff: Doubles) -> NashAverage:
    """Return the Nash averages of a zero-sum game of M rows and N columns, where rows earn `payoff` [M,N].

    Each side's equilibrium mixtures are a polytope of their own, and the one of maximal entropy is taken of each. The
    matrix is made antisymmetric with one row and column more for the value (Gale, Kuhn and Tucker 1950), which unlike
    [[0, P], [-P', 0]] does not need a value of 0.
    """
    payoff = _finite(payoff)
    M, N = payoff.shape
    lowest = float(payoff.min())
    size = max(float(np.ptp(payoff)), 1e-300)
    positive = (payoff - lowest) / size + 1.0  # in [1,2]: then the value is more than 0, which the construction needs
    ones = np.ones
    skew = np.block(
        [
            [np.zeros((M, M)), positive, -ones((M, 1))],
            [-positive.T, np.zeros((N, N)), ones((N, 1))],
            [ones((1, M)), -ones((1, N)), np.zeros((1, 1))],
        ]
    )
    inside, slack = complementary(skew)
    value = inside[-1] / inside[:M].sum()
    played = inside > slack
    rows = Face(value - positive.T, inside[:M], slack[:M], played[M:-1])
    columns = Face(positive - value, inside[M:-1], slack[M:-1], played[:M])
    p, q = most_even(rows), most_even(columns)
    return NashAverage(
        rows=p,
        columns=q,
        row_average=payoff @ q,
        column_average=-payoff.T @ p,
        value=float(p @ payoff @ q),
        row_support=rows.support,
        column_support=columns.support,
    )


def win_rates(payoffs: PayoffMatrix) -> Doubles:
    """Return the antisymmetric mean scores less 0.5, [M,M]; NaN where two never met."""
    found: Doubles = payoffs.mean - 0.5
    return found


def log_odds(payoffs: PayoffMatrix) -> Doubles:
    """Return the antisymmetric log-odds of row against column, [M,M]; NaN where two never met.

    log((s + 1/2) / (n - s + 1/2)) for a score of s in n games: the half keeps it finite where one has won everything,
    and takes off most of the bias of few games (Haldane 1956).
    """
    n = np.where(payoffs.games > 0, payoffs.games, np.nan)
    won = payoffs.mean * n
    found: Doubles = np.log((won + 0.5) / (n - won + 0.5))
    found = (found - found.T) / 2.0
    np.fill_diagonal(found, 0.0)
    return found


def _finite(payoff: Doubles) -> Doubles:
    payoff = np.asarray(payoff, np.float64)
    if payoff.ndim != 2 or not payoff.size or not np.isfinite(payoff).all():
        raise UserError("Nash averaging: payoffs must be a matrix of finite numbers: have every two entrants meet")
    return payoff
