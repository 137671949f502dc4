"""What a step led to, as those see it who infer from it."""

from __future__ import annotations

import numpy as np

from marl_meta.games import make_vec
from marl_meta.mind import after


def test_after_a_game_that_ended_is_its_end_and_not_the_next_ones_start() -> None:
    game = make_vec("connect", num_games=2, rules=[{"width": 4}, {"width": 5}])
    step = game.reset()
    for time in range(7):
        step = game.step(np.array([[time % 2] * 2, [time % 5] * 2]))
    assert step.game_over.tolist() == [True, False] and step.final is not None
    shown = after(step)
    for name in ("entities", "private", "team", "present"):
        np.testing.assert_array_equal(getattr(shown, name)[0], getattr(step.final, name)[0])
        np.testing.assert_array_equal(getattr(shown, name)[1], getattr(step.observation, name)[1])
        assert name == "private" or (getattr(shown, name)[0] != getattr(step.observation, name)[0]).any()
    game.reset()
    assert after(game.step(np.zeros((2, 2), np.int64))).team.max() == 1
