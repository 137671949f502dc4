"""Whatever an entrant does wrong ends in the right Fault, soon, and leaves nothing behind."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from marl_meta.tournament.outsiders.answers import checked
from marl_meta.tournament.outsiders.limits import Limits
from marl_meta.tournament.outsiders.logs import Log
from marl_meta.tournament.outsiders.player import Fault
from marl_meta.tournament.outsiders.process import ForeignPlayer, open_player
from marl_meta.tournament.outsiders.wire import encode_lists
from marl_meta.types import UserError

from .entrants.bad import Answers
from .foreign import ENTRANTS, INFO, INFOS, OBSERVATIONS, nothing_left, started_in

LIMITS = Limits(act_seconds=30, bank_seconds=0, memory_mib=640)
HASTY = Limits(reset_seconds=0.4, act_seconds=0.3, bank_seconds=0.3, close_seconds=0.3, memory_mib=640)
SOON = 20.0
"""Seconds: far more than anything here takes, on a machine that others use too."""


def player(symbol: str, limits: Limits = LIMITS, seed: int = 0) -> ForeignPlayer:
    return ForeignPlayer(f"{ENTRANTS / 'bad.py'}:{symbol}", limits, seed)


def begin(one: ForeignPlayer) -> ForeignPlayer:
    one.start_series(INFO)
    one.reset(["red_0", "red_1"], {"game": 0}, seed=1)
    return one


def fault_of(symbol: str, folder: Path, limits: Limits = LIMITS, step: int = 0) -> tuple[Fault, str]:
    """Return the fault of an entrant at a step, and its logs."""
    with nothing_left(folder):
        one = begin(player(symbol, limits))
        started = time.monotonic()
        with pytest.raises(Fault) as caught:
            one.act(OBSERVATIONS, INFOS, step)
        assert time.monotonic() - started < SOON
        assert not one.running
    return caught.value, one.logs


def test_a_good_one_plays(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        one = begin(player("Good"))
        for step in range(3):
            actions = one.act(OBSERVATIONS, INFOS, step)
            assert actions["red_0"] == 2 and type(actions["red_0"]) is int
            assert isinstance(actions["red_1"], np.ndarray) and actions["red_1"].dtype == np.float32
            np.testing.assert_array_equal(actions["red_1"], [0.5, -0.5])
            one.observe({"red_0": 1.0, "red_1": 0.0}, {}, {})
        assert one.act({"red_1": [0.0]}, {}, 3).keys() == {"red_1"}  # only who acts
        one.close()
        one.close()


@pytest.mark.parametrize(
    ("symbol", "kind", "says"),
    [
        ("Raises", "crash", r"bad failed in act: ValueError: no \[31m idea at all\."),
        ("Exits", "crash", "SystemExit: 3"),
        ("ExitsAtOnce", "crash", "ended with exit status 5"),
        ("Segfaults", "crash", "ended by signal SIGSEGV"),
        ("ClosesPipes", "crash", "closed its connection"),
        ("KillsGuardian", "crash", "was lost"),
        ("ForksAndDies", "crash", "ended with exit status 1"),
        ("Loops", "timeout", "did not answer at step 0 within 0.60 s"),
        ("FloodsForever", "timeout", "did not answer at step 0"),
        ("HugeAnswer", "flood", "longer than 1048576 bytes"),
        ("WritesForever", "flood", "longer than 1048576 bytes"),
        ("Malformed", "shape", "cannot be read as JSON"),
        ("Forged", "shape", "answers nothing that it was asked"),
        ("NestedRaw", "shape", "cannot be read as JSON"),
        ("Nested", "shape", "cannot be written as JSON"),
        ("NestedSome", "shape", "no array of numbers"),
        ("TakesMemory", "memory", "ran out of the memory"),
    ],
)
def test_what_it_does_wrong_is_named(symbol: str, kind: str, says: str, tmp_path: Path) -> None:
    fault, _ = fault_of(symbol, tmp_path, replace(LIMITS, act_seconds=0.6) if kind == "timeout" else LIMITS)
    assert fault.kind == kind, fault
    with pytest.raises(Fault, match=says):
        raise fault


CASES = {
    0: ("nan", "is nan"), 1: ("nan", "not finite"), 2: ("shape", "no action of red_1"), 3: ("shape", "for 'blue_0'"),
    4: ("illegal", "is 0, which is not allowed now; allowed are 1, 2, 3"), 5: ("illegal", "is 4; there are 0 to 3"),
    6: ("illegal", "is -1"), 7: ("shape", r"the shape \[3\]; it must have \[2\]"), 8: ("shape", "no array of numbers"),
    9: ("illegal", "has 2, which is not between -1 and 1"), 10: ("shape", "is nothing, which"), 11: ("shape", "is '1'"),
    12: ("shape", "is True"), 13: ("shape", "is 1.5"), 14: ("shape", r"is \[1\]"), 15: ("shape", "no array"),
    16: ("shape", "no array"), 17: ("illegal", "are 0 to 3"), 18: ("shape", "no array"), 19: ("nan", "not finite"),
    20: ("shape", "answered nothing"), 21: ("shape", "answered 3"), 22: ("shape", r"answered \[1, 2\]"),
    23: ("shape", "cannot be written as JSON"), 24: ("shape", "cannot be written as JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_answers_that_cannot_be_played(case: int) -> None:
    kind, says = CASES[case]
    masks = {agent: info.get("action_mask") for agent, info in INFOS.items()}
    try:
        answer = json.loads(encode_lists({"actions": Answers.CASES[case]}))["actions"]
    except TypeError:
        assert says == "cannot be written as JSON"
        return
    with pytest.raises(Fault, match=says) as caught:
        checked("bad", answer, INFO.actions, masks)
    assert caught.value.kind == kind


def test_answers_that_cannot_be_played_end_the_process(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        one = player("Answers")
        one.start_series(INFO)
        for case in (0, 1, 2, 4, 20, 23, 24):
            kind, says = CASES[case]
            one.reset(["red_0", "red_1"], {"game": case}, seed=1)
            with pytest.raises(Fault, match=says) as caught:
                one.act(OBSERVATIONS, INFOS, case)
            assert caught.value.kind == kind, case
            assert not one.running


@pytest.mark.parametrize(
    ("file", "kind", "says"),
    [
        ("crashes.py", "start", "failed at its start: RuntimeError: broken"),
        ("imports_nothing.py", "start", "No module named 'nothing_of_this_name'"),
        ("exits.py", "start", "SystemExit: 4"),
        ("slow.py", "start", "did not start within 1 s"),
        ("greedy.py", "memory", "ran out of the memory"),
        ("empty.py", "start", "no function or class"),
        ("bad.py:Nobody", "start", "has no 'Nobody'"),
    ],
)
def test_what_cannot_be_started(file: str, kind: str, says: str, tmp_path: Path) -> None:
    limits = Limits(start_seconds=1 if file == "slow.py" else 15, memory_mib=640)
    with nothing_left(tmp_path):
        one = ForeignPlayer(str(ENTRANTS / file), limits)
        with pytest.raises(Fault, match=says) as caught:
            one.start_series(INFO)
        assert caught.value.kind == kind
        assert not one.running


def test_what_is_slow_elsewhere(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        one = player("SlowReset", HASTY)
        one.start_series(INFO)
        with pytest.raises(Fault, match=r"longer than 0\.4 s in reset") as caught:
            one.reset(["red_0"], {}, 0)
        assert caught.value.kind == "timeout"
        one = begin(player("SlowObserver", replace(HASTY, reset_seconds=1)))
        with pytest.raises(Fault, match="longer than 1 s in observe"):
            one.observe({}, {}, {})
        one = begin(player("SlowToClose", replace(HASTY, reset_seconds=5)))
        started = time.monotonic()
        one.close()
        assert time.monotonic() - started < SOON


def test_a_crash_is_kept_in_the_log_and_another_process_goes_on(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        one = begin(player("ExitsAtOnce"))
        with pytest.raises(Fault):
            one.act(OBSERVATIONS, INFOS, 0)
        with pytest.raises(RuntimeError, match="reset comes first"):
            one.act(OBSERVATIONS, INFOS, 1)
        one.reset(["red_0"], {"game": 1}, seed=2)  # the next game of the series
        assert one.running
        one.close()
    _, logs = fault_of("Raises", tmp_path)
    assert "Traceback" in logs and "ValueError" in logs


def test_its_output_floods_nobody(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        one = begin(player("Floods", Limits(act_seconds=60, log_bytes=1000)))
        before = psutil.Process().memory_info().rss
        one.act(OBSERVATIONS, INFOS, 0)
        assert psutil.Process().memory_info().rss - before < 30 << 20
        one.close()
        assert one.logs == "x" * 500 + f"\n[{(200 << 20) - 1000} bytes left out]\n" + "x" * 500


def test_printing_does_not_disturb_answers(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        one = begin(player("Chatty"))
        for step in range(4):
            assert one.act(OBSERVATIONS, INFOS, step)["red_0"] == 2
        one.close()
    assert one.logs.splitlines() == [f"thinking about step {step}" for step in range(4)]


def test_more_answers_than_questions(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        one = begin(player("Twice"))
        one.act(OBSERVATIONS, INFOS, 0)
        with pytest.raises(Fault, match="more than the one answer") as caught:
            one.act(OBSERVATIONS, INFOS, 1)
        assert caught.value.kind == "shape"


def test_the_bank_lasts_a_series(tmp_path: Path) -> None:
    limits = Limits(act_seconds=0.3, bank_seconds=2.0)
    with nothing_left(tmp_path):
        one = begin(player("Sleeps", limits))
        one.act(OBSERVATIONS, INFOS, 0)
        assert one.bank == 2.0  # moves in time are free
        one.act(OBSERVATIONS, INFOS, 130)
        assert 0.0 < one.bank <= 1.0
        one.reset(["red_0", "red_1"], {"game": 1}, seed=2)
        with pytest.raises(Fault, match="left in its bank") as caught:
            one.act(OBSERVATIONS, INFOS, 150)
        assert caught.value.kind == "timeout"
        one.reset(["red_0", "red_1"], {"game": 2}, seed=2)
        assert one.bank == 0.0  # not even for a new process
        with pytest.raises(Fault, match=r"within 0\.30 s"):
            one.act(OBSERVATIONS, INFOS, 40)
        begin(one)
        assert one.bank == 2.0
        one.act(OBSERVATIONS, INFOS, 50)
        one.close()


def test_forks_are_gone_too(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        one = begin(player("Forks"))
        one.act(OBSERVATIONS, INFOS, 0)
        assert len(started_in(tmp_path)) >= 9  # the guardian, the entrant, six forks and a program
        one.close()
    fault_of("ForksAndDies", tmp_path)


def test_too_many_processes_and_too_much_memory_of_all(tmp_path: Path) -> None:
    fault, _ = fault_of("ForkBomb", tmp_path, Limits(processes=20, memory_mib=8192, act_seconds=30))
    assert fault.kind == "flood" and "more than 20 processes" in str(fault)
    fault, _ = fault_of("TakesMemoryByForks", tmp_path, Limits(memory_mib=640, act_seconds=30))
    assert fault.kind == "memory" and "hold more than 640 MiB" in str(fault)


def test_it_sees_none_of_our_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    with nothing_left(tmp_path), open(os.devnull) as ours:  # noqa: PTH123
        os.set_inheritable(ours.fileno(), True)
        one = begin(player("Surroundings", seed=5))
        one.act(OBSERVATIONS, INFOS, 0)
        one.close()
    seen = json.loads(one.logs)
    assert "secret" not in one.logs
    assert seen["environment"]["HOME"].startswith(str(tmp_path))
    assert seen["environment"]["OMP_NUM_THREADS"] == "1"
    assert seen["environment"]["PYTHONHASHSEED"] == "5"
    assert seen["folder"] == str(ENTRANTS)
    assert seen["limits"] == {"RLIMIT_AS": 640 << 20, "RLIMIT_CORE": 0}
    assert seen["heavy"] == [] and seen["input"] == ""
    assert set(seen["open"]) <= {"0", "1", "2", "3", "4", "5"}  # the last is the look itself
    assert seen["environment"]["PYTHONDONTWRITEBYTECODE"] == "1"  # its folder stays as it was


def test_from_threads(tmp_path: Path) -> None:
    """A thread that started a process may end before it."""

    def start(number: int) -> ForeignPlayer:
        return begin(player("Good", seed=number))

    with nothing_left(tmp_path):
        with ThreadPoolExecutor(4) as pool:
            players = list(pool.map(start, range(8)))
        time.sleep(0.3)
        with ThreadPoolExecutor(4) as pool:
            for actions in pool.map(lambda one: one.act(OBSERVATIONS, INFOS, 0), players):
                assert actions["red_0"] == 2
        for one in players:
            one.close()


def test_who_is_forgotten_is_closed(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        one = begin(player("Forks"))
        one.act(OBSERVATIONS, INFOS, 0)
        del one
        gc.collect()


def test_a_fork_of_ours_ends_nobody(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        one = begin(player("Good"))
        fork = os.fork()
        if fork == 0:
            try:
                one._end()
            finally:
                os._exit(0)
        os.waitpid(fork, 0)
        assert one.act(OBSERVATIONS, INFOS, 0)["red_0"] == 2
        one.close()


STORY = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from marl_meta.tournament.outsiders.process import ForeignPlayer
from tests.tournament.outsiders.foreign import INFO, INFOS, OBSERVATIONS
import tempfile
tempfile.tempdir = {home!r}
players = [ForeignPlayer({spec!r}) for _ in range(2)]
for player in players:
    player.start_series(INFO)
    player.reset(["red_0", "red_1"], {{}}, 1)
    player.act(OBSERVATIONS, INFOS, 0)
print("playing", flush=True)
{end}
"""


