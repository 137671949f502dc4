"""The games of a tournament, and what every entrant scored against every other.

A score is what the first player got of a game: 1 won, 0.5 drawn, 0 lost, or anything between; the second got the rest.
Games are played in paired units, the same seed with sides swapped, and what is drawn anew by the bootstrap is units:
the two games of one are not independent of each other.

Shapes: M entrants, G games, U paired units, R replicates of the bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from marl_meta.evaluate.robust import CONFIDENCE, REPLICATES, Doubles, Indices, interval
from marl_meta.types import UserError
from marl_meta.wording import listed

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What came of G games between M entrants; UserError where the arrays contradict each other."""

    names: tuple[str, ...]
    first: Indices
    """[G] who sat on side 0, 0..M-1."""
    second: Indices
    """[G] who sat on side 1."""
    score: Doubles
    """[G] of the first, in [0,1]; the second scores what is left to 1."""
    pair: Indices
    """[G] games with the same number are one unit: the same two entrants, variant and seed, sides swapped."""
    variant: Indices
    """[G] which variant was played."""
    luck: Indices = field(default_factory=lambda: np.zeros(0, np.int64))
    """[G] games with the same number are not independent of each other, whoever met in them, as where several meet at
    one table; by default those of a pair."""

    def __post_init__(self) -> None:
        """Take lists as well as arrays, and check them."""
        for key in ("first", "second", "pair", "variant"):
            object.__setattr__(self, key, _whole(key, getattr(self, key)))
        object.__setattr__(self, "luck", _whole("luck", self.luck) if len(self.luck) else self.pair)
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "score", np.asarray(self.score, np.float64))
        _check(self)


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """Paired units [U], ordered by their numbers; the scores are those of the entrant with the lower index."""

    low: Indices
    high: Indices
    total: Doubles
    """[U] score of `low`, summed over the unit's games."""
    games: Indices
    variant: Indices


@dataclass(frozen=True, slots=True, eq=False)
class PayoffMatrix:
    """What each row scored against each column, [M,M] each; NaN where two never met, 0.5 on the diagonal."""

    names: tuple[str, ...]
    mean: Doubles
    """Mean score over games: `mean + mean.T` is 1."""
    low: Doubles
    """95 % interval of it."""
    high: Doubles
    games: Indices
    """How many games; 0 on the diagonal."""


def units(outcomes: Outcomes) -> Units:
    """Return the games put together to paired units."""
    _, start, which = np.unique(outcomes.pair, return_index=True, return_inverse=True)
    own = np.where(outcomes.first < outcomes.second, outcomes.score, 1.0 - outcomes.score)
    ends = np.stack([outcomes.first, outcomes.second])[:, start]
    total = np.bincount(which, own, len(start))
    games = np.bincount(which, minlength=len(start)).astype(np.int64)
    return Units(ends.min(0), ends.max(0), total.astype(np.float64), games, outcomes.variant[start])


def payoffs(outcomes: Outcomes, seed: int = 0, replicates: int = REPLICATES) -> PayoffMatrix:
    """Return mean scores with 95 % intervals: percentile bootstrap over paired units, stratified by variant.

    Of a stratum's n units n - 1 are drawn, so that the variance is right however small it is (McCarthy and Snowden
    1985). Units that are alone of their variant make one stratum together, which is then a little too wide.
    Where all units of a meeting are alike the bootstrap sees no spread, and the interval is [s q, s q + 1 - q] with
    q = 0.025^(1/U): with q and above, U units in a row come out alike in more than 2.5 % of all cases.
    A single unit says nothing: [0,1]. `seed` draws the samples; the order of games does not matter.
    """
    found = units(outcomes)
    M = len(outcomes.names)
    mean, low, high = (np.full((M, M), np.nan) for _ in range(3))
    games = np.zeros((M, M), np.int64)
    for array in (mean, low, high):
        np.fill_diagonal(array, 0.5)
    for i, j in sorted(set(zip(found.low.tolist(), found.high.tolist(), strict=True))):
        here = (found.low == i) & (found.high == j)
        total, count = found.total[here], found.games[here]
        rng = np.random.default_rng([seed, i, j])
        bounds = _meeting(total, count, found.variant[here], rng, replicates)
        share = total.sum() / count.sum()
        games[i, j] = games[j, i] = count.sum()
        (mean[i, j], low[i, j], high[i, j]) = share, *bounds
        (mean[j, i], low[j, i], high[j, i]) = 1.0 - share, 1.0 - bounds[1], 1.0 - bounds[0]
    return PayoffMatrix(outcomes.names, mean, low, high, games)


