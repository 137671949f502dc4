"""How the CPU kernels of the networks and losses are compiled.

A kernel is a serial loop that releases the interpreter lock. Work is spread over cores one level up, by giving each
its own share of the games (`marl_meta.rl.sharding`): matrix products and kernels then run side by side without a
barrier after each, which with threads on two cores is 1.4 times as fast as splitting every operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

_Function = TypeVar("_Function", bound=Callable[..., Any])

_REORDER = {"contract", "nsz", "arcp", "reassoc"}
"""Sums may be vectorised. NaN and infinity keep their meaning: masks rely on them."""


def kernel(function: _Function) -> _Function:
    """Return `function` compiled at its first call, cached on disk."""
    return cast("_Function", numba.njit(cache=True, nogil=True, fastmath=_REORDER, error_model="numpy")(function))


@numba.njit(inline="always")
def exp(x: Any) -> Any:
    """Return e to the x, to 2e-7 of itself (below -87: about 0), which the compiler can do on many numbers at once.

    2^n exp(r) with n whole and |r| <= log(2) / 2; the polynomial is that of the Cephes library's `expf`.
    """
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    whole = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = x - whole * np.float32(0.693359375) + whole * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1.0)
    return p * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)


@numba.njit(inline="always")
def tanh(x: Any) -> Any:
    """Return tanh to 4e-7 as x p(x^2) / q(x^2), which the compiler can do on many numbers at once.

    A minimax fit on [-8, 8], beyond which tanh is 1 in float32.
    """
    x = min(max(x, np.float32(-8.0)), np.float32(8.0))
    y = x * x
    p = np.float32(1.52305331e-08)
    p = p * y + np.float32(2.18947431e-05)
    p = p * y + np.float32(0.0035716029)
    p = p * y + np.float32(0.134445021)
    p = p * y + np.float32(0.999999994)
    q = np.float32(8.52249313e-07)
    q = q * y + np.float32(0.000341130002)
    q = q * y + np.float32(0.0261644615)
    q = q * y + np.float32(0.467778294)
    q = q * y + np.float32(1.0)
    return x * p / q
