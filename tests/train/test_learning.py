"""Trivial games are solved in seconds: each needs one thing that the trainer must get right."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marl_meta.config import load_config
from marl_meta.evaluate.controls import Forgetful
from marl_meta.games import make_vec
from marl_meta.players import RandomPlayer
from marl_meta.team import Team, load_team
from marl_meta.train import train
from marl_meta.train.build import assemble, resolve
from marl_meta.types import UserError

Overrides = Callable[..., list[str]]

GUESS = Path(__file__).parents[1] / "guess"
RECALL = Path(__file__).parents[1] / "recall"

QUICK: dict[str, Any] = {
    "game__num_games": 16,
    "policy__hidden": 16,
    "algorithm__epochs": 4,
    "algorithm__minibatches": 2,
    "algorithm__learning_rate": 1e-2,
    "algorithm__gamma": 0.9,  # what is said pays at once
    "algorithm__gae_lambda": 0.8,
    "algorithm__entropy": 0.03,
    "train__horizon": 8,
    "train__steps": 16 * 8 * 25,
    "train__checkpoint_iterations": 0,
}


def share_right(
    team: Team, side: str, rules: dict[str, Any], episodes: int = 4, *, forgets: bool = False, **game: Any
) -> float:
    """Return the share of steps in which a team's agents say the right word, playing by chance as they learnt to.

    Where it `forgets`, its memory is cleared after every episode.
    """
    games = make_vec(RECALL, num_games=64, rules=rules, seed=99, **game)
    layout = games.layout
    number = [one.name for one in layout.teams].index(side)
    agents = (games.agent_team == number).nonzero()[0]
    own = team.controller(layout, side, seed=5)
    player = Forgetful(own) if forgets else own
    player.reset(64, agents)
    step, rewards = games.reset(), []
    actions = 0 * step.observation.acting.astype(int)
    for _ in range(episodes * games.rules[0]["length"]):
        actions[:, agents] = player.act(step.observation)
        step = games.step(actions)
        player.observe(step)
        rewards.append(step.reward[:, agents].mean())
    return float(sum(rewards) / len(rewards))


def learn(overrides: Overrides, **changes: Any) -> Team:
    return load_team(train(overrides(**{**QUICK, **changes}), quiet=True).folder)


@pytest.mark.parametrize("options", [{}, {"policy__recurrent": "none", "policy__critic": "central"}])
def test_says_what_it_is_shown(overrides: Overrides, options: dict[str, Any]) -> None:
    team = learn(overrides, game__rules="{players: 2}", **options)
    assert share_right(team, "players", {"players": 2}) > 0.95
    assert share_right(team, "players", {"players": 3}) > 0.9  # one more than it ever met


def test_a_flat_encoder_says_what_it_is_shown(overrides: Overrides) -> None:
    team = learn(overrides, game__rules="{players: 2}", policy__encoder="flat")
    assert share_right(team, "players", {"players": 2}) > 0.95
    assert share_right(team, "players", {"players": 1}) > 0.6  # one less: an empty place, as it never met it
    with pytest.raises(UserError, match="3 entities of kind 'player': it was built for 2 at most"):
        share_right(team, "players", {"players": 3})


def test_remembers_what_it_was_shown(overrides: Overrides) -> None:
    rules = {"hides": True, "length": 4}
    text = json.dumps(rules).replace('"', "")
    steps = 16 * 8 * 45
    assert share_right(learn(overrides, game__rules=text, train__steps=steps), "players", rules) > 0.95
    blind = learn(overrides, name="blind", game__rules=text, policy__recurrent="none", train__steps=steps // 3)
    assert share_right(blind, "players", rules) < 0.65  # the first step, and a third of the others


def test_remembers_over_the_episodes_of_a_trial(overrides: Overrides) -> None:
    """The word is shown in the very first step of a trial of three episodes of two steps."""
    rules = {"hides": True, "length": 2, "lasts": "trial"}
    text = json.dumps(rules).replace('"', "")
    settings: dict[str, Any] = {"policy__trial_inputs": "true", "policy__hidden": 32, "train__horizon": 12}
    settings |= {"algorithm__learning_rate": 4e-3, "game__num_games": 32, "train__steps": 32 * 12 * 100}
    team = learn(overrides, game__rules=text, game__episodes_per_trial=3, **settings)
    assert share_right(team, "players", rules, episodes=9, episodes_per_trial=3) > 0.95
    without = 1 / 3 + 2 / 3 * 1 / 3  # the best for whoever knows no other episode: one is right, of two a third is
    assert abs(share_right(team, "players", rules, episodes=9, episodes_per_trial=3, forgets=True) - without) < 0.05


def test_a_recurrent_network_guesses_the_hidden_rules(overrides: Overrides) -> None:
    """The auxiliary task alone: nobody is paid for it, and yet what happened says how far words are shifted."""
    changes = {"game": GUESS, "game__split": "train", "game__rules": "{}", "meta": "rl2", "meta__tell": "never"}
    settings = QUICK | changes | {"game__episodes_per_trial": 2, "train__steps": 16 * 8 * 50, "policy__clock": False}
    first = train(overrides("plain", **settings), quiet=True).folder
    asked = train(overrides("asked", **settings, meta__auxiliary=1.0), quiet=True).folder
    lines = [json.loads(line) for line in (asked / "metrics.jsonl").read_text().splitlines()]
    assert "players/auxiliary_loss" not in (first / "metrics.jsonl").read_text()
    assert abs(lines[0]["players/auxiliary_loss"] - math.log(3)) < 0.4  # nats, of three values
    assert lines[-1]["players/auxiliary_loss"] < 0.75 * math.log(3)
    team = load_team(asked)
    assert team.policies["players"].guess is not None
    player = team.controller(team.layout)  # who plays needs nobody to tell him the rules
    assert not hasattr(player, "hidden")


def test_reads_the_rules_that_a_split_varies(overrides: Overrides) -> None:
    team = learn(overrides, game__split="train", train__steps=16 * 8 * 60)
    assert set(team.designs["players"].rules) == {"shift", "players"}
    for shift in (0, 2):
        assert share_right(team, "players", {"shift": shift, "players": 2}) > 0.9


def test_two_teams_learn_each_with_its_own_learner(overrides: Overrides) -> None:
    team = learn(overrides, game__rules="{players: 1, rivals: 2}")
    assert team.plays == {"players": "players", "rivals": "rivals"}
    for side in ("players", "rivals"):
        assert share_right(team, side, {"players": 1, "rivals": 2}) > 0.95


def test_one_learner_plays_two_roles_in_teams_of_several_sizes_in_one_batch(
    overrides: Overrides, tmp_path: Path
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    text = (RECALL / "family.yaml").read_text()
    split = "train: {rules: {players: [1, 2], rivals: [1, 2, 3]}, variants: all}"
    text = text.replace("train: {rules: {shift: [0, 2], players: [1, 2]}, variants: all}", split)
    (folder / "family.yaml").write_text(text.replace("{shift: [1], players: [1, 2]}", "{players: [3], rivals: [1]}"))
    (folder / "game.py").write_text((RECALL / "game.py").read_text())
    both = {"teams__players__learner": "both", "teams__rivals__learner": "both"}
    team = learn(overrides, game=folder, game__split="train", **both)
    assert team.plays == {"players": "both", "rivals": "both"}
    for players, rivals in ((1, 3), (2, 1), (2, 2)):
        for side in ("players", "rivals"):
            assert share_right(team, side, {"players": players, "rivals": rivals}) > 0.9


def test_two_teams_share_one_learner(overrides: Overrides) -> None:
    both = {"teams__players__learner": "both", "teams__rivals__learner": "both"}
    team = learn(overrides, game__rules="{players: 1, rivals: 2}", **both)
    assert team.plays == {"players": "both", "rivals": "both"}
    assert list(team.policies) == ["both"]
    for side in ("players", "rivals"):
        assert share_right(team, side, {"players": 1, "rivals": 2}) > 0.95


def test_a_share_of_the_games_is_told_to_the_end(overrides: Overrides) -> None:
    changes = {"game": GUESS, "game__split": "train", "meta": "belief", "meta__tell_steps": 100}
    for share, expected in ((0.0, [1.0, 0.6, 0.0, 0.0]), (0.25, [1.0, 0.6, 0.25, 0.25])):
        (learner,) = assemble(resolve(load_config(overrides(**changes, meta__tell_share=share)))).learners.values()
        assert [learner.reveal(steps) for steps in (0, 40, 90 if share else 100, 5000)] == pytest.approx(expected)


def test_two_who_move_in_turn_learn_from_each_other_to_beat_who_plays_at_random(overrides: Overrides) -> None:
    """Three in a row on four columns: nobody acts at every step, and who has lost did not move last."""
    rules = {"width": 4, "height": 4, "in_a_row": 3}
    settings: dict[str, Any] = {
        "game": "connect", "game__rules": json.dumps(rules).replace('"', ""), "game__num_games": 32, "policy": "board",
        "teams__first__learner": "both", "teams__second__learner": "both", "train__horizon": 16,
        "algorithm__learning_rate": 5e-3, "algorithm__gamma": 0.98, "algorithm__gae_lambda": 0.95,
        "train__steps": 32 * 16 * 25,
    }  # fmt: skip
    team = learn(overrides, **settings)
    for side, agent in (("first", 0), ("second", 1)):
        games = make_vec("connect", num_games=128, rules=rules, seed=9)
        player, other = team.controller(games.layout, side, seed=1), RandomPlayer(2)
        player.reset(128, np.array([agent]))
        other.reset(128, np.array([1 - agent]))
        step, earned, over = games.reset(), 0.0, 0
        while over < 256:
            actions = np.zeros((128, 2), np.int64)
            actions[:, [agent]], actions[:, [1 - agent]] = player.act(step.observation), other.act(step.observation)
            step = games.step(actions)
            player.observe(step)
            earned += float(step.reward[:, agent].sum())
            over += int(step.game_over.sum())
        assert earned / over > 0.6, f"{side} at random: 0.1 (first) or -0.1"
