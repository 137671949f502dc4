"""The update of PPO, on a linear policy that can be followed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from marl_meta.rl.losses import clipped_surrogate, clipped_value_loss, entropy
from marl_meta.rl.objective import Targets
from marl_meta.rl.ppo import PpoSettings, update
from marl_meta.rl.sharding import Workers
from marl_meta.types import IntArray

STEPS, INPUTS, ACTIONS = 5, 4, 3


class Linear(nn.Module):
    """Logits and a value, each linear in the inputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.map = nn.Linear(INPUTS, ACTIONS + 1)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        out = self.map(inputs)
        return torch.log_softmax(out[..., :ACTIONS], -1), out[..., ACTIONS]


@dataclass
class Games:
    """Experience of games of one agent each."""

    inputs: Tensor
    all_targets: Targets
    visited: list[int] = field(default_factory=list)
    aims: Tensor | None = None
    """[T,M] where the first action's log-probability should be, an auxiliary task."""

    @property
    def num_games(self) -> int:
        return self.inputs.shape[1]

    def evaluate(self, policy: nn.Module, games: IntArray) -> tuple[Tensor, Tensor, Tensor | None]:
        self.visited += games.tolist()
        logits, value = policy(self.inputs[:, games])
        beside = (logits[..., 0] - self.aims[:, games]).square() if self.aims is not None else None
        return logits, value, beside

    def targets(self, games: IntArray) -> Targets:
        whole = self.all_targets
        parts = (whole.action, whole.old_log_prob, whole.old_value, whole.advantage, whole.target, whole.weight)
        return Targets(*(part[:, games] for part in parts))

    def part(self, games: slice) -> Games:
        return Games(self.inputs[:, games], self.targets(games))  # type: ignore[arg-type]


@pytest.fixture
def policy() -> Linear:
    return Linear()


@pytest.fixture
def games(policy: Linear) -> Games:
    torch.manual_seed(1)
    inputs = torch.randn(STEPS, 8, INPUTS)
    with torch.no_grad():
        log_probs, value = policy(inputs)
    action = torch.randint(ACTIONS, (STEPS, 8))
    log_prob = log_probs.gather(-1, action[..., None])[..., 0] + 0.1 * torch.randn(STEPS, 8)
    weight = (torch.rand(STEPS, 8) < 0.8).float()
    return Games(inputs, Targets(action, log_prob, value, torch.randn(STEPS, 8), torch.randn(STEPS, 8), weight))


@pytest.fixture
def workers() -> Iterator[Workers]:
    pool = Workers(2)
    yield pool
    pool.close()


ONCE = PpoSettings(epochs=1, minibatches=1, max_grad_norm=1e9)


def descend(
    policy: nn.Module, shares: list[Games], settings: PpoSettings, workers: Workers, rate: float = 1.0
) -> float:
    """Update by plain gradient descent; returns the norm of the gradient."""
    optimiser = torch.optim.SGD(policy.parameters(), lr=rate)
    return update(policy, optimiser, shares, settings, np.random.default_rng(0), workers)["gradient_norm"]


def moved(policy: nn.Module, before: nn.Module) -> Tensor:
    return torch.cat([(a - b).flatten() for a, b in zip(policy.parameters(), before.parameters(), strict=True)])


def test_steps_along_the_mean_loss_over_the_entries_that_count(policy: Linear, games: Games, workers: Workers) -> None:
    reference, settings = Linear(), replace(ONCE, entropy=0.03, value_weight=0.7)
    log_probs, value = reference(games.inputs)
    aim = games.all_targets
    log_prob = log_probs.gather(-1, aim.action[..., None])[..., 0]
    loss = (
        clipped_surrogate(log_prob, aim.old_log_prob, aim.advantage, 0.2)
        + 0.7 * clipped_value_loss(value, aim.old_value, aim.target, 0.2)
        - 0.03 * entropy(log_probs)
    )
    counted = loss[aim.weight.bool()]
    gradients = torch.autograd.grad(counted.mean(), list(reference.parameters()))
    norm = descend(policy, [games], settings, workers)
    expected = -torch.cat([gradient.flatten() for gradient in gradients])
    torch.testing.assert_close(moved(policy, reference), expected, atol=1e-6, rtol=1e-5)
    assert norm == pytest.approx(expected.norm().item(), rel=1e-5)


