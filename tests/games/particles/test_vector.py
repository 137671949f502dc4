"""A batch of particle games: ends and resets, places, seeds, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from marl_meta.games import load_family, make_vec
from marl_meta.types import UserError

from ..batches import drawn_game, random_actions  # noqa: TID252 (what the folders beside this one share)
from ..stepping import assert_same, columns  # noqa: TID252

FAMILIES = ("spread", "tag", "harvest")


@pytest.mark.parametrize("name", FAMILIES)
def test_who_is_absent_earns_nothing(name):
    game, rng = drawn_game(name, num_games=8, seed=3), np.random.default_rng(0)
    step = game.reset()
    for _ in range(60):
        step = game.step(random_actions(step, rng))
        for b in np.flatnonzero(~step.game_over):
            absent = ~step.observation.acting[b]
            assert not step.reward[b, absent].any()
            assert not step.terminated[b].any() and not step.truncated[b].any()


@pytest.mark.parametrize("name", FAMILIES)
def test_ends_and_trials(name):
    game, rng = drawn_game(name, num_games=7, seed=5), np.random.default_rng(0)
    step = game.reset()
    length, episode = np.zeros(7, int), np.zeros(7, int)
    for _ in range(60):
        before, acted = game.rules, step.observation.acting.copy()
        step = game.step(random_actions(step, rng))
        length += 1
        late = length == [rules["episode_length"] for rules in before]
        np.testing.assert_array_equal(step.truncated, late[:, None] & acted)
        np.testing.assert_array_equal(step.game_over, late | step.terminated.any(1))
        np.testing.assert_array_equal(step.terminated, (step.game_over & ~late)[:, None] & acted)
        np.testing.assert_array_equal(step.trial_over, step.game_over & (episode == 1))
        assert (step.final is None) == (not step.game_over.any())
        family = load_family(name)
        for b in range(7):
            if step.game_over[b]:
                assert step.final is not None
                expected = family.encode(before[b], hidden=False)
                np.testing.assert_array_equal(step.final.rules[b], expected)
                np.testing.assert_array_equal(step.final.acting[b], acted[b])
            if not step.trial_over[b]:
                assert game.rules[b] == before[b]
            np.testing.assert_array_equal(step.observation.rules[b], family.encode(game.rules[b], hidden=False))
            np.testing.assert_array_equal(game.hidden_rules[b], family.encode(game.rules[b], hidden=True))
        episode = np.where(step.game_over, (episode + 1) % 2, episode)
        length[step.game_over] = 0


@pytest.mark.parametrize("name", FAMILIES)
def test_seeds(name):
    def start(seed=None, **settings):
        return columns(make_vec(name, num_games=3, **settings).reset(seed).observation, 1)["entities"]

    np.testing.assert_array_equal(start(seed=5), start(5))
    np.testing.assert_array_equal(start(seed=5), start(seed=5))
    assert not np.array_equal(start(5), start(6))
    assert not np.array_equal(start(5), start(5, first_game=1))
    game = make_vec(name, num_games=2, seed=5)
    first, second = (columns(game.reset().observation, 0)["entities"] for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(columns(game.reset(5).observation, 0)["entities"], first)
    np.testing.assert_array_equal(columns(game.reset().observation, 0)["entities"], second)
    observation = game.reset().observation
    assert not np.array_equal(observation.entities[0], observation.entities[1])
    assert start(2**70 + 5).shape == first.shape


@pytest.mark.parametrize("name", FAMILIES)
def test_everything_appears_anywhere_alike(name):
    family = load_family(name)
    variants = family.split("train")[:16]
    game = family.load_entry_point()(family, variants, num_games=16_000, seed=1, episodes_per_trial=1)
    observation = game.reset().observation
    snapshot = game.snapshot()
    counts = np.bincount(snapshot["variant"].astype(int), minlength=16)
    assert (abs(counts - 1000) < 5 * 31).all()
    widths = np.where(observation.kind == game.layout.kinds.index("obstacle"), 0.9, 1.0)
    if name == "harvest":
        widths[:, game.num_agents :] = 0.9
    for slot in range(game.num_entities):
        here = observation.present[:, slot]
        places = observation.entities[here, slot, :2] / widths[here, slot, None]
        count = len(places)
        assert abs(places).max() <= 1
        assert abs(places.mean(0)).max() < 5 * (1 / 3 / count) ** 0.5
        assert abs((places**2).mean(0) - 1 / 3).max() < 5 * (4 / 45 / count) ** 0.5
        assert abs((places[:, 0] * places[:, 1]).mean()) < 5 / 3 / count**0.5
        parts = np.histogram2d(*places.T, bins=4, range=[[-1, 1]] * 2)[0]
        assert (abs(parts - count / 16) < 5 * (count / 16) ** 0.5).all()
    # The place says nothing of the variant that was drawn just before it.
    for variant in range(16):
        places = observation.entities[snapshot["variant"] == variant, 0, :2]
        assert abs(places.mean(0)).max() < 5 * (1 / 3 / len(places)) ** 0.5


def test_games_of_one_size_and_all_in_sight_need_no_sees():
    assert make_vec("spread", num_games=2).reset().observation.sees is None
    assert make_vec("spread", num_games=2, rules={"nearest_objects": 1}).reset().observation.sees is not None
    mixed = make_vec("tag", num_games=2, rules=[{"vision_radius": 0.5, "prey": 2}, {}]).reset().observation
    assert mixed.sees is not None
    np.testing.assert_array_equal(mixed.sees[1], mixed.acting[1, :, None] & mixed.present[1])
    assert mixed.sees[0].diagonal().all()


def test_bad_actions_are_refused_and_change_nothing():
    game = make_vec("tag", num_games=3, rules=[{"prey": 2}, {}, {}])
    game.reset()
    before = game.snapshot()
    good = np.zeros((3, 5), np.int64)
    for value, b, agent in ((5, 0, 4), (-1, 2, 0)):
        bad = good.copy()
        bad[b, agent] = value
        name = game.agent_names[agent]
        with pytest.raises(UserError, match=f"The action of {name} in game {b} is {value}; allowed is 0 to 4"):
            game.step(bad)
    for shape, dtype in (((3, 4), np.int64), ((3, 5), np.float32)):
        with pytest.raises(UserError, match=r"Actions must be integers of shape \(3, 5\)"):
            game.step(np.zeros(shape, dtype))
    assert_same(game.snapshot(), before)
    good[1, 4] = 77  # the second prey, which the second game lacks
    game.step(good)
    assert good[1, 4] == 77


def test_a_snapshot_of_another_game_is_refused():
    game = make_vec("tag", num_games=2)
    game.reset()
    snapshot = make_vec("tag", num_games=3).snapshot()
    with pytest.raises(UserError, match=r"must hold 'key' of shape \(2,\)"):
        game.restore(snapshot)
    own = game.snapshot()
    del own["velocities"]
    with pytest.raises(UserError, match=r"must hold 'velocities' of shape \(2, 6, 2\)"):
        game.restore(own)
    strange = game.snapshot()
    strange["variant"][1] = 9
    with pytest.raises(UserError, match="variant"):
        game.restore(strange)
