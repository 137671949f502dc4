"""Work on several cores by shares of games: one thread a share, results in the order of the shares.

Numbers depend on how many shares there are (sums are taken share by share), not on how fast each thread is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Workers:
    """A pool of threads, each of which runs its tensor operations alone."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"a pool needs at least one worker, not {count}")
        self.count = count
        self._pool = ThreadPoolExecutor(count - 1) if count > 1 else None
        torch.set_num_threads(1)

    def map(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """Return `function` of every item, computed side by side; the caller's thread takes the first."""
        first, *others = items
        if self._pool is None:
            return [function(item) for item in (first, *others)]
        futures = [self._pool.submit(function, item) for item in others]
        return [function(first), *(future.result() for future in futures)]

    def close(self) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown()
