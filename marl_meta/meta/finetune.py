"""Fine-tuning of many games at once, each by itself: Adam (Kingma & Ba 2015), its moments beside the parameters.

    m <- b m + (1 - b) g,   v <- c v + (1 - c) g^2,   theta <- theta - rate m / (1 - b^u) / (sqrt(v / (1 - c^u)) + e)

after u updates. A game's parameters and moments are one dict by name: what is kept or cleared for a game is all of it.
"""

from __future__ import annotations

import torch

from marl_meta.meta.inner import Experience, Loss, each_task
from marl_meta.meta.parameters import Parameters

_MEAN, _SQUARE, UPDATES = "moment1/", "moment2/", "moments/updates"
_DECAY, _SQUARE_DECAY, _LEAST = 0.9, 0.999, 1e-5


def is_moment(name: str) -> bool:
    """Return whether a name is that of a moment, not of a parameter."""
    return name.startswith(("moment1/", "moment2/", "moments/"))


def with_moments(parameters: Parameters) -> Parameters:
    """Return the parameters and their moments before the first update."""
    still = {f"{kind}{name}": torch.zeros_like(one) for kind in (_MEAN, _SQUARE) for name, one in parameters.items()}
    return {**parameters, **still, UPDATES: torch.zeros(())}


def descend(
    loss: Loss, now: Parameters, fixed: Parameters, experience: Experience, *, steps: int, rate: float, max_norm: float
) -> Parameters:
    """Return the parameters and moments of M games [M,...] after `steps` updates on experience [M,...].

    The gradient of each game is scaled down to `max_norm`.
    """
    parameters = {name: value for name, value in now.items() if not is_moment(name)}
    mean = {name: now[_MEAN + name] for name in parameters}
    square = {name: now[_SQUARE + name] for name in parameters}
    updates = now[UPDATES]

    def total(own: Parameters) -> torch.Tensor:
        summed: torch.Tensor = each_task(loss, own, fixed, experience).sum()
        return summed

    for _ in range(steps):
        gradients = torch.func.grad(total)(parameters)
        norm = torch.stack([value.flatten(1).square().sum(1) for value in gradients.values()]).sum(0).sqrt()
        scale = (max_norm / (norm + 1e-6)).clamp(max=1.0)
        updates = updates + 1
        for name, raw in gradients.items():
            shape = (-1, *[1] * (raw.dim() - 1))
            gradient = raw * scale.view(shape)
            mean[name] = _DECAY * mean[name] + (1 - _DECAY) * gradient
            square[name] = _SQUARE_DECAY * square[name] + (1 - _SQUARE_DECAY) * gradient.square()
            first = mean[name] / (1 - _DECAY**updates).view(shape)
            second = square[name] / (1 - _SQUARE_DECAY**updates).view(shape)
            parameters[name] = parameters[name] - rate * first / (second.sqrt() + _LEAST)
    moments = {_MEAN + name: value for name, value in mean.items()}
    return {**parameters, **moments, **{_SQUARE + name: value for name, value in square.items()}, UPDATES: updates}
