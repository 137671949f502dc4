"""What the tests of exports share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from marl_meta.games import make_vec
from marl_meta.nets.inputs import PolicyDesign, PolicyInputs
from marl_meta.team import Team


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny_flat_team() -> Team:
    """An untrained team without the graph."""
    layout = make_vec("harvest", num_games=1).layout
    design = PolicyDesign(hidden=8, heads=2, kinds=layout.kinds, slots=(3, 0, 3, 3, 3))
    policies = {"gatherer": PolicyInputs(layout, design).build_policy()}
    return Team(
        "flat", layout, {"gatherer": design}, policies, {"gatherer": "gatherer"}, {"game": {"family": "harvest"}}
    )
