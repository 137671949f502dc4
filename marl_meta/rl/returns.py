"""Advantages from rewards and values."""

from __future__ import annotations

import torch
from torch import Tensor


def generalised_advantages(
    reward: Tensor, value: Tensor, next_value: Tensor, bootstraps: Tensor, chains: Tensor, gamma: float, lam: float
) -> Tensor:
    """Return the advantages [T,...] of generalised advantage estimation (Schulman et al. 2016, eq. 16).

        delta_t = r_t + gamma b_t V(s_{t+1}) - V(s_t)          A_t = delta_t + gamma lambda c_t A_{t+1}

    All arguments are [T,...]. `next_value` is the value of the state that transition t led to: the *final* state where
    the game reset itself. `bootstraps` b is 0 where the future is worth nothing (terminated; a truncated game's future
    has its value), `chains` c is 0 where transition t + 1 belongs to another game.
    """
    if not reward.shape == value.shape == next_value.shape == bootstraps.shape == chains.shape:
        raise ValueError("reward, value, next_value, bootstraps and chains must have one shape")
    delta = reward + gamma * bootstraps * next_value - value
    decay = gamma * lam * chains
    advantage = torch.zeros_like(delta)
    carried = torch.zeros_like(delta[0])
    for step in range(delta.shape[0] - 1, -1, -1):
        carried = delta[step] + decay[step] * carried
        advantage[step] = carried
    return advantage


def explained_variance(value: Tensor, target: Tensor, weight: Tensor) -> float:
    """Return 1 - Var(target - value) / Var(target) over the entries of weight 1.

    1 is perfect, 0 no better than a constant.
    """
    chosen = weight.bool()
    if not chosen.any():
        return 0.0
    error, target = (target - value)[chosen], target[chosen]
    return float(1.0 - error.var(correction=0) / target.var(correction=0).clamp(min=1e-8))
