from __future__ import annotations

import pytest

from marl_meta.evaluate.lineup import Player, matchups, random_player, scripted_players, side_seed, team_player
from marl_meta.games import load_family
from marl_meta.team import load_team
from marl_meta.types import TeamLayout, UserError

CATS, MICE, OWLS = TeamLayout("cats", "cat"), TeamLayout("mice", "mouse"), TeamLayout("owls", "owl")


def player(name: str, *sides: str, origin: str = "team") -> Player:
    return Player(name, origin, lambda side: side.name in sides, lambda *_: None)


def test_one_side_is_played_by_everybody_in_turn() -> None:
    found = matchups([CATS], [player("a", "cats"), random_player(), player("s", "mice", "cats", origin="scripted")])
    assert found == [(("cats", "a"),), (("cats", "random"),), (("cats", "s"),)]


def test_two_sides_meet_in_all_pairs() -> None:
    players = [player("a", "cats", "mice"), random_player(), player("flee", "mice", origin="scripted")]
    assert [tuple(name for _, name in pairing) for pairing in matchups([CATS, MICE], players)] == [
        ("a", "a"),
        ("a", "random"),
        ("a", "flee"),
        ("random", "a"),
        ("random", "random"),
        ("random", "flee"),
    ]


def test_three_sides_meet_one_opponent_each() -> None:
    found = matchups([CATS, MICE, OWLS], [player("a", "cats", "mice"), random_player()])
    chosen = {tuple(name for _, name in pairing) for pairing in found}
    assert chosen == {
        ("a", "a", "random"),  # everybody that a can play
        ("a", "random", "random"),
        ("random", "a", "random"),
        ("random", "random", "random"),
    }
    assert len(found) == len(chosen)


def test_a_team_that_can_play_no_side_is_refused() -> None:
    with pytest.raises(UserError, match=r"'a' can play no side of this game; its sides are cats \(role cat\)\."):
        matchups([CATS], [player("a", "mice"), random_player()])


def test_teams_and_scripts_know_their_sides(make_team) -> None:
    team = team_player("first", load_team(make_team("tag", plays=("adversary",))), deterministic=False)
    adversary, prey = TeamLayout("adversary", "adversary"), TeamLayout("prey", "prey")
    assert team.can_play(adversary)
    assert not team.can_play(prey)
    scripted = {one.name: one for one in scripted_players(load_family("tag"))}
    assert {"chase", "flee"} <= set(scripted)
    assert scripted["chase"].can_play(adversary)
    assert not scripted["chase"].can_play(prey)
    assert scripted["flee"].can_play(prey)


def test_sides_draw_from_streams_of_their_own() -> None:
    assert len({side_seed(seed, side) for seed in range(10) for side in range(3)}) == 30
