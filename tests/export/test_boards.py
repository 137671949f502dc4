"""Teams that play boards read them from the planes that PettingZoo's games show."""

from __future__ import annotations

import numpy as np
import pytest
from pettingzoo.classic.connect_four import connect_four
from pettingzoo.classic.tictactoe import tictactoe

from marl_meta import UserError, make_aec, make_vec
from marl_meta.export.exporting import export_team
from marl_meta.export.sights import family_sight
from marl_meta.games.flat import flattener

BOARDS = [{}, {"width": 5, "height": 4, "blocked": 2}, {"width": 4, "height": 4, "gravity": False, "misere": True}]


@pytest.mark.parametrize("rules", BOARDS)
@pytest.mark.parametrize("player", [0, 1])
def test_it_plays_as_in_the_engine(board_team, rules, player):
    game = make_vec("connect", num_games=1, rules=rules, seed=4, episodes_per_trial=9)
    side = ("first", "second")[player]
    controller = board_team.controller(game.layout, side, deterministic=True)
    controller.reset(1, np.array([player]))
    policy = board_team.as_policy(game="connect", rules=rules, deterministic=True)
    step, draws, asked = game.reset(4), np.random.default_rng(0), 0
    flatten = flattener(game.layout, step.observation, game.rules[0])
    for _ in range(60):
        shown = step.observation
        actions = np.array([[draws.choice(np.flatnonzero(mask)) for mask in shown.action_mask[0]]])
        chosen = controller.act(shown)
        if shown.acting[0, player]:
            actions[0, player] = chosen[0, 0]
            agent = game.agent_names[player]
            assert policy(flatten(shown, 0, player), agent, 0.0) == chosen[0, 0]
            asked += 1
        step = game.step(actions)
        controller.observe(step)
        if step.game_over[0]:
            policy(flatten(step.final, 0, player), game.agent_names[player], 0.0, over=True)
            policy.reset()
    assert asked > 20


@pytest.mark.parametrize(
    "make",
    [lambda: make_aec("connect"), connect_four.env, tictactoe.env],
    ids=["ours", "connect_four", "tictactoe"],
)
def test_a_whole_loop_of_pettingzoos_games(board_team, make):
    env = make()
    policy = board_team.as_policy(env)
    for seed in range(3):
        env.reset(seed=seed)
        policy.reset()
        total = 0.0
        for agent in env.agent_iter():
            observation, reward, terminated, truncated, _ = env.last()
            total += reward
            action = policy(observation, agent, reward, terminated or truncated)
            assert action is None or observation["action_mask"][action]
            env.step(action)
        assert total == 0, "what one wins the other loses"


def test_players_that_are_told_see_the_rules_that_are_hidden_from_others():
    assert "misere" in family_sight("connect", {"misere": True}).sight.rules
    assert "misere" not in family_sight("connect", {"misere": True, "told": False}).sight.rules


def test_bad_input_is_answered_by_a_sentence(board_team, tmp_path):
    policy = board_team.as_policy(game="connect")
    with pytest.raises(UserError, match="6 x 7 x 2 numbers, not as 9"):
        policy(np.zeros(9), "player_0")
    with pytest.raises(UserError, match="encoder of linked entities"):
        export_team(board_team, tmp_path / "boards.onnx")