def test_an_auxiliary_task_adds_its_weighted_loss(policy: Linear, games: Games, workers: Workers) -> None:
    other, start = Linear(), Linear()
    descend(other, [games], ONCE, workers)
    games.aims = torch.randn(STEPS, 8)
    statistics = update(
        policy, torch.optim.SGD(policy.parameters(), lr=1.0), [games], replace(ONCE, auxiliary=0.25),
        np.random.default_rng(0), workers,
    )  # fmt: skip
    chosen = games.all_targets.weight.bool()
    loss = (start(games.inputs)[0][..., 0] - games.aims).square()[chosen].mean()
    gradients = torch.autograd.grad(0.25 * loss, list(start.parameters()), materialize_grads=True)
    expected = moved(other, start) - torch.cat([gradient.flatten() for gradient in gradients])
    torch.testing.assert_close(moved(policy, start), expected, atol=1e-6, rtol=1e-5)
    assert statistics["auxiliary_loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_statistics_are_means_over_the_entries_that_count(policy: Linear, games: Games, workers: Workers) -> None:
    aim = games.all_targets
    log_probs, value = policy(games.inputs)
    log_ratio = log_probs.gather(-1, aim.action[..., None])[..., 0] - aim.old_log_prob
    chosen = aim.weight.bool()
    found = update(
        policy, torch.optim.SGD(policy.parameters(), lr=0.0), [games], ONCE, np.random.default_rng(0), workers
    )
    assert "auxiliary_loss" not in found
    assert found["kl"] == pytest.approx((log_ratio.exp() - 1 - log_ratio)[chosen].mean().item(), abs=1e-6)
    assert found["clip_fraction"] == pytest.approx(((log_ratio.exp() - 1).abs() > 0.2)[chosen].float().mean().item())
    assert found["entropy"] == pytest.approx(entropy(log_probs)[chosen].mean().item(), abs=1e-6)
    assert found["value_loss"] == pytest.approx(0.5 * (value - aim.target).square()[chosen].mean().item(), abs=1e-6)


def test_one_share_or_two_give_the_same_gradient(policy: Linear, games: Games, workers: Workers) -> None:
    other, start = Linear(), Linear()
    descend(policy, [games], ONCE, workers)
    descend(other, [games.part(slice(0, 3)), games.part(slice(3, 8))], ONCE, workers)
    torch.testing.assert_close(moved(other, start), moved(policy, start), atol=1e-6, rtol=1e-5)


def test_numbers_depend_on_the_shares_and_not_on_the_workers(policy: Linear, games: Games, workers: Workers) -> None:
    other, alone = Linear(), Workers(1)
    halves = [games.part(slice(0, 4)), games.part(slice(4, 8))]
    settings = PpoSettings(epochs=3, minibatches=2)
    descend(policy, halves, settings, workers)
    descend(other, halves, settings, alone)
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), other.parameters(), strict=True))


def test_entries_of_agents_that_did_not_act_do_not_matter(policy: Linear, games: Games, workers: Workers) -> None:
    aim = games.all_targets
    rest = aim.weight == 0
    assert rest.any()
    noise = replace(
        aim,
        advantage=torch.where(rest, torch.full((), 1e3), aim.advantage),
        target=torch.where(rest, torch.full((), -1e3), aim.target),
        old_log_prob=torch.where(rest, torch.full((), -7.0), aim.old_log_prob),
    )
    other, settings = Linear(), PpoSettings(epochs=2, minibatches=2)
    descend(policy, [games], settings, workers)
    descend(other, [Games(games.inputs, noise)], settings, workers)
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("sizes", [(8,), (4, 4), (5, 3), (1, 7)])
def test_every_epoch_visits_every_game_once(
    policy: Linear, games: Games, workers: Workers, sizes: tuple[int, ...]
) -> None:
    ends = np.cumsum((0, *sizes))
    shares = [games.part(slice(first, last)) for first, last in pairwise(ends)]
    descend(policy, shares, PpoSettings(epochs=3, minibatches=4), workers, rate=0.1)
    for share, size in zip(shares, sizes, strict=True):
        assert sorted(share.visited) == sorted([*range(size)] * 3)
        if size > 4:
            assert share.visited[:size] != share.visited[size : 2 * size]  # in another order


def test_gradients_are_clipped_to_the_norm(policy: Linear, games: Games, workers: Workers) -> None:
    start = Linear()
    norm = descend(policy, [games], replace(ONCE, max_grad_norm=0.01), workers)
    assert norm > 0.02  # what is reported is the norm before
    assert moved(policy, start).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_a_small_gradient_is_left_as_it_is(policy: Linear, games: Games, workers: Workers) -> None:
    start = Linear()
    norm = descend(policy, [games], replace(ONCE, max_grad_norm=1e3), workers)
    assert moved(policy, start).norm().item() == pytest.approx(norm, rel=1e-5)


def test_stops_early_when_the_policy_has_moved_too_far(games: Games, workers: Workers) -> None:
    def epochs(target_kl: float | None, rate: float) -> float:
        policy = Linear()
        optimiser = torch.optim.SGD(policy.parameters(), lr=rate)
        settings = PpoSettings(epochs=6, minibatches=2, target_kl=target_kl, max_grad_norm=1e9)
        return update(policy, optimiser, [games], settings, np.random.default_rng(0), workers)["epochs"]

    assert epochs(None, rate=2.0) == 6
    assert 1 <= epochs(0.05, rate=2.0) < 6
    assert epochs(0.05, rate=1e-4) == 6


def test_nobody_acted(policy: Linear, games: Games, workers: Workers) -> None:
    idle = Games(games.inputs, replace(games.all_targets, weight=torch.zeros(STEPS, 8)))
    norm = descend(policy, [idle], PpoSettings(target_kl=0.1), workers)
    assert norm == 0.0
    assert (moved(policy, Linear()) == 0).all()
