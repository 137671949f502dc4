"""Plans that no tournament can be played by are refused before anything is written."""

from __future__ import annotations

from typing import Any

import pytest

from marl_meta.types import UserError

from .conftest import MakePlan

ALONE = {"split": "held_out", "teams": ["random"]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teams": ["random"], "form": "gauntlet", "reference": ["random"]}, "needs somebody who meets the reference"),
        ({**ALONE, "form": "focal", "reference": ["random"]}, "needs an entrant beside random play"),
        ({"reference": ["random"]}, "a reference is of the formats gauntlet and focal, not of round_robin"),
        ({"rounds": 3}, "rounds are of the format swiss, not of round_robin"),
        ({"limits": {"nope": 1}}, "There is no limit 'nope'"),
        ({"limits": {"act_seconds": "x"}}, "act_seconds is a number of seconds from 0 to 86400"),
        ({"limits": {"act_seconds": 1e12}}, "act_seconds is a number of seconds from 0 to 86400"),
        ({"limits": {"grace_seconds": float("nan")}}, "grace_seconds is a number of seconds"),
        ({"limits": {"memory_mib": 10**13}}, "memory_mib is a whole number from 1 to 16777216"),
        ({"limits": {"memory_mib": 0}}, "memory_mib is a whole number from 1"),
    ],
)
def test_what_cannot_be(make_plan: MakePlan, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        make_plan(**changes)


def test_a_variant_is_named_once(make_plan: MakePlan) -> None:
    plan = make_plan()
    with pytest.raises(ValueError, match="a variant is named twice"):
        type(plan).model_validate({**plan.model_dump(), "variants": [plan.variants[0]] * 2})


def test_references_may_meet_each_other(make_plan: MakePlan) -> None:
    plan = make_plan(teams=["random", "builtin:stay"], form="gauntlet", reference=["random", "stay"])
    assert plan.reference == ["random", "stay"]
