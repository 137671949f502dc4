"""A run that is killed, interrupted or damaged goes on to the numbers that it would have reached."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from marl_meta.team import load_team
from marl_meta.train import resume, train
from marl_meta.train.checkpoint import VERSION, Checkpoint, read_newest, write_checkpoint
from marl_meta.types import UserError

GUESS = Path(__file__).parents[1] / "guess"
RECALL = Path(__file__).parents[1] / "recall"

Overrides = Callable[..., list[str]]
Contents = Callable[[Path], dict[str, bytes]]
Start = Callable[..., ForkServerProcess]

STEADY = {"algorithm__schedule": "constant", "algorithm__entropy": 0.01, "algorithm__entropy_final": 0.01}
"""A run whose numbers do not depend on how long it was meant to be."""

LONG: dict[str, Any] = {
    "game__rules": "{players: 2, rivals: 1, hides: true, length: 7}",
    "teams__rivals__controller": "random",
    "train__steps": 24 * 80,
    "train__checkpoint_iterations": 7,
}


@pytest.fixture(scope="module")
def start() -> Start:
    """Return a function that runs another in a process of its own, quick to start: its imports are done once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["marl_meta.train"])

    def begin(function: Callable[..., object], argument: object, **more: bool) -> ForkServerProcess:
        process = context.Process(target=function, args=(argument,), kwargs={"quiet": True, **more})
        process.start()
        return process

    return begin


def count_lines(folder: Path) -> int:
    """Return how many iterations a run has written down, -1 before there is more than its config."""
    metrics = folder / "metrics.jsonl"
    if metrics.exists():
        return metrics.read_bytes().count(b"\n")
    return -1 if (folder / "config.json").exists() else -2


def wait_for(folder: Path, lines: int, process: ForkServerProcess) -> None:
    until = time.monotonic() + 60.0
    while count_lines(folder) < lines and process.is_alive() and time.monotonic() < until:
        time.sleep(0.001)


def weights_of(folder: Path) -> dict[str, Any]:
    return load_file(folder / "team" / "weights.safetensors")


def test_killed_at_any_moment_it_reaches_the_same_numbers(overrides: Overrides, start: Start, tmp_path: Path) -> None:
    start(train, overrides("whole", **LONG)).join(120)
    whole, folder = tmp_path / "runs" / "whole", tmp_path / "runs" / "run"
    expected = (whole / "metrics.jsonl").read_bytes()
    lines = expected.count(b"\n")
    assert lines == 80
    draws = np.random.default_rng(4)
    # Before anything but its config is there, before the first checkpoint, and then wherever it happens to be.
    goals = [-1, 3, *sorted(draws.choice(np.arange(8, lines - 10), 3, replace=False))]
    process, kills = start(train, overrides(**LONG)), 0
    for goal in goals:
        wait_for(folder, goal, process)
        time.sleep(draws.random() * 0.02)
        kills += process.is_alive()
        process.kill()
        process.join()
        if goal == 3:
            assert not list(folder.glob("checkpoints/*.safetensors"))
        process = start(resume, folder, trust=True)
    process.join(120)
    assert process.exitcode == 0
    assert kills >= 4
    assert (folder / "metrics.jsonl").read_bytes() == expected
    timing = (folder / "timing.jsonl").read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in timing] == [*range(1, lines + 1)]
    for (name, one), (other_name, other) in zip(weights_of(folder).items(), weights_of(whole).items(), strict=True):
        assert name == other_name
        np.testing.assert_array_equal(one, other)


