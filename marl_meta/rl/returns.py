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


def turn_advantages(
    reward: Tensor, value: Tensor, next_value: Tensor, bootstraps: Tensor, chains: Tensor, acting: Tensor,
    gamma: float, lam: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the advantages [T,...] of those who act in turn, and where they are known bool [T,...].

    It is `generalised_advantages` over an agent's own decisions: with k steps from one at t to the next,

        R_t = r_t + gamma r_{t+1} + ... + gamma^{k-1} r_{t+k-1}       delta_t = R_t + gamma^k V(s_{t+k}) - V(s_t)
        A_t = delta_t + gamma^k lambda A_{t+k}

    so that nobody needs the value of a state in which it does not act. `acting` is bool [T+1,...], the last of the
    state after the last transition; everything else is as there. A decision whose successor lies beyond that state is
    not known: its own value stands for the future of those before it.
    """
    if not reward.shape == value.shape == next_value.shape == bootstraps.shape == chains.shape == acting[1:].shape:
        raise ValueError("all but acting, which has one step more, must have one shape")
    advantage, known = torch.zeros_like(reward), torch.zeros_like(acting[1:])
    # What is still to come after the step under way: rewards until the next decision, and that decision's value.
    gained, future, carried = (torch.zeros_like(reward[0]) for _ in range(3))
    discount = torch.ones_like(reward[0])
    sure = torch.zeros_like(acting[0])
    for step in range(len(reward) - 1, -1, -1):
        breaks = chains[step] == 0
        cut = breaks | acting[step + 1] if step == len(reward) - 1 else breaks
        end = bootstraps[step] * next_value[step]
        gained, future = torch.where(cut, 0.0, gained), torch.where(cut, end, future)
        carried, discount = torch.where(cut, 0.0, carried), torch.where(cut, 1.0, discount)
        sure = sure | cut
        gained, discount = reward[step] + gamma * gained, gamma * discount
        delta = gained + discount * future - value[step]
        here = delta + lam * discount * carried
        acts = acting[step]
        advantage[step] = torch.where(acts & sure, here, 0.0)
        known[step] = acts & sure
        gained, discount = torch.where(acts, 0.0, gained), torch.where(acts, 1.0, discount)
        future, carried = torch.where(acts, value[step], future), torch.where(acts, advantage[step], carried)
        sure = sure | acts
    return advantage, known


def explained_variance(value: Tensor, target: Tensor, weight: Tensor) -> float:
    """Return 1 - Var(target - value) / Var(target) over the entries of weight 1.

    1 is perfect, 0 no better than a constant.
    """
    chosen = weight.bool()
    if not chosen.any():
        return 0.0
    error, target = (target - value)[chosen], target[chosen]
    return float(1.0 - error.var(correction=0) / target.var(correction=0).clamp(min=1e-8))
