"""A small tournament of players that need no training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from marl_meta.tournament.drawing_up import draw_up
from marl_meta.tournament.plan import Plan

MakePlan = Callable[..., Plan]


@pytest.fixture
def make_plan() -> MakePlan:
    """Return a plan of `harvest` between two teams, with changes."""

    def make(**changes: Any) -> Plan:
        values = {
            "teams": ["random", "gather=builtin:gather", "stay=builtin:stay"], "game": "harvest", "variants": 3,
            "games": 2, "seeds": 2, "replays": 1,
        }  # fmt: skip
        return draw_up(**{**values, **changes})

    return make
