"""Small untrained teams, as folders: evaluation does not ask how good they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from marl_meta.games import make_vec
from marl_meta.nets.inputs import PolicyDesign, PolicyInputs
from marl_meta.team import Team

MakeTeam = Callable[..., Path]


@pytest.fixture
def make_team(tmp_path: Path) -> MakeTeam:
    """Write a team that plays all sides of a family (or only some); returns its folder."""

    def make(family: str, name: str = "first", plays: tuple[str, ...] = (), **trained_on: object) -> Path:
        layout = make_vec(family, num_games=1).layout
        design = PolicyDesign(hidden=8, heads=2, kinds=layout.kinds)
        sides = plays or tuple(team.name for team in layout.teams)
        torch.manual_seed(len(name))
        policies = {side: PolicyInputs(layout, design).build_policy() for side in sides}
        game = {"family": family, "split": "train", "rules": {}, "episodes_per_trial": 1, **trained_on}
        team = Team(
            name=name,
            layout=layout,
            designs=dict.fromkeys(sides, design),
            policies=policies,
            plays={side: side for side in sides},
            trained_on={"game": game},
        )
        folder = tmp_path / "teams" / name
        team.save(folder)
        return folder

    return make
