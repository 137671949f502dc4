"""Work on several cores by shares of games, results in the order of the shares.

Numbers depend on how many shares there are (sums are taken share by share), not on how fast each of them is worked on,
nor on whether they lie in threads of one process (`Workers`) or in processes of their own (`marl_meta.rl.processes`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numba
import torch

_SWITCH_SECONDS = 5e-5

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Outcome = TypeVar("_Outcome")


def _work_alone() -> None:
    """Keep this thread's operations and kernels to itself: the other cores have shares of their own."""
    torch.set_num_threads(1)
    numba.set_num_threads(1)


class Workers:
    """A pool of threads, each of which runs its tensor operations alone, until it is closed."""

    def __init__(self, count: int, processes: int = 1) -> None:
        """`count` shares are worked on in so many processes, each of which has as many threads as shares."""
        if count < 1:
            raise ValueError(f"a pool needs at least one worker, not {count}")
        self.count, self.processes = count, processes
        self._before = (torch.get_num_threads(), numba.get_num_threads(), sys.getswitchinterval())
        _work_alone()
        others = count // processes - 1
        self._pool = ThreadPoolExecutor(others, initializer=_work_alone) if others else None
        if others:
            # A thread that comes back from an operation waits so long for the interpreter's lock; the default, 5 ms,
            # is longer than most operations take.
            sys.setswitchinterval(_SWITCH_SECONDS)

    @property
    def leads(self) -> bool:
        """Whether this process writes what the run leaves behind."""
        return True

    def own(self, items: Sequence[_Item]) -> list[_Item]:
        """Return those of all shares' items that are worked on in this process."""
        return list(items)

    def map(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """Return `function` of every share's item, computed side by side, where `items` are this process's own."""
        return self.reduce(function, items, list)

    def reduce(
        self,
        function: Callable[[_Item], _Result],
        items: Iterable[_Item],
        combine: Callable[[list[_Result]], _Outcome],
    ) -> _Outcome:
        """Return `combine` of what `map` returns; the caller's thread takes the first item."""
        first, *others = items
        if self._pool is None:
            return combine([function(item) for item in (first, *others)])
        futures = [self._pool.submit(function, item) for item in others]
        return combine([function(first), *(future.result() for future in futures)])

    def announce(self, order: str) -> None:
        """Have the other processes, where there are some, take part in what comes next."""

    def close(self) -> None:
        """Stop the threads, and leave the process as it was before them."""
        if self._pool is not None:
            self._pool.shutdown()
        torch_threads, numba_threads, switch_seconds = self._before
        torch.set_num_threads(torch_threads)
        numba.set_num_threads(numba_threads)
        sys.setswitchinterval(switch_seconds)
