"""A pool of workers gives results in order, and passes errors on."""

from __future__ import annotations

import sys
import threading

import numba
import numpy as np
import pytest
import torch

from marl_meta.games import make_vec
from marl_meta.rl.sharding import Workers
from marl_meta.types import VectorGame


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


def test_each_thread_works_alone_and_the_process_is_left_as_it_was() -> None:
    before = (torch.get_num_threads(), numba.get_num_threads(), sys.getswitchinterval())
    workers = Workers(2)
    both = threading.Barrier(2)

    def count(_: int) -> tuple[int, int]:
        both.wait(10)
        return torch.get_num_threads(), numba.get_num_threads()

    assert workers.map(count, range(2)) == [(1, 1), (1, 1)]
    workers.close()
    assert (torch.get_num_threads(), numba.get_num_threads(), sys.getswitchinterval()) == before


def test_two_large_shares_step_side_by_side() -> None:
    games = [make_vec("spread", num_games=4096, first_game=first) for first in (0, 4096)]
    workers = Workers(2)
    actions = np.zeros((4096, 3), np.int64)

    def play(game: VectorGame) -> float:
        game.reset()
        return sum(float(game.step(actions).reward.sum()) for _ in range(30))

    together = workers.map(play, games)
    workers.close()
    assert together == [play(game) for game in [make_vec("spread", num_games=4096, first_game=f) for f in (0, 4096)]]
