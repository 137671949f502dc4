"""Programs that speak JSON lines play, and what they do wrong ends in a Fault."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marl_meta.tournament.outsiders.limits import Limits
from marl_meta.tournament.outsiders.player import Fault
from marl_meta.tournament.outsiders.process import ExecPlayer, open_player
from marl_meta.types import UserError

from .foreign import ENTRANTS, INFO, INFOS, OBSERVATIONS, nothing_left

LIMITS = Limits(act_seconds=5, bank_seconds=0.3, memory_mib=640)


def begun(manner: str, limits: Limits = LIMITS) -> ExecPlayer:
    one = ExecPlayer(f"{sys.executable} -E {ENTRANTS / 'program.py'} '{manner}'", limits, name="kit")
    one.start_series(INFO)
    one.reset(["red_0", "red_1"], {"game": 0}, seed=3)
    return one


def test_a_program_plays_and_sees_what_it_should(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        one = begun("good")
        for step in range(2):
            actions = one.act(OBSERVATIONS, INFOS, step)
            assert actions["red_0"] == 1 + step
            np.testing.assert_array_equal(actions["red_1"], [0.25, -0.25])
            one.observe({"red_0": 1.0, "red_1": float("nan")}, {"red_0": False}, {"red_0": True})
        one.reset(["red_0"], {"game": 1}, seed=4)
        assert one.act({"red_0": [float("inf")]}, {}, 0) == {"red_0": 1}
        one.close()
    asked: list[dict[str, Any]] = [json.loads(line.removeprefix("asked ")) for line in one.logs.splitlines()]
    first, second, third = asked
    assert first["step"] == 0 and first["player"] == "red" and first["remainingOverageTime"] == 0.3
    assert first["obs"] == {
        "red_0": {"observation": [[0, 1, 2], [3, 4, 5]], "action_mask": [0, 1, 1, 1]},
        "red_1": {"observation": [0.1, 0.2]},
    }
    assert first["info"]["env_cfg"]["games"] == 3 and first["info"]["env_cfg"]["actions"]["red_0"]["n"] == 4
    assert first["info"]["seed"] == 3 and "rewards" not in first["info"]
    assert "env_cfg" not in second["info"]
    assert second["info"]["rewards"] == {"red_0": 1.0, "red_1": None}
    assert third["info"]["game"] == 1 and third["info"]["seed"] == 4 and third["info"]["truncations"] == {"red_0": True}
    assert third["obs"] == {"red_0": {"observation": [None]}}


def test_who_plays_alone_may_answer_with_the_action(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        one = begun("alone")
        assert one.act({"red_0": [0.0]}, {}, 0) == {"red_0": 3}
        with pytest.raises(Fault, match="no actions by agent"):
            one.act(OBSERVATIONS, INFOS, 1)


@pytest.mark.parametrize(
    ("manner", "kind", "says"),
    [
        ("dies", "crash", "ended with exit status 9"),
        ("babbles", "shape", "cannot be read as JSON: hello"),
        ("empty", "shape", 'no object with an "action"'),
        ("null", "shape", "answered nothing"),
        ("gushes", "flood", "longer than"),
        ("sleeps", "timeout", "did not answer at step 0"),
        ("memory", "crash", "exit status 1"),
    ],
)
def test_what_it_does_wrong_is_named(manner: str, kind: str, says: str, tmp_path: Path) -> None:
    limits = Limits(start_seconds=1, act_seconds=0.1 if kind == "timeout" else 20, bank_seconds=0, memory_mib=640)
    with nothing_left(tmp_path):
        one = begun(manner, limits)
        with pytest.raises(Fault, match=says) as caught:
            one.act(OBSERVATIONS, INFOS, 0)
        assert caught.value.kind == kind
        assert not one.running
        if manner == "memory":
            assert "MemoryError" in one.logs


def test_more_lines_than_questions(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        one = begun("twice")
        one.act(OBSERVATIONS, INFOS, 0)
        with pytest.raises(Fault, match="more than the one answer"):
            one.act(OBSERVATIONS, INFOS, 1)


def test_its_errors_flood_nobody(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        one = begun("floods", Limits(act_seconds=30, log_bytes=1000))
        one.act(OBSERVATIONS, INFOS, 0)
        one.close()
        assert len(one.logs) < 1100 and "bytes left out" in one.logs


def test_starting_does_not_cost_the_bank(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        one = begun("slow start", Limits(act_seconds=0.1, bank_seconds=0.3))
        one.act(OBSERVATIONS, INFOS, 0)
        assert one.bank == 0.3
        one.close()


def test_each_series_has_a_process_of_its_own(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        one = begun("good")
        first = one._channel
        one.start_series(INFO)
        assert first is not one._channel and first is not None and not first.running
        one.close()


def test_bad_commands(tmp_path: Path) -> None:
    for command, says in (("", "needs a command"), ("a 'b", "is no command: No closing quotation")):
        with pytest.raises(UserError, match=says):
            ExecPlayer(command)
    one = open_player("exec:no_program_of_this_name --fast", LIMITS)
    with nothing_left(tmp_path):
        one.start_series(INFO)
        one.reset(["red_0"], {}, 0)
        with pytest.raises(Fault, match="cannot be run: No such file or directory") as caught:
            one.act(OBSERVATIONS, INFOS, 0)
        assert caught.value.kind == "start"


def test_many_leak_nothing(tmp_path: Path) -> None:
    """Each takes a guardian and a shell, which leaves a program behind."""
    started = time.monotonic()
    with nothing_left(tmp_path):
        for _ in range(180):
            one = ExecPlayer('sh -c \'sleep 600 & read line; echo "{\\"action\\": 1}"; exec cat\'', LIMITS)
            one.start_series(INFO)
            one.reset(["red_0"], {}, 0)
            assert one.act({"red_0": [0.0]}, {}, 0) == {"red_0": 1}
            one.close()
    assert time.monotonic() - started < 120
