"""Our families as PettingZoo AECEnvs: PettingZoo's own tests, mpe2's turns."""

import mpe2.simple_spread_v3
import mpe2.simple_tag_v3
import numpy as np
import pytest
from pettingzoo import AECEnv
from pettingzoo.test import api_test, render_test, seed_test
from pettingzoo.utils import aec_to_parallel

from marl_meta.games import load_family
from marl_meta.interop.aec import make_aec
from marl_meta.interop.parallel import ParallelGame

FAMILIES = ("spread", "tag", "harvest", "payoff")
CASES = [(name, {}) for name in FAMILIES]
CASES += [(name, variant.rules) for name in FAMILIES for variant in load_family(name).sample(seed=8, count=3)]
IDS = [f"{name}-{'random' if rules else 'default'}" for name, rules in CASES]

# PettingZoo excuses mpe2's games, by name, from having unbounded observations of several sizes; ours have the same.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Agent's m.* observation space value is .*infinity:UserWarning"),
    pytest.mark.filterwarnings("ignore:Agents have different observation space sizes:UserWarning"),
    pytest.mark.filterwarnings("ignore:Observations are different shapes:UserWarning"),
]


@pytest.mark.parametrize(("family", "rules"), CASES, ids=IDS)
def test_pettingzoos_api_test_passes(family, rules):
    api_test(make_aec(family, rules), num_cycles=60)


@pytest.mark.parametrize(("family", "rules"), CASES, ids=IDS)
def test_pettingzoos_seed_test_passes(family, rules):
    seed_test(lambda: make_aec(family, rules), num_cycles=30)


@pytest.mark.parametrize("family", FAMILIES)
def test_pettingzoos_render_test_passes(family, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    render_test(lambda render_mode: make_aec(family, {"episode_length": 4}, render_mode=render_mode))


@pytest.mark.parametrize(
    ("module", "kwargs", "family", "rules"),
    [
        (mpe2.simple_spread_v3, {"N": 4}, "spread", {"agents": 4}),
        (mpe2.simple_tag_v3, {"num_good": 2}, "tag", {"prey": 2}),
    ],
)
def test_turns_are_mpe2s(module, kwargs, family, rules):
    theirs, ours = module.env(**kwargs), make_aec(family, rules)
    theirs.reset(seed=1)
    ours.reset(seed=1)
    world, game = theirs.unwrapped.world, ours.unwrapped.game
    snapshot = game.snapshot()
    order = [*world.agents, *world.landmarks]
    snapshot["positions"][0, : len(order)] = [entity.state.p_pos for entity in order]
    snapshot["velocities"][0, : len(order)] = [entity.state.p_vel for entity in order]
    game.restore(snapshot)
    rng = np.random.default_rng(0)
    turns = 0
    for agent in theirs.agent_iter():
        assert ours.agent_selection == agent and ours.agents == theirs.agents
        expected, found = theirs.last(), ours.last()
        if turns >= len(world.agents):  # in the first cycle the environment still remembers what it drew itself
            np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
        np.testing.assert_allclose(found[1], expected[1], atol=1e-5)
        assert found[2:4] == expected[2:4]
        action = None if expected[2] or expected[3] else int(rng.integers(5))
        theirs.step(action)
        ours.step(action)
        turns += 1
    assert ours.agents == [] and turns == len(world.agents) * 26


def test_it_is_an_aec_game_around_the_parallel_one():
    env = make_aec("tag", {"adversaries": 2}, seed=3)
    assert isinstance(env, AECEnv) and isinstance(env.unwrapped, ParallelGame)
    assert env.unwrapped.rules["adversaries"] == 2
    assert isinstance(aec_to_parallel(env), ParallelGame)
    assert str(env.unwrapped) == "tag_v0" and env.metadata["is_parallelizable"]