def test_ctrl_c_saves_and_says_how_to_go_on(overrides: Overrides, tmp_path: Path) -> None:
    (tmp_path / "a folder with a rather long name, as some people have them, [and] brackets").mkdir()
    runs = next(tmp_path.iterdir())
    settings = {"runs_dir": f"'{runs}'", "train__checkpoint_iterations": 0, "train__steps": 10_000_000}
    process = subprocess.Popen(
        [sys.executable, "-c", "from marl_meta.cli.app import main; main()", "train", *overrides(**settings)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "60"},
    )
    folder = runs / "run"
    until = time.monotonic() + 60
    while count_lines(folder) < 3 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    lines = count_lines(folder)
    assert lines >= 3
    assert process.returncode == 0
    assert f"Go on with: marl-meta train --resume '{folder}' --trust\n" in err  # one line, ready to be pasted
    checkpoint = read_newest(folder / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.values["iteration"] == lines  # nothing that was played is lost
    assert load_team(folder).trained_on["env_steps"] == 24 * lines
    result = resume(folder, [f"train.steps={24 * (lines + 2)}"], quiet=True, trust=True)
    assert result.finished
    assert count_lines(folder) == lines + 2


def test_a_second_ctrl_c_stops_at_once(overrides: Overrides, tmp_path: Path, start: Start) -> None:
    process = start(train, overrides(**LONG, train__horizon=1000))
    assert process.pid is not None
    wait_for(tmp_path / "runs" / "run", 0, process)
    for _ in range(2):
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode not in (None, 0)
    assert not (tmp_path / "runs" / "run" / "team").exists()


FAMILIES: dict[str, dict[str, Any]] = {
    "spread with fog": {
        "game": "spread",
        "game__rules": "{agents: 2, vision_radius: 0.8, episode_length: 6}",
        "policy__layers": 2,
    },
    "a split, trials and a central critic": {
        "game": "tag",
        "game__split": "train",
        "game__episodes_per_trial": 2,
        "policy__trial_inputs": "true",
        "policy__critic": "central",
        "teams__prey__controller": "random",
    },
    "against a script": {
        "game": "tag",
        "game__rules": "{episode_length: 5}",
        "teams__prey__controller": "scripted",
        "teams__prey__scripted": "flee",
    },
    "a repeated game without places": {
        "game": "payoff",
        "game__split": "train",
        "game__episodes_per_trial": 2,
        "policy__trial_inputs": "true",
    },
    "a curriculum by progress": {
        "game": RECALL,
        "game__split": "train",
        "schedule": "progress",
        "schedule__fast_decay": 0.5,
    },
    "a third-party game": {
        "game": "pettingzoo",
        "game__entry_point": "mpe2.simple_adversary_v3:parallel_env",
        "game__kwargs": "{max_cycles: 7}",
        "game__num_games": 2,
    },
}


@pytest.mark.parametrize("case", FAMILIES)
def test_every_kind_of_game_and_player_goes_on_as_it_was(overrides: Overrides, case: str) -> None:
    settings = {**STEADY, **FAMILIES[case]}
    step = 4 * settings.get("game__num_games", 6)
    whole = train(overrides("whole", **settings, train__steps=6 * step), quiet=True)
    half = train(overrides("half", **settings, train__steps=3 * step), quiet=True)
    result = resume(half.folder, [f"train.steps={6 * step}"], quiet=True, trust=True)
    assert result.env_steps == 6 * step
    assert (whole.folder / "metrics.jsonl").read_bytes() == (result.folder / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("game", ["spread", "payoff"])
def test_a_curriculum_goes_on_as_it_was(overrides: Overrides, game: str) -> None:
    settings = {**STEADY, "game": game, "game__split": "train", "schedule": "regret", "schedule__fast_decay": 0.5}
    settings |= {"game__num_games": 12, "train__horizon": 40, "policy__recurrent": "none"}
    whole = train(overrides("whole", **settings, train__steps=12 * 40 * 6), quiet=True)
    half = train(overrides("half", **settings, train__steps=12 * 40 * 3), quiet=True)
    checkpoint = read_newest(half.folder / "checkpoints")
    assert checkpoint is not None
    decks = [checkpoint.arrays[f"share/{share}/game/deck"] for share in range(2)]
    np.testing.assert_array_equal(*decks)
    assert np.ptp(np.bincount(decks[0])) > 0  # no longer even when it stops
    result = resume(half.folder, [f"train.steps={12 * 40 * 6}"], quiet=True, trust=True)
    assert (whole.folder / "metrics.jsonl").read_bytes() == (result.folder / "metrics.jsonl").read_bytes()
    for name, array in weights_of(whole.folder).items():
        np.testing.assert_array_equal(array, weights_of(result.folder)[name])


def test_a_frozen_opponent_goes_on_as_it_was(overrides: Overrides) -> None:
    rules = {"game__rules": "{players: 1, rivals: 2, hides: true, length: 6}", **STEADY}
    opponent = train(overrides("opponent", **rules), quiet=True).folder
    frozen = {**rules, "teams__rivals__controller": "frozen", "teams__rivals__team": opponent}
    whole = train(overrides("whole", **frozen), quiet=True)
    half = train(overrides("half", **frozen, train__steps=24 * 3), quiet=True)
    result = resume(half.folder, ["train.steps=240"], quiet=True, trust=True)
    assert (whole.folder / "metrics.jsonl").read_bytes() == (result.folder / "metrics.jsonl").read_bytes()


def test_who_infers_rules_goes_on_as_it_was(overrides: Overrides, tmp_path: Path) -> None:
    """Also in the middle of a trial: what is believed there is what the network says by now."""
    settings = {"game": GUESS, "game__split": "train", "meta": "belief", "meta__tell": "never"}
    settings |= {"game__episodes_per_trial": 2, "train__checkpoint_iterations": 1, "train__keep": 10}
    whole = train(overrides("whole", **settings, policy__recurrent="none"), quiet=True).folder
    half = Path(shutil.copytree(whole, tmp_path / "half"))
    for later in sorted((half / "checkpoints").iterdir())[3:]:
        later.unlink()
    checkpoint = read_newest(half / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.arrays["share/0/seat/players/passed"].all()
    assert resume(half, quiet=True, trust=True).finished
    assert (whole / "metrics.jsonl").read_bytes() == (half / "metrics.jsonl").read_bytes()


def test_a_folder_does_not_choose_what_code_runs(overrides: Overrides, tmp_path: Path) -> None:
    """Whoever starts a run has named its game himself; a folder may come from anywhere."""
    folder = train(overrides(), quiet=True).folder
    with pytest.raises(UserError, match=r"recall.*would be run, because .*config.json says so. .*--trust"):
        resume(folder, ["train.steps=480"], quiet=True)
    (tmp_path / "theirs.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n")
    config = json.loads((folder / "config.json").read_text())
    third_party = {"family": "pettingzoo", "entry_point": f"{tmp_path / 'theirs.py'}:env", "split": None, "rules": {}}
    config["game"] |= third_party
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"theirs.py:env' would be run"):
        resume(folder, quiet=True)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(UserError, match=r"has no 'env'"):
        resume(folder, quiet=True, trust=True)
    assert (tmp_path / "ran").exists()
    short = ["game=spread", "train.steps=96", "game.num_games=4", "train.horizon=24", f"runs_dir={tmp_path}"]
    known = train(short, quiet=True)
    assert resume(known.folder, ["train.steps=192"], quiet=True).env_steps == 192


def test_a_finished_run_stays_as_it_is(overrides: Overrides, contents: Contents) -> None:
    folder = train(overrides(), quiet=True).folder
    before, checkpoint = contents(folder), read_newest(folder / "checkpoints")
    result = resume(folder, quiet=True, trust=True)
    assert (result.finished, result.env_steps) == (True, 240)
    after, same = contents(folder), read_newest(folder / "checkpoints")
    name = "checkpoints/00000010.safetensors"  # it is written again: its header lists the same in any order
    assert {**after, name: b""} == {**before, name: b""}
    assert checkpoint is not None
    assert same is not None
    assert same.values == checkpoint.values
    for key, array in checkpoint.arrays.items():
        np.testing.assert_array_equal(same.arrays[key], array)


def test_more_steps_are_remembered(overrides: Overrides) -> None:
    folder = train(overrides(), quiet=True).folder
    resume(folder, ["train.steps=480"], quiet=True, trust=True)
    assert resume(folder, quiet=True, trust=True).env_steps == 480
    assert json.loads((folder / "config.json").read_text())["train"]["steps"] == 480


def test_no_other_override(overrides: Overrides) -> None:
    folder = train(overrides(), quiet=True).folder
    with pytest.raises(UserError, match=r"override 'seed=2' is not allowed, only train\.steps"):
        resume(folder, ["seed=2"], quiet=True, trust=True)


def test_a_run_folder_that_moved(overrides: Overrides, tmp_path: Path) -> None:
    folder = train(overrides(**STEADY), quiet=True).folder
    moved = folder.rename(tmp_path / "elsewhere")
    torn = moved / "checkpoints" / f".00000009.safetensors.{os.getpid()}.tmp"
    torn.write_bytes(b"half")  # as a kill leaves it
    result = resume(moved, ["train.steps=288"], quiet=True, trust=True)
    assert not torn.exists()
    assert (result.folder, result.env_steps) == (moved, 288)
    assert not folder.exists()
    assert load_team(moved).name == "elsewhere"


# damage


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(overrides: Overrides) -> None:
    folder = train(overrides(), quiet=True).folder
    expected = (folder / "metrics.jsonl").read_bytes()
    newest = folder / "checkpoints" / "00000010.safetensors"
    for damage in (newest.read_bytes()[:100], newest.read_bytes()[:-1], b"", b"\0" * 1000):
        newest.write_bytes(damage)
        assert resume(folder, quiet=True, trust=True).finished
        assert (folder / "metrics.jsonl").read_bytes() == expected


def test_no_checkpoint_that_can_be_read(overrides: Overrides, contents: Contents) -> None:
    folder = train(overrides(), quiet=True).folder
    for path in (folder / "checkpoints").iterdir():
        path.write_bytes(b"damaged")
    before = contents(folder)
    with pytest.raises(UserError, match=r"No checkpoint in .*checkpoints can be read \(00000010.safetensors: "):
        resume(folder, quiet=True, trust=True)
    assert contents(folder) == before


def test_a_checkpoint_of_a_newer_version(overrides: Overrides, contents: Contents) -> None:
    folder = train(overrides(), quiet=True).folder
    newest = folder / "checkpoints" / "00000010.safetensors"
    save_file({"x": np.zeros(1)}, newest, {"version": str(VERSION + 1), "values": "{}"})
    before = contents(folder)
    with pytest.raises(UserError, match=rf"00000010.safetensors was written by a newer version .*{VERSION + 1}"):
        resume(folder, quiet=True, trust=True)
    assert contents(folder) == before


def test_metrics_that_lack_lines(overrides: Overrides) -> None:
    folder = train(overrides(), quiet=True).folder
    metrics = folder / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:100])
    with pytest.raises(UserError, match=r"metrics.jsonl has 100 bytes, fewer than the \d+ of the checkpoint"):
        resume(folder, quiet=True, trust=True)


