from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from marl_meta.cli.app import main


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `marl-meta bench` with these arguments; returns its exit code, output and error output."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["marl-meta", "bench", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        shown = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, shown.out, shown.err

    return call


def read(result: tuple[int, str, str], benchmark: str) -> dict[str, Any]:
    """Return the JSON object that a benchmark printed."""
    code, out, _ = result
    assert code == 0
    record: dict[str, Any] = json.loads(out)
    assert record["benchmark"] == benchmark
    assert record["machine"]["cores"] >= 1
    return record


def test_engine(bench: Callable[..., tuple[int, str, str]]) -> None:
    result = bench("engine", "--games", "spread", "--batches", "2,4", "--seconds", "0.01", "--repeats", "2", "--json")
    tables = read(result, "engine")["tables"]
    assert {(row["system"], row["rules"], row["B"]) for row in tables["speed"]} >= {
        ("ours", "default", 2),
        ("ours", "per game", 4),
        ("mpe2", "default", 1),
    }
    assert all(row["env_steps_per_second"] > 0 for row in tables["speed"])
    assert tables["ratio"][0]["times"] > 1
    assert {row["rules"] for row in tables["linear"]} == {"default", "per game", "per game, sizes too"}


def test_engine_plays_what_every_variant_allows(bench: Callable[..., tuple[int, str, str]]) -> None:
    """Some of payoff's variants have two actions, others four."""
    result = bench("engine", "--games", "payoff", "--batches", "1,9", "--seconds", "0.3", "--repeats", "2", "--json")
    assert {row["B"] for row in read(result, "engine")["tables"]["speed"]} == {1, 9}


def test_engine_plays_legal_moves_of_games_in_turns(bench: Callable[..., tuple[int, str, str]]) -> None:
    result = bench("engine", "--games", "connect", "--batches", "1,9", "--seconds", "0.3", "--repeats", "2", "--json")
    tables = read(result, "engine")["tables"]
    assert {(row["system"], row["B"]) for row in tables["speed"]} == {("ours", 1), ("ours", 9), ("PettingZoo", 1)}


def test_policy(bench: Callable[..., tuple[int, str, str]]) -> None:
    result = bench("policy", "--graphs", "4", "--num-games", "16", "--seconds", "0.01", "--repeats", "1", "--json")
    record = read(result, "policy")
    assert {(row["senders"], row["nodes"]) for row in record["tables"]["layer"]} == {
        ("raw", 6),
        ("raw", 12),
        ("embedded", 6),
        ("embedded", 12),
    }
    assert all(row["times"] > 1 for row in record["tables"]["update"])
    assert {mark["least"] for mark in record["marks"]} == {3.0, None}


def test_train(bench: Callable[..., tuple[int, str, str]]) -> None:
    result = bench("train", "policy.hidden=8", "--num-games", "8", "--seconds", "0.01", "--json")
    (row,) = (row for row in read(result, "train")["tables"]["speed"] if row["system"] == "ours")
    assert row["num_games"] == 8 and row["iterations"] >= 1
    assert row["agent_steps_per_second"] > 0 and row["peak_mib"] > 50


def test_meta(bench: Callable[..., tuple[int, str, str]]) -> None:
    result = bench("meta", "--tasks", "2", "--seconds", "0.01", "--repeats", "1", "--json")
    record = read(result, "meta")
    assert {row["policy"] for row in record["tables"]["meta"]} == {"mlp", "relational", "relational, GRU"}
    assert all(row["ours_ms"] > 0 and row["times_cpu"] > 0 for row in record["tables"]["meta"])
    assert [mark["least"] for mark in record["marks"]] == [2.0] * 3


def test_people_get_tables(bench: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = bench("engine", "--games", "harvest", "--batches", "2", "--seconds", "0.01", "--repeats", "1")
    assert code == 0
    assert "Stepping with random actions" in out and "load average" in out
    assert err == "harvest: batches of 2, and peers\n"


def test_no_benchmark_named_shows_them(bench: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = bench()
    assert code == 0
    assert "engine" in out and "policy" in out and "train" in out and "meta" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["engine", "--games", "sprad"], "sprad"),
        (
            ["engine", "--batches", "64,many"],
            "--batches takes positive whole numbers separated by commas, not '64,many'.",
        ),
        (["policy", "--num-games", "0"], "--num-games takes positive whole numbers separated by commas, not '0'."),
        (
            ["policy", "--num-games", "6", "--graphs", "2", "--seconds", "0.001"],
            "multiples of 4 (threads times minibatches) are allowed",
        ),
        (["train", "policy.hiden=8"], "hiden"),
    ],
)
def test_bad_input(bench: Callable[..., tuple[int, str, str]], arguments: list[str], said: str) -> None:
    code, out, err = bench(*arguments)
    assert (code, out) == (2, "")
    assert said in err and err.splitlines()[-1].startswith("marl-meta: error: ")
