"""The most even of all optimal mixtures of a zero-sum game."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_meta.evaluate.robust import Doubles
from marl_meta.tournament.statistics.outcomes import Flags

_ACCURACY = 1e-11
"""How far the entropy may be from its maximum."""

_STEPS = 50


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """The polytope of optimal mixtures x [n]: at least 0, of sum 1, with `gains` x <= 0."""

    gains: Doubles
    """[k,n] what each of k strategies would gain against x; scaled to about 1."""
    inside: Doubles
    """[n] an optimal mixture, times any number, that is inside: positive wherever any is."""
    slack: Doubles
    """[n] what is positive exactly where `inside` is not."""
    tight: Flags
    """[k] which gains are 0 against all optimal mixtures; the others are less than 0 against `inside`."""

    @property
    def support(self) -> Flags:
        """Return [n]: where some optimal mixture is positive. Of two numbers one is 0: no tolerance is needed."""
        found: Flags = self.inside > self.slack
        return found


def most_even(face: Face) -> Doubles:
    """Return the mixture [n] of maximal entropy on a face, exactly 0 off its support.

    Gains that are 0 all over the face are equations, of which a basis of the null space is taken; so Newton's method
    runs in the free directions only, of which there mostly are none. What is left of the inequalities stays so by a
    logarithmic barrier, whose weight goes to nothing (Boyd and Vandenberghe, Convex Optimization, 11.3).
    """
    support = face.support
    x = face.inside[support] / face.inside[support].sum()
    gains = face.gains[:, support]
    equations = np.vstack([gains[face.tight], np.ones(len(x))])
    _, sizes, directions = np.linalg.svd(equations)
    rank = int((sizes > 1e-9 * sizes[0]).sum())
    free = directions[rank:].T  # [n,d]
    x = x - np.linalg.lstsq(equations, equations @ x - np.eye(len(equations))[-1], rcond=1e-9)[0]
    if free.shape[1]:
        x = _climb(x, free, gains[~face.tight])
    found = np.zeros(len(support))
    found[support] = np.maximum(x, 0.0)
    mixture: Doubles = found / found.sum()
    return mixture


def _climb(x: Doubles, free: Doubles, gains: Doubles) -> Doubles:
    """Return the x + free z of maximal entropy with gains x < 0 and x > 0, from an `x` where that holds."""
    bounds = np.vstack([gains, -np.eye(len(x))])  # bounds x < 0; entropy alone would not keep steps off x = 0
    weight = 1.0
    while weight * len(bounds) > _ACCURACY:
        for _ in range(_STEPS):
            rates = bounds / -(bounds @ x)[:, None]
            slope = free.T @ (np.log(x) + 1.0 + weight * rates.sum(0))
            curve = free.T @ (weight * rates.T @ rates + np.diag(1.0 / x)) @ free
            step = np.linalg.solve(curve, slope)
            gain = float(slope @ step)
            x = x - _length(x, free @ step, bounds, weight, gain) * (free @ step)
            if gain < 1e-2 * _ACCURACY:
                break
        weight /= 10.0
    return x


def _length(x: Doubles, step: Doubles, bounds: Doubles, weight: float, gain: float) -> float:
    """Return how far to go: as far as it is inside, halved until the objective has gone down as it should."""
    rates = (bounds @ step) / (bounds @ x)
    size = min(1.0, 0.99 / max(float(rates.max()), 1e-300))

    def objective(point: Doubles) -> float:
        return float((point * np.log(point)).sum() - weight * np.log(-bounds @ point).sum())

    start = objective(x)
    while size > 1e-12 and objective(x - size * step) > start - 0.1 * size * gain + 1e-14 * (1.0 + abs(start)):
        size /= 2.0
    return size