@pytest.mark.parametrize(("key", "value"), [("hidden", 16), ("recurrent", "none"), ("critic", "central")])
def test_a_config_that_no_longer_fits_the_checkpoint(overrides: Overrides, key: str, value: object) -> None:
    folder = train(overrides(), quiet=True).folder
    config = json.loads((folder / "config.json").read_text())
    config["policy"][key] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="does not fit") as caught:
        resume(folder, quiet=True, trust=True)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no run folder"):
        resume(tmp_path / "nothing", quiet=True, trust=True)
    with pytest.raises(UserError, match=r"is not a run folder.*no config.json"):
        resume(tmp_path, quiet=True, trust=True)
    for text in (b"", b'{"name": "run", "se', b"\xff\xfe", b"[]", b'{"name": "run"}'):
        (tmp_path / "config.json").write_bytes(text)
        with pytest.raises(UserError, match=r"config\.json") as caught:
            resume(tmp_path, quiet=True, trust=True)
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_config_of_a_newer_version(overrides: Overrides) -> None:
    folder = train(overrides(), quiet=True).folder
    config = json.loads((folder / "config.json").read_text())
    config["policy"]["wings"] = 2
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"config\.json: policy\.wings is not known"):
        resume(folder, quiet=True, trust=True)


# the checkpoint file itself


