"""The posterior of the model in `ratings.py`: its mode by Newton's method, and its curvature there.

Parameters x are the M strengths t, the side advantage h and kappa = log nu. For a game with difference s the
log-likelihood is  (win - loss) s / 2 + draw kappa - log Z:  an exponential family, so the negative log posterior is
convex, and strictly so with the Gaussian priors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from marl_meta.evaluate.robust import Doubles
from marl_meta.tournament.statistics.graphs import components
from marl_meta.tournament.statistics.outcomes import Outcomes

KAPPA_PRIOR = 3.0
"""Standard deviation of the prior of log nu about 0; at 0 a third of the games between equals are drawn."""

_STEPS = 100
_ENOUGH = 1e-10
"""Newton's method is done when the gradient is smaller than so much of the number of games (plus one)."""


@dataclass(frozen=True, slots=True, eq=False)
class Games:
    """How often row (on side 0) and column (on side 1) met, and how it ended, [M,M] each."""

    wins: Doubles
    draws: Doubles
    losses: Doubles

    @classmethod
    def count(cls, outcomes: Outcomes) -> Games:
        """Return the counts; a graded score is part win (or loss) and part draw."""
        M = len(outcomes.names)
        ahead = 2.0 * outcomes.score - 1.0
        cell = outcomes.first * M + outcomes.second
        parts = np.maximum(ahead, 0.0), 1.0 - np.abs(ahead), np.maximum(-ahead, 0.0)
        wins, draws, losses = (np.bincount(cell, part, M * M).reshape(M, M).astype(np.float64) for part in parts)
        return cls(wins, draws, losses)

    @property
    def played(self) -> Doubles:
        """How many games, [M,M]."""
        return self.wins + self.draws + self.losses

    def groups(self) -> list[list[int]]:
        """Return entrants by group: games connect all that are in one."""
        return components(self.played + self.played.T > 0)


