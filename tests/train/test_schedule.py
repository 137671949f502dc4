"""Curricula: scores and weights by hand, and runs in which what is dealt goes where there is something to learn."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marl_meta.config import load_config
from marl_meta.games import load_family
from marl_meta.games.deck import apportion
from marl_meta.train import train
from marl_meta.train.build import assemble, resolve
from marl_meta.train.schedule import (
    Schedule,
    no_scores,
    progress,
    regret,
    weights_of,
    with_trials,
)
from marl_meta.train.trainer import Trainer
from marl_meta.types import UserError

Overrides = Callable[..., list[str]]

RECALL = Path(__file__).parents[1] / "recall"

# scores


def test_averages_are_weighted_means_of_the_scores() -> None:
    scores = with_trials(no_scores(2, 0.5, 0.8), [(1, 4.0), (1, 1.0), (1, 2.0)])
    assert scores.count.tolist() == [0, 3]
    assert scores.fast[1] == pytest.approx((0.25 * 4 + 0.5 * 1 + 2) / (0.25 + 0.5 + 1))
    assert scores.slow[1] == pytest.approx((0.64 * 4 + 0.8 * 1 + 2) / (0.64 + 0.8 + 1))
    assert scores.best.tolist() == [0.0, 4.0]
    assert scores.fast[0] == scores.slow[0] == 0.0
    assert scores.last.tolist() == [0.0, 2.0]
    # Half the squares of 1 - 4 and 2 - 1, the later one with the larger weight.
    assert scores.noise[1] == pytest.approx((0.8 * 4.5 + 0.5) / 1.8)
    assert regret(scores)[1] == pytest.approx(4.0 - 2.0)


def test_trials_one_by_one_or_together_make_the_same_scores() -> None:
    rng = np.random.default_rng(0)
    trials = [(int(rng.integers(3)), float(rng.normal())) for _ in range(50)]
    together = with_trials(no_scores(3, 0.9, 0.98), trials)
    scores = no_scores(3, 0.9, 0.98)
    for trial in trials:
        scores = with_trials(scores, [trial])
    for name in ("count", "fast", "slow", "best", "last", "noise"):
        np.testing.assert_array_equal(getattr(scores, name), getattr(together, name))


def test_progress_is_what_chance_does_not_explain() -> None:
    """The deduction is two standard errors of the difference of two averages, found here by drawing scores."""
    rng = np.random.default_rng(0)
    still = with_trials(no_scores(2000, 0.8, 0.9), [(v, float(x)) for v in range(2000) for x in rng.normal(3, 2, 60)])
    apart = still.fast - still.slow
    assert np.sqrt(still.noise).mean() == pytest.approx(2.0, rel=0.1)
    found = np.maximum(abs(apart) - 2 * apart.std(), 0.0)
    assert progress(still).mean() == pytest.approx(found.mean(), rel=0.3)
    assert (progress(still) > 0).mean() < 0.1
    learnt = with_trials(still, [(v, float(x)) for v in range(2000) for x in rng.normal(13, 2, 5)])
    assert (progress(learnt) > 0).all()
    assert progress(learnt).mean() == pytest.approx((learnt.fast - learnt.slow).mean() - 2 * apart.std(), rel=0.2)


def test_without_chance_progress_is_the_difference() -> None:
    quiet = dataclasses.replace(no_scores(2, 0.5, 0.8), fast=np.array([1.0, 5.0]), slow=np.array([4.0, 3.0]))
    assert progress(quiet).tolist() == [3.0, 2.0]
    loud = dataclasses.replace(quiet, noise=np.array([9.0, 0.0]))
    error = 3.0 * math.sqrt(0.5 / 1.5 + 0.2 / 1.8 - 2 * 0.5 * 0.2 / 0.6)
    np.testing.assert_allclose(progress(loud), [3.0 - 2 * error, 2.0])


def test_losses_have_a_best_too() -> None:
    scores = with_trials(no_scores(1, 0.5, 0.8), [(0, -3.0), (0, -1.0), (0, -2.0)])
    assert scores.best.tolist() == [-1.0]


def test_what_stays_as_it_is_has_no_progress_and_no_regret() -> None:
    scores = with_trials(no_scores(2, 0.9, 0.98), [(0, 5.0)] * 30)
    np.testing.assert_allclose(progress(scores), 0.0, atol=1e-12)
    np.testing.assert_allclose(regret(scores), 0.0, atol=1e-12)


def test_what_is_forgotten_counts_as_what_is_learnt() -> None:
    up = with_trials(no_scores(1, 0.5, 0.98), [(0, 0.0)] * 20 + [(0, 1.0)] * 5)
    down = with_trials(no_scores(1, 0.5, 0.98), [(0, 1.0)] * 20 + [(0, 0.0)] * 5)
    np.testing.assert_allclose(progress(up), progress(down))
    assert progress(up)[0] > 0.5
    assert regret(up)[0] < 0.1
    assert regret(down)[0] > 0.9


# weights


def test_weights_are_in_part_even_and_for_the_rest_by_priority() -> None:
    scores = with_trials(no_scores(4, 0.5, 0.8), [(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0)])
    priority = np.array([3.0, 1.0, 0.0, 0.0])
    found = weights_of(scores, lambda _: priority.copy(), 0.2)
    np.testing.assert_allclose(found, [0.05 + 0.6, 0.05 + 0.2, 0.05, 0.05])
    np.testing.assert_allclose(weights_of(scores, lambda _: priority.copy(), 1.0), 0.25)
    np.testing.assert_allclose(weights_of(scores, lambda _: np.zeros(4), 0.0), 0.25)


def test_what_was_never_played_comes_first() -> None:
    scores = with_trials(no_scores(3, 0.5, 0.8), [(0, 1.0), (1, 4.0), (1, 0.0)])
    found = weights_of(scores, regret, 0.0)
    np.testing.assert_allclose(found, [0.0, 0.5, 0.5])
    np.testing.assert_allclose(weights_of(no_scores(3, 0.5, 0.8), progress, 0.3), 1 / 3)


def test_metrics_of_the_deck() -> None:
    schedule = Schedule("regret", 3, 0.25, 0.5, 0.8)
    schedule.note([(2, 1.0), (1, 9.0), (1, 0.0), (0, 2.0)])  # all priority is the second one's
    assert apportion(schedule.weights(), 24).tolist() == [2, 20, 2]
    share = [2 / 24, 20 / 24, 2 / 24]
    assert schedule.metrics() == {
        "schedule/entropy": pytest.approx(-sum(part * math.log(part) for part in share)),
        "schedule/most": 1,
        "schedule/most_share": 20 / 24,
        "schedule/least": 0,
        "schedule/least_share": 2 / 24,
    }


def test_a_schedule_goes_on_from_a_snapshot() -> None:
    first, second = (Schedule("progress", 3, 0.5, 0.9, 0.98) for _ in range(2))
    first.note([(0, 1.0), (1, 2.0), (1, 3.0), (2, 1.0)])
    kept = {name: array.copy() for name, array in first.snapshot().items()}
    second.restore(kept)
    for schedule in (first, second):
        schedule.note([(1, 8.0), (2, 1.5)])
    np.testing.assert_array_equal(first.weights(), second.weights())
    assert kept["count"].tolist() == [1, 2, 1]


# runs


def trainer_of(lines: list[str]) -> Trainer:
    config = resolve(load_config(lines))
    return Trainer(config, None, assemble(config))  # type: ignore[arg-type]  # nothing is written


@pytest.fixture
def unlike(tmp_path: Path) -> Path:
    """Return a family of four variants: one can be learnt, one needs a memory, and two pay whatever is said."""
    folder = tmp_path / "unlike"
    folder.mkdir()
    text = (RECALL / "family.yaml").read_text()
    old = "train: {rules: {shift: [0, 2], players: [1, 2]}, variants: all}"
    assert old in text
    new = "train: {rules: {length: [8], pays: [match, always], hides: [true, false]}, variants: all}"
    (folder / "family.yaml").write_text(text.replace(old, new).replace("  held_out:", "  other:"))
    (folder / "game.py").write_text((RECALL / "game.py").read_text())
    return folder


FORGETFUL: dict[str, Any] = {
    "game__split": "train",
    "game__num_games": 32,
    "policy__hidden": 16,
    "policy__recurrent": "none",
    "algorithm__epochs": 4,
    "algorithm__learning_rate": 3e-3,
    "algorithm__gamma": 0.9,
    "train__horizon": 8,
    "train__steps": 32 * 8 * 60,
}


def dealt(trainer: Trainer, iterations: int) -> tuple[Any, Any]:
    """Return the weights that a run deals by and what it earns of late, both [iterations,V]."""
    weights, earned = [], []
    for _ in range(iterations):
        trainer.iterate()
        assert trainer.cast.schedule is not None
        weights.append(trainer.cast.schedule.weights())
        earned.append(trainer.cast.schedule.scores.fast)
    trainer.workers.close()
    return np.stack(weights), np.stack(earned)


def numbers(folder: Path, **rules: Any) -> list[int]:
    variants = load_family(folder).split("train")
    return [v for v, one in enumerate(variants) if all(one.rules[name] == value for name, value in rules.items())]


def test_progress_goes_where_there_is_something_to_learn(overrides: Overrides, unlike: Path) -> None:
    (learnable,) = numbers(unlike, pays="match", hides=False)
    (out_of_reach,) = numbers(unlike, pays="match", hides=True)
    paid = numbers(unlike, pays="always")
    trainer = trainer_of(overrides(game=unlike, schedule="progress", **FORGETFUL))
    weights, earned = dealt(trainer, 60)
    np.testing.assert_allclose(weights.sum(1), 1.0)
    learning = (earned[:, learnable] > 3.5) & (earned[:, learnable] < 7.5)  # of 8; a third is chance
    assert learning.sum() > 3
    assert weights[learning, learnable].mean() > 0.5
    assert weights[learning][:, [out_of_reach, *paid]].mean(0).max() < 0.2
    # In the end one is mastered and one is as it was, and both are as good as any other.
    assert earned[-1, learnable] > 7.5
    assert earned[-1, out_of_reach] < 5.0
    assert weights[-15:, [learnable, out_of_reach]].mean() < 0.35


def test_regret_goes_where_more_was_once_earned(overrides: Overrides, unlike: Path) -> None:
    (learnable,) = numbers(unlike, pays="match", hides=False)
    paid = numbers(unlike, pays="always")
    trainer = trainer_of(overrides(game=unlike, schedule="regret", **FORGETFUL))
    weights, _ = dealt(trainer, 60)
    np.testing.assert_allclose(weights[5:, paid], 0.5 / 4, atol=1e-9)  # the uniform share, and nothing more
    assert weights[5:20, learnable].mean() > 0.25
    assert weights[-5:, learnable].mean() < weights[5:20, learnable].mean() - 0.05  # it is mastered


def test_all_shares_of_the_games_are_dealt_the_same_deck(overrides: Overrides) -> None:
    settings = {"game__split": "train", "schedule": "regret", "train__threads": 3}
    trainer = trainer_of(overrides(**settings))
    for _ in range(4):
        trainer.iterate()
    trainer.workers.close()
    decks = [collector.game.snapshot()["deck"] for collector in trainer.cast.collectors]
    assert len(decks) == 3
    counts = np.bincount(decks[0], minlength=4)
    assert counts.min() >= 1
    assert counts.max() > 8  # of eight for each
    for deck in decks[1:]:
        np.testing.assert_array_equal(deck, decks[0])
    schedule = trainer.cast.schedule
    assert schedule is not None
    assert schedule.scores.count.sum() == 6 * 4  # games of four steps


def test_without_a_curriculum_nothing_is_dealt(overrides: Overrides) -> None:
    folder = train(overrides(game__split="train"), quiet=True).folder
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert not any(name.startswith("schedule") for name in lines[-1])


@pytest.mark.parametrize("game", [RECALL, "pettingzoo"])
def test_a_curriculum_needs_a_split(overrides: Overrides, game: str | Path) -> None:
    third_party = {"game__entry_point": "mpe2.simple_spread_v3:parallel_env"} if game == "pettingzoo" else {}
    with pytest.raises(UserError, match=r"schedule=progress chooses among the variants of a split, and game\.split"):
        trainer_of(overrides(game=game, schedule="progress", **third_party))


def test_bad_settings() -> None:
    with pytest.raises(UserError, match=r"schedule.slow_decay must be larger than schedule.fast_decay, not 0.9 with"):
        load_config(["schedule=progress", "schedule.slow_decay=0.9"])
    with pytest.raises(UserError, match=r"schedule has no option 'level'; allowed are progress, regret, uniform"):
        load_config(["schedule=level"])
    for value in ("1.5", "-0.1"):
        with pytest.raises(UserError, match=r"schedule.uniform_share must be a number"):
            load_config(["schedule=progress", f"schedule.uniform_share={value}"])
