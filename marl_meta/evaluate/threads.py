"""How many threads play."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from marl_meta.allocator import keep_freed_memory


@contextmanager
def single_threaded() -> Iterator[None]:
    """Have torch use one thread: its pool is several times slower for small batches where other work is going on."""
    keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
