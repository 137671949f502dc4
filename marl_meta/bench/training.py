"""`marl-meta bench train`: training end to end, its memory, and how soon it reaches what others reach."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TypeVar

from marl_meta.allocator import keep_freed_memory
from marl_meta.bench.benchmarl import benchmarl_speed
from marl_meta.bench.curve import EPISODES, REACHED_BY_OTHERS, THRESHOLDS, WITHIN, Curve, run_curve
from marl_meta.bench.machine import inspect_machine
from marl_meta.bench.report import Mark, Report, Row, Say, Table
from marl_meta.config import Config, load_config
from marl_meta.interop.peers import installed
from marl_meta.train.build import resolve
from marl_meta.train.folder import RunFolder
from marl_meta.train.replica import open_trainer
from marl_meta.train.trainer import Metrics

NUM_GAMES = (128, 1024)
AGENT_STEPS_PER_SECOND = 30e3
"""Mark (absolute, 2 cores), at the number of games that training has by default."""
MOST_MEMORY, MEMORY_GAMES = 2 * 1024.0, 1024
"""Mark: MiB that training may take at most with so many games."""
WARM_UP = 2
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a training goes: medians over iterations, and the most memory that it took."""

    agent_steps_per_second: float
    collect_seconds: float
    update_seconds: float
    cpu_microseconds: float
    """Processor time of an agent-step: that of the leading process times how many there are, as all do the same."""
    peak_mib: float
    """Memory, reckoned in the same way."""
    iterations: int


def bench_training(
    num_games: Sequence[int] = NUM_GAMES,
    *,
    seconds: float = 10.0,
    curve_seconds: float | None = None,
    overrides: Sequence[str] = (),
    say: Say,
) -> Report:
    """Return the speed of training spread by the number of games, each in processes of its own, and its memory.

    `overrides` are of the config. With `curve_seconds`, a training of that length follows, and when it reached what.
    """
    machine = inspect_machine()
    rows: list[Row] = []
    marks: list[Mark] = []
    config = _config(overrides)
    usual = config.game.num_games
    for games in num_games:
        say(f"training spread, {games} games, {seconds:g} s")
        chosen = [*overrides, f"game.num_games={games}"]
        speed = _apart(measure_speed, chosen, seconds)
        rows.append(("ours", games, *_cells(speed)))
        if games == usual:
            name = f"training, {games} games: agent-steps/s"
            marks.append(Mark(name, speed.agent_steps_per_second, AGENT_STEPS_PER_SECOND, portable=False))
        if games == MEMORY_GAMES:
            marks.append(Mark(f"training, {games} games: peak memory in MiB", speed.peak_mib, most=MOST_MEMORY))
    with_peer = installed("benchmarl")
    if with_peer:
        say("BenchMARL")
        peer = _apart(
            benchmarl_speed, usual, config.train.horizon, config.algorithm.epochs, config.algorithm.minibatches
        )
        rows.append(("BenchMARL IPPO GNN", usual, peer, None, None, None, None, None))
    tables = [_speed_table(rows, with_peer)]
    if curve_seconds is not None:
        say(f"training spread for {curve_seconds:g} s")
        curve = _apart(run_curve, list(overrides), curve_seconds)
        tables.append(_curve_table(curve))
        marks += _curve_marks(curve)
    return Report("train", machine, tables, marks)


def measure_speed(overrides: Sequence[str], seconds: float) -> Speed:
    """Return how fast a training goes over about `seconds`, after the iterations that compile and warm up."""
    keep_freed_memory()
    config = _config(overrides)
    with open_trainer(config, RunFolder(Path("unwritten"))) as trainer:
        for _ in range(WARM_UP):
            trainer.iterate()
        timings: list[Metrics] = []
        until, cpu = time.monotonic() + seconds, time.process_time()
        while not timings or time.monotonic() < until:
            timings.append(trainer.iterate()[1])
        cpu = (time.process_time() - cpu) * trainer.workers.processes
        memory = peak_memory() * trainer.workers.processes
    agents = trainer.cast.collectors[0].game.num_agents
    steps = config.game.num_games * config.train.horizon * agents
    names = ("env_steps_per_second", "collect_seconds", "update_seconds")
    rate, collect, update = (median(float(row[name] or 0.0) for row in timings) for name in names)
    return Speed(rate * agents, collect, update, 1e6 * cpu / steps / len(timings), memory, len(timings))


def peak_memory() -> float:
    """Return the most memory that this process ever held, in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage also counts the process that this one was forked from
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def _config(overrides: Sequence[str]) -> Config:
    return resolve(load_config(["game=spread", "train.device=cpu", *overrides]))


def _apart(function: Callable[..., _Result], *arguments: object) -> _Result:
    """Return what a function returns in a new process, whose memory is its own and whose prints are messages."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_quietly, function, arguments).result()


def _quietly(function: Callable[..., _Result], arguments: tuple[object, ...]) -> _Result:
    with redirect_stdout(sys.stderr):
        return function(*arguments)


def _cells(speed: Speed) -> tuple[float, ...]:
    return (
        speed.agent_steps_per_second, 1e3 * speed.collect_seconds, 1e3 * speed.update_seconds, speed.cpu_microseconds,
        speed.peak_mib, speed.iterations,
    )  # fmt: skip


def _speed_table(rows: list[Row], with_peer: bool) -> Table:
    notes = ["An iteration is a rollout of the horizon and an update of all epochs; medians over iterations."]
    notes.append(
        "BenchMARL: VMAS's simple_spread, no memory, the same numbers of games, steps, epochs and minibatches."
        if with_peer
        else "Not installed here, so not measured: BenchMARL."
    )
    columns = (
        "system", "num_games", "agent_steps_per_second", "collect_ms", "update_ms", "cpu_us_per_agent_step", "peak_mib",
        "iterations",
    )  # fmt: skip
    return Table("speed", "Training spread end to end (N = 3, relational policy with GRU)", columns, rows, tuple(notes))


def _curve_table(curve: Curve) -> Table:
    rows: list[Row] = []
    for threshold in THRESHOLDS:
        reached = curve.reached.get(threshold)
        others = "; ".join(f"{name} {seconds:g} s" for name, seconds in REACHED_BY_OTHERS.get(threshold, {}).items())
        rows.append((threshold, reached, WITHIN[threshold], others or "nobody"))
    rows.append(("last", curve.last, None, ""))
    notes = (
        f"{curve.env_steps} env-steps in {curve.seconds:.0f} s. Returns: team sums, means of {EPISODES} episodes.",
        "Random play earns -80.5, a greedy fixed assignment -26.",
        "Others' figures were recorded elsewhere: on a 2-core AMD EPYC (Zen 4) without a GPU, on mpe2's scale.",
    )
    columns = ("return", "ours_seconds", "wanted_seconds", "others")
    return Table("curve", "Wall-clock to reach a return of simple_spread", columns, rows, notes)


def _curve_marks(curve: Curve) -> list[Mark]:
    """Return a mark for each return that the training had the time to reach."""
    never = float("inf")
    return [
        Mark(f"training: seconds to reach {goal:g}", curve.reached.get(goal, never), most=within, portable=False)
        for goal, within in WITHIN.items()
        if curve.seconds >= within or goal in curve.reached
    ]
