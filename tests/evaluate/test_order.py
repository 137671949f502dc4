"""What is found about a variant does not depend on the others, nor on what was played before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from marl_meta.evaluate.ground import variants_ground
from marl_meta.evaluate.lineup import random_player, team_player
from marl_meta.evaluate.play import play
from marl_meta.evaluate.run import evaluate_players
from marl_meta.games import load_family, make_vec
from marl_meta.team import Team, load_team


@pytest.fixture
def learner(make_learner) -> Team:
    return load_team(make_learner("harvest", believes=True))


class Renewed:
    """Is made anew at the start of every trial (all games' trials end together): so it cannot remember another."""

    def __init__(self, make, *, leaks: bool = False) -> None:
        self.make, self.leaks = make, leaks

    def reset(self, games, agents) -> None:
        self.sizes = games, agents
        self.player = self.make()
        self.player.reset(games, agents)

    def act(self, observation):
        return self.player.act(observation)

    def observe(self, step) -> None:
        if self.leaks:
            step = replace(step, trial_over=np.zeros_like(step.trial_over))
        self.player.observe(step)
        if step.trial_over.all():
            self.reset(*self.sizes)


def test_the_order_in_which_variants_are_listed_changes_nothing(learner: Team) -> None:
    family = load_family("harvest")
    variants = family.split("held_out")[:9]
    players = [team_player("learner", learner, deterministic=False), random_player()]
    found = []
    for order in (range(9), np.random.default_rng(0).permutation(9)):
        ground = variants_ground(family, "some", [variants[index] for index in order])
        part = evaluate_players(ground, players, 2, 3, 0)
        by_variant = [dict(zip(part.variant_ids, one.earned["gatherer"].total, strict=True)) for one in part.results]
        found.append(by_variant)
    for one, other in zip(*found, strict=True):
        assert set(one) == {variant.variant_id for variant in variants}
        for name, returns in one.items():
            np.testing.assert_array_equal(returns, other[name])


def test_what_a_team_earns_in_a_game_does_not_depend_on_the_others_rules(learner: Team) -> None:
    """The same game in the same place, among others of other rules."""
    rules = [variant.rules for variant in load_family("harvest").split("held_out") if variant.rules["gatherers"] == 3]
    own, others = rules[0], rules[1:8]
    earned = []
    for neighbours in (others, others[::-1]):
        given = [*neighbours[:3], own, *neighbours[3:]]
        game = make_vec("harvest", num_games=8, rules=given, seed=2, episodes_per_trial=2)
        player = learner.controller(game.layout, seed=1)
        earned.append(play(game, {"gatherer": player}, 8, 2, 2).earned["gatherer"].total)
    np.testing.assert_array_equal(earned[0][3], earned[1][3])
    assert not np.array_equal(earned[0][2], earned[1][2])


def test_no_trial_reaches_another_and_a_leak_would_be_seen(learner: Team) -> None:
    rules = [variant.rules for variant in load_family("harvest").split("held_out")[:12]]

    def earned(player) -> np.ndarray:
        game = make_vec("harvest", num_games=12, rules=rules, seed=4, episodes_per_trial=2)
        return play(game, {"gatherer": player}, 12, 3, 2).earned["gatherer"].total

    layout = make_vec("harvest", num_games=1).layout

    def make():
        return learner.controller(layout, seed=1, deterministic=True)

    renewed = earned(Renewed(make))
    np.testing.assert_array_equal(earned(make()), renewed)
    leaking = earned(Renewed(make, leaks=True))
    np.testing.assert_array_equal(leaking[:, 0], renewed[:, 0])  # the first trial has nothing to remember
    assert not np.array_equal(leaking[:, 1:], renewed[:, 1:])
