"""A pool of workers gives results in order, and passes errors on."""

from __future__ import annotations

import threading

import pytest

from marl_meta.rl.sharding import Workers


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_the_order_of_the_items(count: int) -> None:
    workers = Workers(count)
    assert workers.map(lambda item: item * item, [3, 1, 2, 5]) == [9, 1, 4, 25]
    workers.close()


def test_items_run_side_by_side() -> None:
    workers, both = Workers(2), threading.Barrier(2, timeout=10)
    workers.map(lambda _: both.wait(), [0, 1])  # neither returns before the other has come
    workers.close()


@pytest.mark.parametrize("guilty", [0, 1])
def test_an_error_in_a_worker_is_raised(guilty: int) -> None:
    def work(item: int) -> None:
        if item == guilty:
            raise ArithmeticError("no")

    workers = Workers(2)
    with pytest.raises(ArithmeticError):
        workers.map(work, [0, 1])
    workers.close()


def test_a_pool_needs_a_worker() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Workers(0)
