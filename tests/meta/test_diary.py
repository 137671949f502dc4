from __future__ import annotations

import numpy as np
import torch

from marl_meta.meta.diary import Diary, places_of
from marl_meta.meta.lived import one_by_one, side_by_side, standardised
from marl_meta.nets.inputs import PolicyDesign, PolicyInputs

from .test_controller import open_game

GAMMA, LAM = 0.9, 0.8


def test_episodes_are_laid_out_side_by_side_or_one_by_one() -> None:
    entries = torch.arange(2 * 3 * 4 * 2).view(2, 3, 4, 2)  # M, K, L, n
    rows = side_by_side(entries, 1, 3)
    assert rows.shape == (2, 4, 4)
    for task in range(2):
        for episode in (1, 2):
            for agent in range(2):
                row = rows[task, :, (episode - 1) * 2 + agent]
                assert torch.equal(row, entries[task, episode, :, agent])
    each = one_by_one(entries)
    assert each.shape == (6, 4, 2)
    assert torch.equal(each[2 * 2 + 1], entries[1, 2])  # episode 2 of task 1


def test_shorter_and_missing_episodes_do_not_count() -> None:
    places, counts = places_of([[(0, 3), (3, 5)], [(2, 4)]])
    assert counts.tolist() == [[[True] * 3, [True, True, False]], [[True, True, False], [False] * 3]]
    assert places[0, 1, :2].tolist() == [3, 4]
    assert places[1, 0, :2].tolist() == [2, 3]


def test_advantages_are_standardised_over_what_counts() -> None:
    advantage = torch.tensor([[1.0, 3.0, 100.0]])
    found = standardised(advantage, torch.tensor([[1.0, 1.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[-1.0, 1.0, 0.0]]), rtol=0, atol=1e-4)


def test_it_reads_back_what_was_written() -> None:
    """Two games, of which one ends after three steps; advantages by the definition."""
    game = open_game(2, rules=[{**dict(game_rules()), "episode_length": length} for length in (3, 5)])
    inputs = PolicyInputs(game.layout, PolicyDesign(hidden=8, heads=2, kinds=game.layout.kinds, recurrent=False))
    diary = Diary(inputs, 2, np.array([0, 1]), 2, 4, (0, 0))
    draws, step = np.random.default_rng(0), game.reset()
    written = []
    for _ in range(5):
        actions = draws.integers(5, size=(2, 2))
        value, log_prob = draws.random(4, np.float32), draws.random(4, np.float32)
        diary.write(step.observation, np.zeros((2, 2, 0), np.float32), None)
        diary.note(actions, torch.from_numpy(log_prob), torch.from_numpy(value), step.observation)
        step = game.step(actions)
        diary.close(step, None)
        written.append((actions, value.reshape(2, 2), step.reward.copy()))
    assert diary.spans == [[(0, 3)], [(0, 5)]]
    lived = diary.read(np.array([1, 0]), [diary.spans[1], diary.spans[0]], GAMMA, LAM)
    for place, (number, length) in enumerate(((1, 5), (0, 3))):
        assert lived.weight[place, 0, :, 0].tolist() == [1.0] * length + [0.0] * (5 - length)
        reward = np.stack([one[2][number] for one in written[:length]])
        value = np.stack([one[1][number] for one in written[:length]])
        np.testing.assert_array_equal(lived.action[place, 0, :length], [one[0][number] for one in written[:length]])
        following = np.concatenate([value[1:], value[-1:]])
        error = reward + GAMMA * following - value
        wanted = np.stack([sum((GAMMA * LAM) ** (u - t) * error[u] for u in range(t, length)) for t in range(length)])
        np.testing.assert_allclose(lived.target[place, 0, :length], wanted + value, rtol=1e-4)
        scaled = (wanted - wanted.mean()) / wanted.std()
        np.testing.assert_allclose(lived.advantage[place, 0, :length], scaled, rtol=1e-2, atol=1e-3)


def game_rules() -> dict[str, object]:
    return {"gatherers": 2, "objects_per_kind": 1, "object_size": 0.2}
