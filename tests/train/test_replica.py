"""A run whose shares have processes of their own leaves the same behind as one of threads, and nobody running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from marl_meta.config import load_config
from marl_meta.rl.processes import LeadingProcess
from marl_meta.team import load_team
from marl_meta.train import replica as replicas
from marl_meta.train import resume, train
from marl_meta.train import trainer as trainers
from marl_meta.train.build import resolve
from marl_meta.train.checkpoint import read_newest
from marl_meta.types import UserError

Overrides = Callable[..., list[str]]

HARVEST = {"game": "harvest", "game__split": "payoffs_train", "game__episodes_per_trial": 2}
RUNS: dict[str, dict[str, Any]] = {
    "three shares and a curriculum": {
        "game__split": "train",
        "schedule": "regret",
        "train__threads": 3,
        "train__evaluate_every": 4,
    },
    "beliefs and examples": {**HARVEST, "meta": "episodic", "train__horizon": 50, "train__steps": 900},
    "guesses": {**HARVEST, "meta": "rl2", "meta__auxiliary": 0.5, "train__steps": 120},
    "latents": {**HARVEST, "meta": "leo", "game__num_games": 4, "train__horizon": 50, "train__steps": 400},
}


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have even the shortest runs use processes."""
    monkeypatch.setattr(replicas, "MANY_STEPS", 1)


