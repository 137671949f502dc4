"""Numbers of actions, and the actions of spaces of all sorts."""

from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from marl_meta.interop.actions import GRID, ContinuousActions, action_codec
from marl_meta.interop.vector import PettingZooVector
from marl_meta.types import UserError

HERE = Path(__file__).parent

BOXES = [
    spaces.Box(-1, 1, (1,), np.float32),
    spaces.Box(np.array([-1, 0, 5], np.float32), np.array([2, 1, 5], np.float32)),
    spaces.Box(1000, 1001, (2, 2), np.float32),
    spaces.Box(-0.3, 0.7, (2,), np.float64),
    spaces.Box(-2, 5, (2,), np.int64),
    spaces.Box(0, 1, (6,), np.float32),
]


@pytest.mark.parametrize("space", BOXES, ids=str)
def test_a_grid_of_continuous_actions(space):
    codec = action_codec(space, "it")
    size = int(np.prod(space.shape))
    assert codec.count == GRID[size - 1] ** size == len(codec.names)
    actions = [codec.decode(number) for number in range(codec.count)]
    assert all(space.contains(action) for action in actions)
    found = np.unique(np.stack(actions).reshape(codec.count, -1), axis=0)
    np.testing.assert_array_equal(found.min(0), space.low.ravel())
    np.testing.assert_array_equal(found.max(0), space.high.ravel())
    for number in range(codec.count):  # what is recorded of an action says which it was
        np.testing.assert_array_equal(codec.decode(codec.encode(actions[number])), actions[number])
    if (space.low < space.high).all():
        assert [codec.encode(action) for action in actions] == list(range(codec.count))


@pytest.mark.parametrize("space", BOXES, ids=str)
def test_actions_anywhere_have_numbers_too(space):
    codec = action_codec(space, "it")
    assert isinstance(codec, ContinuousActions)
    space.seed(0)
    bits = min(24, 48 // int(np.prod(space.shape)))
    span = (space.high - space.low).astype(np.float64)
    step = span / (2**bits - 1) + np.finfo(np.float32).eps * np.abs(space.high)
    for _ in range(200):
        action = space.sample()
        number = codec.encode(action)
        assert 0 <= number < 2**49
        back = codec.decode(number)
        assert back.dtype == space.dtype and space.contains(back)
        assert (np.abs(back.astype(np.float64) - action) <= step).all()
        np.testing.assert_array_equal(codec.decode(codec.encode(back)), back)


def test_what_is_no_action_is_refused():
    codec = action_codec(spaces.Box(-1, 1, (1,), np.float32), "it")
    last = codec.count + 2**24 - 1
    assert codec.decode(last) == 1.0 and codec.decode(codec.count) == -1.0
    for number in (-1, last + 1):
        with pytest.raises(UserError, match=f"Action {number} does not exist; allowed is 0 to {last}"):
            codec.decode(number)


def test_names_of_a_grid_are_its_numbers():
    names = action_codec(spaces.Box(-1, 1, (2,), np.float32), "it").names
    assert names[0] == "-1, -1" and names[12] == "0, 0" and names[-1] == "1, 1" and len(set(names)) == 25


def test_switches_are_numbers_of_two_values():
    space = spaces.MultiBinary(3)
    codec = action_codec(space, "it")
    assert codec.count == 8
    for number in range(8):
        action = codec.decode(number)
        assert space.contains(action) and codec.encode(action) == number
    np.testing.assert_array_equal(codec.decode(6), [1, 1, 0])


def test_a_game_of_continuous_actions_is_played_and_brought_back():
    games = PettingZooVector("tiny_games.py:Reach", num_games=2, folder=HERE)
    assert len(games.layout.actions) == 25 and games.layout.actions[12] == "0, 0"
    assert games.action_counts.tolist() == [[25, 25]] * 2
    step = games.reset(seed=3)
    anywhere = games.continuous(0, 0).encode(games.original(0, 0)[0])
    step = games.step(np.array([[anywhere, 12], [0, 24]]))
    assert step.reward[0, 0] > 0.0
    kept = games.snapshot()
    again = PettingZooVector("tiny_games.py:Reach", num_games=2, folder=HERE)
    shown = again.restore(kept).observation
    np.testing.assert_array_equal(shown.private, step.observation.private)
    one, other = (each.step(np.array([[1, 2], [anywhere, 4]])) for each in (games, again))
    np.testing.assert_array_equal(one.reward, other.reward)
