"""Proximal policy optimisation (Schulman et al. 2017) over sequences of several games."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from marl_meta.rl.objective import Coefficients, Targets, slopes
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
    auxiliary: float = 0.0
    """Weight of the loss of an auxiliary task."""
    max_grad_norm: float = 0.5
    target_kl: float | None = None
    """An iteration's remaining epochs are skipped once the mean KL to the policy that played exceeds this."""


class Share(Protocol):
    """One worker's share of an iteration's experience: whole sequences of some games."""

    @property
    def num_games(self) -> int:
        """Number of games of this share."""

    def evaluate(self, policy: nn.Module, games: IntArray) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return logits of all actions [T,M,A], values [T,M] and the loss of an auxiliary task [T,M], if there is one.

        All are those of the games' rows under `policy`.
        """

    def targets(self, games: IntArray) -> Targets:
        """Return the targets of the games' rows."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What a minibatch comes to, in one share or in all."""

    gradient: Tensor
    """[P] of all parameters in a row."""
    sums: Tensor
    """As in `marl_meta.rl.objective.Slopes`; then the auxiliary loss, if there is one."""
    weight: float
    """Number of entries that count."""


def _together(parts: list[_Part]) -> _Part:
    gradient = parts[0].gradient
    for part in parts[1:]:
        gradient = gradient + part.gradient
    return _Part(gradient, torch.stack([part.sums for part in parts]).sum(0), sum(part.weight for part in parts))


def update(
    policy: nn.Module,
    optimiser: torch.optim.Optimizer,
    shares: Sequence[Share],
    settings: PpoSettings,
    order: np.random.Generator,
    workers: Workers,
) -> dict[str, float]:
    """Improve `policy` in place on an iteration's experience; returns the update's statistics.

    `shares` are those that `workers` work on in this process. Every epoch visits every game once, in minibatches of
    whole sequences drawn from all shares.
    """
    by = Coefficients(settings.clip, settings.value_clip, settings.value_weight, settings.entropy)
    parameters = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    statistics: list[Tensor] = []
    norms: list[float] = []
    epochs_done = 0
    # Every minibatch takes games from every share, so there are no more of them than the smallest share has games.
    sizes = workers.map(lambda share: share.num_games, shares)
    minibatches = min(settings.minibatches, *sizes)
    for _ in range(settings.epochs):
        batches = [np.array_split(order.permutation(size), minibatches) for size in sizes]
        of_epoch: list[Tensor] = []
        for games in zip(*batches, strict=True):
            found = workers.reduce(
                lambda item: _share_gradients(policy, parameters, *item, by, settings.auxiliary),
                list(zip(shares, workers.own(games), strict=True)),
                _together,
            )
            if found.weight == 0:
                continue
            norms.append(_apply(optimiser, parameters, found, settings.max_grad_norm))
            of_epoch.append(found.sums / found.weight)
        statistics += of_epoch
        epochs_done += 1
        kl = float(torch.stack(of_epoch)[:, 3].mean()) if of_epoch else 0.0
        if settings.target_kl is not None and kl > settings.target_kl:
            break
    return _summary(statistics, norms, epochs_done)


def _share_gradients(
    policy: nn.Module, parameters: Sequence[Tensor], share: Share, games: IntArray, by: Coefficients, auxiliary: float
) -> _Part:
    logits, value, beside = share.evaluate(policy, games)
    targets = share.targets(games)
    found = slopes(logits, value, targets, by)
    outputs, starts, sums = [logits, value], [found.logits, found.value], found.sums
    if beside is not None:
        outputs, starts = [*outputs, beside], [*starts, auxiliary * targets.weight]
        sums = torch.cat([sums, (beside.detach() * targets.weight).sum().view(1)])
    gradients = torch.autograd.grad(outputs, parameters, starts, materialize_grads=True)
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    return _Part(flat, sums, float(targets.weight.sum()))


def _apply(optimiser: torch.optim.Optimizer, parameters: Sequence[Tensor], found: _Part, max_norm: float) -> float:
    """Step along the mean gradient, clipped to `max_norm`; returns the norm before clipping."""
    norm = float(torch.linalg.vector_norm(found.gradient)) / found.weight
    gradient = found.gradient * (min(1.0, max_norm / (norm + 1e-6)) / found.weight)
    pieces = gradient.split([parameter.numel() for parameter in parameters])
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.grad = piece.view_as(parameter)
    optimiser.step()
    return norm


def _summary(statistics: list[Tensor], norms: list[float], epochs: int) -> dict[str, float]:
    names = ("policy_loss", "value_loss", "entropy", "kl", "clip_fraction", "auxiliary_loss")
    means = torch.stack(statistics).mean(0) if statistics else torch.zeros(len(names) - 1)
    summary = {name: float(mean) for name, mean in zip(names, means, strict=False)}
    return {**summary, "gradient_norm": float(np.mean(norms)) if norms else 0.0, "epochs": float(epochs)}
