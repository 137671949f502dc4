"""Ratings by the Bradley-Terry model with draws and a side advantage, in Elo points.

With strengths t of the first and the second player, h for the side of the first, and s = t_first - t_second + h,

    P(first wins) = exp(s/2) / Z,   P(second wins) = exp(-s/2) / Z,   P(draw) = nu / Z,   Z = exp(s/2) + exp(-s/2) + nu

(Davidson 1970, eq. 2.5, with the order effect of Davidson and Beaver 1977). With nu = 0 it is Bradley and Terry's model
of 1952. The estimate is the mode of the posterior under weak Gaussian priors, which keep the strength of an entrant
finite that has won everything. 400 / ln 10 points are one unit of t: without draws, 400 points ahead wins 10 of 11.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from marl_meta.evaluate.adaptation import Interval
from marl_meta.evaluate.robust import Doubles
from marl_meta.tournament.statistics.outcomes import Outcomes
from marl_meta.tournament.statistics.posterior import Games, Mode, covariance, draw_limit, mode
from marl_meta.types import UserError
from marl_meta.wording import listed

POINTS = 400.0 / math.log(10.0)
"""Elo points in one unit of strength."""

CENTRE = 1500.0

PRIOR = 600.0
"""Standard deviation, in points, of the Gaussian prior of strengths about the centre and of the side advantage."""

NORMAL = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """Ratings of M entrants, with the errors of their contrasts to the mean of all (of their group)."""

    names: tuple[str, ...]
    rating: Doubles
    """[M] in Elo points, with mean 1500 over each group; NaN for an entrant that has not played."""
    error: Doubles
    """[M] standard error of the rating less the mean of its group."""
    low: Doubles
    """[M] 95 % interval: 1.96 standard errors to each side."""
    high: Doubles
    covariance: Doubles
    """[M,M] of these contrasts, in points squared; NaN between groups."""
    side: Interval
    """What sitting on side 0 is worth, in points; 0 if it is not fitted."""
    draws: Interval
    """Probability of a draw between two of equal strength on neutral ground, nu / (2 + nu)."""
    nu: float
    groups: tuple[tuple[str, ...], ...]
    """Entrants that games connect; ratings of different groups cannot be compared."""
    notes: tuple[str, ...]
    """Sentences on what the numbers do not say."""


def bradley_terry(outcomes: Outcomes, prior: float = PRIOR, side: bool = True, paired: bool = False) -> Ratings:
    """Return ratings with standard errors and 95 % intervals of contrasts to the mean.

    `prior` is the standard deviation in points of the priors of strengths and side; the logarithm of nu has one of
    N(0, 3^2), and nu is 0 where nothing was drawn (the interval then ends where so few draws have a chance of 2.5 %).
    `side` fits a side advantage. A graded score is a draw by 1 - |2 score - 1|, and a win or a loss by the rest.

    Covariances are C S C', where S is the inverse of the Hessian of the negative log posterior and C takes the mean of
    each group off. That takes games as independent of each other. `paired` takes only games of different
    `luck` as independent (the sandwich S B S, B from the gradients of games of one luck): right where they share it,
    but too narrow for few such units and for an entrant without a loss.
    """
    if not prior > 0.0:
        raise UserError(f"ratings: the prior's standard deviation must be more than 0 points, not {prior:g}")
    games = Games.count(outcomes)
    found = mode(games, prior / POINTS, side)
    members = games.groups()
    contrasts = _contrasts(members, len(outcomes.names))
    spread = covariance(games, found, outcomes if paired else None)
    within = POINTS**2 * contrasts @ spread.strengths @ contrasts.T
    error = np.sqrt(np.maximum(np.diag(within), 0.0))
    rating = CENTRE + POINTS * contrasts @ found.strengths
    strangers = np.ones_like(within, bool)
    for group in members:
        strangers[np.ix_(group, group)] = False
    idle = games.played.sum(0) + games.played.sum(1) == 0
    rating[idle] = error[idle] = np.nan
    within[strangers | idle] = np.nan
    groups = tuple(tuple(outcomes.names[i] for i in group) for group in members)
    half = NORMAL * error
    return Ratings(
        names=outcomes.names,
        rating=rating,
        error=error,
        low=rating - half,
        high=rating + half,
        covariance=within,
        side=_side(found.side, spread.side if side else 0.0),
        draws=_draws(games, found, spread.draws),
        nu=found.nu,
        groups=groups,
        notes=_notes(outcomes, games, groups),
    )


def expected(ratings: Ratings, i: int, j: int, seat: int | None = None) -> float:
    """Return the score in [0,1] that entrant `i` is expected to make of a game against `j`; NaN if not connected.

    `seat` is the side of `i`, 0 or 1; None is the mean of both, which is what paired games earn.
    """
    if seat is None:
        return (expected(ratings, i, j, 0) + expected(ratings, i, j, 1)) / 2.0
    if math.isnan(ratings.covariance[i, j]):
        return math.nan
    ahead = ratings.rating[i] - ratings.rating[j] + (1 - 2 * seat) * ratings.side.value
    s = float(ahead) / POINTS / 2.0
    top = abs(s)  # weights are divided by exp(|s|), which never overflows
    win, loss, draw = math.exp(s - top), math.exp(-s - top), ratings.nu * math.exp(-top)
    return (win + draw / 2.0) / (win + loss + draw)


def difference(ratings: Ratings, i: int, j: int) -> Interval:
    """Return how many points `i` is above `j`, with its 95 % interval; NaN if games do not connect them."""
    spread = ratings.covariance
    variance = spread[i, i] + spread[j, j] - 2.0 * spread[i, j]
    value = float(ratings.rating[i] - ratings.rating[j])
    if math.isnan(variance):
        return Interval(math.nan, math.nan, math.nan)
    half = NORMAL * math.sqrt(max(float(variance), 0.0))
    return Interval(value, value - half, value + half)


def above(ratings: Ratings, i: int, j: int) -> float:
    """Return the probability that `i` is stronger than `j`, by the normal error of their difference.

    It is NaN if games do not connect them. It says how surely one is better; `expected` says what that is worth.
    """
    found = difference(ratings, i, j)
    if math.isnan(found.low):
        return math.nan
    error = (found.high - found.low) / (2.0 * NORMAL)
    if error == 0.0:
        return 0.5 + 0.5 * float(np.sign(found.value))
    return 0.5 * (1.0 + math.erf(found.value / error / math.sqrt(2.0)))


def _contrasts(groups: list[list[int]], M: int) -> Doubles:
    """Return [M,M], which takes the mean of its group off every strength."""
    matrix = np.eye(M)
    for group in groups:
        matrix[np.ix_(group, group)] -= 1.0 / len(group)
    return matrix


def _side(value: float, variance: float) -> Interval:
    half = NORMAL * math.sqrt(variance)
    return Interval(POINTS * value, POINTS * (value - half), POINTS * (value + half))


def _draws(games: Games, found: Mode, variance: float) -> Interval:
    """Return nu / (2 + nu), with an interval that is symmetric in log nu."""
    if found.nu == 0.0:
        return Interval(0.0, 0.0, draw_limit(games, found))
    half, nu = NORMAL * math.sqrt(variance), found.nu
    share = [each / (2.0 + each) for each in (nu, nu * math.exp(-half), nu * math.exp(min(half, 500.0)))]
    return Interval(*share)


def _notes(outcomes: Outcomes, games: Games, groups: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """Return what a reader must know to read the ratings right."""
    notes = []
    if len(groups) > 1:
        apart = "; ".join(listed(group) for group in groups)
        notes.append(f"no game connects these groups, whose ratings cannot be compared: {apart}")
    first, second = games.wins + games.draws / 2.0, games.losses + games.draws / 2.0
    got, left = first.sum(1) + second.sum(0), second.sum(1) + first.sum(0)
    for word, none in (("won", (left == 0) & (got > 0)), ("lost", (got == 0) & (left > 0))):
        names = [outcomes.names[i] for i in np.flatnonzero(none)]
        if names:
            notes.append(f"{listed(names)} {word} all that was rated: only the prior keeps the rating finite")
    return tuple(notes)
