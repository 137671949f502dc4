"""What every family's batch of games keeps: independent rows, buffers, snapshots, actions of any type."""

from __future__ import annotations

import numpy as np
import pytest

from marl_meta.games import make_vec
from marl_meta.types import UserError

from .batches import FAMILIES, MODULES, RULES, drawn_game, random_actions
from .stepping import assert_same, columns, row

EACH = pytest.mark.parametrize("name", FAMILIES)


@EACH
def test_a_row_of_a_batch_is_a_batch_of_one(name):
    batch = drawn_game(name, num_games=6, seed=4, first_game=10)
    singles = [drawn_game(name, num_games=1, seed=4, first_game=10 + b) for b in range(6)]
    step, rng = batch.reset(), np.random.default_rng(0)
    for b, single in enumerate(singles):
        assert_same(row(step, b), row(single.reset(), 0))
    met: list[set[str]] = [set() for _ in singles]
    for _ in range(120):
        actions = random_actions(step, rng)
        step = batch.step(actions)
        for b, single in enumerate(singles):
            assert_same(row(step, b), row(single.step(actions[b : b + 1]), 0))
            assert batch.variant_ids[b] == single.variant_ids[0]
            np.testing.assert_array_equal(batch.hidden_rules[b], single.hidden_rules[0])
            met[b].add(single.variant_ids[0])
    assert min(map(len, met)) > 2
    assert len(set.union(*met)) > 0.7 * len(RULES[name])


@EACH
def test_threads_do_not_change_a_bit(name, monkeypatch):
    results = []
    for threshold in (1, 10**9):
        monkeypatch.setattr(MODULES[name], "THREADED_GAMES", threshold)
        game, rng = drawn_game(name, num_games=37, seed=1), np.random.default_rng(0)
        step = game.reset()
        results.append([row(step, b) for b in range(37)])
        for _ in range(20):
            step = game.step(random_actions(step, rng))
            results[-1] += [row(step, b) for b in range(37)]
    for found, expected in zip(*results, strict=True):
        assert_same(found, expected)


@EACH
def test_a_step_stays_valid_until_the_second_one_after_it(name):
    game, rng = drawn_game(name, num_games=5, seed=2), np.random.default_rng(0)
    steps = [game.reset()]
    kept = [[row(steps[0], b) for b in range(5)]]
    for _ in range(60):
        steps.append(game.step(random_actions(steps[-1], rng)))
        kept.append([row(steps[-1], b) for b in range(5)])
        for b in range(5):
            assert_same(row(steps[-2], b), kept[-2][b])


@EACH
def test_buffers_hold_nothing_old(name):
    """What a game shows is what a game shows that was just restored to the same state, into arrays never used."""
    game, rng = drawn_game(name, num_games=8, seed=3), np.random.default_rng(0)
    step = game.reset()
    for time in range(90):
        step = game.step(random_actions(step, rng))
        shown = drawn_game(name, num_games=8, seed=99).restore(game.snapshot())
        for b in range(8):
            assert_same(columns(step.observation, b), columns(shown.observation, b))
        if time % 20 == 7:
            step = game.restore(game.snapshot())
        if time % 30 == 17:
            step = game.reset()


@EACH
def test_a_snapshot_goes_on_bit_for_bit(name):
    game, rng = drawn_game(name, num_games=6, seed=6), np.random.default_rng(0)
    step = game.reset()
    for _ in range(15):
        step = game.step(random_actions(step, rng))
    snapshot, shown = game.snapshot(), [columns(step.observation, b) for b in range(6)]
    kept = {key: array.copy() for key, array in snapshot.items()}
    actions, first = [], []
    for _ in range(40):
        actions.append(random_actions(step, rng))
        step = game.step(actions[-1])
        first.append([row(step, b) for b in range(6)])
    other = drawn_game(name, num_games=6, seed=7)
    for again in (game, other):
        step = again.restore(snapshot)
        assert not step.reward.any() and not step.game_over.any() and step.final is None
        for b in range(6):
            assert_same(columns(step.observation, b), shown[b])
        assert_same(again.snapshot(), kept)
        for action, expected in zip(actions, first, strict=True):
            step = again.step(action)
            for b in range(6):
                assert_same(row(step, b), expected[b])


@EACH
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_actions_of_any_integer_type_and_layout(name, dtype, order):
    games = [drawn_game(name, num_games=4, seed=1) for _ in range(2)]
    rng = np.random.default_rng(0)
    steps = [game.reset() for game in games]
    for _ in range(3):
        actions = random_actions(steps[0], rng)
        given = np.asarray(actions, dtype=dtype, order=order)
        steps = [games[0].step(actions), games[1].step(given)]
        np.testing.assert_array_equal(given, actions)
        for b in range(4):
            assert_same(row(steps[0], b), row(steps[1], b))


@EACH
def test_a_game_must_be_reset_before_it_is_played(name):
    game = make_vec(name, num_games=1)
    with pytest.raises(UserError, match="reset"):
        game.step(np.zeros((1, game.num_agents), np.int64))


@EACH
def test_a_snapshot_of_another_number_of_games_is_refused(name):
    game = make_vec(name, num_games=2)
    game.reset()
    with pytest.raises(UserError, match=r"must hold 'key' of shape \(2,\)"):
        game.restore(make_vec(name, num_games=3).snapshot())
    strange = game.snapshot()
    strange["variant"][1] = 9
    with pytest.raises(UserError, match="variant"):
        game.restore(strange)
