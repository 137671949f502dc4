"""Evaluation while a run goes on: it is there when asked for, and nothing else changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from marl_meta.config import load_config
from marl_meta.evaluate import evaluate
from marl_meta.train.build import assemble, resolve
from marl_meta.train.evaluating import evaluate_run
from marl_meta.train.run import resume, train
from marl_meta.train.trainer import Trainer, _for_tracker

SMALL = (
    "game.num_games=4",
    "policy.hidden=8",
    "policy.heads=2",
    "train.steps=600",  # six iterations
    "train.threads=1",
    "tracking=off",
    "algorithm.epochs=1",
)


@pytest.fixture(autouse=True)
def few_games(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marl_meta.train.evaluating.GAMES", 64)


def run(folder: Path, name: str, *overrides: str) -> Path:
    return train([*SMALL, f"runs_dir={folder}", f"name={name}", *overrides], quiet=True).folder


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_held_out_split_is_evaluated_every_so_often(tmp_path: Path) -> None:
    folder = run(tmp_path, "a", "game=spread", "game.split=train", "train.evaluate_every=2")
    found = {line["iteration"]: line.get("evaluate/held_out/return/agent") for line in metrics(folder)}
    assert [iteration for iteration, value in found.items() if value is not None] == [2, 4, 6]
    assert -40 < found[6] < -10
    timing = [json.loads(line) for line in (folder / "timing.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in timing if line.get("evaluate_seconds", 0) > 0] == [2, 4, 6]


def test_an_evaluation_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    without = metrics(run(tmp_path, "without", "game=spread", "game.split=train"))
    beside = metrics(run(tmp_path, "beside", "game=spread", "game.split=train", "train.evaluate_every=1"))
    assert [{k: v for k, v in line.items() if not k.startswith("evaluate/")} for line in beside] == without


def test_a_resumed_run_evaluates_to_the_same_numbers(tmp_path: Path) -> None:
    settings = ("game=spread", "game.split=train", "train.evaluate_every=2", "train.checkpoint_iterations=1")
    folder = run(tmp_path, "whole", *settings, "train.keep=9")
    cut = tmp_path / "cut"
    shutil.copytree(folder, cut)
    for checkpoint in sorted((cut / "checkpoints").iterdir())[3:]:
        checkpoint.unlink()
    resume(cut, quiet=True, trust=True)
    assert (cut / "metrics.jsonl").read_bytes() == (folder / "metrics.jsonl").read_bytes()


def test_fixed_rules_are_evaluated_as_they_are(tmp_path: Path) -> None:
    folder = run(tmp_path, "a", "game=spread", "game.rules={agents: 2}", "train.evaluate_every=6")
    assert set(metrics(folder)[-1]) >= {"evaluate/rules/return/agent"}


def test_both_sides_and_standing_players_are_in_their_places(tmp_path: Path) -> None:
    config = resolve(
        load_config(
            [*SMALL, "game=tag", "teams.prey.controller=scripted", "teams.prey.scripted=flee", f"runs_dir={tmp_path}"]
        )
    )
    trainer = Trainer(config, None, assemble(config))  # type: ignore[arg-type]  # nothing is written
    found = evaluate_run(config, trainer.team())
    assert set(found) == {"evaluate/rules/return/adversary", "evaluate/rules/return/prey"}
    assert found == evaluate_run(config, trainer.team())
    (split,) = evaluate(trainer.team(), rules={}, games_per_variant=64).splits
    fleeing = split.result({"adversary": trainer.team().name, "prey": "flee"})
    assert fleeing is not None
    wanted = fleeing.estimates["adversary"].mean[0]
    assert found["evaluate/rules/return/adversary"] == pytest.approx(wanted, abs=6)


def test_evaluations_have_charts_of_their_own() -> None:
    metrics = {
        "iteration": 1,
        "env_steps": 100,
        "return/agent": 1.0,
        "evaluate/held_out/return/agent": 2.0,
        "evaluate/two_teams_held_out/return/rival": 3.0,
        "evaluate/rules/return/agent": 4.0,
    }
    named = _for_tracker(metrics, {"iteration": 1, "env_steps": 100})
    assert named == {
        "global/env_steps": 100.0,
        "global/iteration": 1.0,
        "train/return/agent": 1.0,
        "eval/heldout/return/agent": 2.0,
        "eval/heldout/return/rival": 3.0,
        "eval/seen/return/agent": 4.0,
    }
