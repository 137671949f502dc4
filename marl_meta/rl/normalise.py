"""Value normalisation: the critic learns targets of mean 0 and variance 1, whatever the game pays."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ValueNormaliser(nn.Module):
    """Running mean and variance of the value targets, with the critic's output kept in place when they move.

    The statistics are exponential averages with the bias of their start removed; moving them rescales the critic's last
    layer so that its predictions in the game's units stay the same (PopArt, van Hasselt et al. 2016, eq. 4-5).
    """

    mean: Tensor
    square: Tensor
    weight: Tensor

    def __init__(self, decay: float = 0.97) -> None:
        super().__init__()
        self.decay = decay
        for name in ("mean", "square", "weight"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))

    def centre(self) -> float:
        """Return the mean of the targets, 0 before any was seen."""
        return float(self.mean / self.weight) if self.weight > 0 else 0.0

    def scale(self) -> float:
        """Return the standard deviation of the targets, 1 before any was seen."""
        if self.weight <= 0:
            return 1.0
        mean = self.mean / self.weight
        return float((self.square / self.weight - mean * mean).clamp(min=1e-4).sqrt())

    def denormalise(self, value: Tensor) -> Tensor:
        """Return the critic's output in the game's units."""
        return value * self.scale() + self.centre()

    def normalise(self, target: Tensor) -> Tensor:
        """Return a target in the critic's units."""
        return (target - self.centre()) / self.scale()

    @torch.no_grad()
    def unfold(self, head: nn.Linear) -> None:
        """Have `head`, the critic's last layer, say values in the game's units, as a fresh normaliser takes them."""
        centre, scale = self.centre(), self.scale()
        head.weight.mul_(scale)
        head.bias.mul_(scale).add_(centre)

    @torch.no_grad()
    def update(self, target: Tensor, weight: Tensor, head: nn.Linear) -> None:
        """Move the statistics towards the targets of weight 1, and correct `head`, the critic's last layer."""
        chosen = target[weight.bool()].double().cpu()
        if chosen.numel() == 0:
            return
        centre, scale = self.centre(), self.scale()
        share = 1.0 - self.decay
        self.mean.mul_(self.decay).add_(share * chosen.mean())
        self.square.mul_(self.decay).add_(share * chosen.square().mean())
        self.weight.mul_(self.decay).add_(share)
        new_centre, new_scale = self.centre(), self.scale()
        head.weight.mul_(scale / new_scale)
        head.bias.mul_(scale).add_(centre - new_centre).div_(new_scale)
