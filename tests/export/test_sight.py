"""What a team reads from flat observations is what the game showed, entity by entity."""

from __future__ import annotations

import json

import numpy as np
import pytest

from marl_meta import UserError, make
from marl_meta.export.sight import read_sight
from marl_meta.export.sights import family_sight

GAMES = [
    ("harvest", {}),
    ("harvest", {"teams": 2, "gatherers": 2, "obstacles": 1}),
    ("tag", {"prey": 2}),
    ("spread", {"vision_radius": 0.6}),
    ("payoff", {"players": 3, "actions": 2}),
]


@pytest.mark.parametrize(("family", "rules"), GAMES)
def test_entities_are_read_as_they_were_shown(family, rules):
    sight = read_sight(json.loads(json.dumps(family_sight(family, rules).sight.record())))
    env = make(family, rules, seed=3)
    shown, _ = env.reset(3)
    unseen = 0
    for _ in range(20):
        if not env.agents:
            shown, _ = env.reset()
        truth = env.shown
        for slot, agent in enumerate(sight.agents):
            entities, seen, private = sight.look(agent, shown[agent])
            expected = truth.present[0] if truth.sees is None else truth.sees[0, slot]
            unseen += (~expected).sum()
            np.testing.assert_array_equal(seen, expected)
            np.testing.assert_allclose(entities, np.where(expected[:, None], truth.entities[0], 0), atol=1e-6)
            np.testing.assert_allclose(private, truth.private[0, slot])
        np.testing.assert_array_equal(sight.kind, truth.kind[0])
        np.testing.assert_array_equal(sight.team, truth.team[0])
        np.testing.assert_array_equal(sight.rule_values, truth.rules[0])
        shown, *_ = env.step({agent: env.action_space(agent).sample() for agent in env.agents})
    assert (unseen > 0) == ("vision_radius" in rules)


def test_hidden_rules_make_no_difference_to_how_a_game_is_seen():
    one = family_sight("harvest", {"payoff": [1, 0, -1], "control": 0}).sight
    other = family_sight("harvest", {"payoff": [-1, 0, 1], "control": 270, "agents_needed": 2}).sight
    assert one.record() == other.record()
    assert not {"payoff", "control", "agents_needed", "collision_sign"} & set(one.rules)


def test_who_cannot_be_told_apart_is_refused():
    with pytest.raises(UserError, match="nearest_agents=2"):
        family_sight("tag", {"nearest_agents": 2})


def test_a_vector_of_another_length_is_refused():
    sight = family_sight("tag").sight
    with pytest.raises(ValueError, match="adversary_0 is shown 3 numbers"):
        sight.look("adversary_0", np.zeros(3))
