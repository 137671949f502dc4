"""What recording costs the loop that is recorded: both loops take turns, so that a busy machine slows both alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pytest
from mpe2 import simple_spread_v3, simple_tag_v3
from pettingzoo.classic.connect_four import connect_four

import marl_meta
from marl_meta.bench.machine import inspect_machine
from marl_meta.bench.report import Mark, Report, Table

REPEATS, EPISODES = 21, 8


def in_parallel(env: Any) -> None:
    for seed in range(EPISODES):
        env.reset(seed=seed)
        rng = np.random.default_rng(seed)
        while env.agents:
            env.step(dict(zip(env.agents, rng.integers(0, 5, len(env.agents)).tolist(), strict=True)))


def in_turns(env: Any) -> None:
    for seed in range(EPISODES):
        env.reset(seed=seed)
        rng = np.random.default_rng(seed)
        for agent in env.agent_iter():
            shown, _, terminated, truncated, _ = env.last()
            over = terminated or truncated
            mask = shown["action_mask"] if isinstance(shown, dict) else np.ones(env.action_space(agent).n)
            env.step(None if over else int(rng.choice(np.flatnonzero(mask))))


GAMES: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
    "mpe2 simple_tag, parallel": (simple_tag_v3.parallel_env, in_parallel),
    "mpe2 simple_spread, parallel": (simple_spread_v3.parallel_env, in_parallel),
    "our tag, parallel": (lambda: marl_meta.make("tag"), in_parallel),
    "mpe2 simple_tag, in turns": (simple_tag_v3.env, in_turns),
    "connect_four, in turns": (connect_four.env, in_turns),
}


def measured(make: Callable[[], Any], loop: Callable[[Any], None], folder: Any) -> tuple[float, float, float]:
    """Return the seconds of a loop, of a recorded one, and of a recorded one with the writing at its end."""
    env, bare, inside, whole = make(), [], [], []
    loop(env)
    for _ in range(REPEATS):
        started = time.perf_counter()
        loop(env)
        bare.append(time.perf_counter() - started)
        started = time.perf_counter()
        with marl_meta.record(env, folder / "game"):
            entered = time.perf_counter()
            loop(env)
            inside.append(time.perf_counter() - entered)
        whole.append(time.perf_counter() - started)
    return median(bare), median(inside), median(whole)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_recording_costs_a_loop_little(check_marks: Callable[[Report], None], tmp_path: Any) -> None:
    rows, marks, machine = [], [], inspect_machine()
    for name, (make, loop) in GAMES.items():
        bare, inside, whole = measured(make, loop, tmp_path)
        cost = 100 * (inside / bare - 1)
        rows.append((name, 1e3 * bare, cost, 100 * (whole / bare - 1)))
        if name.startswith("mpe2") and name.endswith("parallel"):
            marks.append(Mark(f"{name}: cost of recording within the loop, %", cost, most=10.0))
    columns = ("game", "loop, ms", "recording, %", "recording and writing, %")
    check_marks(Report("recording", machine, [Table("recording", "What recording costs", columns, rows)], marks))
