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
    """The maximum-entropy equilibrium of a symmetric game of M entrants, and what each earns against it."""

    mixture: Doubles
    """[M]"""
    average: Doubles
    """[M] what each earns against `mixture`: at most 0, which is what that earns against itself."""
    support: Flags
    """[M] whom some equilibrium plays; exactly those have a positive part here."""


def nash_average(payoff: Doubles) -> NashAverage:
    """Return the Nash average of a symmetric zero-sum game, `payoff` [M,M] antisymmetric, or UserError.

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
    return NashAverage(mixture, payoff @ mixture, face.support)


def win_rates(payoffs: PayoffMatrix) -> Doubles:
    """Return the antisymmetric mean scores less 0.5, [M,M]; NaN where two never met."""
    found: Doubles = payoffs.mean - 0.5
    return found


def _finite(payoff: Doubles) -> Doubles:
    payoff = np.asarray(payoff, np.float64)
    if payoff.ndim != 2 or not payoff.size or not np.isfinite(payoff).all():
        raise UserError("Nash averaging: payoffs must be a matrix of finite numbers: have every two entrants meet")
    return payoff