def followers_first(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have the other processes run some code before they follow."""
    monkeypatch.setattr(replicas, "_PROGRAM", replicas._PROGRAM.replace("follow(", f"{code}\nfollow("))


def others() -> list[psutil.Process]:
    """Return the processes below this one that follow a run."""
    found = []
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any("marl_meta.train.replica" in word for word in one.cmdline()):
                found.append(one)
    return found


def left_behind(folder: Path) -> tuple[bytes, dict[str, np.ndarray], str]:
    """Return what a run's numbers came to: its metrics, its last checkpoint's arrays, and its team."""
    checkpoint = read_newest(folder / "checkpoints")
    assert checkpoint is not None
    return (folder / "metrics.jsonl").read_bytes(), checkpoint.arrays, load_team(folder).fingerprint()


def same(one: Path, other: Path) -> None:
    (metrics, arrays, team), (their_metrics, their_arrays, their_team) = left_behind(one), left_behind(other)
    assert metrics == their_metrics
    assert arrays.keys() == their_arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, their_arrays[name], err_msg=name)
    assert team == their_team


@pytest.mark.parametrize("settings", RUNS.values(), ids=RUNS)
def test_numbers_are_those_of_threads(
    overrides: Overrides, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    threads = train(overrides("threads", **settings), quiet=True).folder
    monkeypatch.setattr(replicas, "MANY_STEPS", 1)
    started, start = [], replicas._start
    monkeypatch.setattr(replicas, "_start", lambda *given: started.append(given[-1]) or start(*given))
    same(threads, train(overrides("processes", **settings), quiet=True).folder)
    assert started == list(range(1, settings.get("train__threads", 2)))
    assert others() == []


def test_who_uses_processes(overrides: Overrides) -> None:
    def workers(**changes: Any) -> bool:
        config = resolve(load_config(overrides(**{"train__steps": 200_000, **changes})))
        chosen = replicas.choose_workers(config)
        chosen.close()
        assert chosen.count == config.train.threads
        return isinstance(chosen, LeadingProcess)

    assert workers()
    assert not workers(train__steps=199_999)
    assert not workers(train__threads=1)
    assert not workers(league="uniform")
    assert workers(game="pettingzoo", game__entry_point="games.py:Own")
    assert not workers(game="pettingzoo", game__entry_point="__main__:Own")  # which no other process has


@pytest.mark.usefixtures("processes")
def test_a_run_whose_other_process_is_killed_stops_and_goes_on(
    overrides: Overrides, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    start, started = replicas._start, []

    def kill_later(*arguments: Any) -> Any:
        other = start(*arguments)
        started.append(other.process)
        return other

    monkeypatch.setattr(replicas, "_start", kill_later)
    collect = replicas.Trainer._collect

    def kill(self: Any, *given: Any) -> Any:
        if self.iteration == 5:
            started[-1].kill()
        return collect(self, *given)

    monkeypatch.setattr(replicas.Trainer, "_collect", kill)
    with pytest.raises(UserError, match=r"share 2 of 2 of the games has ended \(it was killed"):
        train(overrides("broken"), quiet=True)
    assert others() == []
    monkeypatch.setattr(replicas.Trainer, "_collect", collect)
    folder = resume(load_config(overrides("broken")).run_dir, quiet=True, trust=True).folder
    monkeypatch.undo()
    same(folder, train(overrides("unbroken"), quiet=True).folder)
    assert "Traceback" not in capfd.readouterr().err


SCRIPT = """
import sys
from marl_meta.train import replica, train
replica.MANY_STEPS = 1
train(sys.argv[1:], quiet=True)
"""


def start_script(tmp_path: Path, settings: list[str]) -> subprocess.Popen[bytes]:
    """Run a script that trains without a guard against being imported again."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with (tmp_path / "errors").open("wb") as errors:
        return subprocess.Popen([sys.executable, str(script), *settings], cwd=tmp_path, stderr=errors)


def wait_for(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nobody_follows_a_run_that_was_ended(overrides: Overrides, tmp_path: Path, how: signal.Signals) -> None:
    script = start_script(tmp_path, overrides(train__steps=10**9, train__threads=3))
    folder = tmp_path / "runs" / "run"
    wait_for(lambda: (folder / "metrics.jsonl").is_file() and (folder / "metrics.jsonl").read_bytes().count(b"\n") >= 5)
    following = psutil.Process(script.pid).children(recursive=True)
    assert len(following) == 2
    for one in following:
        assert os.getpgid(one.pid) != os.getpgid(script.pid)  # Ctrl-C does not reach it
        if how is signal.SIGTERM:  # as from whatever ends a whole job
            one.send_signal(how)
    script.send_signal(how)
    script.wait(60)
    assert psutil.wait_procs(following, 30)[1] == []
    if how is signal.SIGTERM:
        assert script.returncode == 0
        checkpoint = read_newest(folder / "checkpoints")
        assert checkpoint is not None
        assert checkpoint.values["iteration"] == (folder / "metrics.jsonl").read_bytes().count(b"\n")
    assert "Traceback" not in (tmp_path / "errors").read_text()


@pytest.mark.usefixtures("processes")
def test_what_is_wrong_in_another_process_is_told(overrides: Overrides, monkeypatch: pytest.MonkeyPatch) -> None:
    followers_first(monkeypatch, "import marl_meta.train.replica as replicas; replicas.assemble = None")
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        train(overrides(), quiet=True)
    assert others() == []


JUMPS = """
import marl_meta.train.trainer as trainers
trainers._divergence = lambda metrics: "it jumped" if metrics["iteration"] == 6 else None
"""


@pytest.mark.usefixtures("processes")
def test_who_leads_alone_keeps_what_was_good(
    overrides: Overrides, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    followers_first(monkeypatch, JUMPS)
    monkeypatch.setattr(trainers, "_divergence", trainers._divergence)  # to be put back
    exec(JUMPS)  # noqa: S102 (ours)
    settings = overrides(train__checkpoint_iterations=1)
    with pytest.raises(UserError, match=r"diverged: it jumped\. The last good checkpoint, of iteration 5, is kept"):
        train(settings, quiet=True)
    checkpoint = read_newest(load_config(settings).run_dir / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.values["iteration"] == 5
    assert others() == []
    assert "diverged" not in capfd.readouterr().err


WEIGHTS = """
import zlib
zlib.crc32 = lambda *_: 1
"""
CURRICULUM = """
import marl_meta.train.schedule as schedules
schedules.Schedule.note = lambda *_: None
"""


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("code", [WEIGHTS, CURRICULUM])
def test_processes_that_come_to_something_else_are_found_out(
    overrides: Overrides, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    followers_first(monkeypatch, code)
    with pytest.raises(RuntimeError, match="the processes of run have learnt different things"):
        train(overrides(game__split="train", schedule="regret"), quiet=True)
    assert others() == []


@pytest.mark.usefixtures("processes")
def test_a_process_that_cannot_be_started(overrides: Overrides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(
        UserError, match=r"share 2 of the games: .*/nowhere/python'. A run with train\.threads=1 needs none"
    ):
        train(overrides(), quiet=True)