def beats(outcomes: Outcomes) -> Doubles:
    """Return the probability [M,M] that row beats column in a game, draws as half; NaN where they never met.

    A game is won with more than half of its score: so for graded scores this is not the mean score, for 0, 0.5 and 1 it
    is.
    """
    won = (outcomes.score > 0.5) + 0.5 * (outcomes.score == 0.5)
    M = len(outcomes.names)
    wins, games = np.zeros((2, M, M))
    np.add.at(wins, (outcomes.first, outcomes.second), won)
    np.add.at(wins, (outcomes.second, outcomes.first), 1.0 - won)
    np.add.at(games, (outcomes.first, outcomes.second), 1.0)
    games += games.T
    found: Doubles = np.divide(wins, games, out=np.full((M, M), np.nan), where=games > 0)
    np.fill_diagonal(found, 0.5)
    return found


def _meeting(
    total: Doubles, count: Indices, variant: Indices, rng: np.random.Generator, replicates: int
) -> tuple[float, float]:
    """Return the 95 % interval of the mean score of units, whose scores add up to `total` [U] in `count` [U] games."""
    if len(total) < 2:
        return 0.0, 1.0
    tops, bottoms = np.zeros((2, replicates))
    for members in _strata(variant):
        chosen = members[rng.integers(len(members), size=(replicates, len(members) - 1))]
        weight = len(members) / (len(members) - 1)
        tops += weight * total[chosen].sum(1)
        bottoms += weight * count[chosen].sum(1)
    low, high = interval(tops / bottoms)
    if high - low > 1e-9:
        return float(low), float(high)
    alike = ((1.0 - CONFIDENCE) / 2.0) ** (1.0 / len(total))
    least = float(total.sum() / count.sum()) * alike
    return least, least + 1.0 - alike


def _strata(variant: Indices) -> list[Indices]:
    """Return which units make a stratum: those of one variant; lone ones together, a single lone one with another."""
    strata: list[Indices] = [np.flatnonzero(variant == value) for value in np.unique(variant)]
    several = [members for members in strata if len(members) > 1]
    alone = [members for members in strata if len(members) == 1]
    if not alone:
        return several
    if len(alone) == 1 and several:
        return [np.concatenate([several[0], alone[0]]), *several[1:]]
    return [*several, np.concatenate(alone)]


def _whole(key: str, values: Indices) -> Indices:
    array = np.asarray(values)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise UserError(f"outcomes: {key} must be whole numbers, not {array.dtype}")
    return array.astype(np.int64)


def _check(games: Outcomes) -> None:
    """Raise UserError unless the arrays agree with each other."""
    names, score = games.names, games.score
    if not names or len(set(names)) < len(names):
        raise UserError(f"outcomes: the names of entrants must be there and differ, not {listed(names)}")
    shapes = {array.shape for array in (games.first, games.second, score, games.pair, games.variant, games.luck)}
    if len(shapes) > 1 or score.ndim != 1:
        raise UserError(f"outcomes: all arrays must be of one length, not of shapes {listed(sorted(shapes))}")
    players = np.concatenate([games.first, games.second])
    if ((players < 0) | (players >= len(names))).any():
        raise UserError(f"outcomes: players must be 0 to {len(names) - 1}, one of {listed(names)}")
    if (games.first == games.second).any():
        raise UserError("outcomes: an entrant cannot meet itself, which says nothing about who is better")
    if not ((score >= 0.0) & (score <= 1.0)).all():
        raise UserError("outcomes: scores must be in [0,1]: 1 won, 0 lost, 0.5 drawn")
    _, start, which = np.unique(games.pair, return_index=True, return_inverse=True)
    ends = np.sort(np.stack([games.first, games.second]), axis=0)
    same = np.concatenate([ends, games.variant[None]])
    if (same[:, start][:, which] != same).any():
        raise UserError("outcomes: the games of a pair must have the same two entrants and the same variant")
