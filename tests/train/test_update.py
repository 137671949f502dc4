"""A whole update by kernels beside the same update written out in plain tensor code."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from marl_meta.config import load_config
from marl_meta.rl.losses import clipped_surrogate, clipped_value_loss, entropy
from marl_meta.rl.ppo import PpoSettings, update
from marl_meta.rl.sharding import Workers
from marl_meta.rollout import Experience
from marl_meta.train.build import assemble, resolve

SETTINGS = PpoSettings(epochs=2, minibatches=3, entropy=0.02, value_weight=0.3, max_grad_norm=0.4)


def adam(policy: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(policy.parameters(), lr=1e-3, eps=1e-5)


def loss_of(share: Experience, policy: nn.Module, games: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return the summed loss of these games by the plain path and the losses' own functions, and its entries."""
    share.path = "plain"
    logits, value, _ = share.evaluate(policy, games)
    aim = share.targets(games)
    log_probs = torch.log_softmax(logits, -1)
    log_prob = log_probs.gather(-1, aim.action[..., None])[..., 0]
    loss = (
        clipped_surrogate(log_prob, aim.old_log_prob, aim.advantage, SETTINGS.clip)
        + SETTINGS.value_weight * clipped_value_loss(value, aim.old_value, aim.target, SETTINGS.value_clip)
        - SETTINGS.entropy * entropy(log_probs)
    )
    return (loss * aim.weight).sum(), aim.weight.sum()


def update_by_hand(policy: nn.Module, shares: list[Experience], order: np.random.Generator) -> None:
    optimiser = adam(policy)
    for _ in range(SETTINGS.epochs):
        batches = [np.array_split(order.permutation(share.num_games), SETTINGS.minibatches) for share in shares]
        for games in zip(*batches, strict=True):
            sums = [loss_of(share, policy, chosen) for share, chosen in zip(shares, games, strict=True)]
            optimiser.zero_grad()
            (sum(loss for loss, _ in sums) / sum(entries for _, entries in sums)).backward()
            nn.utils.clip_grad_norm_(policy.parameters(), SETTINGS.max_grad_norm)
            optimiser.step()


@pytest.mark.parametrize("critic", ["own", "central"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_update_written_out(threads: int, layers: int, critic: str) -> None:
    overrides = ["game=spread", "game.num_games=16", f"train.threads={threads}", "policy.hidden=16", "train.horizon=9"]
    cast = assemble(resolve(load_config([*overrides, f"policy.layers={layers}", f"policy.critic={critic}"])))
    (learner,), (name,) = cast.learners.values(), cast.learners
    workers = Workers(threads)
    try:
        shares = [collector.collect(9)[0][name] for collector in cast.collectors]
        for share in shares:
            share.estimate(learner.normaliser, 0.99, 0.95)
            share.log_prob += 0.2 * torch.randn_like(share.log_prob)  # so that the clips have something to do
            share.value += 0.2 * torch.randn_like(share.value)
        before, expected = copy.deepcopy(learner.policy), copy.deepcopy(learner.policy)
        update(learner.policy, adam(learner.policy), shares, SETTINGS, np.random.default_rng(3), workers)
    finally:
        workers.close()
    update_by_hand(expected, shares, np.random.default_rng(3))
    for start, one, other in zip(before.parameters(), learner.policy.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
        moved = (other - start).norm()
        assert (one - other).norm() <= 1e-2 * moved
