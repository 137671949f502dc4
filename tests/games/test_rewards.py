"""What games pay is checked, whoever made them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from marl_meta.games.rewards import check_rewards
from marl_meta.types import UserError

GAME: Any = SimpleNamespace(variant_ids=["my-game-0123456789"] * 2, agent_names=("cat_0", "mouse_0"))


def test_finite_rewards_are_let_through() -> None:
    check_rewards(GAME, np.array([[0.0, -1e30], [1e30, 2.0]], np.float32))


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_others_are_refused_by_name(value: str) -> None:
    reward = np.zeros((2, 2), np.float32)
    reward[1, 1] = float(value)
    with pytest.raises(UserError, match=rf"^The game 'my-game' paid the agent 'mouse_0' a reward of {value}, .*\.$"):
        check_rewards(GAME, reward)
