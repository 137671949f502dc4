"""A small untrained team of the recall game, and its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from marl_meta.games import make_vec
from marl_meta.nets.inputs import PolicyDesign, PolicyInputs
from marl_meta.team import Team
from marl_meta.types import Layout, VectorGame

RECALL = Path(__file__).parents[1] / "recall"


@pytest.fixture
def recall() -> Callable[..., VectorGame]:
    """Make games of recall, of two players and a rival."""

    def make(**options: Any) -> VectorGame:
        rules = {"players": 2, "rivals": 1, "length": 3, "hides": True}
        return make_vec(RECALL, **{"num_games": 4, "rules": rules, "seed": 2, **options})

    return make


@pytest.fixture
def make_team() -> Callable[..., Team]:
    """Make an untrained team of two policies for a layout."""

    def make(layout: Layout, **design: Any) -> Team:
        chosen = PolicyDesign(
            **{"hidden": 8, "heads": 2, "kinds": layout.kinds, "rules": ("shift",), "critic": "central", **design}
        )
        torch.manual_seed(0)
        policies = {name: PolicyInputs(layout, chosen).build_policy() for name in ("one", "two")}
        for policy in policies.values():
            with torch.no_grad():
                policy.actor.weight.normal_()
        plays = {"players": "one", "rivals": "two"}
        return Team("first", layout, dict.fromkeys(policies, chosen), policies, plays, {"seed": 5})

    return make


@pytest.fixture
def team(recall: Callable[..., VectorGame], make_team: Callable[..., Team]) -> Team:
    """The team that the games of recall are played by."""
    return make_team(recall().layout)


@pytest.fixture
def folder(team: Team, tmp_path: Path) -> Path:
    """Where that team is saved."""
    team.save(tmp_path / "team")
    return tmp_path / "team"
