"""A context in closed form: it is where the loss of predictions, held back by the ridge, has no slope."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from marl_meta.meta.adapter import Adapter, Body
from marl_meta.meta.fitting import Normal, solved
from marl_meta.meta.inner import each_task
from marl_meta.meta.lived import Lived, side_by_side
from marl_meta.meta.parameters import Parameters
from marl_meta.meta.plan import Plan
from marl_meta.meta.policies import KIND_CONTEXT
from marl_meta.types import UserError

from .test_controller import COMMON, GAMES, LENGTH, PLANS, make_parts, make_player, open_game, play

RIDGE = 0.25


def parts(name: str) -> tuple[Body, Parameters, Lived]:
    """Return who is to learn from what games lived through in two episodes, its parameters, and that."""
    player = make_player(name)
    with torch.no_grad():
        player._adapter.rate[KIND_CONTEXT].fill_(-np.log(RIDGE))
    play(open_game(), player, 2 * LENGTH)
    body, everything = player._body, player._everything
    lived = player.diary.read(np.arange(GAMES), player.diary.spans, 0.9, 0.9)
    return body, everything, body.read(everything, side_by_side(lived, 0, 2))


@pytest.mark.parametrize("known", [0.0, 0.7])
def test_it_is_the_least_of_the_loss(known: float) -> None:
    """Also from somewhere, and where something is told: against autograd of the loss itself."""
    body, everything, lived = parts("exact")
    assert lived.known is not None
    lived = replace(lived, known=lived.known + known)
    start, fixed = body.split(everything)
    begun = start[KIND_CONTEXT].expand(GAMES, -1, -1) + 0.1
    body.plan = body.plan.model_copy(update={"experience": "episode"})  # it goes on from where it was
    found = body.after(everything, {KIND_CONTEXT: begun}, lived, "first")[KIND_CONTEXT]
    count = (lived.there > 0).flatten(1).sum(1)

    def objective(context: torch.Tensor) -> torch.Tensor:
        losses = each_task(body.prediction_loss, {KIND_CONTEXT: context}, fixed, lived)
        return (losses * count).sum() + RIDGE * (context - begun).square().sum()

    before, after = (
        torch.autograd.grad(objective(leaf), leaf)[0]
        for leaf in (one.detach().clone().requires_grad_() for one in (begun, found))
    )
    assert float(before.abs().max()) > 0.1
    assert float(after.abs().max()) < 1e-3 * float(before.abs().max())
    assert float(objective(found)) < float(objective(begun))


def test_what_made_it_learns_through_it() -> None:
    """To second order its gradient is that of finite differences, to first order there is none."""
    body, everything, lived = parts("exact")
    start, _ = body.split(everything)
    now = {KIND_CONTEXT: start[KIND_CONTEXT].expand(GAMES, -1, -1)}
    names = ("predictor.known.weight", f"rate.{KIND_CONTEXT}")
    leaves = {**everything, **{name: everything[name].clone().requires_grad_() for name in names}}
    direction = torch.randn(now[KIND_CONTEXT].shape, generator=torch.Generator().manual_seed(0))

    def value(parameters: Parameters) -> torch.Tensor:
        events = replace(lived, happened=None)
        found = body.after(parameters, now, body.read(parameters, events), "second")
        return (found[KIND_CONTEXT] * direction).sum()

    slopes = torch.autograd.grad(value(leaves), [leaves[name] for name in names])
    for name, slope in zip(names, slopes, strict=True):
        step = 1e-2 * slope / slope.norm()
        ends = [float(value({**everything, name: everything[name] + sign * step})) for sign in (-1, 1)]
        assert (ends[1] - ends[0]) / 2e-2 == pytest.approx(float(slope.norm()), rel=0.05)
    assert not body.after(leaves, now, lived, "first")[KIND_CONTEXT].requires_grad


def test_weights_go_on_by_steps_beside_it() -> None:
    body, everything, lived = parts("exact beside steps")
    start, _ = body.split(everything)
    now = {name: value.expand(GAMES, *value.shape) for name, value in start.items()}
    found = body.after(everything, now, lived, "first")
    assert set(found) == {"actor.weight", "actor.bias", KIND_CONTEXT}
    assert all((value != now[name]).any() for name, value in found.items())
    body.plan = body.plan.model_copy(update={"inner": "prediction"})
    body.adapted = (KIND_CONTEXT,)
    alone = body.after(everything, {KIND_CONTEXT: now[KIND_CONTEXT]}, lived, "first")
    assert torch.equal(alone[KIND_CONTEXT], found[KIND_CONTEXT])


def test_equations_without_a_solution_are_held_back() -> None:
    matrix = torch.diag(torch.tensor([4.0, 0.0])).expand(3, 2, 2)
    vector = torch.tensor([[4.0, 0.0]]).expand(3, 2)
    found = solved(Normal(matrix, vector), torch.tensor(1.0))
    torch.testing.assert_close(found, torch.tensor([[0.8, 0.0]]).expand(3, 2))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"inner": "policy"}, "of a context that predictions move"),
        ({"kind": "latent"}, "meta.gradient.kind must be steps"),
        ({"inner": "both", "adapt": ("policy_head",)}, "of a context, which meta.gradient.adapt does not name"),
    ],
)
def test_what_has_no_context_that_predictions_move_is_refused(changes: dict[str, object], said: str) -> None:
    policy, inputs, _ = make_parts("exact")
    with pytest.raises(UserError, match=said):
        Adapter(Plan(**{**COMMON, **PLANS["exact"], **changes}), inputs, policy)


def test_it_counts_as_one_update() -> None:
    player = make_player("exact")
    play(open_game(), player, LENGTH + 1)
    assert player._updates.tolist() == [1] * GAMES
    beside = make_player("exact beside steps")
    play(open_game(), beside, LENGTH + 1)
    assert beside._updates.tolist() == [1 + 2] * GAMES
