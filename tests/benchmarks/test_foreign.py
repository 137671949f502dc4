"""What a player in a process of its own costs a move: a trivial agent, four agents that see thirty numbers each."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

import numpy as np

from marl_meta.bench.machine import inspect_machine
from marl_meta.bench.report import Mark, Report, Table
from marl_meta.tournament.outsiders.player import Choice, SeriesInfo
from marl_meta.tournament.outsiders.process import ExecPlayer, ForeignPlayer

MOVES = 2000
AGENTS = tuple(f"red_{number}" for number in range(4))
INFO = SeriesInfo(
    "duel", "red", 1, AGENTS, dict.fromkeys(AGENTS, "red"), dict.fromkeys(AGENTS, Choice(5))
)  # fmt: skip
NATIVE = """
class Trivial:
    def reset(self, agents, info, seed): pass
    def act(self, observations, infos, step): return dict.fromkeys(observations, 1)
"""
PROGRAM = """
import json, sys
for line in sys.stdin:
    print(json.dumps({"action": dict.fromkeys(json.loads(line)["obs"], 1)}), flush=True)
"""


def measured(player: ForeignPlayer | ExecPlayer) -> tuple[float, float, float]:
    """Return the seconds of a start, and the median and the 99th percentile of a move."""
    rng = np.random.default_rng(0)
    observations = {agent: rng.standard_normal(30).astype(np.float32) for agent in AGENTS}
    infos = {agent: {"action_mask": np.ones(5, np.int8)} for agent in AGENTS}
    began = time.perf_counter()
    player.start_series(INFO)
    player.reset(list(AGENTS), {"game": 0}, seed=0)
    player.act(observations, infos, 0)
    start, taken = time.perf_counter() - began, []
    for step in range(1, MOVES + 1):
        began = time.perf_counter()
        player.act(observations, infos, step)
        taken.append(time.perf_counter() - began)
    player.close()
    return start, median(taken), quantiles(taken, n=100)[-1]


def test_a_foreign_player_costs_a_move_little(check_marks: Callable[[Report], None], tmp_path: Path) -> None:
    machine, rows, marks = inspect_machine(), [], []
    (tmp_path / "trivial.py").write_text(NATIVE, encoding="utf-8")
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    players = {
        "Python code": ForeignPlayer(f"{tmp_path / 'trivial.py'}:Trivial"),
        "a program": ExecPlayer(f"{sys.executable} -E {tmp_path / 'program.py'}"),
    }
    for name, player in players.items():
        start, usual, slow = measured(player)
        rows.append((name, 1e3 * start, 1e3 * usual, 1e3 * slow))
        marks.append(Mark(f"{name}: a move, ms", 1e3 * usual, most=1.0, portable=False))
    columns = ("player", "start, ms", "move, ms (median)", "move, ms (99th percentile)")
    check_marks(Report("foreign", machine, [Table("foreign", "What foreign players cost", columns, rows)], marks))
