"""How the CPU kernels of the networks and losses are compiled.

A kernel is a serial loop that releases the interpreter lock. Work is spread over cores one level up, by giving each
thread its own share of the games (`marl_meta.rl.sharding`): matrix products and kernels then run side by side without a
barrier after each, which on two cores is 1.4 times as fast as splitting every operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])

_REORDER = {"contract", "nsz", "arcp", "reassoc"}
"""Sums may be vectorised. NaN and infinity keep their meaning: masks rely on them."""


def kernel(function: _Function) -> _Function:
    """Return `function` compiled at its first call, cached on disk."""
    return cast("_Function", numba.njit(cache=True, nogil=True, fastmath=_REORDER, error_model="numpy")(function))
