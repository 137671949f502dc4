"""Teams that play boards read them from the planes that PettingZoo's games show."""

from __future__ import annotations

import importlib.util
import json
import sys

import numpy as np
import pytest
import torch
from pettingzoo.classic.connect_four import connect_four
from pettingzoo.classic.tictactoe import tictactoe

from marl_meta import UserError, make_aec, make_vec
from marl_meta.export.exporting import export_team
from marl_meta.export.portable import FIRST, LAST, MID, Portable, Told
from marl_meta.export.sights import family_sight
from marl_meta.games.flat import flattener
from marl_meta.nets.inputs import BeliefDesign, PolicyDesign, PolicyInputs
from marl_meta.team import Team

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


@pytest.mark.parametrize(
    "rules",
    [*BOARDS, {"width": 6, "height": 5, "wrap": True, "told": False}, {"width": 3, "height": 3, "in_a_row": 2}],
)
def test_what_is_read_from_planes_is_what_the_game_shows(rules):
    game = make_vec("connect", num_games=1, rules=rules, seed=4)
    grid = family_sight("connect", rules).sight.grid
    step, draws = game.reset(), np.random.default_rng(0)
    flatten, before, games = flattener(game.layout, step.observation, game.rules[0]), [None, None], 0
    while games < 8:
        shown = step.observation
        player = int(shown.acting[0].argmax())
        cells = grid.cells(flatten(shown, 0, player), player)
        position = grid.show(cells, before[player], player)
        before[player] = cells
        for name in ("entities", "team", "present", "targets"):
            np.testing.assert_allclose(getattr(position, name), getattr(shown, name)[0], atol=1e-7, err_msg=name)
        np.testing.assert_array_equal(grid.links, shown.links[0])
        np.testing.assert_array_equal(position.targets >= 0, shown.action_mask[0, player])
        actions = np.zeros((1, 2), np.int64)
        actions[0, player] = draws.choice(np.flatnonzero(shown.action_mask[0, player]))
        step = game.step(actions)
        if step.game_over[0]:
            before, games = [None, None], games + 1


def test_a_script_plays_boards_as_the_team_does(board_team, tmp_path):
    path = tmp_path / "boards.py"
    export_team(board_team, path, rules=[json.dumps(rules) for rules in BOARDS])
    spec = importlib.util.spec_from_file_location("boards_script", path)
    script = importlib.util.module_from_spec(spec)
    sys.modules["boards_script"] = script
    spec.loader.exec_module(script)
    asked = 0
    for rules in BOARDS:
        env, draws = make_aec("connect", rules=rules), np.random.default_rng(0)
        policy = board_team.as_policy(env, deterministic=True)
        alone = script.Player(deterministic=True)
        for game, agent in enumerate(("player_0", "player_1")):
            alone.start_series({"side": ("first", "second")[game], "own": [agent], "rules": rules})
            env.reset(seed=game)
            policy.reset()
            alone.reset([agent], {}, game)
            for mover in env.agent_iter():
                observation, reward, terminated, truncated, _ = env.last()
                if mover != agent:
                    legal = np.flatnonzero(observation["action_mask"])
                    env.step(None if terminated or truncated else draws.choice(legal))
                    continue
                action = policy(observation, agent, reward, terminated or truncated)
                if action is not None:
                    alone.observe({agent: reward}, {}, {})
                    assert alone.act({agent: observation}) == {agent: action}
                    asked += 1
                env.step(action)
    assert asked > 20


def test_what_boards_show_of_hidden_rules_is_remembered_as_in_the_engine():
    rules = {"width": 5, "height": 5, "in_a_row": 3, "told": False, "wrap": True}
    game = make_vec("connect", num_games=1, rules=rules, seed=1, episodes_per_trial=9)
    layout, both = game.layout, np.arange(2)
    torch.manual_seed(0)
    design = PolicyDesign(
        hidden=16, heads=2, recurrent=False, kinds=layout.kinds, unknowns=layout.hidden_rules,
        belief=BeliefDesign(memory=8),
    )  # fmt: skip
    inputs = PolicyInputs(layout, design)
    beliefs = {"both": inputs.build_belief()}
    with torch.no_grad():
        for parameter in beliefs["both"].parameters():
            parameter.normal_(0.0, 0.3)
    plays = {"first": "both", "second": "both"}
    team = Team("boards", layout, {"both": design}, {"both": inputs.build_policy()}, plays, beliefs=beliefs)
    portable = Portable(team, layout.teams[0]).eval()
    mind = team.controller(layout, deterministic=True)
    mind.reset(1, both)
    memory, phase = portable.start(2, game.num_entities), FIRST
    action, reward = torch.zeros(2, dtype=torch.int64), torch.zeros(2)

    def told(shown, phase):
        def twice(array):
            return torch.from_numpy(np.repeat(array[:1].astype(np.int64), 2, 0))

        return Told(
            entities=torch.from_numpy(np.repeat(shown.entities[:1], 2, 0)), kind=twice(shown.kind),
            team=twice(shown.team), seen=twice(shown.present).bool(), me=torch.arange(2),
            rules=torch.from_numpy(np.repeat(shown.rules[:1], 2, 0)), private=torch.from_numpy(shown.private[0]),
            legal=torch.from_numpy(shown.action_mask[0]), phase=torch.full((2,), phase), action=action, reward=reward,
            links=twice(shown.links), targets=twice(shown.targets),
        )  # fmt: skip

    step, learnt = game.reset(), 0
    while not step.trial_over[0]:
        shown = step.observation
        player = int(shown.acting[0].argmax())
        chosen = mind.act(shown)
        with torch.no_grad():
            logits, known, memory = portable(told(shown, phase), memory)
        # The best move, or one that is as good: a board's mirror image has the same value, and rounding chooses.
        assert float(logits[player, chosen[0, player]]) == pytest.approx(float(logits[player].max()), abs=1e-5)
        np.testing.assert_allclose(known.numpy(), mind.knowledge()[0], atol=1e-5)
        np.testing.assert_allclose(memory.evidence.numpy(), mind.snapshot()["evidence"], atol=1e-4)
        before = mind.snapshot()["evidence"]
        step = game.step(chosen)
        mind.observe(step)
        learnt += bool(np.abs(mind.snapshot()["evidence"] - before).max() > 0)
        action, reward, phase = torch.from_numpy(chosen[0].astype(np.int64)), torch.from_numpy(step.reward[0]), MID
        if step.game_over[0]:
            with torch.no_grad():
                _, _, memory = portable(told(step.final, LAST), memory)
            phase = FIRST
    assert learnt > 5


def test_players_that_are_told_see_the_rules_that_are_hidden_from_others():
    assert "misere" in family_sight("connect", {"misere": True}).sight.rules
    assert "misere" not in family_sight("connect", {"misere": True, "told": False}).sight.rules


def test_bad_input_is_answered_by_a_sentence(board_team):
    policy = board_team.as_policy(game="connect")
    with pytest.raises(UserError, match="6 x 7 x 2 numbers, not as 9"):
        policy(np.zeros(9), "player_0")