def test_a_checkpoint_holds_arrays_of_any_shape_and_kind(tmp_path: Path) -> None:
    arrays = {
        "scalar": np.array(2.5),
        "empty": np.zeros((3, 0), np.float32),
        "flags": np.array([[True, False]]),
        "words": np.array([2**64 - 1], np.uint64),
        "turned": np.arange(6).reshape(2, 3).T,
    }
    values = {"iteration": 3, "state": {"key": 2**100, "names": ["a"]}, "nothing": None, "rate": 0.1}
    write_checkpoint(tmp_path, 3, Checkpoint(arrays, values), keep=1)
    found = read_newest(tmp_path)
    assert found is not None
    assert found.values == values
    for name, array in arrays.items():
        assert found.arrays[name].shape == array.shape
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def test_only_the_newest_are_kept_and_nothing_else_is_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".00000009.safetensors.77.tmp").write_bytes(b"half")
    for iteration in (1, 5, 9, 10, 100):
        write_checkpoint(tmp_path, iteration, Checkpoint({"x": np.zeros(1)}, {"iteration": iteration}), keep=2)
    kept = sorted(path.name for path in tmp_path.glob("[0-9]*"))
    assert kept == ["00000010.safetensors", "00000100.safetensors"]
    assert (tmp_path / "notes.txt").exists()
    newest = read_newest(tmp_path)
    assert newest is not None
    assert newest.values["iteration"] == 100


def test_no_checkpoint_was_ever_written(tmp_path: Path) -> None:
    assert read_newest(tmp_path) is None
    assert read_newest(tmp_path / "nothing") is None
