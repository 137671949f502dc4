"""A file must not choose which code runs here."""

from __future__ import annotations

from typing import Any

import pytest

from marl_meta.trust import trained_game
from marl_meta.types import UserError

SAY = {"entry_point": "--pettingzoo {}", "family": "--game {}"}
KNOWN = "mpe2.simple_spread_v3:parallel_env"


@pytest.mark.parametrize(
    "game", [{"family": "spread"}, {"family": "pettingzoo", "entry_point": KNOWN, "kwargs": {}, "schema": None}]
)
def test_ours_and_well_known_games_are_taken_by_name(game: dict[str, Any]) -> None:
    assert trained_game({"game": game}, SAY) == game


@pytest.mark.parametrize(
    "trained_on",
    [{}, {"game": None}, {"game": {}}, {"game": {"family": 3}}, {"game": "spread"}, {"game": {"family": "pettingzoo"}}],
)
def test_a_team_that_does_not_say_was_trained_on_nothing_known(trained_on: dict[str, Any]) -> None:
    assert trained_game(trained_on, SAY) == {}


@pytest.mark.parametrize(
    ("game", "says"),
    [
        ({"family": "pettingzoo", "entry_point": "os:mkdir"}, "--pettingzoo os:mkdir"),
        ({"family": "pettingzoo", "entry_point": "mine.py:env"}, "--pettingzoo mine.py:env"),
        ({"family": "team/family.yaml"}, "--game team/family.yaml"),
        ({"family": ".."}, "--game .."),
    ],
)
def test_somebodys_own_code_has_to_be_named_by_the_user(game: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match="whose code would be run") as refusal:
        trained_game({"game": game}, SAY)
    assert says in str(refusal.value)
