"""A batch of board games: what is seen, ends, buffers, seeds, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from marl_meta.games import load_family, make_vec
from marl_meta.types import UserError

from ..batches import drawn_game, random_actions  # noqa: TID252 (what the folders beside this one share)
from ..stepping import assert_same, columns  # noqa: TID252

FAMILY = load_family("connect")


def test_what_an_observation_holds():
    game = make_vec("connect", num_games=2, rules=[{}, {"width": 3, "height": 3, "in_a_row": 3, "gravity": False}])
    observation = game.reset().observation
    assert observation.entities.shape == (2, 2 + 42 + 24 + 21 + 24, 11)
    assert observation.present.sum(1).tolist() == [2 + 42 + 69, 2 + 9 + 8]
    assert game.action_counts.tolist() == [[7, 7], [9, 9]] and observation.action_mask.shape == (2, 2, 100)
    assert observation.action_mask.sum(-1).tolist() == [[7, 7], [9, 9]]
    assert observation.acting.tolist() == [[True, False]] * 2 and observation.sees is None
    assert observation.links.shape == (2, 113, 13 + 8) and observation.links.dtype == np.int16
    assert observation.targets.shape == (2, 100) and observation.targets.dtype == np.int16
    assert game.agent_names == ("player_0", "player_1") and game.agent_team.tolist() == [0, 1]
    assert [bound.name for bound in game.layout.visible_rules] == [
        "width", "height", "in_a_row", "gravity", "blocked", "told",
    ]  # fmt: skip
    bound = {rule.name: rule.kinds for rule in game.layout.hidden_rules}
    assert bound == {
        "diagonals": ("diagonal", "wrapped_diagonal"),
        "wrap": ("wrapped_row", "wrapped_diagonal"),
        "misere": ("player",),
    }
    # One layout for all boards, so that a team plays them all.
    assert game.layout == make_vec("connect", num_games=1).layout == drawn_game("connect", num_games=1).layout


def test_buffers_of_large_boards_hold_nothing_old():
    """What a game shows is what a game shows that was just restored to the same state, into arrays never used."""

    def made(seed):
        return FAMILY.load_entry_point()(FAMILY, FAMILY.sample(seed=2, count=30), num_games=8, seed=seed)

    game, rng = made(3), np.random.default_rng(0)
    step = game.reset()
    for time in range(90):
        step = game.step(random_actions(step, rng))
        shown = made(99).restore(game.snapshot())
        for b in range(8):
            assert_same(columns(step.observation, b), columns(shown.observation, b))
        if time % 30 == 17:
            step = game.reset()


def test_ends_and_trials():
    game, rng = drawn_game("connect", num_games=7, seed=5), np.random.default_rng(0)
    step, episode = game.reset(), np.zeros(7, int)
    for _ in range(90):
        before, acted = game.rules, step.observation.acting.copy()
        step = game.step(random_actions(step, rng))
        np.testing.assert_array_equal(step.terminated, np.repeat(step.game_over[:, None], 2, 1))
        assert not step.truncated.any()
        np.testing.assert_array_equal(step.reward.sum(-1), np.zeros(7))
        np.testing.assert_array_equal(step.trial_over, step.game_over & (episode == 1))
        assert (step.final is None) == (not step.game_over.any())
        np.testing.assert_array_equal(step.observation.acting.sum(-1), np.ones(7))
        assert step.observation.action_mask.any(-1).all()
        for b in range(7):
            if step.game_over[b]:
                np.testing.assert_array_equal(step.final.rules[b], FAMILY.encode(before[b], hidden=False))
                np.testing.assert_array_equal(step.final.acting[b], acted[b])
                assert step.final.action_mask[b].any(-1).all()
                assert step.observation.acting[b].tolist() == [True, False]
            else:
                np.testing.assert_array_equal(step.observation.acting[b], ~acted[b])
            assert step.trial_over[b] or game.rules[b] == before[b]
            np.testing.assert_array_equal(step.observation.rules[b], FAMILY.encode(game.rules[b], hidden=False))
            np.testing.assert_array_equal(game.hidden_rules[b], FAMILY.encode(game.rules[b], hidden=True))
        episode = np.where(step.game_over, (episode + 1) % 2, episode)


def test_seeds_and_the_number_of_the_first_game_choose_where_cells_are_blocked():
    def blocked(seed=None, **settings):
        game = make_vec("connect", num_games=20, rules={"blocked": 8, "gravity": False}, **settings)
        return game.reset(seed).observation.entities[:, :, 3].copy()

    np.testing.assert_array_equal(blocked(5), blocked(seed=5))
    assert (blocked(5) != blocked(6)).any()
    np.testing.assert_array_equal(blocked(5)[1:], blocked(5, first_game=1)[:-1])
    game = make_vec("connect", num_games=4000, rules={"blocked": 8, "gravity": False})
    share = game.reset().observation.entities[:, 2:44, 3].mean(0)
    np.testing.assert_allclose(share, 8 / 42, atol=0.03)


def test_illegal_actions_of_who_acts_are_refused_and_change_nothing():
    game = make_vec("connect", num_games=3, rules=[{"height": 1, "in_a_row": 4}, {}, {"width": 3, "gravity": False}])
    game.reset()
    game.step(np.full((3, 2), 2))
    before = game.snapshot()
    for value, b, legal in ((2, 0, "0, 1, 3, 4, 5, 6"), (-1, 1, "0, 1, 2, 3, 4, 5, 6"), (18, 2, "0, 1, 3, 4")):
        bad = np.full((3, 2), 1)
        bad[b, 1] = value
        with pytest.raises(UserError, match=f"player_1 in game {b} is {value}; legal now: {legal}"):
            game.step(bad)
    for shape, dtype in (((3, 3), np.int64), ((3, 2), np.float32)):
        with pytest.raises(UserError, match=r"Actions must be integers of shape \(3, 2\)"):
            game.step(np.zeros(shape, dtype))
    assert_same(game.snapshot(), before)
    game.step(np.array([[-99, 3], [2**40, 3], [2, 4]]))  # whatever those say who do not act


def test_a_snapshot_of_another_game_is_refused():
    game = make_vec("connect", num_games=2)
    game.reset()
    with pytest.raises(UserError, match=r"must hold 'key' of shape \(2,\)"):
        game.restore(make_vec("connect", num_games=3).snapshot())
    with pytest.raises(UserError, match=r"must hold 'cells' of shape \(2, 42\)"):
        game.restore(make_vec("connect", num_games=2, rules={"width": 8}).snapshot())
    for name, value in (("variant", 9), ("cells", 3), ("cells", -2), ("last", 42)):
        strange = game.snapshot()
        strange[name][1] = value
        with pytest.raises(UserError, match=name):
            game.restore(strange)
