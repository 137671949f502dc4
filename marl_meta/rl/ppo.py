"""Proximal policy optimisation (Schulman et al. 2017) over sequences of several games."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from marl_meta.rl.losses import approximate_kl, clipped_surrogate, clipped_value_loss, entropy
from marl_meta.rl.sharding import Workers
from marl_meta.types import IntArray


@dataclass(frozen=True, slots=True)
class PpoSettings:
    """The hyperparameters of an update."""

    clip: float = 0.2
    epochs: int = 4
    minibatches: int = 4
    entropy: float = 0.01
    value_weight: float = 0.5
    value_clip: float | None = 0.2
    max_grad_norm: float = 0.5
    target_kl: float | None = None
    """An iteration's remaining epochs are skipped once the mean KL to the policy that played exceeds this."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What an update aims at, all [T,M]; advantages are scaled by the caller."""

    action: Tensor
    old_log_prob: Tensor
    old_value: Tensor
    advantage: Tensor
    target: Tensor
    """In the critic's units."""
    weight: Tensor
    """1 where the agent acted, else 0."""


class Share(Protocol):
    """One worker's share of an iteration's experience: whole sequences of some games."""

    @property
    def num_games(self) -> int:
        """Number of games of this share."""

    def evaluate(self, policy: nn.Module, games: IntArray) -> tuple[Tensor, Tensor]:
        """Return log-probabilities of all actions [T,M,A] and values [T,M] under `policy`, for the games' rows."""

    def targets(self, games: IntArray) -> Targets:
        """Return the targets of the games' rows."""


@dataclass(frozen=True, slots=True)
class _Part:
    gradients: list[Tensor]
    sums: Tensor
    """policy loss, value loss, entropy, KL, share clipped: each summed over entries."""


def update(
    policy: nn.Module,
    optimiser: torch.optim.Optimizer,
    shares: Sequence[Share],
    settings: PpoSettings,
    order: np.random.Generator,
    workers: Workers,
) -> dict[str, float]:
    """Improve `policy` in place on an iteration's experience; returns the update's statistics.

    Every epoch visits every game once, in minibatches of whole sequences drawn from all shares.
    """
    parameters = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    statistics: list[Tensor] = []
    norms: list[float] = []
    epochs_done = 0
    # Every minibatch takes games from every share, so there are no more of them than the smallest share has games.
    minibatches = min(settings.minibatches, *(share.num_games for share in shares))
    for _ in range(settings.epochs):
        batches = [np.array_split(order.permutation(share.num_games), minibatches) for share in shares]
        of_epoch: list[Tensor] = []
        for games in zip(*batches, strict=True):
            targets = [share.targets(chosen) for share, chosen in zip(shares, games, strict=True)]
            total = sum(float(part.weight.sum()) for part in targets)
            if total == 0:
                continue
            parts = workers.map(
                lambda item: _share_gradients(policy, parameters, *item, settings=settings),
                list(zip(shares, games, targets, strict=True)),
            )
            norms.append(_apply(optimiser, parameters, parts, total, settings.max_grad_norm))
            of_epoch.append(torch.stack([part.sums for part in parts]).sum(0) / total)
        statistics += of_epoch
        epochs_done += 1
        kl = float(torch.stack(of_epoch)[:, 3].mean()) if of_epoch else 0.0
        if settings.target_kl is not None and kl > settings.target_kl:
            break
    return _summary(statistics, norms, epochs_done)


def _share_gradients(
    policy: nn.Module,
    parameters: Sequence[Tensor],
    share: Share,
    games: IntArray,
    targets: Targets,
    settings: PpoSettings,
) -> _Part:
    log_probs, value = share.evaluate(policy, games)
    weight = targets.weight
    log_prob = log_probs.gather(-1, targets.action.unsqueeze(-1)).squeeze(-1)
    surrogate = clipped_surrogate(log_prob, targets.old_log_prob, targets.advantage, settings.clip)
    value_loss = clipped_value_loss(value, targets.old_value, targets.target, settings.value_clip)
    bonus = entropy(log_probs)
    loss = surrogate + settings.value_weight * value_loss - settings.entropy * bonus
    gradients = torch.autograd.grad((loss * weight).sum(), parameters, materialize_grads=True)
    with torch.no_grad():
        kl = approximate_kl(log_prob, targets.old_log_prob)
        clipped = ((log_prob - targets.old_log_prob).exp() - 1.0).abs() > settings.clip
        sums = torch.stack([(entry * weight).sum() for entry in (surrogate, value_loss, bonus, kl, clipped)])
    return _Part(list(gradients), sums)


def _apply(
    optimiser: torch.optim.Optimizer, parameters: Sequence[Tensor], parts: list[_Part], total: float, max_norm: float
) -> float:
    """Step along the mean of the parts' gradients, clipped to `max_norm`; returns the norm before clipping."""
    for index, parameter in enumerate(parameters):
        parameter.grad = sum((part.gradients[index] for part in parts[1:]), parts[0].gradients[index]) / total
    norm = nn.utils.clip_grad_norm_(parameters, max_norm)
    optimiser.step()
    return float(norm)


def _summary(statistics: list[Tensor], norms: list[float], epochs: int) -> dict[str, float]:
    names = ("policy_loss", "value_loss", "entropy", "kl", "clip_fraction")
    means = torch.stack(statistics).mean(0) if statistics else torch.zeros(len(names))
    summary = {name: float(mean) for name, mean in zip(names, means, strict=True)}
    return {**summary, "gradient_norm": float(np.mean(norms)) if norms else 0.0, "epochs": float(epochs)}
