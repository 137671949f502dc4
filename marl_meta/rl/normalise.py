"""Normalisation: the critic learns targets of mean 0 and variance 1, and every variant counts, whatever a game pays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

_LEAST_SHARE = 0.1
"""Of the mean over variants, below which a variant's scale is not taken to be: there is only noise in it."""


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


class VariantScale:
    """How large advantages are on each variant: a running root of their mean square.

    Divided by it, advantages make variants count alike on which much and on which little can be earned, as PopArt's
    scales by task do (Hessel et al. 2019, "Multi-task deep reinforcement learning with PopArt").
    """

    def __init__(self, decay: float = 0.95) -> None:
        self.decay = decay
        self.square: npt.NDArray[np.float64] = np.zeros(0)
        self.weight: npt.NDArray[np.float64] = np.zeros(0)
        """[V] exponential averages and their weights, of as many variants as were seen."""

    def update(self, advantage: Tensor, weight: Tensor, variant: Tensor) -> None:
        """Move the averages towards the advantages [...] of weight 1, played on `variant` int [...]."""
        chosen = weight.bool()
        which, squares = variant[chosen].numpy(), advantage[chosen].double().square().numpy()
        known = max(len(self.square), int(variant.max()) + 1)
        count, total = np.bincount(which, minlength=known), np.bincount(which, squares, known)
        self.square, self.weight = (np.pad(old, (0, known - len(old))) for old in (self.square, self.weight))
        there, share = count > 0, 1.0 - self.decay
        self.square[there] = self.decay * self.square[there] + share * total[there] / count[there]
        self.weight[there] = self.decay * self.weight[there] + share

    def scale(self, variant: Tensor) -> Tensor:
        """Return the scale [...] of each of the variants int [...]; 1 where nobody has acted yet."""
        seen = self.weight > 0
        scale = np.ones_like(self.square)
        scale[seen] = np.sqrt(self.square[seen] / self.weight[seen])
        least = _LEAST_SHARE * float(scale[seen].mean()) if seen.any() else 0.0
        return torch.from_numpy(np.maximum(scale, least + 1e-8).astype(np.float32))[variant]

    def arrays(self, name: str) -> dict[str, npt.NDArray[np.float64]]:
        """Return the averages as arrays below `name`."""
        return {f"{name}/square": self.square, f"{name}/weight": self.weight}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], name: str) -> None:
        """Go back to what `arrays` returned."""
        self.square, self.weight = arrays[f"{name}/square"].copy(), arrays[f"{name}/weight"].copy()
