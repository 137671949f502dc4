"""Our families as PettingZoo ParallelEnvs: PettingZoo's own tests, mpe2's observations, seeds, rendering."""

import pickle
import re
import warnings

import mpe2.simple_spread_v3
import mpe2.simple_tag_v3
import numpy as np
import pytest
from pettingzoo.test import parallel_api_test, parallel_seed_test
from pettingzoo.test.state_test import state_test

from marl_meta.games import load_family
from marl_meta.interop.aec import make_aec
from marl_meta.interop.parallel import make
from marl_meta.types import UserError

FAMILIES = ("spread", "tag", "harvest", "payoff")
VARIANTS = [(name, variant.rules) for name in FAMILIES for variant in load_family(name).sample(seed=7, count=3)]
CASES = [(name, {}) for name in FAMILIES] + VARIANTS
IDS = [f"{name}-{'random' if rules else 'default'}" for name, rules in CASES]

UNBOUNDED = "ignore:.*(infinity|different observation space sizes|different shapes).*:UserWarning"
"""PettingZoo excuses mpe2's games, by name, for unbounded observations of several sizes; ours have the same."""


@pytest.mark.parametrize(("family", "rules"), CASES, ids=IDS)
def test_pettingzoos_parallel_test_passes(family, rules):
    parallel_api_test(make(family, rules), num_cycles=60)


@pytest.mark.parametrize(("family", "rules"), CASES, ids=IDS)
def test_pettingzoos_seed_test_passes(family, rules):
    parallel_seed_test(lambda: make(family, rules), num_cycles=30)


@pytest.mark.filterwarnings(UNBOUNDED)
@pytest.mark.parametrize("family", FAMILIES)
def test_pettingzoos_state_test_passes(family):
    state_test(make_aec(family), make(family))


def put(game, world):
    """Put a batch of one into the state of mpe2's world."""
    snapshot = game.snapshot()
    order = [*world.agents, *world.landmarks]
    snapshot["positions"][0, : len(order)] = [entity.state.p_pos for entity in order]
    snapshot["velocities"][0, : len(order)] = [entity.state.p_vel for entity in order]
    game.restore(snapshot)


MPE = [
    (mpe2.simple_spread_v3, {}, "spread", {}),
    (mpe2.simple_spread_v3, {"N": 5, "local_ratio": 0.2}, "spread", {"agents": 5, "local_ratio": 0.2}),
    (mpe2.simple_tag_v3, {}, "tag", {}),
    (
        mpe2.simple_tag_v3,
        {"num_good": 2, "num_adversaries": 4, "num_obstacles": 3, "max_cycles": 40},
        "tag",
        {"prey": 2, "adversaries": 4, "obstacles": 3, "episode_length": 40},
    ),
    (
        mpe2.simple_spread_v3,
        {"N": 4, "num_agent_neighbors": 2, "num_landmark_neighbors": 5},
        "spread",
        {"agents": 4, "nearest_agents": 2, "nearest_objects": 5},
    ),
    (
        mpe2.simple_tag_v3,
        {"num_agent_neighbors": 2, "num_landmark_neighbors": 1},
        "tag",
        {"nearest_agents": 2, "nearest_objects": 1},
    ),
]


@pytest.mark.parametrize(("module", "kwargs", "family", "rules"), MPE)
def test_whole_episodes_are_mpe2s(module, kwargs, family, rules):
    theirs, ours = module.parallel_env(**kwargs), make(family, rules)
    rng = np.random.default_rng(0)
    for seed in range(3):
        theirs.reset(seed=seed)
        ours.reset(seed=seed)
        put(ours.game, theirs.unwrapped.world)
        assert ours.possible_agents == theirs.possible_agents == ours.agents
        for agent in ours.agents:
            assert ours.observation_space(agent) == theirs.observation_space(agent)
            assert ours.action_space(agent) == theirs.action_space(agent)
        assert ours.state_space == theirs.state_space
        while theirs.agents:
            assert ours.agents == theirs.agents
            actions = {agent: int(rng.integers(5)) for agent in theirs.agents}
            expected, found = theirs.step(actions), ours.step(actions)
            for ours_by_agent, theirs_by_agent in zip(found[:2], expected[:2], strict=True):
                assert list(ours_by_agent) == list(theirs_by_agent)
                for agent, value in theirs_by_agent.items():
                    np.testing.assert_allclose(ours_by_agent[agent], value, atol=1e-5)
            assert found[2] == expected[2] and found[3] == expected[3]
            np.testing.assert_allclose(ours.state(), theirs.state(), atol=1e-5)
        assert ours.agents == []


