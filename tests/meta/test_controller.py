"""A team that adapts by gradients while it plays: what it does to itself, and what it leaves alone."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from marl_meta.games import make_vec
from marl_meta.meta.adapter import Adapter, Body
from marl_meta.meta.controller import GradientController
from marl_meta.meta.lived import side_by_side
from marl_meta.meta.plan import Plan
from marl_meta.nets.inputs import PolicyDesign, PolicyInputs
from marl_meta.nets.policy import RelationalPolicy
from marl_meta.types import IntArray, Observation, Step, UserError, VectorGame

from .tasks import of_one

GAMES, LENGTH, EPISODES = 4, 5, 3
RULES = {"gatherers": 2, "objects_per_kind": 1, "object_size": 0.2, "episode_length": LENGTH}
COMMON = {"gamma": 0.9, "gae_lambda": 0.9, "window": 8, "predictor": 8}
PLANS: dict[str, dict[str, Any]] = {
    "cavia": {"kind": "steps", "adapt": ("context",), "inner": "prediction", "experience": "trial", "steps": 2},
    "exact": {
        "kind": "steps", "adapt": ("context",), "inner": "prediction", "experience": "trial", "steps": 1,
        "fit": "exact", "displaces": True,
    },
    "exact beside steps": {
        "kind": "steps", "adapt": ("policy_head", "context"), "inner": "both", "experience": "episode", "steps": 2,
        "fit": "exact",
    },
    "maml": {"kind": "steps", "adapt": ("all",), "inner": "both", "experience": "episode", "steps": 2},
    "anil": {"kind": "steps", "adapt": ("policy_head",), "inner": "policy", "experience": "episode", "steps": 1},
    "partial": {"kind": "steps", "adapt": ("edges", "norms"), "inner": "policy", "experience": "trial", "steps": 1},
    "leo": {
        "kind": "latent", "adapt": ("policy_head",), "inner": "policy", "experience": "trial", "steps": 2, "latent": 4,
        "tuning": 1,
    },
    "finetune": {"kind": "finetune", "adapt": ("all",), "inner": "policy", "experience": "trial", "steps": 2},
}  # fmt: skip
EACH = pytest.mark.parametrize("name", PLANS)


def open_game(games: int = GAMES, seed: int = 3, **options: Any) -> VectorGame:
    values = {"num_games": games, "rules": RULES, "seed": seed, "episodes_per_trial": EPISODES, **options}
    return make_vec("harvest", **values)


def make_parts(name: str, **design: Any) -> tuple[RelationalPolicy, PolicyInputs, Adapter]:
    layout = open_game().layout
    chosen = {"hidden": 8, "heads": 2, "kinds": layout.kinds, "recurrent": False, "adapted": 3, **design}
    inputs = PolicyInputs(layout, PolicyDesign(**chosen))
    torch.manual_seed(1)
    policy = inputs.build_policy()
    with torch.no_grad():
        policy.actor.weight.normal_()
    adapter = Adapter(Plan(**COMMON, **PLANS[name]), inputs, policy, first_rate=0.5)
    return policy, inputs, adapter


def make_player(name: str, games: int = GAMES, seed: int = 7, room: int = 64, **options: Any) -> GradientController:
    design = options.pop("design", {})
    player = GradientController(*make_parts(name, **design), seed, room=room, **options)
    player.reset(games, np.array([0, 1]))
    return player


def play(game: VectorGame, player: GradientController, steps: int, step: Step | None = None) -> list[IntArray]:
    played, step = [], step or game.reset()
    for _ in range(steps):
        played.append(player.act(step.observation))
        step = game.step(played[-1])
        player.observe(step)
    return played


def moved(player: GradientController) -> torch.Tensor:
    """Return for each game whether any of its parameters is not where it started."""
    start = make_player_start(player)
    differences = [(value != start[name]).view(len(value), -1).any(1) for name, value in player.parameters.items()]
    return torch.stack(differences).any(0)


def make_player_start(player: GradientController) -> dict[str, torch.Tensor]:
    fresh = GradientController(player._policy, player.inputs, player._adapter, 0)
    fresh.reset(player.games, player.agents)
    return fresh.parameters


@EACH
def test_it_adapts_after_an_episode_and_starts_anew_with_a_trial(name: str) -> None:
    game, player = open_game(), make_player(name)
    step = game.reset()
    for time in range(LENGTH * EPISODES):
        assert moved(player).all() == (time >= LENGTH)
        step = game.step(player.act(step.observation))
        player.observe(step)
    assert not moved(player).any()
    assert all(not spans for spans in player.diary.spans)


@EACH
def test_the_team_stays_as_it_is_and_players_are_apart(name: str) -> None:
    policy, inputs, adapter = make_parts(name)
    before = {key: value.clone() for key, value in {**policy.state_dict(), **adapter.state_dict()}.items()}
    one, two = (GradientController(policy, inputs, adapter, seed) for seed in (7, 8))
    for player in (one, two):
        player.reset(GAMES, np.array([0, 1]))
    games = open_game(), open_game()
    steps = [game.reset() for game in games]
    together = []
    for _ in range(LENGTH + 3):  # in turn
        for index, player in enumerate((one, two)):
            actions = player.act(steps[index].observation)
            steps[index] = games[index].step(actions)
            player.observe(steps[index])
            together += [actions] if index == 0 else []
    after = {**policy.state_dict(), **adapter.state_dict()}
    assert all(torch.equal(after[key], value) for key, value in before.items())
    np.testing.assert_array_equal(together, play(open_game(), make_player(name), LENGTH + 3))


def reordered(record: Any, order: IntArray) -> Any:
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    changed = {
        key: reordered(value, order) if isinstance(value, Observation) else value[order]
        for key, value in values.items()
        if value is not None
    }
    return replace(record, **changed)


@EACH
def test_the_order_of_games_does_not_matter(name: str) -> None:
    order = np.array([2, 0, 3, 1])
    game = open_game()
    one, other = (make_player(name, deterministic=True) for _ in range(2))
    step = game.reset()
    for _ in range(LENGTH + 2):
        actions = one.act(step.observation)
        np.testing.assert_array_equal(other.act(reordered(step.observation, order)), actions[order])
        step = game.step(actions)
        one.observe(step)
        other.observe(reordered(step, order))
    for key, value in one.parameters.items():
        torch.testing.assert_close(other.parameters[key], value[order], rtol=1e-4, atol=1e-5)


@EACH
def test_games_whose_episodes_differ_in_length_adapt_as_they_do_alone(name: str) -> None:
    rules = [{**RULES, "episode_length": length} for length in (3, 5)]
    game = open_game(2, rules=rules)
    player = make_player(name, 2, deterministic=True)
    alone = [make_player(name, 1, deterministic=True) for _ in rules]
    step = game.reset()
    for _ in range(8):
        actions = player.act(step.observation)
        rows = [np.array([index]) for index in range(2)]
        for row, single in zip(rows, alone, strict=True):
            np.testing.assert_array_equal(single.act(reordered(step.observation, row)), actions[row])
        step = game.step(actions)
        player.observe(step)
        for row, single in zip(rows, alone, strict=True):
            single.observe(reordered(step, row))
    for index, single in enumerate(alone):
        for key, value in single.parameters.items():
            torch.testing.assert_close(player.parameters[key][index], value[0], rtol=1e-4, atol=1e-5)


@EACH
@pytest.mark.parametrize("recurrent", [False, True])
def test_it_goes_on_from_a_snapshot_bit_for_bit(name: str, recurrent: bool) -> None:
    game = open_game()
    player, resumed = (make_player(name, seed=seed, design={"recurrent": recurrent}) for seed in (7, 99))
    play(game, player, LENGTH + 2)
    step = game.restore(game.snapshot())
    resumed.restore({key: value.copy() for key, value in player.snapshot().items()})
    for _ in range(2 * LENGTH):
        actions = player.act(step.observation)
        np.testing.assert_array_equal(actions, resumed.act(step.observation))
        step = game.step(actions)
        player.observe(step)
        resumed.observe(step)
    assert all(torch.equal(resumed.parameters[key], value) for key, value in player.parameters.items())


@EACH
def test_a_single_agent_adapts_too(name: str) -> None:
    game = open_game(rules={**RULES, "gatherers": 1})
    player = make_player(name, design={"adapted": 0} if name in ("anil", "partial", "finetune") else {})
    player.reset(GAMES, np.array([0]))
    play(game, player, 2 * LENGTH)
    assert moved(player).all()


def test_a_diary_that_runs_out_of_room_keeps_what_is_needed() -> None:
    small, large = make_player("cavia", room=3), make_player("cavia")
    steps = 4 * LENGTH * EPISODES
    np.testing.assert_array_equal(play(open_game(), small, steps), play(open_game(), large, steps))
    assert small.diary.room <= 4 * LENGTH * EPISODES  # of four trials at most
    assert all(torch.equal(small.parameters[key], value) for key, value in large.parameters.items())


@pytest.mark.parametrize("name", ["cavia", "maml", "anil", "partial"])
def test_what_a_game_has_is_what_autograd_says(name: str) -> None:
    """A loop over games and steps, by torch.autograd, on the experience in the diary."""
    game, player = open_game(), make_player(name)
    play(game, player, 2 * LENGTH)
    policy, _, adapter = make_parts(name)
    body, plan = Body(policy, adapter), adapter.plan
    everything = {key: value.detach() for key, value in adapter.parameters_with(policy).items()}
    whole = [player.diary.spans[index] for index in range(GAMES)]
    rounds = [whole]  # from the start on the whole trial, or on one episode after the other
    if plan.experience == "episode":
        rounds = [[spans[place : place + 1] for spans in whole] for place in range(2)]
    for index in range(GAMES):
        own, fixed = body.split(everything)
        for spans in rounds:
            lived = body.read(everything, player.diary.read(np.arange(GAMES), spans, plan.gamma, plan.gae_lambda))
            one = of_one(side_by_side(lived, 0, len(spans[0])), index)
            for _ in range(plan.steps):
                leaves = {key: value.detach().clone().requires_grad_() for key, value in own.items()}
                loss = body.inner_loss({**fixed, **leaves}, one)
                slopes = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
                own = {key: leaves[key] - 0.5 * slope for key, slope in zip(leaves, slopes, strict=True)}
        for key, value in own.items():
            torch.testing.assert_close(player.parameters[key][index], value, rtol=1e-3, atol=1e-4)


def test_a_context_moves_by_predictions_alone() -> None:
    """Where weights adapt by the policy's gradient beside it, that gradient leaves it alone."""
    game, player = open_game(), make_player("maml")
    play(game, player, LENGTH)
    body = player._body
    lived = body.read(player._everything, player.diary.read(np.arange(GAMES), player.diary.spans, 0.9, 0.9))
    one = of_one(side_by_side(lived, 0, 1), 0)
    slopes = {}
    for name in ("inner_loss", "prediction_loss", "policy_loss"):
        leaves = {key: value.clone().requires_grad_() for key, value in player._everything.items()}
        loss = getattr(body, name)(leaves, one)
        asked = [leaves["kind_context"], leaves["actor.weight"]]
        slopes[name] = torch.autograd.grad(loss, asked, materialize_grads=True)
    assert torch.equal(slopes["inner_loss"][0], slopes["prediction_loss"][0])
    assert (slopes["policy_loss"][0] != 0).any()
    assert torch.equal(slopes["inner_loss"][1], slopes["policy_loss"][1])


