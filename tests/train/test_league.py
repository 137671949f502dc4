"""Leagues: who is in them, who is drawn, what is said of it, and that learners learn from their own play alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from marl_meta.config import load_config
from marl_meta.rollout import Experience
from marl_meta.team import load_team
from marl_meta.train import train
from marl_meta.train.build import assemble, resolve
from marl_meta.train.folder import RunFolder
from marl_meta.train.league.drawing import LEAST, likelihoods
from marl_meta.train.league.league import League, blocks
from marl_meta.train.league.ledger import FORGETTING, Ledger, Pairing, Result, score
from marl_meta.train.league.members import superfluous
from marl_meta.train.league.rating import rated
from marl_meta.train.trainer import Trainer
from marl_meta.types import UserError

GUESS = Path(__file__).parents[1] / "guess"
RECALL = Path(__file__).parents[1] / "recall"

Overrides = Callable[..., list[str]]
Lines = Callable[[Path], list[dict[str, Any]]]

TWO_SIDES: dict[str, Any] = {
    "game__rules": "{players: 1, rivals: 2, hides: true, length: 3}",
    "league": "prioritised",
    "league__share": 0.5,
    "league__opponents": 2,
    "league__every": 2,
    "league__rotate": 3,
    "league__size": 3,
    "league__anchors": "[knows,random]",
}
"""A run of ten iterations of a game of two roles, with two threads of three games each."""


@pytest.fixture
def equals(tmp_path: Path) -> Path:
    """Return the folder of a game whose two sides have the same role."""
    folder = tmp_path / "equals"
    folder.mkdir()
    text = (RECALL / "game.py").read_text()
    (folder / "game.py").write_text(text.replace('TeamLayout("rivals", "rival")', 'TeamLayout("rivals", "player")'))
    (folder / "family.yaml").write_text((RECALL / "family.yaml").read_text())
    return folder


def trainer_of(overrides: list[str], folder: Path) -> tuple[Trainer, League]:
    config = resolve(load_config(overrides))
    cast = assemble(config)
    assert cast.league is not None
    return Trainer(config, RunFolder(folder), cast), cast.league


# who plays where


def test_blocks_are_the_last_games_in_equal_parts() -> None:
    assert blocks(20, 0.3, 3) == [slice(14, 16), slice(16, 18), slice(18, 20)]
    assert blocks(10, 1.0, 4) == [slice(0, 3), slice(3, 6), slice(6, 8), slice(8, 10)]
    assert blocks(10, 0.2, 4) == [slice(8, 9), slice(9, 10)]  # no more opponents than games
    assert blocks(3, 0.01, 4) == [slice(2, 3)]  # one at least


def test_uniform_and_prioritised_draws() -> None:
    chances = [0.5, 0.9, 0.0, 1.0]
    assert likelihoods(chances, "uniform").tolist() == [0.25] * 4
    expected = np.array([0.25, LEAST, 1.0, LEAST])
    np.testing.assert_allclose(likelihoods(chances, "prioritised"), expected / expected.sum())


@pytest.mark.parametrize("name", ["uniform", "prioritised"])
def test_members_are_drawn_as_often_as_they_should_be(overrides: Overrides, tmp_path: Path, name: str) -> None:
    settings = {**TWO_SIDES, "league": name, "league__opponents": 1, "league__anchors": "[knows]", "train__threads": 1}
    trainer, league = trainer_of(overrides(**settings), tmp_path)
    league.begin(0, trainer.team, tmp_path)
    wins = [Result(Pairing("players", "@0", "rivals"), 1.0, 0.0)] * 3 + [
        Result(Pairing("players", "@0", "rivals"), float(i), 0.0) for i in range(20)
    ]
    losses = [Result(Pairing("players", "knows", "rivals"), -20.0, 0.0)] * 20
    league.ledger.note(wins + losses)
    chances = [league.ledger.chance(member, "rivals") for member in ("knows", "@0")]
    assert chances[0] < 0.1
    assert chances[1] > 0.9
    found = []
    for turn in range(2000):
        league._turns = [turn]
        (row,) = league._draw(0, turn)
        assert row[1] == ("players", "rivals")[turn % 2]  # the sides take turns
        found += [row[0]] if row[1] == "rivals" else []
    share = found.count("knows") / len(found)
    expected = likelihoods(chances, name)[0]  # type: ignore[arg-type]
    assert abs(share - expected) < 4 * math.sqrt(0.25 / len(found))


def test_different_members_play_at_a_time(overrides: Overrides, tmp_path: Path) -> None:
    settings = {**TWO_SIDES, "league": "uniform", "train__threads": 1, "league__opponents": 3}
    trainer, league = trainer_of(overrides(**settings), tmp_path)
    for iteration in range(0, 60, 3):
        league.begin(iteration, trainer.team, tmp_path)
        ((_, (first, second, third)),) = league.seating()
        assert {first[0], second[0], third[0]} == {"knows", "random", "@0"}
        assert first[1] == third[1] != second[1]


def test_who_leaves_is_close_to_others() -> None:
    assert superfluous([0, 10, 20, 30], 4) == []
    assert superfluous([0, 10, 40, 50, 100], 4) == [10]
    assert superfluous([0, 10, 40, 50, 100], 2) == [10, 40, 50]
    members = [0]
    for born in range(1, 200):
        members.append(born)
        members = [one for one in members if one not in superfluous(members, 6)]
    assert members[0] == 0
    assert members[-1] == 199
    assert max(np.diff(members)) <= 100
    assert len(members) == 6


# what came of it


def test_the_ledger_counts_and_forgets() -> None:
    ledger = Ledger({"players": "player", "rivals": "player"})
    won = Result(Pairing("players", "@0", "rivals"), 3.0, 1.0)
    ledger.note([won, won, won._replace(earned=1.0), won._replace(earned=0.0)])
    assert ledger.now[won.pairing].tolist() == [2.0, 1.0, 1.0, 7.0]
    assert ledger.chance("@0", "rivals") == pytest.approx((2 + 0.5 + 1) / (4 + 2))
    assert ledger.chance("@0", "players") == ledger.chance("nobody", "rivals") == 0.5
    ledger.freeze(2)
    ledger.note([won])
    assert ledger.now[won.pairing].tolist() == pytest.approx([2 * FORGETTING + 1, FORGETTING, FORGETTING, 7 * 0.98 + 3])
    assert ledger.then[2][won.pairing].tolist() == [2.0, 1.0, 1.0, 7.0]
    assert score(ledger.total(["@0", "nobody"])) == pytest.approx((2.5 * FORGETTING + 1) / (4 * FORGETTING + 1))
    assert score(ledger.total(["nobody"])) is None
    other = Ledger({"players": "player", "rivals": "player"})
    other.restore(json.loads(json.dumps(ledger.values())))
    assert other.values() == ledger.values()
    ledger.drop(2, "@0")
    assert ledger.now == ledger.then == {}


def test_between_roles_more_than_usual_is_a_win() -> None:
    ledger = Ledger({"players": "player", "rivals": "rival"})
    strong, weak = (Pairing("players", name, "rivals") for name in ("strong", "weak"))
    ledger.note([Result(strong, 1.0, 0.0), Result(weak, 3.0, 9.0), Result(weak, 2.0, 9.0)])
    assert ledger.now[strong].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert ledger.now[weak].tolist() == [1.0, 1.0, 0.0, 5.0]
    ledger.note([Result(strong, 2.1, 0.0)])  # now above the mean, which old returns weigh less in
    assert ledger.now[strong][0] == 1.0


def test_ratings_recover_strengths_through_members_that_never_meet() -> None:
    """Nine of ten games are 400 log10(9) points; a@now has never met random."""
    nine = np.array([9e4, 0.0, 1e4, 0.0])
    met = [("a@now", "a@1", nine), ("a@1", "random", nine), ("b@now", "b@0", nine[[2, 1, 0, 3]])]
    met += [("a@0", "b@now", np.array([0.0, 9e4, 0.0, 0.0]))]  # what was drawn says that they are as good
    found = rated(met, {"a@now": "random", "b@now": "b@0", "c@now": "random", "a@1": "b@0", "a@0": "b@now"})
    points = 400.0 * math.log10(9.0)
    assert found["a@now"] == pytest.approx(2 * points, rel=1e-3)
    assert found["b@now"] == pytest.approx(-points, rel=1e-3)
    assert found["a@0"] == pytest.approx(0.0, abs=5.0)
    assert found["c@now"] is found["a@1"] is None  # nobody knows
    assert rated([], {"a@now": "random"}) == {"a@now": None}


def test_metrics_of_two_roles(overrides: Overrides, read_lines: Lines) -> None:
    lines = read_lines(train(overrides(**TWO_SIDES), quiet=True).folder / "metrics.jsonl")
    names = {name for name in lines[0] if name.startswith("league/")}
    against = {
        f"league/return_against/{one}/{side}" for one in ("knows", "random", "past") for side in ("players", "rivals")
    }
    assert names == {"league/members", "league/episodes", "league/return/players", "league/return/rivals", *against}
    assert all(set(line) == set(lines[0]) for line in lines)
    assert [line["league/members"] for line in lines[:6]] == [3, 3, 4, 4, 5, 5]


def test_what_is_earned_in_the_league_is_told_apart(overrides: Overrides, tmp_path: Path) -> None:
    """Players learn; the rivals, who play at random, are played by those who know the words in a league game or two."""
    settings = {**TWO_SIDES, "league__anchors": "[knows]", "teams__rivals__controller": "random", "league__share": 0.4}
    settings |= {"game__rules": "{players: 1, rivals: 2, length: 3}", "train__threads": 1, "train__horizon": 6}
    trainer, league = trainer_of(overrides(**settings), tmp_path)
    metrics, _ = trainer.iterate()
    assert league.seating() == [([], [("knows", "rivals"), ("knows", "rivals")])]
    assert (metrics["episodes"], metrics["league/episodes"]) == (8, 4)
    assert metrics["return/rivals"] < 2.0  # type: ignore[operator]
    assert metrics["league/return/players"] == metrics["league/return_against/knows/players"]


# learning


def test_nothing_of_a_members_play_is_learnt(overrides: Overrides, tmp_path: Path) -> None:
    """Whatever stands where nobody counts, the learner is the same after the update."""
    states, statistics = [], []
    for noise in (0.0, 100.0):
        trainer, league = trainer_of(overrides(**TWO_SIDES, game__episodes_per_trial=2), tmp_path)
        league.begin(0, trainer.team, tmp_path)
        collected = [collector.collect(4) for collector in trainer.cast.collectors]
        shares: list[Experience] = [experience["rivals"] for experience, _ in collected]
        held = [share.weight == 0 for share in shares]
        assert sum(float(rows.sum()) for rows in held) > 0
        for share, rows in zip(shares, held, strict=True):
            share.reward[rows] += noise
            share.value[rows] -= noise
            share.next_value[rows] -= noise
            share.log_prob[rows] -= noise / 50
            share.action[rows] = 0
        learner = trainer.cast.learners["rivals"]
        statistics.append(learner.improve(shares, 0.0, trainer.workers))
        states.append(learner.arrays())
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name], err_msg=name)
    assert statistics[0] == statistics[1]


def test_nothing_of_a_members_play_is_evidence(overrides: Overrides, tmp_path: Path) -> None:
    states = []
    for noise in (False, True):
        settings = {
            **TWO_SIDES,
            "meta": "belief",
            "game__split": "two_sides",
            "game__rules": "{}",
            "league__anchors": "[]",
        }
        trainer, league = trainer_of(overrides(**settings, game=GUESS, train__threads=1), tmp_path)
        league.begin(0, trainer.team, tmp_path)
        ((experience, _),) = [collector.collect(4) for collector in trainer.cast.collectors]
        testimony = experience["rivals"].testimony
        assert testimony is not None
        weight = testimony.weight.view(4, 6, -1)
        lost = (weight == 0).all(-1).all(0).numpy()
        assert lost.any()
        if noise:
            testimony.hidden[:, lost] = -testimony.hidden[:, lost]
            testimony.evidence.view(6, -1)[torch.from_numpy(lost)] = 3.0
        learner = trainer.cast.learners["rivals"]
        learner.improve([experience["rivals"]], 0.0, trainer.workers)
        states.append(learner.arrays())
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name], err_msg=name)


def test_ratings_rise_as_a_team_learns(overrides: Overrides, read_lines: Lines, equals: Path) -> None:
    quick = {
        "game__num_games": 16, "policy__hidden": 16, "algorithm__epochs": 4, "algorithm__learning_rate": 1e-2,
        "algorithm__gamma": 0.9, "algorithm__gae_lambda": 0.8, "algorithm__entropy": 0.03, "train__horizon": 8,
        "train__steps": 16 * 8 * 25, "train__threads": 1, "teams__players__learner": "both",
        "teams__rivals__learner": "both", "game__rules": "{players: 1, rivals: 1}", "league": "uniform",
        "league__share": 0.5, "league__every": 5, "league__rotate": 2, "league__anchors": "[random,knows]",
    }  # fmt: skip
    folder = train(overrides(game=equals, **quick), quiet=True).folder
    lines = read_lines(folder / "metrics.jsonl")
    ratings = [line["league/rating/both"] for line in lines]
    assert max(ratings[:3]) < 150.0
    assert ratings[-1] > max(200.0, ratings[5] + 50.0)
    assert lines[-1]["league/score_against/random"] > 0.75
    assert lines[0]["league/score_against/knows"] < 0.3 < lines[-1]["league/score_against/knows"] < 0.5
    assert lines[-1]["league/score_against/past"] > 0.5
    # Snapshots are teams as any others, of which the last knows more than the first.
    assert load_team(folder / "league" / "000025").trained_on["env_steps"] == 16 * 8 * 25


# input


def refused(overrides: list[str]) -> str:
    with pytest.raises(UserError) as caught:
        train(overrides, quiet=True)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_who_is_nobody(overrides: Overrides, tmp_path: Path) -> None:
    text = refused(overrides(**TWO_SIDES | {"league__anchors": "[know]"}))
    assert text == (
        "Config key league.anchors names 'know' (did you mean 'knows'?); allowed are random, the scripted players of "
        "the game (knows), folders of saved teams, and zoo:NAME."
    )
    assert "needs members with names of their own" in refused(
        overrides(**TWO_SIDES | {"league__anchors": "[knows,knows]"})
    )
    assert "is not a team" in refused(overrides(**TWO_SIDES | {"league__anchors": f"['{tmp_path}']"}))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"game__rules": "{players: 2}"},
            "league=prioritised needs a game in which teams meet; this one has one team, p",
        ),
        (
            {"meta": "maml", "meta__tell": "never", "meta__gradient__context": 3},
            "Config key league must be none for meta=maml, which learns from whole trials",
        ),
        ({"league__share": 0}, "Config key league.share must be a number"),
        ({"league__size": 1}, "Config key league.size must be a whole number of at least 2, not 1"),
        ({"league": "unifrom"}, "Config group league has no option 'unifrom' (did you mean 'uniform'?)"),
        ({"league__shares": 1}, "Config key league.shares is not known (did you mean 'share'?)"),
        (
            {"teams__rivals__controller": "random", "league__anchors": "[]"},
            "league=prioritised has nobody to play against players: past selves cannot play rivals; name members",
        ),
    ],
)
def test_bad_input(overrides: Overrides, tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert expected in refused(overrides(**TWO_SIDES | changes))
    assert not (tmp_path / "runs").exists()


def test_a_curriculum_needs_games_without_a_league(overrides: Overrides) -> None:
    settings = {
        **TWO_SIDES,
        "schedule": "progress",
        "game__split": "two_sides",
        "game__rules": "{}",
        "league__share": 0.9,
    }
    text = refused(overrides(game=GUESS, **settings))
    assert "league.share is 0.9, which leaves no game of a thread's 3 for schedule=progress to learn from" in text


def test_an_anchor_that_can_play_no_side(overrides: Overrides) -> None:
    settings = {"game": "tag", "league": "uniform", "teams__prey__controller": "random", "game__rules": "{}"}
    text = refused(overrides(**settings, league__anchors="[chase]"))
    assert text == "Config key league.anchors names 'chase', who can play none of prey (role prey)."
