"""The whole policy's update beside its matrix products alone: how far from the least that it could take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import numpy as np
import torch

from marl_meta.bench.products import Product, make_replay, record_products
from marl_meta.bench.report import Mark, Row, Table
from marl_meta.bench.timing import Case, interleave, slower
from marl_meta.config import Config, load_config
from marl_meta.rl.ppo import PpoSettings, update
from marl_meta.rl.sharding import Workers
from marl_meta.rollout import Collector
from marl_meta.train.build import assemble, resolve
from marl_meta.train.learner import Learner
from marl_meta.types import UserError

TIMES_PRODUCTS = 2.0
"""Mark: an update takes at most so many times as long as its matrix products."""


def bench_update(
    num_games: Sequence[int], threads: Sequence[int], *, seconds: float, repeats: int
) -> tuple[Table, list[Mark]]:
    """Return the time of a PPO step on one minibatch of spread, of its matrix products, and their ratio."""
    rows: list[Row] = []
    marks = []
    for games, count in product(num_games, threads):
        row = _measure(games, count, seconds, repeats)
        rows.append((games, count, *row))
        name = f"policy update, {games} games, {count} threads: times its matrix products"
        marks.append(Mark(name, row[-1], most=TIMES_PRODUCTS))
    return _table(rows), marks


def check_games(num_games: Sequence[int], threads: Sequence[int]) -> None:
    """Raise UserError unless so many games divide evenly between threads and minibatches."""
    for games, count in product(num_games, threads):
        parts = count * _config(games, count).algorithm.minibatches
        if games % parts:
            raise UserError(
                f"An update of {games} games cannot be measured: minibatches must be equal, so multiples of "
                f"{parts} (threads times minibatches) are allowed."
            )


def _config(num_games: int, threads: int) -> Config:
    overrides = ["game=spread", f"game.num_games={num_games}", f"train.threads={threads}", "train.device=cpu"]
    return resolve(load_config(overrides))


def _measure(num_games: int, threads: int, seconds: float, repeats: int) -> tuple[int, float, float, float, float]:
    config = _config(num_games, threads)
    minibatches = config.algorithm.minibatches
    workers = Workers(config.train.threads)
    try:
        improve, agent_steps = _updater(config, workers)
        products = _of_one_minibatch(record_products(improve), minibatches)
        replays = [make_replay(products) for _ in range(config.train.threads)]
        cases = {
            "update": Case(improve, partial(torch.set_num_threads, 1), work=minibatches),
            "products": Case(lambda: workers.map(_call, replays), partial(torch.set_num_threads, 1)),
        }
        timings = interleave(cases, seconds=seconds, repeats=repeats)
    finally:
        workers.close()
    step, alone = timings["update"].seconds / minibatches, timings["products"].seconds
    operations = sum(product.operations for product in products) * len(replays)
    ratio = slower(timings["update"], timings["products"])
    return agent_steps // minibatches, step * 1e3, alone * 1e3, operations / alone / 1e9, ratio


def _call(function: Callable[[], None]) -> None:
    function()


def _updater(config: Config, workers: Workers) -> tuple[Callable[[], object], int]:
    """Return a function that improves the policy by one epoch on experience that was just collected, and its size."""
    cast = assemble(config)
    (learner,) = cast.learners.values()
    (name,) = cast.learners
    assert isinstance(learner, Learner)
    collectors = [collector for collector in cast.collectors if isinstance(collector, Collector)]
    shares = [collector.collect(config.train.horizon)[0][name] for collector in collectors]
    algorithm = config.algorithm
    for share in shares:
        share.estimate(learner.normaliser, algorithm.gamma, algorithm.gae_lambda)
    settings = PpoSettings(clip=algorithm.clip, epochs=1, minibatches=algorithm.minibatches)
    order = np.random.default_rng(0)
    agent_steps = sum(share.action.numel() for share in shares)
    return lambda: update(learner.policy, learner.optimiser, shares, settings, order, workers), agent_steps


def _of_one_minibatch(products: list[Product], minibatches: int) -> list[Product]:
    """Return the products of the first of several equal minibatches."""
    count = len(products) // minibatches
    assert products[:count] * minibatches == products
    return products[:count]


def _table(rows: list[Row]) -> Table:
    title = "A PPO step on one minibatch (spread N = 3, relational policy with GRU) beside its matrix products alone"
    columns = ("num_games", "threads", "agent_steps", "update_ms", "products_ms", "gflops_of_products", "times")
    notes = (
        "update: gathering the minibatch, forward, losses, backward, clipping, Adam.",
        "products: those of the forward and the backward pass, recorded from it and replayed in memory made before.",
    )
    return Table("update", title, columns, rows, notes)