@pytest.mark.parametrize("end", ["time.sleep(600)", "os.fork(); time.sleep(25)", "sys.exit(0)", "raise SystemError"])
def test_nothing_outlives_the_tournament(end: str, tmp_path: Path) -> None:
    """Killed by SIGKILL (while a fork of it holds all its pipes, too), or ended without closing anybody."""
    root = str(Path(__file__).parents[3])
    story = STORY.format(root=root, home=str(tmp_path), spec=f"{ENTRANTS / 'bad.py'}:Forks", end=end)
    with subprocess.Popen(
        [sys.executable, "-c", story], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=root
    ) as tournament:
        assert tournament.stdout is not None
        assert tournament.stdout.readline() == "playing\n"
        if "sleep" in end:
            assert len(started_in(tmp_path)) >= 18
            tournament.send_signal(signal.SIGKILL)
        tournament.wait(SOON)
    deadline = time.monotonic() + SOON
    while time.monotonic() < deadline and (started_in(tmp_path) or list(tmp_path.iterdir())):
        time.sleep(0.05)
    assert started_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_many_leak_nothing(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        for number in range(20):
            one = begin(player("Good" if number % 2 else "ExitsAtOnce"))
            if number % 2:
                one.close()
            else:
                with pytest.raises(Fault):
                    one.act(OBSERVATIONS, INFOS, 0)


def test_what_is_kept_of_a_log() -> None:
    log = Log(8)
    log.add(b"ab")
    assert log.text() == "ab"
    log.add(b"cdefgh")
    assert log.text() == "abcdefgh"
    log.add(b"ij")
    assert log.text() == "abcd\n[2 bytes left out]\nghij"


def test_bad_input(tmp_path: Path) -> None:
    for values, says in (
        ({"act_second": 1}, r"There is no limit 'act_second' \(did you mean 'act_seconds'\?\)"),
        ({"act_seconds": -1}, "act_seconds is a number of seconds from 0 to 86400, not -1"),
        ({"act_seconds": float("nan")}, "not nan"),
        ({"memory_mib": 0}, "memory_mib is a whole number from 1 to 16777216, not 0"),
        ({"memory_mib": True}, "not True"),
    ):
        bad: dict[str, Any] = values
        with pytest.raises(UserError, match=says):
            Limits.of(bad)
    assert Limits.of({"act_seconds": 2}).record()["act_seconds"] == 2
    with pytest.raises(UserError, match="no Python code"):
        ForeignPlayer("random")
    with pytest.raises(UserError, match="no Python code"):
        open_player("random")
    one = player("Good")
    with pytest.raises(RuntimeError, match="start_series comes first"):
        one.reset([], {}, 0)
    folder = tmp_path / "gone"
    folder.mkdir()
    (folder / "agent.py").write_text("def play(obs):\n    return 0\n", encoding="utf-8")
    lost = ForeignPlayer(str(folder / "agent.py"))
    (folder / "agent.py").unlink()
    folder.rmdir()
    with nothing_left(tmp_path), pytest.raises(Fault, match="cannot be started: No such file or directory") as caught:
        lost.start_series(INFO)
    assert caught.value.kind == "start"
