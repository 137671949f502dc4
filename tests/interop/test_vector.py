"""Any PettingZoo game as a batch: dying agents, masks, sizes, seeds, resets, snapshots."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from marl_meta.games import load_family
from marl_meta.interop.vector import PettingZooVector
from marl_meta.types import Observation, UserError

HERE = Path(__file__).parent


def tiny(name, kwargs=None, **options):
    return PettingZooVector(f"tiny_games.py:{name}", kwargs, folder=HERE, **{"num_games": 2, **options})


def assert_same(left: Observation, right: Observation):
    for field in fields(Observation):
        ours, theirs = getattr(left, field.name), getattr(right, field.name)
        assert (ours is None) == (theirs is None), field.name
        if ours is not None:
            np.testing.assert_array_equal(ours, theirs, err_msg=field.name)


def legal(observation, rng):
    return (rng.random(observation.action_mask.shape) * observation.action_mask).argmax(axis=-1)


def test_agents_that_die_early_act_no_more_until_the_game_is_over():
    game = tiny("Countdown", {"agents": 3})
    step = game.reset()
    assert step.observation.acting.all() and step.observation.present.all()
    acting, terminated, over = [], [], []
    for _ in range(4):
        step = game.step(legal(step.observation, np.random.default_rng(0)))
        acting.append(step.observation.acting[0].tolist())
        terminated.append(step.terminated[0].tolist())
        over.append(bool(step.game_over[0]))
        assert not step.truncated.any()
    assert acting == [[False, True, True], [False, False, True], [True, True, True], [False, True, True]]
    assert terminated == [[True, False, False], [False, True, False], [False, False, True], [True, False, False]]
    assert over == [False, False, True, False]


@pytest.mark.parametrize("linger", [False, True])
def test_ends_are_told_once_and_a_finished_agent_earns_nothing(linger):
    game = tiny("Countdown", {"agents": 3, "cut": (1,), "linger": linger})
    step = game.reset()
    ends = np.zeros((2, 3), int)
    for _ in range(3):
        was_acting = step.observation.acting
        step = game.step(legal(step.observation, np.random.default_rng(1)))
        ends += step.terminated
        ends += 10 * step.truncated
        assert not (step.terminated & step.truncated).any()
        assert (step.reward[~was_acting] == 0).all()
    assert (ends == [1, 10, 1]).all()
    assert step.game_over.all() and step.trial_over.all()


@pytest.mark.parametrize("silent", [False, True])
def test_the_final_observation_is_the_ended_games_last(silent):
    game = tiny("Countdown", {"agents": 2, "silent": silent})
    first = game.reset()
    drawn = first.observation.private[:, 0, 0]
    game.step(np.ones((2, 2), int))
    step = game.step(np.ones((2, 2), int))
    assert step.game_over.all()
    shown = 1 if silent else 2  # a game that shows ended agents nothing leaves them with what they saw last
    np.testing.assert_array_equal(step.final.private[:, 1, 0], drawn + shown)
    assert step.final.acting.tolist() == [[False, True]] * 2
    assert step.final.present.tolist() == [[False, True]] * 2
    assert (step.observation.private[:, 0, 0] % 100 == 0).all() and (step.observation.private[:, 0, 0] != drawn).all()
    assert step.observation.acting.all()
    assert game.step(np.ones((2, 2), int)).final is None


@pytest.mark.parametrize("masks", ["info", "observation"])
def test_masks_of_both_places_and_of_different_lengths(masks):
    game = tiny("Countdown", {"agents": 3, "masks": masks})
    step = game.reset()
    assert game.layout.actions == ("action_0", "action_1", "action_2", "action_3")
    assert game.action_counts.tolist() == [[2, 3, 4]] * 2
    for time in range(2):
        for agent in range(3):
            expected = np.zeros(4, bool)
            expected[: agent + 2] = True
            if step.observation.acting[0, agent]:
                expected[time % (agent + 2)] = False
            assert step.observation.action_mask[0, agent].tolist() == expected.tolist()
        step = game.step(legal(step.observation, np.random.default_rng(2)))
    assert step.observation.action_mask.any(axis=-1).all()


def test_observations_of_different_sizes_are_padded_with_zeros():
    step = tiny("Countdown", {"agents": 3}).reset()
    assert step.observation.private.shape == (2, 3, 6)
    assert (step.observation.private != 0).sum(axis=-1).tolist() == [[6, 4, 2]] * 2
    assert step.observation.entities.shape == (2, 3, 0) and step.observation.sees is None


def test_discrete_observations_are_one_hot_and_multidiscrete_actions_flat():
    game = tiny("one_hot")
    step = game.reset()
    assert step.observation.private.sum(axis=-1).tolist() == [[1.0]] * 2
    assert len(game.layout.actions) == 6
    step = game.step(np.array([[4], [5]]))
    assert step.reward.tolist() == [[1.5], [1.5]]
    played = [running._environment.played[0].tolist() for running in game._games]
    assert played == [[1, 1], [1, 2]]


def test_bytes_are_scaled_and_wrappers_shrink_images():
    wrappers = [
        {"wrapper": "supersuit:color_reduction_v0", "mode": "B"},
        {"wrapper": "supersuit:resize_v1", "x_size": 4, "y_size": 4},
    ]
    game = tiny("image", wrappers=wrappers)
    private = game.reset().observation.private
    assert private.shape == (2, 1, 16)
    assert private.min() >= 0 and private.max() <= 1 and private.max() > 0.1


def test_nested_observations_are_flattened():
    assert tiny("nested").reset().observation.private.shape == (2, 1, 2 + 2 + 2)


def test_truncation_is_not_termination():
    game = tiny("Spaces")
    game.reset()
    for _ in range(3):
        step = game.step(np.zeros((2, 1), int))
    assert step.truncated.all() and not step.terminated.any() and step.game_over.all()


def test_rows_play_as_in_a_batch_of_one():
    batch = tiny("Countdown", num_games=3, seed=4, first_game=5)
    single = tiny("Countdown", num_games=1, seed=4, first_game=7)
    rng = np.random.default_rng(0)
    left, right = batch.reset(), single.reset()
    for _ in range(8):
        np.testing.assert_array_equal(left.observation.private[2:], right.observation.private)
        actions = legal(left.observation, rng)
        left, right = batch.step(actions), single.step(actions[2:])
        np.testing.assert_array_equal(left.reward[2:], right.reward)


def test_seeds_decide_everything_and_unseeded_resets_go_on():
    first, second = tiny("Countdown", seed=3), tiny("Countdown", seed=8)
    one = first.reset().observation.private
    assert not np.array_equal(one, first.reset().observation.private)
    np.testing.assert_array_equal(one, first.reset(3).observation.private)
    np.testing.assert_array_equal(one, second.reset(3).observation.private)
    np.testing.assert_array_equal(first.reset().observation.private, second.reset().observation.private)
    assert not np.array_equal(one[0], one[1])


def test_trials_are_over_after_their_last_episode():
    game = tiny("Spaces", {"length": 1}, episodes_per_trial=3)
    game.reset()
    steps = [game.step(np.zeros((2, 1), int)) for _ in range(7)]
    assert [bool(step.game_over.all()) for step in steps] == [True] * 7
    assert [bool(step.trial_over.all()) for step in steps] == [False, False, True] * 2 + [False]


@pytest.mark.parametrize(
    ("entry_point", "kwargs", "schema"),
    [
        ("tiny_games.py:Countdown", {"agents": 4}, None),
        ("mpe2.simple_spread_v3:parallel_env", {"max_cycles": 7}, "simple_spread"),
        ("mpe2.simple_tag_v3:parallel_env", {"num_landmark_neighbors": 1, "max_cycles": 9}, "simple_tag"),
        ("mpe2.simple_world_comm_v3:parallel_env", {"max_cycles": 7}, "simple_world_comm"),
    ],
)
def test_a_restored_batch_goes_on_bit_for_bit(entry_point, kwargs, schema):
    options = {"num_games": 3, "seed": 2, "schema": schema, "folder": HERE, "episodes_per_trial": 2}
    game, rng = PettingZooVector(entry_point, kwargs, **options), np.random.default_rng(0)
    step = game.reset()
    for _ in range(11):
        step = game.step(legal(step.observation, rng))
    snapshot = game.snapshot()
    other = PettingZooVector(entry_point, kwargs, **{**options, "seed": 99})  # as a new process would make it
    restored = other.restore(snapshot)
    assert_same(step.observation, restored.observation)
    assert not restored.reward.any() and not restored.game_over.any()
    for _ in range(25):
        actions = legal(step.observation, rng)
        step, restored = game.step(actions), other.step(actions)
        assert_same(step.observation, restored.observation)
        assert (step.final is None) == (restored.final is None)
        if step.final is not None:
            assert_same(step.final, restored.final)
        for name in ("reward", "terminated", "truncated", "game_over", "trial_over"):
            np.testing.assert_array_equal(getattr(step, name), getattr(restored, name))
    game.restore(snapshot)  # and back, in the same batch
    np.testing.assert_array_equal(game.snapshot()["log"], snapshot["log"])


def test_a_game_that_cannot_be_simulated_again_says_so():
    game = tiny("noisy")
    game.reset()
    with pytest.warns(RuntimeWarning, match="2 of 2 games .* did not come back exactly"):
        game.restore(game.snapshot())


def test_a_snapshot_of_another_batch_is_refused():
    game = tiny("Countdown")
    game.reset()
    other = tiny("Countdown", num_games=3)
    other.reset()
    snapshot = other.snapshot()
    with pytest.raises(UserError, match=r"must hold seed, episode, .*; it lacks 'log'"):
        game.restore({name: array for name, array in snapshot.items() if name != "log"})
    with pytest.raises(UserError, match="other variants cannot be restored; this batch has 1"):
        game.restore({**game.snapshot(), "variant": np.array([0, 1])})
    with pytest.raises(UserError, match="3 games of 3 agents cannot be restored in a batch of 2 games of 3 agents"):
        game.restore(snapshot)


def test_a_step_or_snapshot_before_the_first_reset_is_an_error():
    for use in (lambda game: game.step(np.zeros((2, 3), int)), lambda game: game.snapshot()):
        with pytest.raises(RuntimeError, match="reset the games"):
            use(tiny("Countdown"))


def test_actions_are_checked():
    game = tiny("Countdown", {"masks": "none"})
    game.reset()
    for wrong in (np.zeros((2, 2), int), np.zeros((2, 3))):
        with pytest.raises(UserError, match=r"Actions must be integers of shape \(2, 3\)"):
            game.step(wrong)
    with pytest.raises(UserError, match="Action 2 does not exist; allowed is 0 to 1"):
        game.step(np.full((2, 3), 2))


def test_kinds_and_teams_come_from_names_or_from_patterns():
    game = PettingZooVector("mpe2.simple_world_comm_v3:parallel_env", num_games=1)
    assert game.layout.kinds == ("leadadversary", "adversary", "agent")
    given = {"kinds": {"*adversary_*": "wolf"}, "teams": {"agent_1": "loner"}}
    game = PettingZooVector("mpe2.simple_world_comm_v3:parallel_env", num_games=1, **given)
    assert game.layout.kinds == ("wolf", "agent")
    assert [(team.name, team.kind) for team in game.layout.teams] == [
        ("wolf", "wolf"),
        ("agent", "agent"),
        ("loner", "agent"),
    ]
    assert game.agent_team.tolist() == [0, 0, 0, 0, 1, 2]


def test_teams_take_adjacent_slots_whatever_order_the_game_lists_its_agents_in():
    game = tiny("Countdown", {"agents": 4}, teams={"runner_[02]": "even", "runner_[13]": "odd"})
    assert game.agent_names == ("runner_0", "runner_2", "runner_1", "runner_3")
    assert game.agent_team.tolist() == [0, 0, 1, 1]
    game.reset()
    step = game.step(np.array([[0, 2, 1, 3], [0, 0, 0, 0]]))
    assert step.reward[0].tolist() == [0, 2 + 2, 1 + 1, 3 + 3]  # actions start at the agent's number
    assert step.observation.acting[0].tolist() == [False, True, True, True]


FAMILY = """
family: mine
title: A game of somebody else
entry_point: "marl_meta.interop.vector:make_game"
agents: [adversary, prey]
objects: [obstacle]
engine: {pettingzoo: "mpe2.simple_tag_v3:parallel_env", schema: simple_tag, kwargs: {max_cycles: 5}}
rules:
  num_adversaries: {kind: int, range: [1, 4], default: 3, binds: game, about: "Hunters."}
  num_obstacles: {kind: int, range: [0, 3], default: 2, binds: game, about: "Obstacles."}
