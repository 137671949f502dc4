"""A run with a league goes on to the same numbers, with the same members against the same sides."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from marl_meta.team import load_team
from marl_meta.train import resume, train
from marl_meta.train.checkpoint import read_newest
from marl_meta.train.gallery import write_gallery
from marl_meta.types import UserError

RECALL = Path(__file__).parents[1] / "recall"

Overrides = Callable[..., list[str]]

STEADY = {"algorithm__schedule": "constant", "algorithm__entropy": 0.01, "algorithm__entropy_final": 0.01}
LEAGUE: dict[str, Any] = {
    **STEADY,
    "game__rules": "{players: 1, rivals: 2, hides: true, length: 5}",
    "game__episodes_per_trial": 2,
    "policy__trial_inputs": "true",
    "league": "prioritised",
    "league__share": 0.6,
    "league__opponents": 2,
    "league__every": 2,
    "league__rotate": 3,
    "league__size": 3,
    "league__anchors": "[knows,random]",
}
"""Trials of ten steps, iterations of four: opponents come in the middle of trials, and stay over checkpoints."""

HIDDEN = {"game__split": "two", "game__rules": "{}", "policy__recurrent": "none"}

CASES: dict[str, dict[str, Any]] = {
    "each its own learner": {},
    "one learner for both, all alike": {
        "league": "uniform",
        "teams__players__learner": "both",
        "teams__rivals__learner": "both",
    },
    "who infers rules": {**HIDDEN, "meta": "belief", "meta__tell": "never"},
    "who is told rules": {**HIDDEN, "meta": "oracle"},
    "who adapts by gradients without learning to": {"meta": "finetune"},
    "one side learns": {"teams__rivals__controller": "random"},
}


@pytest.fixture
def guess(tmp_path: Path) -> Path:
    """Return the folder of a game of two sides with a hidden rule."""
    folder = tmp_path / "guess"
    folder.mkdir()
    text = (RECALL / "family.yaml").read_text().replace("binds: agents, about", "hidden: true, binds: agents, about")
    split = "splits:\n  two: {rules: {shift: [0, 1, 2], rivals: [2], hides: [true], length: [5]}, variants: all}\n"
    (folder / "family.yaml").write_text(text.replace("splits:\n", split))
    (folder / "game.py").write_text((RECALL / "game.py").read_text())
    return folder


def weights_of(folder: Path) -> dict[str, Any]:
    return load_file(folder / "team" / "weights.safetensors")


def same(one: Path, other: Path) -> None:
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    for name, array in weights_of(one).items():
        np.testing.assert_array_equal(array, weights_of(other)[name])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stop", [3, 4])
def test_every_kind_of_learner_goes_on_as_it_was(overrides: Overrides, guess: Path, case: str, stop: int) -> None:
    """Killed after four iterations opponents go on playing, after three others are about to be drawn."""
    settings = {**LEAGUE, **CASES[case], "game": guess if "meta" in CASES[case] else RECALL}
    settings |= {"train__checkpoint_iterations": 1, "train__keep": 8, "train__steps": 24 * 8}
    whole = train(overrides("whole", **settings), quiet=True).folder
    half = Path(shutil.copytree(whole, whole.parent / "half"))
    for later in [*(half / "checkpoints").iterdir(), *(half / "league").iterdir()]:
        if int(later.stem) > stop:
            shutil.rmtree(later) if later.is_dir() else later.unlink()
    checkpoint = read_newest(half / "checkpoints")
    assert checkpoint is not None
    for share, (leaving, playing) in enumerate(checkpoint.values["league"]["seating"]):
        assert len(playing) == 2
        assert len(leaving) == (2 if stop == 4 else 0)
        assert checkpoint.arrays[f"share/{share}/visitors/changed"].all() == (stop != 4)
    assert resume(half, quiet=True, trust=True).finished
    same(whole, half)
    for folder in sorted((whole / "league").iterdir()):
        one, other = (load_team(run / "league" / folder.name) for run in (whole, half))
        assert one.fingerprint() == other.fingerprint()


def test_killed_at_any_moment_it_reaches_the_same_numbers(overrides: Overrides, tmp_path: Path) -> None:
    settings = {**LEAGUE, "train__steps": 24 * 40, "train__checkpoint_iterations": 5}
    whole = train(overrides("whole", **settings), quiet=True).folder
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["marl_meta.train"])
    folder, draws, kills = tmp_path / "runs" / "run", np.random.default_rng(2), 0
    process = context.Process(target=train, args=(overrides(**settings),), kwargs={"quiet": True})
    process.start()
    for goal in (2, 9, 17, 29):
        until = time.monotonic() + 60.0
        metrics = folder / "metrics.jsonl"
        while process.is_alive() and time.monotonic() < until:
            if metrics.exists() and metrics.read_bytes().count(b"\n") >= goal:
                break
            time.sleep(0.002)
        time.sleep(draws.random() * 0.02)
        kills += process.is_alive()
        process.kill()
        process.join()
        process = context.Process(target=resume, args=(folder,), kwargs={"quiet": True, "trust": True})
        process.start()
    process.join(120)
    assert process.exitcode == 0
    assert kills >= 3
    same(whole, folder)
    assert sorted(path.name for path in (folder / "league").iterdir()) == sorted(
        path.name for path in (whole / "league").iterdir()
    )


def test_snapshots_stay_as_long_as_a_checkpoint_needs_them(overrides: Overrides) -> None:
    settings = {**LEAGUE, "train__steps": 24 * 31, "train__checkpoint_iterations": 4, "train__keep": 2}
    folder = train(overrides(**settings), quiet=True).folder
    newest = read_newest(folder / "checkpoints")
    assert newest is not None
    past = [born for born, _ in newest.values["league"]["past"]]
    left = {int(path.name) for path in (folder / "league").iterdir()} - set(past)
    assert past[0] == 0
    assert past[-1] == 30
    assert len(past) <= 3 + 1
    assert 0 < len(left) < 4
    expected = (folder / "metrics.jsonl").read_bytes()
    newest_path = max((folder / "checkpoints").iterdir())
    newest_path.write_bytes(b"damaged")  # so that the one before must do
    resume(folder, quiet=True, trust=True)
    assert (folder / "metrics.jsonl").read_bytes() == expected


def stopped(overrides: Overrides) -> tuple[Path, Path]:
    """Return a run that stopped halfway, and a snapshot that it needs."""
    folder = train(overrides(**LEAGUE, train__steps=24 * 4), quiet=True).folder
    return folder, folder / "league" / "000002"


def test_a_snapshot_that_is_gone(overrides: Overrides, contents: Callable[[Path], dict[str, bytes]]) -> None:
    folder, snapshot = stopped(overrides)
    shutil.rmtree(snapshot)
    before = contents(folder)
    with pytest.raises(
        UserError, match=r"cannot go on without the member .*000002 of its league: .* is not a team"
    ) as one:
        resume(folder, ["train.steps=240"], quiet=True, trust=True)
    assert "\n" not in str(one.value)
    assert contents(folder) == before


def test_a_snapshot_that_is_damaged(overrides: Overrides) -> None:
    folder, snapshot = stopped(overrides)
    weights = snapshot / "weights.safetensors"
    whole, tensors = weights.read_bytes(), load_file(weights)
    weights.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=r"cannot go on without the member .*000002 of its league"):
        resume(folder, ["train.steps=240"], quiet=True, trust=True)
    save_file({name: array + 1e-3 for name, array in tensors.items()}, weights)
    with pytest.raises(UserError, match=r"weights of the member .*000002 .* are not those that the run saved"):
        resume(folder, ["train.steps=240"], quiet=True, trust=True)
    weights.write_bytes(whole)
    assert resume(folder, ["train.steps=240"], quiet=True, trust=True).finished


def test_an_anchor_that_is_another_team_now(overrides: Overrides) -> None:
    anchors = [train(overrides(f"anchor{seed}", **LEAGUE, seed=seed), quiet=True).folder for seed in (1, 2)]
    settings = {**LEAGUE, "league__anchors": f"['{anchors[0]}']", "train__steps": 24 * 4}
    folder = train(overrides(**settings), quiet=True).folder
    checkpoint = read_newest(folder / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.values["league"]["anchors"][0][0] == "anchor1"
    shutil.copy(anchors[1] / "team" / "weights.safetensors", anchors[0] / "team")
    with pytest.raises(UserError, match="the anchor anchor1 of its league has other weights than before"):
        resume(folder, ["train.steps=240"], quiet=True, trust=True)


def test_a_run_from_before_there_were_leagues(overrides: Overrides) -> None:
    whole = train(overrides("whole", **STEADY), quiet=True).folder
    half = train(overrides("half", **STEADY, train__steps=24 * 3), quiet=True).folder
    values = json.loads((half / "config.json").read_text())
    assert values.pop("league")["name"] == "none"
    (half / "config.json").write_text(json.dumps(values))
    resume(half, ["train.steps=240"], quiet=True, trust=True)
    same(whole, half)
    assert not (half / "league").exists()


def test_the_gallery_shows_ratings(overrides: Overrides, tmp_path: Path) -> None:
    folder = tmp_path / "equals"
    folder.mkdir()
    text = (RECALL / "game.py").read_text()
    (folder / "game.py").write_text(text.replace('TeamLayout("rivals", "rival")', 'TeamLayout("rivals", "player")'))
    (folder / "family.yaml").write_text((RECALL / "family.yaml").read_text())
    run = train(overrides(game=folder, **LEAGUE), quiet=True).folder
    page = write_gallery(run).read_text()
    assert "Rating in the league (points)" in page
    assert "Score against members of the league" in page
    for name in ("knows", "random", "past"):
        assert f">{name}<" in page
