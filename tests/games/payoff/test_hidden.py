"""Hidden rules show in no observation but one's own reward, and nobody sees what others do."""

from __future__ import annotations

import numpy as np
import pytest

from marl_meta.games import load_family, make_vec

from ..stepping import assert_same, columns  # noqa: TID252 (what the folders beside this one share)

FAMILY = load_family("payoff")
STAG = {"structure": "stag_hunt"}
HIDDEN = [
    (rules, rule.name, value)
    for rule in FAMILY.rules.values()
    if rule.hidden
    for value in rule.values()
    if value not in (rule.default, "treasure")
    for rules in [{"players": 4, "actions": 4, **(STAG if rule.name.startswith("swap") else {})}]
]


def test_every_hidden_rule_is_tried():
    assert {name for _, name, _ in HIDDEN} == {name for name, rule in FAMILY.rules.items() if rule.hidden}


@pytest.mark.parametrize(("rules", "rule", "value"), HIDDEN)
def test_a_hidden_rule_is_only_felt(rules, rule, value):
    known, other = (make_vec("payoff", num_games=256, rules=one, seed=1) for one in (rules, {**rules, rule: value}))
    assert known.layout == other.layout and known.variant_ids != other.variant_ids
    assert (known.hidden_rules != other.hidden_rules).any()
    steps = known.reset(), other.reset()
    assert_same(*(columns(step.observation, slice(None)) for step in steps))
    rng = np.random.default_rng(0)
    felt = False
    for _ in range(45):
        actions = rng.integers(4, size=(256, 4))
        steps = known.step(actions), other.step(actions)
        felt |= bool((steps[0].reward != steps[1].reward).any())
        found, expected = (columns(step.observation, slice(None)) for step in steps)
        for shown in (found, expected):
            shown["private"] = shown["private"][..., :-1]  # without the last reward
        assert_same(found, expected)
        if not steps[0].game_over[0]:
            for step in steps:
                np.testing.assert_array_equal(step.observation.private[:, :, -1], step.reward)
    assert felt


def test_a_drawn_variant_does_not_show_in_the_start():
    starts = []
    for order in (1, -1):
        variants = FAMILY.split("three_players")[::order]
        game = FAMILY.load_entry_point()(FAMILY, variants, num_games=30, seed=2)
        observation = game.reset().observation
        starts.append(([columns(observation, b) for b in range(30)], game.variant_ids))
    (first, ids), (second, other_ids) = starts
    for found, expected in zip(first, second, strict=True):
        assert_same(found, expected)
    assert ids != other_ids


def test_nobody_sees_what_others_do():
    """Where nothing is paid, an agent sees the same whatever the others play."""
    games = [make_vec("payoff", num_games=1, rules={"players": 4, "treasure_0": 2}) for _ in range(2)]
    rng = np.random.default_rng(0)
    for game in games:
        game.reset()
    for _ in range(30):
        own = rng.integers(2, size=4)  # never the treasure
        for agent in range(4):
            joint = [own.copy(), (own + rng.integers(2, size=4)) % 2]
            joint[1][agent] = own[agent]
            snapshots = [game.snapshot() for game in games]
            shown = [game.step(one[None]).observation for game, one in zip(games, joint, strict=True)]
            np.testing.assert_array_equal(shown[0].private[0, agent], shown[1].private[0, agent])
            np.testing.assert_array_equal(shown[0].entities, shown[1].entities)
            for game, snapshot in zip(games, snapshots, strict=True):
                game.restore(snapshot)
        for game in games:
            game.step(own[None])
