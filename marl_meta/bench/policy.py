"""`marl-meta bench policy`: the layer beside torch-geometric's, and the update beside its matrix products."""

from __future__ import annotations

from collections.abc import Sequence

from marl_meta.bench.layer import bench_layer
from marl_meta.bench.machine import inspect_machine
from marl_meta.bench.report import Report, Say
from marl_meta.bench.update import bench_update, check_games
from marl_meta.wording import listed

NODES = (6, 12)
GRAPHS = 1024
NUM_GAMES = (128, 1024)


def bench_policy(
    num_games: Sequence[int] = NUM_GAMES,
    *,
    graphs: int = GRAPHS,
    seconds: float = 1.5,
    repeats: int = 7,
    say: Say,
) -> Report:
    """Return the times of a layer on so many graphs, and of PPO steps of so many games, on one thread and on two."""
    machine = inspect_machine()
    threads: Sequence[int] = (1, 2) if machine.cores > 1 else (1,)
    check_games(num_games, threads)
    say(f"one layer, {graphs} graphs")
    layer, layer_marks = bench_layer(NODES, graphs, threads, seconds=seconds, repeats=repeats)
    say(f"the policy's update, {listed(map(str, num_games))} games")
    update, update_marks = bench_update(num_games, threads, seconds=seconds, repeats=repeats)
    return Report("policy", machine, [layer, update], [*layer_marks, *update_marks])