def test_fine_tuning_is_adam_on_each_game() -> None:
    game, player = open_game(), make_player("finetune")
    play(game, player, LENGTH)
    policy, _, adapter = make_parts("finetune")
    body, plan = Body(policy, adapter), adapter.plan
    lived = player.diary.read(
        np.arange(GAMES), [player.diary.spans[index] for index in range(GAMES)], plan.gamma, plan.gae_lambda
    )
    for index in range(GAMES):
        everything = {key: value.detach().clone() for key, value in adapter.parameters_with(policy).items()}
        own = {key: everything[key].requires_grad_() for key in adapter.adapted}
        optimiser = torch.optim.Adam(own.values(), lr=plan.rate, eps=1e-5)
        for _ in range(plan.steps):
            optimiser.zero_grad()
            body.ppo_loss(everything, of_one(side_by_side(lived, 0, 1), index)).backward()
            torch.nn.utils.clip_grad_norm_([value for value in own.values() if value.grad is not None], plan.max_norm)
            optimiser.step()
        for key, value in own.items():
            torch.testing.assert_close(player.parameters[key][index], value.detach(), rtol=1e-3, atol=1e-5)


def test_a_critic_that_sees_everything_cannot_play_along() -> None:
    with pytest.raises(UserError, match=r"policy\.critic must be own"):
        make_parts("maml", critic="central")


def test_predictions_need_something_to_adapt() -> None:
    with pytest.raises(UserError, match=r"meta\.gradient\.context must be above 0"):
        make_parts("maml", adapted=0)


def test_what_cannot_be_adapted_is_named() -> None:
    PLANS["wrong"] = {**PLANS["anil"], "adapt": ("actr.*",)}
    try:
        with pytest.raises(UserError, match=r"No parameter is called 'actr\.\*'.*actor\.weight"):
            make_parts("wrong")
    finally:
        del PLANS["wrong"]