@dataclass(frozen=True, slots=True, eq=False)
class Mode:
    """The mode of the posterior, and what is needed to go on from it."""

    strengths: Doubles
    """[M], with mean 0 over each group."""
    side: float
    nu: float
    vector: Doubles
    """[M+2] all parameters; what is not free is as it was."""
    free: Doubles
    """[M+2] 1 where a parameter is fitted."""
    precision: Doubles
    """[M+2] of the prior."""


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Variances of the parameters."""

    strengths: Doubles
    """[M,M]."""
    side: float
    draws: float
    """Of log nu."""


def mode(games: Games, prior: float, side: bool) -> Mode:
    """Return the mode under priors of standard deviation `prior`; kappa is free only where something was drawn."""
    M = len(games.wins)
    drawn = bool(games.draws.sum() > 0)
    free = np.array([1.0] * M + [float(side), float(drawn)])
    precision = np.array([prior**-2] * (M + 1) + [KAPPA_PRIOR**-2])
    x = np.zeros(M + 2)
    if not drawn:
        x[-1] = -np.inf
    value, gradient, hessian = _posterior(games, x, precision)
    for _ in range(_STEPS):
        gradient = gradient * free
        if np.abs(gradient).max() <= _ENOUGH * (1.0 + games.played.sum()):
            break
        step = np.linalg.solve(_only(hessian, free), gradient)
        size, slope = 1.0, float(step @ gradient)
        while size > 1e-12:  # halved until it goes down: far from the mode a full step may overshoot
            trial = x - size * step
            found = _posterior(games, trial, precision)
            if found[0] <= value - 1e-4 * size * slope + 1e-12 * abs(value):
                break
            size /= 2.0
        x, (value, gradient, hessian) = trial, found
    return Mode(x[:M], float(x[M]), math.exp(x[-1]), x, free, precision)


def covariance(games: Games, found: Mode, outcomes: Outcomes | None = None) -> Spread:
    """Return the inverse S of the Hessian at the mode, or S B S with B from what shares its luck in `outcomes`."""
    hessian = _only(_posterior(games, found.vector, found.precision)[2], found.free)
    inverse = np.linalg.inv(hessian).astype(np.float64)
    if outcomes is not None:
        rows = _unit_gradients(outcomes, found)
        inverse = inverse @ (rows.T @ rows * (len(rows) / max(len(rows) - 1, 1))) @ inverse
    M = len(games.wins)
    return Spread(inverse[:M, :M], float(inverse[M, M]), float(inverse[M + 1, M + 1]))


def draw_limit(games: Games, found: Mode) -> float:
    """Return nu / (2 + nu) above which the chance that none of these games is drawn is below 2.5 %."""
    s = found.strengths[:, None] - found.strengths + found.side
    between = np.logaddexp(s / 2.0, -s / 2.0)
    low, high = -50.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2.0
        likely = float((games.played * np.logaddexp(0.0, middle - between)).sum()) < -math.log(0.025)
        low, high = (middle, high) if likely else (low, middle)
    return 1.0 / (1.0 + 2.0 * math.exp(-high))


def _posterior(games: Games, x: Doubles, precision: Doubles) -> tuple[float, Doubles, Doubles]:
    """Return the negative log posterior at `x` [M+2], its gradient [M+2] and its Hessian [M+2,M+2]."""
    M = len(games.wins)
    played = games.played
    s, win, draw, loss, log_total = _chances(x[:M, None] - x[None, :M] + x[M], x[-1])
    kappa = x[-1] if np.isfinite(x[-1]) else 0.0
    prior = 0.5 * float((precision[:-1] * x[:-1] ** 2).sum() + precision[-1] * kappa**2)
    likelihood = (games.wins - games.losses) * s / 2.0 + games.draws * kappa - played * log_total
    by_s = (games.wins - games.losses - played * (win - loss)) / 2.0
    by_kappa = games.draws - played * draw
    gradient = np.append(precision[:-1] * x[:-1], precision[-1] * kappa)
    gradient -= np.concatenate([by_s.sum(1) - by_s.sum(0), [by_s.sum(), by_kappa.sum()]])
    curve = played * (win + loss - (win - loss) ** 2) / 4.0
    cross = -played * (win - loss) / 2.0 * draw
    hessian = np.diag(precision)
    hessian[:M, :M] += np.diag(curve.sum(0) + curve.sum(1)) - curve - curve.T
    hessian[:M, M] = hessian[M, :M] = curve.sum(1) - curve.sum(0)
    hessian[:M, M + 1] = hessian[M + 1, :M] = cross.sum(1) - cross.sum(0)
    hessian[M, M] += curve.sum()
    hessian[M, M + 1] = hessian[M + 1, M] = cross.sum()
    hessian[M + 1, M + 1] += (played * draw * (1.0 - draw)).sum()
    return prior - float(likelihood.sum()), gradient, hessian


def _chances(s: Doubles, kappa: float) -> tuple[Doubles, Doubles, Doubles, Doubles, Doubles]:
    """Return s, the probabilities of a win, a draw and a loss, and log Z."""
    log_total = np.logaddexp(np.logaddexp(s / 2.0, -s / 2.0), kappa)
    return s, np.exp(s / 2.0 - log_total), np.exp(kappa - log_total), np.exp(-s / 2.0 - log_total), log_total


def _only(hessian: Doubles, free: Doubles) -> Doubles:
    """Return the Hessian of the free parameters, in place; the others are alone, with curvature 1."""
    found: Doubles = hessian * np.outer(free, free) + np.diag(1.0 - free)
    return found


def _unit_gradients(outcomes: Outcomes, found: Mode) -> Doubles:
    """Return the gradient of the log-likelihood of all games that share their luck, [U,M+2]."""
    M, G = len(outcomes.names), len(outcomes.score)
    x, ahead = found.vector, 2.0 * outcomes.score - 1.0
    _, win, draw, loss, _ = _chances(x[outcomes.first] - x[outcomes.second] + x[M], x[-1])
    by_s = (ahead - (win - loss)) / 2.0
    rows = np.zeros((G, M + 2))
    rows[np.arange(G), outcomes.first] = by_s
    rows[np.arange(G), outcomes.second] = -by_s
    rows[:, M], rows[:, M + 1] = by_s, 1.0 - np.abs(ahead) - draw
    _, which = np.unique(outcomes.luck, return_inverse=True)
    sums = np.zeros((which.max(initial=-1) + 1, M + 2))
    np.add.at(sums, which, rows)
    return sums * found.free
