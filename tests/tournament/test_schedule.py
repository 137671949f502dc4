from __future__ import annotations

import itertools

import pytest

from marl_meta.tournament.schedule import (
    MOST_GAMES,
    chunks,
    fixed_tables,
    meetings_of,
    orders,
    parties,
    seatings,
    seed_groups,
    swiss_pairings,
    swiss_rounds,
    swiss_tables,
)
from marl_meta.types import UserError

from .conftest import MakePlan

SIDES = ["gatherer", "rival"]


def test_everybody_meets_everybody_on_both_sides(make_plan: MakePlan) -> None:
    plan = make_plan()
    found = list(chunks(plan, SIDES, fixed_tables(plan, SIDES)))
    seated = [tuple(name for _, name in chunk.seating) for chunk in found]
    assert sorted(seated) == sorted(itertools.permutations(["random", "gather", "stay"], 2))
    assert all([seat for seat, _ in chunk.seating] == SIDES for chunk in found)
    assert all(chunk.seeds == (0, 1) for chunk in found)
    assert len({chunk.id for chunk in found}) == len(found)


def test_a_gauntlet_is_against_the_reference_alone(make_plan: MakePlan) -> None:
    plan = make_plan(form="gauntlet", reference=["random"])
    assert fixed_tables(plan, SIDES) == [("gather", "random"), ("stay", "random")]


def test_partners_share_the_only_side_in_either_part(make_plan: MakePlan) -> None:
    plan = make_plan(form="cross_play", game="spread", split="held_out", teams=["random", "cover=builtin:cover"])
    assert fixed_tables(plan, SIDES) == [("random", "random"), ("random", "cover"), ("cover", "cover")]
    assert seatings(plan, ["agent"], ("random", "cover")) == [
        (("agent/first", "random"), ("agent/second", "cover")),
        (("agent/first", "cover"), ("agent/second", "random")),
    ]
    assert len(seatings(plan, ["agent"], ("cover", "cover"))) == 1


def test_large_tournaments_are_played_in_groups_of_seeds(make_plan: MakePlan) -> None:
    plan = make_plan(variants=50, seeds=25)
    groups = seed_groups(plan)
    assert [seed for group in groups for seed in group] == list(range(25))
    assert max(len(group) for group in groups) * 50 <= MOST_GAMES
    assert len(seed_groups(make_plan(variants=1, seeds=40, stop_early=True))) == 10


def test_a_swiss_tournament_pairs_those_with_as_many_points(make_plan: MakePlan) -> None:
    plan = make_plan(teams=[f"{name}=random" for name in "abcdef"], form="swiss")
    assert swiss_rounds(plan) == 3
    points = {"a": 3.0, "b": 2.0, "c": 2.0, "d": 1.0, "e": 1.0, "f": 0.0}
    assert swiss_pairings(plan, points, set()) == [("a", "b"), ("c", "d"), ("e", "f")]
    met = {frozenset("ab"), frozenset("cd")}
    assert swiss_pairings(plan, points, met) == [("a", "c"), ("b", "d"), ("e", "f")]


def test_nobody_meets_twice_and_nobody_is_left_out_twice(make_plan: MakePlan) -> None:
    plan = make_plan(teams=[f"{name}=random" for name in "abcde"], form="swiss", rounds=5)
    met: set[frozenset[str]] = set()
    for _ in range(5):
        pairings = swiss_pairings(plan, {}, met)
        assert len(pairings) == 2
        out = set("abcde") - {name for pairing in pairings for name in pairing}
        new = {frozenset(pairing) for pairing in pairings} | {frozenset(out)}
        assert not new & met
        met |= new
    assert len(met) == 15  # ten meetings, and each left out once


def test_places_at_a_table_are_balanced() -> None:
    """With 2, 3, 4, 5 or 7 every two have every two places once each way; else everybody has every place as often."""
    for size in range(2, 9):
        found = orders(size)
        for place in range(size):
            seated = [order[place] for order in found]
            assert all(seated.count(who) * size == len(found) for who in range(size))
        if size in (2, 3, 4, 5, 7):
            assert len(found) == size * (size - 1)
            for one, other in itertools.permutations(range(size), 2):
                pairs = {(order[one], order[other]) for order in found}
                assert len(pairs) == size * (size - 1)


def test_tables_of_several_sides(make_plan: MakePlan) -> None:
    three = ["x", "y", "z"]
    plan = make_plan(teams=[f"{name}=random" for name in "abcd"])
    assert fixed_tables(plan, three) == list(itertools.combinations("abcd", 3))
    assert [tuple(name for _, name in seating) for seating in seatings(plan, three, ("a", "b", "c"))] == [
        ("a", "b", "c"), ("b", "c", "a"), ("c", "a", "b"), ("a", "c", "b"), ("b", "a", "c"), ("c", "b", "a"),
    ]  # fmt: skip
    gauntlet = make_plan(teams=[f"{name}=random" for name in "abcd"], form="gauntlet", reference=["b", "d"])
    assert fixed_tables(gauntlet, three) == [("a", "b", "d"), ("c", "b", "d")]
    assert fixed_tables(gauntlet, [*three, "w", "v"]) == [("a", "b", "d", "b", "d"), ("c", "b", "d", "b", "d")]


def test_with_few_entrants_places_go_round() -> None:
    assert parties(["a", "b"], 3) == [("a", "b", "a"), ("a", "b", "b")]
    assert parties(["a", "b"], 4) == [("a", "b", "a", "b")]
    assert parties(["a", "b", "c"], 3) == [("a", "b", "c")]
    assert parties([], 2) == []


def test_tables_of_a_swiss_tournament(make_plan: MakePlan) -> None:
    plan = make_plan(teams=[f"{name}=random" for name in "abcdefg"], form="swiss")
    points = dict(zip("abcdefg", range(7, 0, -1), strict=True))
    assert swiss_rounds(plan, 3) == 2
    first = swiss_tables(plan, points, set(), 3)
    assert first == [("a", "b", "c"), ("d", "e", "f")]
    met = meetings_of(plan, first)
    assert frozenset("g") in met and frozenset("af") not in met and frozenset("ac") in met
    second = swiss_tables(plan, points, met, 3)
    assert second == [("a", "d", "g"), ("b", "e", "c")]  # f is left out now; c has nobody new to meet


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teams": ["random"]}, "at least two entrants"),
        ({"teams": ["random", "random"]}, "are called 'random'"),
        ({"form": "gauntlet"}, "needs a reference"),
        ({"form": "gauntlet", "reference": ["nobody"]}, "no entrant"),
        ({"form": "knockout"}, "no format 'knockout'"),
        ({"game": "spread"}, "no held-out split of games with 2 sides"),
        ({"split": "nowhere"}, "no split 'nowhere'"),
        ({"games": 0}, "games"),
        ({"teams": ["a|b=random", "stay=builtin:stay"]}, "is no name"),
    ],
)
def test_what_cannot_be_planned(make_plan: MakePlan, changes: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        make_plan(**changes)
