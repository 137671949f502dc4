"""Hand-written players reach in the simulator what the formulas say of them."""

from __future__ import annotations

import numpy as np
import pytest

from marl_meta.games import load_family, make_vec
from marl_meta.games.payoff.bayes import forgetful_value, random_value, treasure_value
from marl_meta.players import RandomPlayer, scripted_player

FAMILY = load_family("payoff")
COPIES = 160


def play(player, rules, episodes=1):
    """Return the returns [B,K] of the first player in games under these rules."""
    game = make_vec(FAMILY, num_games=len(rules), rules=rules, episodes_per_trial=episodes)
    player.reset(game.num_games, np.arange(game.num_agents))
    step, total, done = game.reset(), np.zeros((len(rules), episodes)), np.zeros(len(rules), int)
    while (done < episodes).any():
        step = game.step(player.act(step.observation))
        player.observe(step)
        assert (step.reward == step.reward[:, :1]).all()  # all share what a treasure pays
        running = done < episodes
        total[running, done[running]] += step.reward[running, 0]
        done += step.game_over
    return total


SPLITS = [("two_players", 9, 20), ("three_players", 27, 60)]


@pytest.mark.parametrize(("split", "joint_actions", "rounds"), SPLITS)
def test_the_sweeping_team_is_bayes_optimal(split, joint_actions, rounds):
    """No chance is left: over all treasures its mean is the value, to the last digit."""
    returns = play(scripted_player(FAMILY, "sweep"), [variant.rules for variant in FAMILY.split(split)])[:, 0]
    assert returns.mean() == pytest.approx(treasure_value(joint_actions, rounds)) == {9: 16.0, 27: 47.0}[joint_actions]
    np.testing.assert_array_equal(np.sort(returns), rounds - np.arange(joint_actions)[::-1])


@pytest.mark.parametrize(("split", "joint_actions", "rounds"), SPLITS)
def test_others_reach_what_is_known_of_them(split, joint_actions, rounds):
    rules = [variant.rules for variant in FAMILY.split(split)] * COPIES
    expected = {"remember": forgetful_value(joint_actions, rounds), "random": random_value(rules[0])}
    assert expected["random"] == pytest.approx(2.22, abs=0.01)
    for player in (scripted_player(FAMILY, "remember", 1), RandomPlayer(1)):
        returns = play(player, rules)[:, 0]
        name = "random" if isinstance(player, RandomPlayer) else "remember"
        error = returns.std() / len(returns) ** 0.5
        assert abs(returns.mean() - expected[name]) < 3.5 * error < 1.2


def test_what_paid_is_known_in_the_next_episode_and_forgotten_after_the_trial():
    rules = [variant.rules for variant in FAMILY.split("two_players")]
    for name in ("sweep", "remember"):
        first, *others = play(scripted_player(FAMILY, name, 3), rules * 4, episodes=6).T
        assert first.mean() < 17 and others[-1].mean() > 19
    player = scripted_player(FAMILY, "sweep")
    once = play(player, rules)
    game = make_vec(FAMILY, num_games=9, rules=rules)
    player.reset(9, np.arange(2))
    step, total = game.reset(), np.zeros((2, 9))
    for round_ in range(40):
        step = game.step(player.act(step.observation))
        player.observe(step)
        total[round_ // 20] += step.reward[:, 0]
    np.testing.assert_array_equal(total, [once[:, 0]] * 2)


def test_a_result_that_was_not_seen_is_tried_again():
    """The treasure is found in the last round of the first episode, which shows nothing any more."""
    rules = {"episode_length": 3, "treasure_1": 2}  # the third joint action
    returns = play(scripted_player(FAMILY, "sweep"), [rules], episodes=3)
    np.testing.assert_array_equal(returns, [[1, 3, 3]])


@pytest.mark.parametrize("name", ["sweep", "remember"])
def test_every_size_is_played_legally_and_no_row_disturbs_another(name):
    rules = [variant.rules for variant in FAMILY.sample(seed=1, count=40)]
    game, player = make_vec(FAMILY, num_games=40, rules=rules), scripted_player(FAMILY, name, 5)
    player.reset(40, np.arange(4))
    step = game.reset()
    alone = [scripted_player(FAMILY, "sweep") for _ in rules]
    singles = [make_vec(FAMILY, num_games=1, rules=one) for one in rules]
    shown = [single.reset() for single in singles]
    for one, single in zip(alone, singles, strict=True):
        one.reset(1, np.arange(single.num_agents))
    for _ in range(30):
        actions = player.act(step.observation)
        step = game.step(actions)  # refuses what is not legal
        player.observe(step)
        if name == "sweep":  # which leaves nothing to chance
            for b, (one, single) in enumerate(zip(alone, singles, strict=True)):
                own = one.act(shown[b].observation)
                np.testing.assert_array_equal(own[0], actions[b, : single.num_agents])
                shown[b] = single.step(own)
                one.observe(shown[b])