splits:
  train: {rules: {num_adversaries: [1, 2, 3]}, variants: all, share: [0.0, 1.0]}
"""


def test_a_users_family_may_name_a_pettingzoo_game(tmp_path):
    from marl_meta.games import make_vec

    (tmp_path / "family.yaml").write_text(FAMILY.replace("variants: all, share: [0.0, 1.0]", "variants: all"))
    family = load_family(tmp_path)
    game = make_vec(family, num_games=6, split="train", seed=1)
    step = game.reset()
    assert game.layout.kinds == ("adversary", "prey", "obstacle")
    assert game.num_agents == 4 and game.num_entities == 6
    assert [rule.name for rule in game.layout.visible_rules] == ["num_adversaries", "num_obstacles"]
    seen = set()
    for _ in range(20):
        for b, rules in enumerate(game.rules):
            assert step.observation.acting[b].sum() == rules["num_adversaries"] + 1
            assert step.observation.present[b, 4:].sum() == rules["num_obstacles"]
            np.testing.assert_allclose(step.observation.rules[b], family.encode(rules, hidden=False))
        seen |= set(game.variant_ids)
        step = game.step(np.ones((6, 4), int))
    assert len(seen) == 3
    fixed = make_vec(family, num_games=2, rules=[{"num_adversaries": 1}, {"num_adversaries": 4}])
    assert fixed.reset().observation.acting.sum(axis=1).tolist() == [2, 5]
    assert fixed.agent_names == ("adversary_0", "adversary_1", "adversary_2", "adversary_3", "agent_0")
    snapshot = game.snapshot()
    other = make_vec(family, num_games=6, split="train", seed=7)
    assert_same(other.restore(snapshot).observation, step.observation)
    assert other.variant_ids == game.variant_ids


def test_new_trials_draw_what_was_dealt(tmp_path):
    from marl_meta.games import make_vec

    (tmp_path / "family.yaml").write_text(FAMILY.replace("variants: all, share: [0.0, 1.0]", "variants: all"))
    even, dealt = (make_vec(load_family(tmp_path), num_games=12, split="train", seed=1) for _ in range(2))
    dealt.deal([1.0, 1.0, 1.0])
    for game in (even, dealt):
        game.reset()
    np.testing.assert_array_equal(even.variant_numbers, dealt.variant_numbers)
    dealt.deal([0.0, 1.0, 0.0])
    counts = np.zeros(3, int)
    for _ in range(5):
        dealt.reset()
        counts += np.bincount(dealt.variant_numbers, minlength=3)
    assert counts[1] > 45 and counts.sum() == 60  # 22 of 24 cards
    other = make_vec(load_family(tmp_path), num_games=12, split="train", seed=9)
    other.restore(dealt.snapshot())
    for game in (other, dealt):
        game.reset()
    np.testing.assert_array_equal(other.variant_numbers, dealt.variant_numbers)
    with pytest.raises(UserError, match="no variants to deal"):
        tiny("Countdown").deal([1.0])


def test_close_closes_every_copy():
    game = tiny("Countdown")
    game.reset()
    game.close()
    assert game._games == [None, None]
    assert game.reset().observation.acting.all()


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_what_is_no_number_is_refused_where_it_is_shown(value):
    game = tiny("Spoilt", {"value": value, "shows": True})
    game.reset()
    actions = np.zeros((2, 2), np.int64)
    for _ in range(2):
        game.step(actions)
    said = rf"'tiny_games\.py:Spoilt' shows the agent 'player_1' an observation that holds {value} \(number 2\)"
    with pytest.raises(UserError, match=said):
        game.step(actions)
    lenient = tiny("Spoilt", {"value": value, "shows": True}, strict=False)  # for players who read the original
    lenient.reset()
    for _ in range(6):
        lenient.step(actions)


@pytest.mark.parametrize(
    ("kwargs", "where"), [({"value": float("nan")}, "value"), ({"at": [1, {"deep": float("inf")}]}, r"at\[1\]\.deep")]
)
def test_arguments_that_are_no_numbers_are_refused_by_name(kwargs, where):
    with pytest.raises(
        UserError, match=rf"^The rule or argument '{where}' is (nan|inf); allowed are finite numbers\.$"
    ):
        tiny("Spoilt", kwargs)
