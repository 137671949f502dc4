"""A point inside the set of all equilibria of a zero-sum game, by an interior-point method."""

from __future__ import annotations

import numpy as np

from marl_meta.evaluate.robust import Doubles

_GAP = 1e-14
"""The mean of all products x_i s_i, which start at 1, when it is done; what vanishes is by then about so small."""

_CENTRED = 0.01
"""No product may be less than this share of their mean: so the path ends inside the set, not in a corner of it."""

_STEPS = 200


def complementary(skew: Doubles) -> tuple[Doubles, Doubles]:
    """Return x [n] and s = -skew x [n], neither negative, where for each i one is positive and the other 0.

    Such an x exists for every antisymmetric matrix (Tucker 1956), and no solution has a positive x_i where this has
    none: it lies inside the set of all solutions. What is 0 is so up to about 1e-14, so that x_i > s_i says which it
    is; parts below 1e-7 may be taken for 0.

    With r = e + skew e, the program  min (n + 1) t  with  s = r t - skew x,  u = n + 1 - r'x,  and none of x, t, s, u
    negative, is its own dual, has the centred point x = s = e, t = u = 1, and its optimum is t = 0 (Ye, Todd and Mizuno
    1994; Roos, Terlaky and Vial, Theory and Algorithms for Linear Optimization, 1997, ch. 2). Its central path, which
    is followed with the steps of Mehrotra (1992), ends in the middle of all solutions.
    """
    n = len(skew)
    scaled = skew / max(float(np.abs(skew).max(initial=0.0)), 1e-300)
    rest = 1.0 + scaled.sum(1)
    matrix = np.zeros((n + 1, n + 1))
    matrix[:n, :n], matrix[:n, n], matrix[n, :n] = -scaled, rest, -rest
    z, w = np.ones((2, n + 1))  # z is x and t, w = matrix z + (0, ..., 0, n + 1) is s and u
    for _ in range(_STEPS):
        mean = float(z @ w) / (n + 1)
        if mean <= _GAP:
            break
        system = np.diag(w) + z[:, None] * matrix
        aim = np.linalg.solve(system, -z * w).astype(np.float64)
        ahead = _step(z, w, aim, matrix @ aim, 1.0, 0.0)
        centring = max((1.0 - ahead) ** 3, 1e-8)
        right = centring * mean - z * w - aim * (matrix @ aim)
        dz = np.linalg.solve(system, right).astype(np.float64)
        dw = matrix @ dz
        size = _step(z, w, dz, dw, 0.999, _CENTRED)
        if size < 1e-6:  # the correction does not help here: a plain step to the middle always does
            dz = np.linalg.solve(system, 0.5 * mean - z * w).astype(np.float64)
            dw = matrix @ dz
            size = _step(z, w, dz, dw, 0.999, _CENTRED)
        z, w = z + size * dz, w + size * dw
    return z[:n], w[:n]


def _step(z: Doubles, w: Doubles, dz: Doubles, dw: Doubles, most: float, centred: float) -> float:
    """Return how far to go in [0,1]: `most` of the way to where something is 0, and not too far from the path."""
    shrinking = np.concatenate([-dz / z, -dw / w])
    size = min(1.0, most / max(float(shrinking.max()), 1e-300))
    while size > 1e-9:
        products = (z + size * dz) * (w + size * dw)
        if products.min() >= centred * products.mean():
            break
        size *= 0.8
    return size
