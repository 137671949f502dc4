"""Who beats whom in a circle, and how much of the results no rating can say."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from marl_meta.evaluate.robust import Doubles
from marl_meta.tournament.statistics.graphs import components
from marl_meta.tournament.statistics.outcomes import Flags, PayoffMatrix
from marl_meta.types import UserError

_NORMAL = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Cycles:
    """Where "beats" goes round in a circle; empty where it does not."""

    triples: tuple[tuple[str, str, str], ...]
    """The first beats the second, that the third, and that the first; the first is the earliest of the names."""
    groups: tuple[tuple[str, ...], ...]
    """Largest groups in which everybody beats everybody over others of the group: also circles of four and more."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The parts of an antisymmetric matrix F = transitive + cyclic, and their shares of its sum of squares."""

    strength: Doubles
    """[M] whose differences are the transitive part; of mean 0 over each connected group."""
    residual: Doubles
    """[M,M] the cyclic part; NaN where F is."""
    transitive: float
    """Share in [0,1]; NaN where F is 0 everywhere."""
    cyclic: float
    """1 - transitive."""
    noise: float
    """The cyclic share that sampling alone is expected to make; NaN where no errors were given."""


def surely_beats(payoffs: PayoffMatrix) -> Flags:
    """Return [M,M]: where the 95 % interval of row's score against column lies above a half.

    Each is sure by itself: of many pairs that are level about 2.5 % are in here, one way and the other.
    """
    found: Flags = payoffs.low > 0.5  # NaN is not
    return found


def cycles(payoffs: PayoffMatrix) -> Cycles:
    """Return the circles among those who surely beat each other."""
    edges, names = surely_beats(payoffs), payoffs.names
    triples = []
    for i, j, k in combinations(range(len(names)), 3):
        if edges[i, j] and edges[j, k] and edges[k, i]:
            triples.append((names[i], names[j], names[k]))
        elif edges[i, k] and edges[k, j] and edges[j, i]:
            triples.append((names[i], names[k], names[j]))
    groups = tuple(tuple(names[i] for i in group) for group in components(edges) if len(group) > 1)
    return Cycles(tuple(triples), groups)


def parts(matrix: Doubles, errors: Doubles | None = None) -> Parts:
    """Return the transitive and the cyclic part of an antisymmetric `matrix` [M,M]; NaN where two never met.

    The strengths r minimise the sum over pairs of (F_ij - (r_i - r_j))^2: the gradient part of the Hodge decomposition
    (Jiang, Lim, Yao and Ye 2011, eq. 5); with all pairs met, r_i is the mean of row i (Balduzzi et al. 2018, section
    2). The two parts are orthogonal, so that their shares add up to 1. `errors` [M,M] are standard errors of F: then
    `noise` says what the cyclic share would be on average if there were no cyclic part but that of sampling.
    """
    matrix = np.asarray(matrix, np.float64)
    M = len(matrix)
    met = np.isfinite(matrix) & ~np.eye(M, dtype=bool)
    if matrix.shape != (M, M) or (met != met.T).any() or not np.allclose(matrix[met], -matrix.T[met], atol=1e-9):
        raise UserError("cycles: what row is ahead of column must be what column is behind row")
    laplacian = np.diag(met.sum(1).astype(np.float64)) - met
    inverse = np.linalg.pinv(laplacian, hermitian=True)
    F = np.where(met, matrix, 0.0)
    strength = inverse @ F.sum(1)
    residual = np.where(met, F - (strength[:, None] - strength), 0.0)
    total = float((F**2).sum())
    cyclic = float((residual**2).sum()) / total if total > 0.0 else np.nan
    noise = np.nan
    if errors is not None and total > 0.0:
        # Of the variance of a pair its leverage, the effective resistance between the two, goes into the strengths.
        corner = np.diag(inverse)
        leverage = corner[:, None] + corner - 2.0 * inverse
        noise = float((np.where(met, errors, 0.0) ** 2 * (1.0 - leverage)).sum()) / total
    shown = np.where(met | np.eye(M, dtype=bool), residual, np.nan)
    return Parts(strength, shown, 1.0 - cyclic, cyclic, noise)


def score_errors(payoffs: PayoffMatrix) -> Doubles:
    """Return standard errors [M,M] of mean scores, from the widths of their 95 % intervals."""
    found: Doubles = (payoffs.high - payoffs.low) / (2.0 * _NORMAL)
    return found
