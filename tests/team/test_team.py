"""What a team may play: by the names and roles of its sides, and only what its policies can read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from marl_meta.team import Team
from marl_meta.types import TeamLayout, UserError, VectorGame

MakeGame = Callable[..., VectorGame]


def test_who_plays_whom_goes_by_name_and_then_by_role(team: Team) -> None:
    assert team.policy_for(TeamLayout("rivals", "player")) == "two"
    assert team.policy_for(TeamLayout("reds", "rival")) == "two"
    assert team.policy_for(TeamLayout("reds", "player")) == "one"
    with pytest.raises(UserError, match=r"cannot play 'reds' \(role 'goalkeeper'\).*\['players', 'rivals'\]"):
        team.policy_for(TeamLayout("reds", "goalkeeper"))


def test_a_team_that_the_game_does_not_have(team: Team) -> None:
    with pytest.raises(UserError, match=r"no team 'reds'; its teams are \['players', 'rivals'\]"):
        team.controller(team.layout, "reds")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kinds": ("player", "rival", "dragon")}, r"\['dragon'\] that it does not know"),
        ({"visible_rules": ()}, r"no visible rules \['shift'\]"),
        ({"entity_features": ("x",)}, "entity features"),
        ({"private_features": ("x",)}, "private features"),
        ({"actions": ("a", "b")}, "2 actions .it plays 3"),
    ],
)
def test_games_that_it_cannot_read(team: Team, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        team.controller(replace(team.layout, **change), "players")


def test_a_game_with_fewer_kinds_is_no_problem(recall: MakeGame, team: Team) -> None:
    game = recall(rules={"players": 2})
    rules = tuple(replace(bound, kinds=("player",)) for bound in game.layout.visible_rules)
    player = team.controller(replace(game.layout, kinds=("player",), visible_rules=rules), "players")
    player.reset(4, np.array([0, 1]))
    assert player.act(game.reset().observation).shape == (4, 2)
