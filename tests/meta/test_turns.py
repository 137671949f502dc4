"""Who adapts by gradients in games in turns, on boards: what counts, and what is worth what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from marl_meta.games import make_vec
from marl_meta.meta.adapter import Adapter, Body
from marl_meta.meta.controller import GradientController
from marl_meta.meta.diary import Diary
from marl_meta.meta.inner import each_task
from marl_meta.meta.lived import side_by_side, standardised
from marl_meta.meta.plan import Plan
from marl_meta.meta.policies import KIND_CONTEXT
from marl_meta.nets.inputs import PolicyDesign, PolicyInputs
from marl_meta.types import VectorGame

from .tasks import of_one
from .test_controller import COMMON, GAMES, PLANS, make_player, open_game, play

GAMMA, LAM = 0.9, 0.8
RULES = {"height": 3, "width": 3, "in_a_row": 3}
BOTH = np.array([0, 1])


def open_boards(games: int = GAMES, seed: int = 3) -> VectorGame:
    return make_vec("connect", num_games=games, rules=RULES, seed=seed, episodes_per_trial=2)


def board_player(name: str, games: int = GAMES) -> GradientController:
    layout = open_boards().layout
    design = PolicyDesign(hidden=8, heads=2, kinds=layout.kinds, recurrent=False, adapted=3)
    inputs = PolicyInputs(layout, design)
    torch.manual_seed(1)
    policy = inputs.build_policy()
    adapter = Adapter(Plan(**COMMON, **PLANS[name]), inputs, policy, first_rate=0.5)
    player = GradientController(policy, inputs, adapter, 7)
    player.reset(games, BOTH)
    return player


@pytest.mark.parametrize("name", ["cavia", "maml", "anil", "leo", "finetune"])
def test_boards_are_adapted_to_and_gone_on_with_bit_for_bit(name: str) -> None:
    game, player = open_boards(), board_player(name)
    step, over = game.reset(), np.zeros(GAMES, np.bool_)
    start = {key: value.clone() for key, value in player.parameters.items()}
    while not over.all():
        actions = player.act(step.observation)
        legal = np.take_along_axis(step.observation.action_mask, actions[..., None], 2)[..., 0]
        assert legal[step.observation.acting].all()
        step = game.step(actions)
        player.observe(step)
        over |= step.game_over
    assert any((player.parameters[key] != value).any() for key, value in start.items())
    saved, held = player.snapshot(), game.snapshot()
    ahead = play(game, player, 6, step)
    other, again = board_player(name), open_boards(seed=5)
    other.restore(saved)
    np.testing.assert_array_equal(play(again, other, 6, again.restore(held)), ahead)
    for key, value in player.parameters.items():
        assert torch.equal(other.parameters[key], value), key


def test_advantages_are_of_an_agents_own_decisions() -> None:
    """By the definition: from one decision to the next, and nothing of states in which it does not act."""
    game, inputs = open_boards(1), board_player("cavia").inputs
    diary, draws, step = Diary(inputs, 1, BOTH, 2, 4, (0, 0)), np.random.default_rng(0), game.reset()
    rows: list[tuple[Any, ...]] = []
    while not diary.spans[0]:
        observation = step.observation
        actions = observation.action_mask.argmax(-1)
        value = draws.random(2, np.float32)
        diary.write(observation, np.zeros((1, 2, 0), np.float32), None)
        diary.note(actions, torch.zeros(2), torch.from_numpy(value), observation)
        step = game.step(actions)
        diary.close(step, None)
        rows.append((observation.acting[0].copy(), value, step.reward[0].copy()))
    lived = diary.read(np.array([0]), [diary.spans[0]], GAMMA, LAM)
    acted = np.stack([one[0] for one in rows])
    assert (acted.sum(1) == 1).all()
    np.testing.assert_array_equal(lived.weight[0, 0], acted)
    assert lived.there.all()
    wanted = np.zeros(acted.shape)
    for agent in range(2):
        times = np.flatnonzero(acted[:, agent])
        later, following = 0.0, len(rows)
        for time in times[::-1]:
            earned = sum(GAMMA ** (u - time) * rows[u][2][agent] for u in range(time, following))
            ahead = rows[following][1][agent] if following < len(rows) else 0.0
            gap = GAMMA ** (following - time)
            later = earned + gap * ahead - rows[time][1][agent] + gap * LAM * later
            wanted[time, agent], following = later, time
    value = np.stack([one[1] for one in rows])
    np.testing.assert_allclose(lived.target[0, 0][lived.weight[0, 0] > 0], (wanted + value)[acted], rtol=1e-5)
    scaled = standardised(torch.from_numpy(wanted[None, None]).float(), lived.weight)
    torch.testing.assert_close(lived.advantage, scaled, rtol=1e-4, atol=1e-5)


def test_what_the_opponents_move_pays_is_predicted_too() -> None:
    """Who does not act sees what happens: a context is fitted to its steps as to others."""
    game, player = open_boards(), board_player("cavia")
    step = game.reset()
    while not any(player.diary.spans):
        step = game.step(player.act(step.observation))
        player.observe(step)
    over = np.flatnonzero([len(spans) for spans in player.diary.spans])[:1]
    everything = player._everything
    lived = side_by_side(
        player._body.read(everything, player.diary.read(over, [player.diary.spans[over[0]]], GAMMA, LAM)), 0, 1
    )
    error = torch.stack(
        [
            player._body.prediction_loss(everything, one)
            for one in (_only(lived, lived.weight), _only(lived, lived.there - lived.weight), _only(lived, lived.there))
        ]
    )
    assert error[0] != error[1]
    torch.testing.assert_close(error[2], error[:2].mean())


def _only(lived: Any, there: torch.Tensor) -> Any:
    return of_one(replace(lived, there=there), 0)


@pytest.mark.parametrize("boards", [False, True])
def test_contexts_of_many_games_play_as_each_game_alone(boards: bool) -> None:
    """One batch on the fast path, against each game's network by itself."""
    game = open_boards() if boards else open_game()
    player = board_player("cavia") if boards else make_player("cavia")
    play(game, player, 12)
    with torch.no_grad():
        player.parameters[KIND_CONTEXT].normal_()
    spans = [[(0, 4), (4, 9)]] * GAMES
    lived = side_by_side(player.diary.read(np.arange(GAMES), spans, GAMMA, LAM), 0, 2)
    body: Body = player._body
    found = body.judge_each(player.parameters, player._fixed, lived)
    wanted = each_task(body.judge, player.parameters, player._fixed, lived)
    acts = lived.weight > 0
    for name in ("logits", "value", "attention"):
        torch.testing.assert_close(getattr(found, name)[acts], getattr(wanted, name)[acts], rtol=1e-4, atol=1e-5)
    assert found.state.shape == wanted.state.shape
    other = player.parameters[KIND_CONTEXT].roll(1, 0)
    assert (body.judge_each({KIND_CONTEXT: other}, player._fixed, lived).logits != found.logits)[acts].any()


def test_gradients_of_the_fast_path_are_those_of_the_slow_one() -> None:
    player = make_player("cavia")
    play(open_game(), player, 12)
    lived = side_by_side(player.diary.read(np.arange(GAMES), [[(0, 4)]] * GAMES, GAMMA, LAM), 0, 1)
    body, slopes = player._body, []
    for function in (
        lambda own, fixed: body.judge_each(own, fixed, lived),
        lambda own, fixed: each_task(body.judge, own, fixed, lived),
    ):
        leaves = {
            name: value.clone().requires_grad_(value.is_floating_point()) for name, value in player._fixed.items()
        }
        output = function(player.parameters, leaves)
        (output.logits.square().mean() + output.value.mean()).backward()
        slopes.append({name: value.grad for name, value in leaves.items() if value.grad is not None})
    assert set(slopes[0]) == set(slopes[1])
    for name, value in slopes[0].items():
        torch.testing.assert_close(value, slopes[1][name], rtol=1e-3, atol=1e-5)
