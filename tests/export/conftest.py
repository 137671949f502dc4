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
def board_team() -> Team:
    """An untrained team that plays boards, and tells moves apart."""
    layout = make_vec("connect", num_games=1).layout
    torch.manual_seed(0)
    design = PolicyDesign(hidden=16, heads=2, recurrent=False, kinds=layout.kinds)
    policy = PolicyInputs(layout, design).build_policy()
    assert policy.target is not None
    with torch.no_grad():
        policy.target.score.weight.normal_()
    trained_on = {"game": {"family": "connect", "rules": {}}}
    return Team("boards", layout, {"both": design}, {"both": policy}, {"first": "both", "second": "both"}, trained_on)
