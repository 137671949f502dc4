"""Work on several cores by shares of games: one thread a share, results in the order of the shares.

Numbers depend on how many shares there are (sums are taken share by share), not on how fast each thread is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numba
import torch

_SWITCH_SECONDS = 5e-5

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def _work_alone() -> None:
    """Keep this thread's operations and kernels to itself: the other cores have shares of their own."""
    torch.set_num_threads(1)
    numba.set_num_threads(1)


class Workers:
    """A pool of threads, each of which runs its tensor operations alone, until it is closed."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"a pool needs at least one worker, not {count}")
        self.count = count
        self._before = (torch.get_num_threads(), numba.get_num_threads(), sys.getswitchinterval())
        self._pool = ThreadPoolExecutor(count - 1, initializer=_work_alone) if count > 1 else None
        _work_alone()
        if count > 1:
            # A thread that comes back from an operation waits so long for the interpreter's lock; the default, 5 ms,
            # is longer than most operations take.
            sys.setswitchinterval(_SWITCH_SECONDS)

    def map(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """Return `function` of every item, computed side by side; the caller's thread takes the first."""
        first, *others = items
        if self._pool is None:
            return [function(item) for item in (first, *others)]
        futures = [self._pool.submit(function, item) for item in others]
        return [function(first), *(future.result() for future in futures)]

    def close(self) -> None:
        """Stop the threads, and leave the process as it was before them."""
        if self._pool is not None:
            self._pool.shutdown()
        torch_threads, numba_threads, switch_seconds = self._before
        torch.set_num_threads(torch_threads)
        numba.set_num_threads(numba_threads)
        sys.setswitchinterval(switch_seconds)