def test_what_could_not_be_told_apart_by_distance_keeps_its_place():
    env = make("harvest", {"nearest_objects": 2, "nearest_agents": 1, "teams": 2}, seed=0)
    observations, _ = env.reset()
    objects, others = np.split(observations["gatherer_0"][4 : 4 + 2 * (9 + 5)].reshape(-1, 2), [9])
    assert np.any(objects != 0, axis=1).sum() == 2
    assert np.any(others != 0, axis=1).sum() == 1
    assert (
        env.observation_space("gatherer_0").shape == make("harvest", {"teams": 2}).observation_space("gatherer_0").shape
    )


def test_a_game_without_places_shows_what_is_ones_own_and_who_is_there():
    env = make("payoff", {"players": 3, "actions": 2, "treasure_1": 1}, seed=0)
    observations, _ = env.reset()
    assert {space.n for space in map(env.action_space, env.agents)} == {2}
    seats = np.eye(3, 4)
    for i, agent in enumerate(env.agents):
        expected = np.concatenate([np.zeros(5), seats[i], *np.delete(seats, i, axis=0)])
        np.testing.assert_array_equal(observations[agent], expected)
        assert env.observation_space(agent).contains(observations[agent])
    observations, rewards, *_ = env.step({"player_0": 0, "player_1": 1, "player_2": 0})
    assert set(rewards.values()) == {1.0}
    np.testing.assert_array_equal(observations["player_1"][:5], [0, 1, 0, 0, 1])
    with pytest.raises(UserError, match=r"action of player_0 .* is 2; allowed is 0 to 1"):
        env.step({"player_0": 2, "player_1": 1, "player_2": 0})


def test_seeds_and_unseeded_resets():
    def first(env, **seed):
        return env.reset(**seed)[0]["agent_0"]

    np.testing.assert_array_equal(first(make("spread", seed=3)), first(make("spread", seed=3)))
    np.testing.assert_array_equal(first(make("spread", seed=3)), first(make("spread", seed=4), seed=3))
    env = make("spread", seed=3)
    one, two = first(env), first(env)
    assert not np.array_equal(one, two)
    env.reset(seed=3)
    np.testing.assert_array_equal(first(env), two)
    assert not np.array_equal(first(make("spread")), first(make("spread")))


def test_the_variant_is_told_and_stays():
    env = make("harvest", split="held_out", seed=1)
    again, other = make("harvest", split="held_out", seed=1), make("harvest", split="held_out", seed=2)
    assert env.variant_id == again.variant_id != other.variant_id
    assert env.variant_id in {variant.variant_id for variant in load_family("harvest").split("held_out")}
    for _ in range(3):
        _, infos = env.reset()
        assert {info["variant_id"] for info in infos.values()} == {env.variant_id}
    assert env.rules == load_family("harvest").complete(env.rules)
    assert make("tag", {"adversaries": 2}).possible_agents == ["adversary_0", "adversary_1", "agent_0"]


def test_observations_are_the_callers_to_keep():
    env = make("spread", seed=0)
    observations, _ = env.reset()
    kept = {agent: value.copy() for agent, value in observations.items()}
    for _ in range(4):
        env.step(dict.fromkeys(env.agents, 2))
    for agent, value in observations.items():
        np.testing.assert_array_equal(value, kept[agent])


@pytest.mark.parametrize("family", ["tag", "payoff"])
def test_pictures_are_rendered_without_a_screen(family):
    env = make(family, seed=0, render_mode="rgb_array")
    env.reset()
    before = env.render()
    assert before.dtype == np.uint8 and before.shape == (400, 400, 3)
    for _ in range(3):
        env.step(dict.fromkeys(env.agents, 2))
    assert (env.render() != before).any()
    while env.agents:
        env.step(dict.fromkeys(env.agents, 2))
    last = env.render()  # the last picture of the game that ended, not the first of the next
    env.reset()
    assert (env.render() != last).any()
    assert make(family).render() is None


