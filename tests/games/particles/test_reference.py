"""The kernels beside a slow, obvious reference, under rules of every kind."""

from __future__ import annotations

import numpy as np
import pytest

from marl_meta.games import load_family, make_vec

from . import reference

CROWDED = {"arena": 0.5, "collision_reward": 0.7}
CASES = {
    "spread": [
        {**CROWDED, "agents": 4, "goal_assignment": goal, "collision_sign": sign, "control": turn}
        for goal, sign, turn in (("nearest", 1, 90), ("own", -1, 180), ("next", 1, 270), ("previous", -1, 0))
    ]
    + [{"agents": 3, "landmarks": 5, "goal_assignment": "next"}, {"agents": 4, "landmarks": 2, "walls": True}]
    + [{"agents": 2, "landmarks": 1, "arena": 0.5, "terminate_on_success": True}],
    "tag": [
        {**CROWDED, "adversaries": 4, "prey": 2, "agents_needed": needed, "who_is_it": it, "shared_catch": shared}
        for needed, it, shared in ((1, "prey", True), (2, "adversary", False), (3, "prey", False), (2, "prey", True))
    ]
    + [{"adversaries": 2, "agents_needed": 3, "arena": 0.5}]
    + [{"adversaries": 5, "adversary_size": 0.15, "agents_needed": 2, "arena": 0.5, "terminate_on_success": True}],
    "harvest": [
        {**CROWDED, "gatherers": 3, "teams": teams, "agents_needed": needed, "share": share, "payoff": payoff}
        for teams, needed, share, payoff in (
            (1, 1, 1.0, [1, 0, -1]),
            (1, 2, 0.3, [0, -1, 1]),
            (2, 1, 0.0, [-1, 1, 0]),
            (2, 2, 0.6, [1, -1, 0]),
        )
    ]
    + [{"gatherers": 1, "agents_needed": 2, "arena": 0.5, "object_size": 0.2}],
}
"""Rules that must show; on top of them come variants drawn over all that is allowed."""

COUNTS = {
    "spread": [{"agents": agents, "obstacles": agents % 3} for agents in range(1, 7)],
    "tag": [{"adversaries": adversaries, "obstacles": adversaries % 3} for adversaries in range(1, 6)],
    "harvest": [{"gatherers": gatherers, "obstacles": gatherers % 3, "object_size": 0.2} for gatherers in range(1, 7)],
}
"""Numbers of agents: kernels are compiled for some of them one by one, and for all others together."""

SIZES = ("agents", "adversaries", "prey", "gatherers", "objects_per_kind")
"""Cut in drawn variants, for a reference so plain takes long."""


@pytest.mark.parametrize("name", CASES)
def test_every_step_is_the_references(name):
    family = load_family(name)
    drawn = [
        family.variant({**one.rules, **{size: min(one.rules[size], 4) for size in SIZES if size in one.rules}})
        for one in family.sample(seed=3, count=12)
    ]
    variants = [family.variant(rules) for rules in CASES[name]] + drawn
    paid, wins = compare(name, variants)
    assert (paid[: len(CASES[name])] > 0).all()
    assert wins > 0 or name == "harvest"


@pytest.mark.parametrize("name", COUNTS)
def test_every_number_of_agents_plays_as_the_reference(name):
    family = load_family(name)
    variants = [family.variant({**CROWDED, **rules}) for rules in COUNTS[name]]
    paid, _ = compare(name, variants)
    assert (paid > 0).mean() > 0.5


def compare(name, variants):
    """Play a game of each variant beside the reference; return what each paid in all, and how many were won."""
    game = make_vec(name, num_games=len(variants), rules=[variant.rules for variant in variants])
    game.reset(seed=11)
    rng = np.random.default_rng(0)
    paid, wins = np.zeros(len(variants)), 0
    for _ in range(40):
        before = game.snapshot()
        actions = rng.integers(5, size=(len(variants), game.num_agents))
        step = game.step(actions)
        after = game.snapshot()
        for b, variant in enumerate(variants):
            expected = reference.make(name, variant.rules, before, b)
            acting = np.flatnonzero(step.final.acting[b] if step.game_over[b] else step.observation.acting[b])
            rewards, won = expected.step(actions[b, acting].tolist())
            np.testing.assert_allclose(step.reward[b, acting], rewards, rtol=1e-5, atol=1e-5)
            late = int(before["step"][b]) + 1 >= variant.rules["episode_length"]
            early = won and variant.rules.get("terminate_on_success", False) and not late
            assert step.truncated[b, acting].tolist() == [late] * len(acting)
            assert step.terminated[b, acting].tolist() == [early] * len(acting)
            assert step.game_over[b] == (late or early)
            assert_shown(step.final if step.game_over[b] else step.observation, b, expected)
            paid[b] += np.abs(rewards).sum()
            wins += early
            if not step.game_over[b]:
                count = len(expected.bodies)
                places, speeds = zip(*((body.place, body.velocity) for body in expected.bodies), strict=True)
                np.testing.assert_allclose(after["positions"][b, :count], places, rtol=0, atol=1e-12)
                np.testing.assert_allclose(after["velocities"][b, :count], speeds, rtol=0, atol=1e-11)
                assert after["draws"][b] == expected.draws
    return paid, wins


def assert_shown(observation, b, game):
    """The observation holds the reference's bodies, in its present slots, and who sees them."""
    slots = np.flatnonzero(observation.present[b])
    agents = np.flatnonzero(observation.acting[b])
    assert len(slots) == len(game.bodies)
    places = [body.place for body in game.bodies]
    np.testing.assert_allclose(observation.entities[b, slots, 0:2], places, rtol=0, atol=1e-5)
    np.testing.assert_allclose(observation.entities[b, slots, 4], [body.radius for body in game.bodies], rtol=1e-6)
    assert observation.team[b, slots].tolist() == [body.team for body in game.bodies]
    own = [(*body.place, *body.velocity) for body in game.agents]
    np.testing.assert_allclose(observation.private[b, agents], own, rtol=0, atol=1e-5)
    for body, slot in zip(game.bodies, slots, strict=True):
        shown = body.velocity if body.kind in ("prey", "gatherer") else (0, 0)
        np.testing.assert_allclose(observation.entities[b, slot, 2:4], shown, rtol=0, atol=1e-5)
    sees = observation.present[b] if observation.sees is None else observation.sees[b]
    for body, slot in zip(game.agents, agents, strict=True):
        seen = np.broadcast_to(sees, (observation.acting.shape[1], len(observation.present[b])))[slot]
        assert seen[slots].tolist() == game.sees(body)
        assert seen.sum() == sum(game.sees(body))
