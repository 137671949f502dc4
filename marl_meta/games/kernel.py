"""How the scalar loops of the simulators are compiled.

A kernel is cached on disk. Numba's cache looks only at the file of the kernel itself, so that an edit of a function
that it calls in another file would go unnoticed; here the name under which a kernel is cached carries a digest of all
files below this folder that hold compiled code.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])

_FILES = [file.read_bytes() for file in sorted(Path(__file__).parent.rglob("*.py"))]
_SOURCES = blake2b(b"".join(text for text in _FILES if b"games.kernel" in text), digest_size=6).hexdigest()

# No fastmath: a game must play to the same bits in every batch, in the serial and the parallel kernel, and in replays.
# No reference counts (_nrt): kernels allocate nothing, and counting would take half of their time.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
INNER_OPTIONS: dict[str, Any] = {**OPTIONS, "forceinline": True}


def inner(function: Function) -> Function:
    """Return `function` compiled, to be called by kernels only: it is compiled into each of them."""
    return cast("Function", njit(**INNER_OPTIONS)(function))


def rare(function: Function) -> Function:
    """Return `function` compiled, to be called by kernels where they seldom come: it stays out of their way."""
    return cast("Function", njit(**OPTIONS)(function))


def kernel(function: Function) -> Function:
    """Return `function` compiled for calls from Python, cached on disk."""
    return cast("Function", njit(cache=True, **OPTIONS)(_named(function)))


def parallel_kernel(function: Function) -> Function:
    """Return `function` compiled for calls from Python, cached on disk, its `prange` loops over all threads."""
    return cast("Function", njit(cache=True, parallel=True, error_model="numpy")(_named(function)))


def _named(function: Function) -> Function:
    """Return the function itself, under a name that is new whenever the sources are."""
    function.__qualname__ = f"{function.__qualname__}_{_SOURCES}"
    return function
