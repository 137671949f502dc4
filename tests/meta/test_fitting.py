"""A context in closed form: it is where the loss of predictions, held back by the ridge, has no slope."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from marl_meta.games import make_vec
from marl_meta.meta.adapter import LOUD, Adapter, Body
from marl_meta.meta.fitting import Normal, Prior
from marl_meta.meta.inner import each_task
from marl_meta.meta.lived import Lived, side_by_side
from marl_meta.meta.parameters import Parameters
from marl_meta.meta.plan import Plan
from marl_meta.meta.policies import KIND_CONTEXT
from marl_meta.nets.inputs import PolicyDesign, PolicyInputs
from marl_meta.nets.knowledge import Knowledge
from marl_meta.team import Team, load_team
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
        return (losses * count).sum() + RIDGE * (LOUD * (context - begun)).square().sum()

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


def knowing() -> tuple[Knowledge, tuple[str, ...]]:
    layout = make_vec("harvest", num_games=1, split="held_out").layout
    return Knowledge(layout.hidden_rules, layout), layout.kinds


def test_contexts_vary_as_truths_do() -> None:
    """Against the truths of variants: no sum of probabilities moves, and orderings go together."""
    knowledge, kinds = knowing()
    prior = Prior(knowledge, kinds, len(knowledge.node_names))
    game = make_vec("harvest", num_games=4000, split="train", seed=0)
    tables = knowledge.table(knowledge.truth(game.hidden_rules), kinds).reshape(4000, -1)
    wanted = np.cov(tables, rowvar=False, bias=True)
    found = (prior.spread @ prior.spread.T).numpy()
    varies = np.diag(wanted) > 0
    np.testing.assert_array_equal(np.diag(found) > 1e-6, varies)
    np.testing.assert_allclose(found, wanted, atol=0.12)  # the split draws payoffs from all orderings, if not evenly
    for block in range(len(knowledge.blocks)):
        members = prior.of_block[:, block].numpy()
        np.testing.assert_allclose(members @ prior.spread.numpy(), 0.0, atol=1e-5)


def test_what_is_believed_is_a_gaussian_posterior() -> None:
    """Against the formula in terms of covariances; and the more is seen, the less unsure it is."""
    knowledge, kinds = knowing()
    width, noise = len(knowledge.node_names), 0.3
    prior = Prior(knowledge, kinds, width)
    size = len(kinds) * width
    rows = torch.randn(2, 12, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows[1] *= 100.0
    errors = torch.randn(2, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    carried = torch.from_numpy(knowledge.table(knowledge.ignorance(), kinds)).view(1, -1).expand(2, -1)
    equations = Normal(rows.mT @ rows, (rows.mT @ errors.unsqueeze(-1)).squeeze(-1))
    found = 3.0 * prior.solved(equations, carried, 3.0, torch.tensor(noise))
    covariance = prior.spread.double() @ prior.spread.double().T
    seen = rows / 3.0
    gain = covariance @ seen.mT @ torch.linalg.inv(seen @ covariance @ seen.mT + noise * torch.eye(12))
    mean, left = (gain @ errors.unsqueeze(-1)).squeeze(-1), covariance - gain @ seen @ covariance
    tells = prior.doubts.sum(1) > 0
    torch.testing.assert_close(found[:, ~tells], mean[:, ~tells], rtol=1e-5, atol=1e-6)
    of_block = prior.of_block.double()
    share = (left.diagonal(dim1=-2, dim2=-1) @ of_block) / (covariance.diagonal() @ of_block)
    torch.testing.assert_close((carried + found)[:, tells], (share @ prior.doubts.double().T)[:, tells])
    assert (share[1] < share[0]).all() and (share < 1).all()


def test_of_what_is_told_nothing_moves() -> None:
    knowledge, kinds = knowing()
    prior = Prior(knowledge, kinds, len(knowledge.node_names) + 2)
    hidden = sum(len(block.columns) for block in knowledge.blocks)
    size = prior.spread.shape[0]
    rows = torch.randn(30, size, generator=torch.Generator().manual_seed(0))
    told = torch.zeros(1, len(kinds), size // len(kinds))
    told[..., :-2] = torch.from_numpy(knowledge.table(knowledge.truth(np.zeros(hidden, np.float32)), kinds))
    moved = prior.solved(Normal((rows.mT @ rows)[None], rows.sum(0)[None]), told.flatten(1), 3.0, torch.tensor(1.0))
    moved = moved.view(len(kinds), -1)
    assert (moved[:, :-2] == 0).all() and (moved[:, -2:] != 0).all()


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


def test_a_saved_team_fits_as_it_did(tmp_path: Path) -> None:
    layout = make_vec("harvest", num_games=1, split="held_out").layout
    design = PolicyDesign(hidden=8, heads=2, kinds=layout.kinds, recurrent=False, unknowns=layout.hidden_rules)
    inputs = PolicyInputs(layout, design)
    torch.manual_seed(0)
    policy = inputs.build_policy()
    adapter = Adapter(Plan(**{**COMMON, **PLANS["exact"]}), inputs, policy)
    parts = ({"gatherer": design}, {"gatherer": policy}, {"gatherer": "gatherer"})
    team = Team("fits", layout, *parts, adapters={"gatherer": adapter})
    team.save(tmp_path / "team")
    found = []
    for one in (team, load_team(tmp_path / "team")):
        game = make_vec("harvest", num_games=2, split="held_out", seed=1, episodes_per_trial=2)
        player = one.controller(game.layout, seed=3)
        player.reset(2, np.arange(game.num_agents))
        step = game.reset()
        for _ in range(30):
            step = game.step(player.act(step.observation))
            player.observe(step)
        found.append(player.parameters[KIND_CONTEXT])
    assert torch.equal(*found) and (found[0] != 0).any()
