"""A batch of particle games: independent rows, ends and resets, buffers, snapshots, seeds, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from marl_meta.games import load_family, make_vec
from marl_meta.games.particles import vector
from marl_meta.types import UserError

from ..stepping import assert_same, columns, row  # noqa: TID252 (what the folders beside this one share)

FAMILIES = ("spread", "tag", "harvest")


def random_actions(game, steps, seed=0):
    return np.random.default_rng(seed).integers(5, size=(steps, game.num_games, game.num_agents))


# Short episodes of unequal length, teams of several sizes, partial sight and early ends.
RULES = {
    "spread": [{"agents": 2 + i % 3, "obstacles": i % 2, "nearest_agents": i % 3} for i in range(9)],
    "tag": [{"prey": 1 + i % 3, "adversaries": 4 - i % 2, "vision_radius": i % 2} for i in range(9)],
    "harvest": [{"gatherers": 1 + i % 3, "teams": 1 + i % 2, "arena": 0.5} for i in range(9)],
}
EARLY = {"spread": {"terminate_on_success": True}, "tag": {"terminate_on_success": True}, "harvest": {}}


def drawn_game(name, **settings):
    """Return games that draw their variants from RULES, two episodes a trial."""
    family = load_family(name)
    variants = [
        family.variant({**rules, **EARLY[name], "episode_length": 1 + i}) for i, rules in enumerate(RULES[name])
    ]
    return family.load_entry_point()(family, variants, episodes_per_trial=2, **settings)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_row_of_a_batch_is_a_batch_of_one(name):
    batch = drawn_game(name, num_games=6, seed=4, first_game=10)
    singles = [drawn_game(name, num_games=1, seed=4, first_game=10 + b) for b in range(6)]
    starts = [single.reset() for single in singles]
    step = batch.reset()
    for b, start in enumerate(starts):
        assert_same(row(step, b), row(start, 0))
    met: list[set[str]] = [set() for _ in singles]
    for actions in random_actions(batch, 80):
        step = batch.step(actions)
        for b, single in enumerate(singles):
            assert_same(row(step, b), row(single.step(actions[b : b + 1]), 0))
            assert batch.variant_ids[b] == single.variant_ids[0]
            np.testing.assert_array_equal(batch.hidden_rules[b], single.hidden_rules[0])
            met[b].add(single.variant_ids[0])
    assert min(map(len, met)) > 2
    assert len(set.union(*met)) == len(RULES[name])


@pytest.mark.parametrize("name", FAMILIES)
def test_threads_do_not_change_a_bit(name, monkeypatch):
    results = []
    for threshold in (1, 10**9):
        monkeypatch.setattr(vector, "THREADED_GAMES", threshold)
        game = drawn_game(name, num_games=37, seed=1)
        results.append([row(game.reset(), b) for b in range(37)])
        for actions in random_actions(game, 20):
            step = game.step(actions)
            results[-1] += [row(step, b) for b in range(37)]
    for found, expected in zip(*results, strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_stays_valid_until_the_second_one_after_it(name):
    game = drawn_game(name, num_games=5, seed=2)
    actions = random_actions(game, 60)
    steps = [game.reset()]
    kept = [[row(steps[0], b) for b in range(5)]]
    for action in actions:
        steps.append(game.step(action))
        kept.append([row(steps[-1], b) for b in range(5)])
        for b in range(5):
            assert_same(row(steps[-2], b), kept[-2][b])


@pytest.mark.parametrize("name", FAMILIES)
def test_buffers_hold_nothing_old(name):
    """What a game shows is what a game shows that was just restored to the same state, into arrays never used."""
    game = drawn_game(name, num_games=8, seed=3)
    game.reset()
    for actions in random_actions(game, 60):
        step = game.step(actions)
        fresh = drawn_game(name, num_games=8, seed=99)
        shown = fresh.restore(game.snapshot())
        for b in range(8):
            assert_same(columns(step.observation, b), columns(shown.observation, b))
        for b in np.flatnonzero(~step.game_over):
            absent = ~step.observation.acting[b]
            assert not step.reward[b, absent].any()
            assert not step.terminated[b].any() and not step.truncated[b].any()


@pytest.mark.parametrize("name", FAMILIES)
def test_ends_and_trials(name):
    game = drawn_game(name, num_games=7, seed=5)
    observation = game.reset().observation
    length, episode = np.zeros(7, int), np.zeros(7, int)
    for actions in random_actions(game, 60):
        before = game.rules
        acted = observation.acting.copy()
        step = game.step(actions)
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
        observation = step.observation


@pytest.mark.parametrize("name", FAMILIES)
def test_a_snapshot_goes_on_bit_for_bit(name):
    game = drawn_game(name, num_games=6, seed=6)
    game.reset()
    actions = random_actions(game, 50)
    for action in actions[:15]:
        last = game.step(action)
    snapshot, shown = game.snapshot(), [columns(last.observation, b) for b in range(6)]
    kept = {name: array.copy() for name, array in snapshot.items()}
    first = [[row(step, b) for b in range(6)] for step in map(game.step, actions[15:])]
    other = drawn_game(name, num_games=6, seed=7)
    for again in (game, other):
        step = again.restore(snapshot)
        assert not step.reward.any() and not step.game_over.any() and step.final is None
        for b in range(6):
            assert_same(columns(step.observation, b), shown[b])
        assert_same(again.snapshot(), kept)
        for action, expected in zip(actions[15:], first, strict=True):
            step = again.step(action)
            for b in range(6):
                assert_same(row(step, b), expected[b])


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


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_actions_of_any_integer_type_and_layout(dtype, order):
    actions = random_actions(make_vec("tag", num_games=4), 3)
    results = []
    for given in (actions, [np.asarray(action, dtype=dtype, order=order) for action in actions]):
        game = make_vec("tag", num_games=4, seed=1)
        game.reset()
        for action in given:
            kept = action.copy()
            game.step(action)
            np.testing.assert_array_equal(action, kept)
        results.append(game.snapshot()["positions"])
    np.testing.assert_array_equal(*results)


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


def test_a_game_must_be_reset_before_it_is_played():
    with pytest.raises(UserError, match="reset"):
        make_vec("tag", num_games=1).step(np.zeros((1, 4), np.int64))


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
