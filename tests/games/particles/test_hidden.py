"""Hidden rules show in no observation before play makes a difference, and in play they do."""

from __future__ import annotations

import numpy as np
import pytest

from marl_meta.games import load_family, make_vec

from ..stepping import assert_same, columns  # noqa: TID252 (what the folders beside this one share)

HIDDEN = [
    (name, rule.name, value)
    for name in ("spread", "tag", "harvest")
    for rule in load_family(name).rules.values()
    if rule.hidden
    for value in rule.values()
    if value != rule.default
]
SEEN = {*((name, "control") for name in ("spread", "tag", "harvest")), ("harvest", "agents_needed")}
"""What play makes visible; all others change rewards alone."""

CROWDED = {"arena": 0.5, "collision_reward": 1.0, "obstacles": 1, "nearest_agents": 2}
FAMILY_RULES = {
    "spread": {"agents": 4},
    "tag": {"adversaries": 4, "prey": 2, "catch_reward": 3.0},
    "harvest": {"gatherers": 4, "objects_per_kind": 4, "object_size": 0.1},
}


def test_every_hidden_rule_is_tried():
    assert {(name, rule) for name, rule, _ in HIDDEN} == {
        *((name, rule) for name in FAMILY_RULES for rule in ("control", "collision_sign")),
        ("spread", "goal_assignment"),
        ("tag", "agents_needed"),
        ("tag", "who_is_it"),
        ("harvest", "agents_needed"),
        ("harvest", "payoff"),
    }


@pytest.mark.parametrize(("name", "rule", "value"), HIDDEN)
def test_a_hidden_rule_is_only_felt(name, rule, value):
    rules = {**FAMILY_RULES[name], **CROWDED}
    known, other = (make_vec(name, num_games=20, rules=one, seed=1) for one in (rules, {**rules, rule: value}))
    assert known.layout == other.layout and known.variant_ids != other.variant_ids
    assert (known.hidden_rules != other.hidden_rules).any()
    steps = known.reset(), other.reset()
    for b in range(20):
        assert_same(*(columns(step.observation, b) for step in steps))
    rng = np.random.default_rng(0)
    felt = seen = False
    for _ in range(40):
        actions = rng.integers(5, size=(20, known.num_agents))
        steps = known.step(actions), other.step(actions)
        felt |= bool((steps[0].reward != steps[1].reward).any())
        observations = [[columns(step.observation, b) for b in range(20)] for step in steps]
        for found, expected in zip(*observations, strict=True):
            assert found.keys() == expected.keys()
            changed = {key for key in found if not np.array_equal(found[key], expected[key])}
            assert changed <= {"entities", "private", "sees"}
            seen |= bool(changed)
    assert felt
    assert seen == ((name, rule) in SEEN)


@pytest.mark.parametrize("name", FAMILY_RULES)
def test_a_drawn_variant_does_not_show_in_the_start(name):
    """With the same seed, games that draw other hidden rules from a list as long start alike."""
    family = load_family(name)
    rule = {"spread": "goal_assignment", "tag": "who_is_it", "harvest": "payoff"}[name]
    values = family.rules[rule].values()
    starts = []
    for order in (values, values[::-1]):
        variants = [family.variant({rule: value}) for value in order]
        game = family.load_entry_point()(family, variants, num_games=30, seed=2, episodes_per_trial=1)
        observation = game.reset().observation
        starts.append(([columns(observation, b) for b in range(30)], game.variant_ids))
    (first, ids), (second, other_ids) = starts
    for found, expected in zip(first, second, strict=True):
        assert_same(found, expected)
    assert ids != other_ids and len(set(ids)) == len(values)


def test_walls_of_a_corner_keep_numbers_finite():
    game = make_vec("spread", num_games=50, rules={"walls": True, "arena": 0.5, "agents": 6, "agent_size": 0.02})
    game.reset()
    for _ in range(24):
        step = game.step(np.tile([1, 3, 1, 3, 1, 3], (50, 1)))
        assert np.isfinite(step.observation.entities).all()
        assert abs(step.observation.entities[..., :2]).max() <= 0.5
    snapshot = game.snapshot()
    snapshot["positions"][:, 0] = snapshot["positions"][:, 1]
    game.restore(snapshot)
    assert np.isfinite(game.step(np.zeros((50, 6), np.int64)).observation.entities).all()
