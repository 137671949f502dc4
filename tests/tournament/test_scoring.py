from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marl_meta.tournament.plan import Plan
from marl_meta.tournament.results import ChunkResult, Forfeit, _read, read_results
from marl_meta.tournament.scoring import outcomes, points, scores
from marl_meta.types import UserError

from .conftest import MakePlan

SAME = {"gatherer": "gatherer", "rival": "gatherer"}
OTHER = {"adversary": "adversary", "prey": "prey"}


def result(
    roles: dict[str, str], names: tuple[str, str], returns: tuple[object, object], **options: object
) -> ChunkResult:
    seats = list(roles)
    return ChunkResult(
        seating=tuple(zip(seats, names, strict=True)),
        group=0,
        seeds=tuple(range(np.shape(returns[0])[1])),
        returns={seat: np.array(one, np.float32) for seat, one in zip(seats, returns, strict=True)},
        **options,  # type: ignore[arg-type]
    )


def test_more_is_a_win_and_as_much_a_draw() -> None:
    found = scores(np.array([1.0, 2.0, -1.0, np.nan, 0.0, np.nan]), np.array([0.0, 2.0, 0.0, 5.0, np.nan, np.nan]))
    assert found.tolist() == [1.0, 0.5, 0.0, 0.0, 1.0, 0.5]


def test_who_earns_more_in_all_games_wins_the_series(make_plan: MakePlan) -> None:
    plan = make_plan(variants=1, seeds=2)
    played = result(SAME, ("random", "gather"), ([[[1.0, 5.0], [0.0, 0.0]]], [[[2.0, 1.0], [3.0, 3.0]]]))
    found = outcomes(plan, SAME, [played])
    assert (found.first.tolist(), found.second.tolist(), found.score.tolist()) == ([0, 0], [1, 1], [1.0, 0.0])
    assert outcomes(plan, SAME, [played], only=0).score.tolist() == [0.0, 0.0]
    assert outcomes(plan, SAME, [played], only=1).score.tolist() == [1.0, 0.0]


def test_the_same_seed_with_sides_swapped_is_one_unit(make_plan: MakePlan) -> None:
    plan = make_plan(variants=2, seeds=3)
    games = np.zeros((2, 3, 1))
    played = [result(SAME, names, (games, games)) for names in (("random", "gather"), ("gather", "random"))]
    played.append(result(SAME, ("random", "stay"), (games, games)))
    found = outcomes(plan, SAME, played)
    _, counts = np.unique(found.pair, return_counts=True)
    assert sorted(counts.tolist()) == [1] * 6 + [2] * 6


def test_hunters_are_compared_with_hunters(make_plan: MakePlan) -> None:
    plan = make_plan(variants=1, seeds=1)
    one = result(OTHER, ("random", "gather"), ([[[10.0]]], [[[-10.0]]]))
    other = result(OTHER, ("gather", "random"), ([[[30.0]]], [[[-30.0]]]))
    found = outcomes(plan, OTHER, [one, other])
    # gather hunts better (30 against 10), and as prey it is caught less (-10 against -30).
    won = np.where(found.first == 1, found.score, 1.0 - found.score)
    assert won.tolist() == [1.0, 1.0]
    assert points(plan, OTHER, [one, other]) == {"random": 0.0, "gather": 1.0, "stay": 0.0}
    assert len(outcomes(plan, OTHER, [one]).score) == 0  # half a comparison says nothing


def test_who_forfeits_more_games_loses_the_series(make_plan: MakePlan) -> None:
    plan = make_plan(variants=1, seeds=1)
    fault = Forfeit("gatherer", 0, 0, 0, "crash", "it crashed")
    played = result(SAME, ("random", "gather"), ([[[np.nan, 9.0]]], [[[0.0, 0.0]]]), forfeits=(fault,))
    assert outcomes(plan, SAME, [played]).score.tolist() == [0.0]
    assert outcomes(plan, SAME, [played], only=1).score.tolist() == [1.0]


def test_a_result_is_written_and_read_as_it_is() -> None:
    fault = Forfeit("rival", 0, 1, 0, "timeout", "it took too long")
    returns = ([[[1.0, np.nan], [0.25, -3.0]]], [[[2.0, 1.0], [np.nan, 3.0]]])
    played = result(SAME, ("random", "gather"), returns, forfeits=(fault,))
    back = _read(played.record())
    assert (back.id, back.seating, back.forfeits) == (played.id, played.seating, played.forfeits)
    for seat, values in played.returns.items():
        np.testing.assert_array_equal(back.returns[seat], values)


