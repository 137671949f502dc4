"""Surrogate objectives whose derivatives, once and twice, are those of the expected return: gradients to adapt along.

All are to be *maximised*, and all leave the mean over tasks to the caller. Entries of agents that did not act are kept
out by a mask, not by a product, so whatever stands there (even what is not finite) changes neither value nor gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor


def magic_box(log_prob: Tensor) -> Tensor:
    """Return exp(x - stopgrad(x)): 1, and its derivative is itself times that of x (Foerster et al. 2018)."""
    return torch.exp(log_prob - log_prob.detach())


def lvc_surrogate(log_prob: Tensor, advantage: Tensor) -> Tensor:
    """Return pi(a_t) / stopgrad(pi(a_t)) A_t per entry, low-variance curvature (Rothfuss et al. 2019).

    The sum over t is the objective: its gradient is the policy gradient, and its Hessian that of the expected return
    but for terms that pair the log-probabilities of different steps.
    """
    return ratio_surrogate(log_prob, log_prob.detach(), advantage)


def ratio_surrogate(log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor) -> Tensor:
    """Return pi(a_t) / pi_old(a_t) A_t per entry: the inner objective on experience that `old_log_prob` was played by.

    It is `lvc_surrogate` where the policy is still the one that played, and corrects for having moved since.
    """
    if not log_prob.shape == old_log_prob.shape == advantage.shape:
        raise ValueError("log_prob, old_log_prob and advantage must have one shape")
    return torch.exp(log_prob - old_log_prob) * advantage


def dice_objective(
    log_prob: Tensor, reward: Tensor, value: Tensor, acted: Tensor, starts: Tensor, gamma: float
) -> Tensor:
    """Return the infinitely differentiable objective [B] of a team with a baseline (DiCE, Foerster et al. 2018).

        tau_t = sum_{u <= t} sum_i log pi(a_ui)      magic(x) = exp(x - stopgrad(x))
        J = sum_t gamma^t magic(tau_t) r_t + sum_t (1 - magic(sum_i log pi(a_ti))) gamma^t b_t

    `log_prob` [T,B,N] of the actions that the N agents of a team took, `acted` bool [T,B,N] who of them did; `reward` r
    [T,B] of the team, and `value` b [T,B], what it expects from step t on (a baseline: no derivative's mean depends on
    it, and no gradient goes into it). Where `starts` bool [T,B] another episode (or trial) begins, tau and the count of
    steps begin anew: no credit crosses. Step 0 begins one in any case.
    """
    if log_prob.shape != acted.shape or not log_prob.shape[:-1] == reward.shape == value.shape == starts.shape:
        raise ValueError("log_prob and acted must be [T,B,N], and reward, value and starts [T,B]")
    step_log_prob = torch.where(acted, log_prob, 0.0).sum(-1)
    step = torch.arange(len(reward), device=reward.device).view(-1, *(1,) * (reward.dim() - 1)).expand(reward.shape)
    first = torch.where(starts, step, 0).cummax(0).values
    total = step_log_prob.cumsum(0)
    causes = total - (total - step_log_prob).gather(0, first)
    discount = gamma ** (step - first).to(reward.dtype)
    outcome = magic_box(causes) * reward
    baseline = (1.0 - magic_box(step_log_prob)) * value.detach()
    return (discount * (outcome + baseline)).sum(0)


def promp_objective(
    log_prob: Tensor,
    old_log_prob: Tensor,
    advantage: Tensor,
    acted: Tensor,
    divergence: Tensor,
    clip: float,
    penalty: float,
) -> Tensor:
    """Return a task's outer objective [] (ProMP, Rothfuss et al. 2019, section 6).

        J = mean(min(r A', clip(r, 1 - clip, 1 + clip) A')) - penalty KL(pi_old || pi_theta),   r = pi_theta' / pi_old'

    `log_prob` is of the adapted policy and a function of theta, `old_log_prob` of what played after adapting; these,
    the advantage A' and `acted` have one shape. `divergence` [] is the mean `categorical_kl` on the data from *before*
    adapting, summed over inner steps where there are several. The mean over tasks is the caller's.
    """
    if not log_prob.shape == old_log_prob.shape == advantage.shape == acted.shape:
        raise ValueError("log_prob, old_log_prob, advantage and acted must have one shape")
    ratio = torch.exp(torch.where(acted, log_prob - old_log_prob, 0.0))
    clipped = torch.minimum(ratio * advantage, ratio.clamp(1.0 - clip, 1.0 + clip) * advantage)
    return masked_mean(clipped, acted) - penalty * divergence


def categorical_kl(old_log_probs: Tensor, log_probs: Tensor) -> Tensor:
    """Return KL(old || new) [...] in nats of categorical distributions given as log-probabilities [...,A]."""
    if old_log_probs.shape != log_probs.shape:
        raise ValueError("old_log_probs and log_probs must have one shape")
    # An illegal action's log-probability is about -1e9 in both: no share in the sum.
    return (old_log_probs.exp() * (old_log_probs - log_probs)).sum(-1)


def masked_mean(entries: Tensor, mask: Tensor) -> Tensor:
    """Return the mean [] of the entries where the mask is True; 0 if it is nowhere."""
    return torch.where(mask, entries, 0.0).sum() / mask.sum().clamp(min=1)