def test_a_window_opens_and_closes(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import pygame

    env = make("spread", seed=0, render_mode="human")
    env.reset()
    assert pygame.display.get_surface().get_size() == (400, 400)
    shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 10
    assert env.step(dict.fromkeys(env.agents, 0)) and env.render() is None
    env.close()
    assert pygame.display.get_surface() is None


def test_a_machine_without_a_screen_is_told_so(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "nonsense")
    with pytest.raises(UserError, match=r"cannot open a window .*use 'rgb_array'"):
        make("spread", render_mode="human").reset()


def test_a_window_that_somebody_else_closed_opens_again(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import pygame

    env = make("spread", seed=0, render_mode="human")
    env.reset()
    pygame.quit()  # as mpe2's games do when they are closed
    env.step(dict.fromkeys(env.agents, 0))
    assert pygame.display.get_surface() is not None
    env.close()


def test_a_copy_is_the_same_environment_made_anew():
    env = make("harvest", split="train", seed=4)
    copy = pickle.loads(pickle.dumps(env))  # noqa: S301  (our own)
    assert copy.variant_id == env.variant_id
    for agent, value in env.reset()[0].items():
        np.testing.assert_array_equal(value, copy.reset(seed=4)[0][agent])
    one = make("spread")
    two = pickle.loads(pickle.dumps(one))  # noqa: S301
    assert not np.array_equal(one.reset()[0]["agent_0"], two.reset()[0]["agent_0"])  # unseeded ones differ


def test_steps_after_the_end_are_empty():
    env = make("spread", {"episode_length": 1}, seed=0)
    env.reset()
    _, _, terminated, truncated, _ = env.step(dict.fromkeys(env.agents, 0))
    assert not any(terminated.values()) and all(truncated.values()) and env.agents == []
    assert env.step({}) == ({}, {}, {}, {}, {})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"family": "spraed"}, "no family 'spraed' (did you mean 'spread'?)"),
        ({"family": "spread", "rules": {"agent": 3}}, "has no rule 'agent'"),
        ({"family": "spread", "rules": {"agents": 99}}, "cannot be 99; allowed is an integer from 1 to 10"),
        ({"family": "spread", "split": "trian"}, "has no split 'trian'"),
        ({"family": "spread", "split": "train", "rules": {}}, "either rules or a split, not both"),
        ({"family": "spread", "render_mode": "ansi"}, "no render mode 'ansi'; allowed are human, rgb_array, or None"),
        ({"family": "spread", "seed": -1}, "seed cannot be -1"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(arguments, sentence):
    for maker in (make, make_aec):
        with pytest.raises(UserError, match=re.escape(sentence)):
            maker(**arguments)


THIRD_PARTY = """
family: mine
title: A game of somebody else
entry_point: "marl_meta.interop.vector:make_game"
agents: [agent]
engine: {pettingzoo: "mpe2.simple_spread_v3:parallel_env"}
rules:
  max_cycles: {kind: int, range: [1, 40], default: 25, binds: game, about: "Steps."}
"""


def test_a_game_without_places_has_no_flat_observations(tmp_path):
    (tmp_path / "family.yaml").write_text(THIRD_PARTY)
    with pytest.raises(UserError, match="Family 'mine' has no flat observations"):
        make(tmp_path)


def test_an_action_must_be_given_for_everybody_and_exist():
    env = make("spread", seed=0)
    env.reset()
    with pytest.raises(
        UserError, match="step needs an action of each of agent_0, agent_1, agent_2; 'agent_1' has none"
    ):
        env.step({"agent_0": 0})
    with pytest.raises(UserError, match=r"action of agent_2 .* is 5; allowed is 0 to 4"):
        env.step({"agent_0": 0, "agent_1": 0, "agent_2": 5})


def test_nothing_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make("harvest", seed=0)
        env.reset(seed=1)
        env.step(dict.fromkeys(env.agents, 1))
