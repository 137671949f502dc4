"""Rules that players are not told show in nothing but what completing a line leads to; those that they are told do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from marl_meta.games import load_family, make_vec

from ..stepping import assert_same, columns  # noqa: TID252 (what the folders beside this one share)

FAMILY = load_family("connect")
HIDDEN = [(rule.name, not rule.default) for rule in FAMILY.rules.values() if rule.hidden]
BOARDS: list[dict[str, Any]] = [{"blocked": 4}, {"width": 5, "height": 5, "gravity": False, "blocked": 3}]


def test_every_hidden_rule_is_tried():
    assert {name for name, _ in HIDDEN} == {"diagonals", "wrap", "misere"}


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize(("rule", "value"), HIDDEN)
def test_an_untold_rule_is_only_felt(board: dict[str, Any], rule: str, value: bool) -> None:
    rules = {**board, "told": False}
    known, other = (make_vec("connect", num_games=300, rules=one, seed=1) for one in (rules, {**rules, rule: value}))
    assert known.layout == other.layout and known.variant_ids != other.variant_ids
    assert (known.hidden_rules != other.hidden_rules).any()
    steps = [known.reset(), other.reset()]
    alike, felt, rng = np.ones(300, bool), 0, np.random.default_rng(0)
    for _ in range(45):
        for b in np.flatnonzero(alike):
            assert_same(*(columns(step.observation, int(b)) for step in steps))
        legal = [step.observation.action_mask for step in steps]
        drawn = rng.random(legal[0].shape)
        steps = [
            game.step(np.where(mask, drawn, -1).argmax(-1)) for game, mask in zip((known, other), legal, strict=True)
        ]
        same = (steps[0].reward == steps[1].reward).all(-1) & (steps[0].game_over == steps[1].game_over)
        felt += int((alike & ~same).sum())
        alike &= same
    assert felt > 30 and alike.sum() < 270


@pytest.mark.parametrize(("rule", "value"), HIDDEN)
def test_a_told_rule_shows_at_once(rule: str, value: bool) -> None:
    shown = [make_vec("connect", num_games=1, rules=one).reset().observation for one in ({}, {rule: value})]
    lines = [int(observation.present[0, 44:].sum()) for observation in shown]
    worth = [set(observation.entities[0, 44:, -1][observation.present[0, 44:]].tolist()) for observation in shown]
    if rule == "misere":
        assert lines[0] == lines[1] and worth == [{1.0}, {-1.0}]
    else:
        assert lines == ([69, 45] if rule == "diagonals" else [69, 105]) and worth == [{1.0}, {1.0}]


def test_untold_players_see_every_line_that_might_count_and_no_worth() -> None:
    for rules in ({}, {"misere": True}, {"diagonals": False, "wrap": True}):
        observation = make_vec("connect", num_games=1, rules={"told": False, **rules}).reset().observation
        assert observation.present[0, 44:].sum() == 105 and not observation.entities[0, :, -1].any()
