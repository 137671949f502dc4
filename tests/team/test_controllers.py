"""Who plays for a team plays as its policies do, by a seed, and sees no more than its own agents may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from marl_meta.nets.inputs import InputStorage, PolicyInputs
from marl_meta.rollout import sample
from marl_meta.team import Team
from marl_meta.types import VectorGame

MakeGame = Callable[..., VectorGame]
MakeTeam = Callable[..., Team]


@pytest.mark.parametrize("design", [{}, {"layers": 2}, {"recurrent": False}, {"trial_inputs": True}])
def test_a_controller_plays_as_the_policy_does(recall: MakeGame, make_team: MakeTeam, design: dict[str, Any]) -> None:
    game = recall(episodes_per_trial=2)
    team, agents = make_team(game.layout, **design), np.array([0, 1])
    player = team.controller(game.layout, "players", seed=11)
    player.reset(4, agents)
    policy, inputs = team.policies["one"], PolicyInputs(game.layout, team.designs["one"])
    generator, state = torch.Generator().manual_seed(11), policy.initial_state(8)
    starts, context = torch.ones(8, dtype=torch.bool), np.zeros((4, 2, inputs.context_width), np.float32)
    step = game.reset(2)
    for _ in range(14):  # two trials of two episodes of three steps, and some
        storage = InputStorage(inputs, 1, (4, 3, 3), agents, shared_view=True)
        storage.write(0, step.observation, context)
        read = storage.read(slice(0, 1))
        with torch.no_grad():
            output = policy(read.graph, state, starts[None], read.action_mask, read.full)
        expected, state = sample(output.logits[0], generator).view(4, 2), output.state
        actions = player.act(step.observation)
        np.testing.assert_array_equal(actions, expected)
        step = game.step(np.concatenate([actions, np.zeros((4, 1), np.int64)], 1))
        player.observe(step)
        if inputs.context_width:
            context[..., :3] = np.eye(3)[actions]
            context[..., 3] = step.reward[:, :2]
            context[..., 4] = step.game_over[:, None]
            context[step.trial_over] = 0.0
        starts = torch.from_numpy(np.repeat(step.trial_over, 2))


def play(game: VectorGame, player: Any, steps: int, agents: tuple[int, ...] = (0, 1)) -> list[Any]:
    played, step = [], game.reset(2)
    for _ in range(steps):
        actions = np.zeros((4, 3), np.int64)
        actions[:, agents] = player.act(step.observation)
        played.append(actions)
        step = game.step(actions)
        player.observe(step)
    return played


def test_deterministic_play_takes_the_likeliest_action(recall: MakeGame, team: Team) -> None:
    first, second = (team.controller(team.layout, "players", seed=seed, deterministic=True) for seed in (1, 2))
    for player in (first, second):
        player.reset(4, np.array([0, 1]))
    np.testing.assert_array_equal(play(recall(), first, 8), play(recall(), second, 8))


def test_sampled_play_follows_the_seed_and_reset_starts_afresh(recall: MakeGame, team: Team) -> None:
    first, second = (team.controller(team.layout, "players", seed=seed) for seed in (1, 2))
    for player in (first, second):
        player.reset(4, np.array([0, 1]))
    played = play(recall(), first, 8)
    assert (np.stack(played) != np.stack(play(recall(), second, 8))).any()
    first.reset(4, np.array([0, 1]))
    np.testing.assert_array_equal(play(recall(), first, 8), played)


def test_a_controller_goes_on_from_a_snapshot(recall: MakeGame, make_team: MakeTeam) -> None:
    game = recall()
    team = make_team(game.layout, trial_inputs=True)
    player, resumed = (team.controller(game.layout, "players", seed=seed) for seed in (1, 9))
    for one in (player, resumed):
        one.reset(4, np.array([0, 1]))
    play(game, player, 4)  # in the middle of an episode
    step = game.restore(game.snapshot())
    snapshot = {name: array.copy() for name, array in player.snapshot().items()}
    resumed.restore(snapshot)
    for _ in range(5):
        actions = player.act(step.observation)
        np.testing.assert_array_equal(actions, resumed.act(step.observation))
        step = game.step(np.concatenate([actions, actions[:, :1]], 1))
        player.observe(step)
        resumed.observe(step)


def test_it_sees_no_more_than_its_own_agents_may(recall: MakeGame, team: Team) -> None:
    game = recall()
    shown = game.reset().observation
    private = shown.private.copy()
    private[:, 2] += 5.0
    actions = []
    for observation in (shown, replace(shown, private=private)):
        player = team.controller(game.layout, "players", deterministic=True)
        player.reset(4, np.array([0, 1]))
        actions.append(player.act(observation))
        assert torch.isfinite(torch.from_numpy(player.snapshot()["state"])).all()
    np.testing.assert_array_equal(actions[0], actions[1])


def test_it_plays_numbers_of_agents_that_it_never_met(recall: MakeGame, team: Team) -> None:
    game = recall(rules={"players": 3, "rivals": 3})
    player = team.controller(game.layout, "rivals")
    player.reset(4, np.array([3, 4, 5]))
    assert player.act(game.reset().observation).shape == (4, 3)
