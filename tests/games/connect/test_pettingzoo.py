"""Random games, move by move beside PettingZoo's: the same turns, masks, boards, rewards and ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pettingzoo.classic.connect_four import connect_four as connect_four_v3
from pettingzoo.classic.tictactoe import tictactoe as tictactoe_v3

from marl_meta.games import make_vec
from marl_meta.games.connect.planes import board_of

GAMES = [
    (connect_four_v3, {}, (6, 7)),
    (tictactoe_v3, {"width": 3, "height": 3, "in_a_row": 3, "gravity": False}, (3, 3)),
]


@pytest.mark.parametrize(("module", "rules", "shape"), GAMES)
def test_thousands_of_random_games_are_theirs(module: Any, rules: dict[str, Any], shape: tuple[int, int]) -> None:
    batch, wanted = 40, 2000
    game = make_vec("connect", num_games=batch, rules=rules, seed=0)
    theirs = [module.raw_env() for _ in range(batch)]
    for one in theirs:
        one.reset()
    step, rng = game.reset(), np.random.default_rng(0)
    count = int(game.action_counts[0, 0])
    played, lengths, results = 0, np.zeros(batch, int), []
    while played < wanted:
        actions = np.zeros((batch, 2), np.int64)
        for b, one in enumerate(theirs):
            mover = one.possible_agents.index(one.agent_selection)
            assert step.observation.acting[b].tolist() == [mover == 0, mover == 1]
            shown = one.observe(one.agent_selection)
            assert one.action_space(one.agent_selection).n == count
            for agent in range(2):
                np.testing.assert_array_equal(step.observation.action_mask[b, agent, :count], shown["action_mask"])
            assert not step.observation.action_mask[b, :, count:].any()
            board = board_of(step.observation, game.layout, b)
            assert board.shape == shape
            for agent, name in enumerate(one.possible_agents):
                planes = one.observe(name)["observation"]
                np.testing.assert_array_equal(board == 1 + agent, planes[..., 0])
                np.testing.assert_array_equal(board == 2 - agent, planes[..., 1])
            actions[b, mover] = rng.choice(np.flatnonzero(shown["action_mask"]))
            one.step(int(actions[b, mover]))
        step = game.step(actions)
        lengths += 1
        for b, one in enumerate(theirs):
            assert step.reward[b].tolist() == [one.rewards[name] for name in one.possible_agents]
            assert step.terminated[b].tolist() == [one.terminations[name] for name in one.possible_agents]
            assert not step.truncated[b].any() and not any(one.truncations.values())
            if step.game_over[b]:
                last = board_of(step.final, game.layout, b)
                np.testing.assert_array_equal(last == 1, one.observe(one.possible_agents[0])["observation"][..., 0])
                np.testing.assert_array_equal(last == 2, one.observe(one.possible_agents[0])["observation"][..., 1])
                results.append((step.reward[b, 0], lengths[b]))
                played, lengths[b] = played + 1, 0
                one.reset()
    assert {reward for reward, _ in results} == {-1.0, 0.0, 1.0}
    assert {length for _, length in results} >= set(
        range(8 if shape == (6, 7) else 5, 42 if shape == (6, 7) else 10, 1)
    )