def good_record(plan: Plan) -> dict[str, Any]:
    shape = (len(plan.variants), plan.seeds, plan.games)
    fault = Forfeit("rival", 0, 0, 0, "timeout", "it took too long")
    return result(SAME, ("random", "gather"), (np.zeros(shape), np.ones(shape)), forfeits=(fault,)).record()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"returns": [1, 2]}, "this is no result of a tournament"),
        ({"seeds": "ab"}, "this is no result of a tournament"),
        ({"seeds": [None]}, "this is no result of a tournament"),
        ({"seeds": [0, 7]}, "has seeds below 2"),
        ({"returns": {"gatherer": 0.0, "rival": 0.0}}, "has 3 variants, 2 seeds and 2 games"),
        ({"returns": {"gatherer": [[[0.0]]], "rival": [[[0.0]]]}}, "has 3 variants, 2 seeds and 2 games"),
        ({"returns": {"gatherer": [[[0.0]]]}}, "not of the same sides"),
        ({"seating": [["gatherer", "random"], ["rival", "nobody"]]}, "has no entrant 'nobody'"),
        ({"forfeits": [["judge", 0, 0, 0, "crash", "it crashed"]]}, "one of its forfeits is of no game"),
        ({"forfeits": [["rival", 0, 0, 9, "crash", "it crashed"]]}, "one of its forfeits is of no game"),
        ({"forfeits": [["rival", "0", 0, 0, "crash", "it crashed"]]}, "one of its forfeits is of no game"),
    ],
)
def test_what_is_no_result_of_the_plan_says_so(
    make_plan: MakePlan, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    plan = make_plan()
    record = good_record(plan)
    (tmp_path / "results.jsonl").write_text(json.dumps(record) + "\n")
    found, _ = read_results(tmp_path, plan)
    assert len(found) == 1
    (tmp_path / "results.jsonl").write_text(json.dumps(record) + "\n" + json.dumps({**record, **change}) + "\n")
    with pytest.raises(UserError, match=rf"results\.jsonl, line 2: .*{said}"):
        read_results(tmp_path, plan)


def test_at_a_table_everybody_meets_everybody(make_plan: MakePlan) -> None:
    plan = make_plan(variants=1, seeds=1)
    roles = dict.fromkeys("xyz", "player")
    played = ChunkResult(
        (("x", "random"), ("y", "gather"), ("z", "stay")), 0, (0,),
        {seat: np.array([[[value]]], np.float32) for seat, value in (("x", 1.0), ("y", 5.0), ("z", 1.0))},
    )  # fmt: skip
    found = outcomes(plan, roles, [played])
    assert list(zip(found.first, found.second, found.score, strict=True)) == [(0, 1, 0.0), (0, 2, 0.5), (1, 2, 1.0)]
    assert len(set(found.pair.tolist())) == 3 and len(set(found.luck.tolist())) == 1
    alone = ChunkResult((("x", "random"), ("y", "gather"), ("z", "random")), 0, (0,), played.returns)
    assert outcomes(plan, roles, [alone]).score.tolist() == [0.0, 1.0]  # nobody meets himself


def test_sides_of_other_roles_are_compared_one_by_one(make_plan: MakePlan) -> None:
    plan, roles = make_plan(variants=1, seeds=1), {"wolf": "wolf", "sheep": "sheep", "dog": "dog"}
    names = ("random", "gather", "stay")
    seatings = [names, (*names[1:], names[0])]  # two of the orders have been played
    paid = [(9.0, 2.0, 3.0), (8.0, 2.0, 4.0)]
    found = outcomes(plan, roles, [
        ChunkResult(
            tuple(zip(roles, who, strict=True)), 0, (0,),
            {seat: np.array([[[value]]], np.float32) for seat, value in zip(roles, values, strict=True)},
        )
        for who, values in zip(seatings, paid, strict=True)
    ])  # fmt: skip
    scored = {(names[i], names[j]): s for i, j, s in zip(found.first, found.second, found.score, strict=True)}
    # As wolf random earned 9 and gather 8; as sheep gather and stay as much; as dog random earned 4 and stay 3.
    either = {**scored, **{(two, one): 1.0 - score for (one, two), score in scored.items()}}
    assert len(found.score) == 3
    assert either["random", "gather"] == 1.0 and either["gather", "stay"] == 0.5 and either["random", "stay"] == 1.0
