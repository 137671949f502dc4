"""A run whose numbers are no numbers any more stops, and what was good stays."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from marl_meta.rl.sharding import Workers
from marl_meta.rollout import Experience
from marl_meta.team import load_team
from marl_meta.train import train
from marl_meta.train.checkpoint import read_newest
from marl_meta.train.learner import Learner
from marl_meta.train.trainer import Trainer
from marl_meta.types import UserError

Overrides = Callable[..., list[str]]


def spoil_weight(learner: Learner, _: Sequence[Experience]) -> None:
    with torch.no_grad():
        learner.policy.actor.bias[0] = math.inf


def spoil_reward(_: Learner, shares: Sequence[Experience]) -> None:
    shares[0].reward[0, 0] = math.nan


@pytest.mark.parametrize("spoil", [spoil_weight, spoil_reward])
def test_stops_and_keeps_what_was_good(
    overrides: Overrides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[..., None]
) -> None:
    improve = Learner.improve
    calls = []

    def spoilt(self: Learner, shares: Sequence[Experience], progress: float, workers: Workers) -> dict[str, float]:
        calls.append(progress)
        if len(calls) == 6 and spoil is spoil_reward:
            spoil(self, shares)
        optimiser_step = self.optimiser.step
        if len(calls) == 6 and spoil is spoil_weight:  # by the last step of the update: all losses are still good

            def step() -> None:
                optimiser_step()
                spoil(self, shares)

            monkeypatch.setattr(self.optimiser, "step", step)
        return improve(self, shares, progress, workers)

    monkeypatch.setattr(Learner, "improve", spoilt)
    with pytest.raises(UserError, match=r"Training diverged: players/\w+ is (nan|inf) at iteration 6.*lower") as caught:
        train(overrides(train__checkpoint_iterations=1, train__keep=1), quiet=True)
    assert "\n" not in str(caught.value)
    folder = tmp_path / "runs" / "run"
    checkpoint = read_newest(folder / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.values["iteration"] == 5
    assert all(np.isfinite(array).all() for array in checkpoint.arrays.values())
    assert all(np.isfinite(array).all() for array in load_file(folder / "team" / "weights.safetensors").values())
    assert load_team(folder).trained_on["env_steps"] == 5 * 24
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("meta", ["none", "finetune"])
def test_before_the_first_checkpoint_the_team_of_the_iteration_before_is_kept(
    overrides: Overrides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meta: str
) -> None:
    improve, iterate = Learner.improve, Trainer.iterate
    calls: list[int] = []
    teams: list[str] = []

    def spoilt(self: Learner, shares: Sequence[Experience], *others: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 5:
            spoil_reward(self, shares)
        return improve(self, shares, *others)

    def watched(self: Trainer) -> Any:
        found = iterate(self)
        teams.append(self.team().fingerprint())
        return found

    monkeypatch.setattr(Learner, "improve", spoilt)
    monkeypatch.setattr(Trainer, "iterate", watched)
    with pytest.raises(UserError) as caught:
        train(overrides(meta=meta, train__checkpoint_iterations=0), quiet=True)
    said = str(caught.value)
    assert "at iteration 5. The team as it was after iteration 4 is kept in" in said
    assert "no checkpoint, for the first was still to come (train.checkpoint_iterations has them sooner)" in said
    folder = tmp_path / "runs" / "run"
    kept = load_team(folder)
    assert kept.fingerprint() == teams[3] and kept.trained_on["env_steps"] == 4 * 24
    assert not (folder / "checkpoints").exists()


def test_what_diverges_at_once_leaves_no_team(overrides: Overrides, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"algorithm__learning_rate": 1e30, "algorithm__max_grad_norm": "null"}
    with pytest.raises(
        UserError, match=r"at iteration 1\. Nothing is kept, for nothing had been learnt by then; try a"
    ):
        train(overrides(**settings), quiet=True)
    assert not (tmp_path / "runs" / "run" / "team").exists()


SPOILT = Path(__file__).parents[1] / "interop" / "tiny_games.py"


@pytest.mark.parametrize("meta", ["none", "maml"])
@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ("{value: nan, at: 10}", r"The game 'tiny_games' paid the agent 'player_1' a reward of nan"),
        ("{value: inf, at: 10}", r"The game 'tiny_games' paid the agent 'player_1' a reward of inf"),
        ("{shows: true, at: 10}", r"shows the agent 'player_1' an observation that holds nan"),
    ],
)
def test_a_game_of_no_numbers_is_to_blame_itself(overrides: Overrides, meta: str, kwargs: str, said: str) -> None:
    changes = {"entry_point": f"{SPOILT}:Spoilt", "kwargs": kwargs.replace("nan", "'nan'").replace("inf", "'inf'")}
    settings: dict[str, Any] = {f"game__{key}": value for key, value in changes.items()}
    if meta == "maml":
        settings |= {"meta__tell": "never", "meta__gradient__context": 2, "game__episodes_per_trial": 2}
    with pytest.raises(UserError, match=said):
        train(overrides(game="pettingzoo", meta=meta, train__horizon=8, **settings), quiet=True)


def test_a_learning_rate_that_is_far_too_high(overrides: Overrides) -> None:
    settings: dict[str, Any] = {"algorithm__learning_rate": 1e30, "algorithm__max_grad_norm": "null"}
    with pytest.raises(UserError, match=r"Training diverged.*try a lower algorithm.learning_rate"):
        train(overrides(**settings), quiet=True)


def test_a_policy_that_jumps_is_not_kept(overrides: Overrides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    improve = Learner.improve
    calls = []

    def jumping(self: Learner, *arguments: Any) -> dict[str, float]:
        calls.append(1)
        return improve(self, *arguments) | {"kl": 65.0 if len(calls) == 4 else 45.0}

    monkeypatch.setattr(Learner, "improve", jumping)
    with pytest.raises(UserError, match=r"players/kl is 65, more than 50, at iteration 4\. The last good checkpoint"):
        train(overrides(train__checkpoint_iterations=1, train__keep=1), quiet=True)
    (folder,) = tmp_path.glob("**/checkpoints")
    checkpoint = read_newest(folder)
    assert checkpoint is not None and checkpoint.values["iteration"] == 3
