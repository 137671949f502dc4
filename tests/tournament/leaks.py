"""Many games with people from outside, most of whom do something wrong, and what they leave behind."""

from __future__ import annotations

import gc
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from marl_meta.evaluate.ground import ThirdPartyGame
from marl_meta.tournament.drawing_up import draw_up
from marl_meta.tournament.plan import Plan
from marl_meta.tournament.playing import play_chunk
from marl_meta.tournament.running import enter
from marl_meta.tournament.schedule import chunks, fixed_tables

from .outsiders.foreign import started_in

LIMITS = {"act_seconds": 0.5, "bank_seconds": 0.2, "grace_seconds": 0.02, "close_seconds": 0.2}
GAMES = Path(__file__).parents[1] / "interop" / "tiny_games.py"
BEHAVIOURS = """
import os, subprocess, tempfile, time

class Good:
    def __init__(self): self.moves = 0
    def reset(self, agents, info, seed): tempfile.mkstemp()
    def act(self, observations, infos, step):
        self.moves += 1
        actions = {}
        for agent, shown in observations.items():
            mask = shown["action_mask"] if isinstance(shown, dict) else infos[agent].get("action_mask", [1])
            actions[agent] = [i for i, allowed in enumerate(mask) if allowed][0]
        return actions

class Crashes(Good):
    def act(self, observations, infos, step):
        if self.moves % 3 == 2:
            self.moves += 1
            raise RuntimeError("broken")
        return super().act(observations, infos, step)

class Hangs(Good):
    def act(self, observations, infos, step):
        subprocess.Popen(["sleep", "60"])
        time.sleep(60)

class Floods(Good):
    def act(self, observations, infos, step):
        print("noise " * 100_000)
        return {agent: "x" * (1 << 21) for agent in observations}
"""
PROGRAM = """
import json, os, sys
turns = 0
for line in sys.stdin:
    turns += 1
    if turns == 4:
        os.kill(os.getpid(), 9)
    obs = json.loads(line)["obs"]
    masks = {agent: shown.get("action_mask", [1]) for agent, shown in obs.items()}
    print(json.dumps({"action": {agent: mask.index(1) for agent, mask in masks.items()}}), flush=True)
"""


@dataclass(frozen=True)
class Left:
    """What is there after many games that was not there before."""

    games: int
    seconds: float
    forfeits: dict[str, int]
    processes: int
    open_files: int
    threads: int
    temporary: int
    mebibytes: float
    """Of memory that is held."""


def entrants(folder: Path) -> list[str]:
    (folder / "behaviours.py").write_text(BEHAVIOURS)
    (folder / "program.py").write_text(PROGRAM)
    names = ("Good", "Crashes", "Hangs", "Floods")
    program = f"exec:{sys.executable} -E {folder}/program.py"
    return [*(f"{name.lower()}={folder}/behaviours.py:{name}" for name in names), program]


def plans(folder: Path, seeds: int) -> list[Plan]:
    """Return plans of 20 games a seed each: on a third-party game, and on a family of ours."""
    options: dict[str, Any] = {"teams": entrants(folder), "games": 1, "seeds": seeds, "limits": LIMITS, "replays": 1}
    pile = draw_up(game=[ThirdPartyGame(f"{GAMES}:Pile")], **options)
    return [pile, draw_up(game="harvest", variants=1, **options)]


def play_many(folder: Path, monkeypatch: pytest.MonkeyPatch, seeds: int) -> Left:
    """Play 40 games a seed, one after the other; returns what they left behind."""
    scratch = folder / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    halls = [enter(plan) for plan in plans(folder, seeds)]
    todo = [(hall, one) for hall in halls for one in _chunks(hall.plan, list(hall.roles))]
    for hall in halls:  # whatever is set up once is no leak
        play_chunk(hall, next(iter(_chunks(hall.plan, list(hall.roles)))))
    before = _there()
    began, games = time.monotonic(), 0
    forfeits: dict[str, int] = {}
    for hall, chunk in todo:
        result, _ = play_chunk(hall, chunk)
        games += next(iter(result.returns.values())).size
        for fault in result.forfeits:
            forfeits[fault.kind] = forfeits.get(fault.kind, 0) + 1
    seconds = time.monotonic() - began
    after = _there()
    changed = [now - was for now, was in zip(after, before, strict=True)]
    started = started_in(scratch)  # whoever their parent is
    return Left(
        games, seconds, forfeits, max(int(changed[0]), len(started)), int(changed[1]), int(changed[2]),
        len(list(scratch.iterdir())), changed[3] / 2**20,
    )  # fmt: skip


def _chunks(plan: Plan, sides: list[str]) -> Any:
    return chunks(plan, sides, fixed_tables(plan, sides))


def _there() -> tuple[float, ...]:
    gc.collect()
    us = psutil.Process()
    return len(us.children(recursive=True)), us.num_fds(), threading.active_count(), us.memory_info().rss
