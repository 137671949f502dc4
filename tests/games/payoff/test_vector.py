"""A batch of repeated games: as the rules say, ends, seeds, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from marl_meta.games import load_family, make_vec
from marl_meta.types import UserError

from ..batches import drawn_game, random_actions  # noqa: TID252 (what the folders beside this one share)
from ..stepping import assert_same  # noqa: TID252
from .reference import Reference

FAMILY = load_family("payoff")


def test_games_play_as_the_rules_say():
    game, rng = drawn_game("payoff", num_games=12, seed=1), np.random.default_rng(1)
    step = game.reset()
    playing = [Reference(rules) for rules in game.rules]
    for _ in range(150):
        actions = random_actions(step, rng)
        step = game.step(actions)
        for b in range(12):
            players = playing[b].rules["players"]
            rewards, over, last = playing[b].step(actions[b, :players].tolist())
            np.testing.assert_allclose(step.reward[b, :players], rewards, atol=1e-6)
            assert not step.reward[b, players:].any()
            assert (step.game_over[b], list(step.truncated[b])) == (over, [over] * players + [False] * (4 - players))
            if over:
                np.testing.assert_allclose(step.final.private[b, :players], last, atol=1e-6)
            if step.trial_over[b]:
                playing[b] = Reference(game.rules[b])
            assert playing[b].rules == game.rules[b]
            players = playing[b].rules["players"]
            np.testing.assert_allclose(step.observation.private[b, :players], playing[b].private, atol=1e-6)
        assert not step.terminated.any()


def test_an_observation_is_seats_sizes_and_what_is_ones_own():
    game = make_vec("payoff", num_games=2, rules=[{"players": 3, "actions": 2}, {"actions": 4}])
    observation = game.reset().observation
    np.testing.assert_array_equal(observation.present, [[True, True, True], [True, True, False]])
    np.testing.assert_array_equal(observation.acting, observation.present)
    np.testing.assert_array_equal(observation.entities[0], np.eye(3, 4))
    np.testing.assert_array_equal(observation.entities[1], np.eye(3, 4) * observation.present[1, :, None])
    np.testing.assert_array_equal(observation.action_mask[0], [[True, True, False, False]] * 3)
    np.testing.assert_array_equal(game.action_counts, [[2] * 3, [4] * 3])
    assert observation.action_mask[1].all() and observation.sees is None
    assert not observation.private.any()
    assert [bound.name for bound in game.layout.visible_rules] == ["players", "actions", "episode_length"]
    assert game.agent_names == ("player_0", "player_1", "player_2") and not game.agent_team.any()
    # One layout for all sizes, so that a team plays them all.
    assert game.layout == make_vec("payoff", num_games=1).layout
    assert {kind for bound in game.layout.hidden_rules for kind in bound.kinds} == {"player"}


def test_ends_and_trials():
    game, rng = drawn_game("payoff", num_games=7, seed=5), np.random.default_rng(0)
    step, episode = game.reset(), np.zeros(7, int)
    for _ in range(60):
        before, acted = game.rules, step.observation.acting.copy()
        step = game.step(random_actions(step, rng))
        np.testing.assert_array_equal(step.truncated, step.game_over[:, None] & acted)
        np.testing.assert_array_equal(step.trial_over, step.game_over & (episode == 1))
        assert (step.final is None) == (not step.game_over.any())
        for b in range(7):
            if step.game_over[b]:
                np.testing.assert_array_equal(step.final.rules[b], FAMILY.encode(before[b], hidden=False))
                np.testing.assert_array_equal(step.final.acting[b], acted[b])
                assert not step.observation.private[b].any()
            assert step.trial_over[b] or game.rules[b] == before[b]
            np.testing.assert_array_equal(step.observation.rules[b], FAMILY.encode(game.rules[b], hidden=False))
            np.testing.assert_array_equal(game.hidden_rules[b], FAMILY.encode(game.rules[b], hidden=True))
        episode = np.where(step.game_over, (episode + 1) % 2, episode)


def test_seeds_and_the_number_of_the_first_game_choose_the_variants():
    def ids(seed=None, **settings):
        game = make_vec("payoff", num_games=20, split="three_players", **settings)
        game.reset(seed)
        return game.variant_ids

    assert ids(5) == ids(seed=5) != ids(6)
    assert ids(5)[1:] == ids(5, first_game=1)[:-1]
    game = make_vec("payoff", num_games=2700, split="three_players")
    game.reset()
    counts = np.unique(game.variant_ids, return_counts=True)[1]
    assert len(counts) == 27 and (abs(counts - 100) < 5 * 10).all()


def test_bad_actions_are_refused_and_change_nothing():
    game = make_vec("payoff", num_games=3, rules=[{"actions": 2}, {"players": 3}, {"actions": 4}])
    game.reset()
    good = np.ones((3, 3), np.int64)
    game.step(good)
    before = game.snapshot()
    for value, b, agent, most in ((2, 0, 1, 1), (-1, 1, 0, 2), (4, 2, 1, 3), (2**40, 2, 0, 3)):
        bad = np.zeros((3, 3), np.int64)
        bad[b, agent] = value
        with pytest.raises(UserError, match=f"player_{agent} in game {b} is {value}; allowed is 0 to {most}"):
            game.step(bad)
    for shape, dtype in (((3, 2), np.int64), ((3, 3), np.float32)):
        with pytest.raises(UserError, match=r"Actions must be integers of shape \(3, 3\)"):
            game.step(np.zeros(shape, dtype))
    assert_same(game.snapshot(), before)
    good[0, 2] = 77  # a seat that this game lacks
    game.step(good)


def test_a_snapshot_of_another_game_is_refused():
    game = make_vec("payoff", num_games=2)
    game.reset()
    with pytest.raises(UserError, match=r"must hold 'key' of shape \(2,\)"):
        game.restore(make_vec("payoff", num_games=3).snapshot())
    own = game.snapshot()
    del own["rewards"]
    with pytest.raises(UserError, match=r"must hold 'rewards' of shape \(2, 2\)"):
        game.restore(own)
    for name, value in (("variant", 9), ("actions", 4)):
        strange = game.snapshot()
        strange[name][1] = value
        with pytest.raises(UserError, match=name):
            game.restore(strange)
