"""Hidden rules that are any number: beliefs about them are learnt, told how sure they are, and reported."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from marl_meta.evaluate import evaluate
from marl_meta.evaluate.report import write_report
from marl_meta.train import train

WINDY = Path(__file__).parents[1] / "windy" / "family.yaml"


def test_a_wind_that_nobody_sees_is_inferred_and_reported(tmp_path: Path) -> None:
    settings = {"game": WINDY, "game.split": "train", "game.num_games": 16, "meta": "belief", "policy.hidden": 16}
    settings |= {"meta.belief.epochs": 4, "game.episodes_per_trial": 2, "train.steps": 16 * 25 * 60}
    settings |= {"train.threads": 1, "tracking": "off", "runs_dir": tmp_path, "name": "run"}
    folder = train([f"{key}={value}" for key, value in settings.items()], quiet=True).folder
    losses = [json.loads(line)["agent/belief_loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    unsure = 0.5 * math.log(2 * math.pi) + 0.5 / 3  # nats, of who believes any number to be standard normal
    assert np.mean(losses[-6:]) < unsure - 1.0
    found = evaluate(folder, game=WINDY, split="held_out", episodes=2, games_per_variant=4)
    report = tmp_path / "report"
    report.mkdir()
    names = {path.name for path in write_report(found, report)}
    assert "reliability-held_out-run.png" in names
    (calibration,) = found.record()["adaptation"][0]["calibration"].values()
    assert set(calibration["error_by_rule"]) == {"wind_x", "wind_y"}
    assert calibration["error"] < 0.25
    assert calibration["observed"] == sorted(calibration["observed"])  # who lies below a number lies below larger ones
