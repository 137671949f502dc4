"""Losses of proximal policy optimisation (Schulman et al. 2017), per entry: the caller averages."""

from __future__ import annotations

import torch
from torch import Tensor


def clipped_surrogate(log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """Return -min(ratio A, clip(ratio, 1 - clip, 1 + clip) A), eq. 7, with the shape of the arguments."""
    if not log_prob.shape == old_log_prob.shape == advantage.shape:
        raise ValueError("log_prob, old_log_prob and advantage must have one shape")
    ratio = torch.exp(log_prob - old_log_prob)
    return -torch.minimum(ratio * advantage, ratio.clamp(1.0 - clip, 1.0 + clip) * advantage)


def clipped_value_loss(value: Tensor, old_value: Tensor, target: Tensor, clip: float | None) -> Tensor:
    """Return half the squared error, or the larger of it and that of a value moved by at most `clip`."""
    if not value.shape == old_value.shape == target.shape:
        raise ValueError("value, old_value and target must have one shape")
    loss = (value - target).square()
    if clip is not None:
        moved = old_value + (value - old_value).clamp(-clip, clip)
        loss = torch.maximum(loss, (moved - target).square())
    return 0.5 * loss


def entropy(log_probs: Tensor) -> Tensor:
    """Return the entropy [...] in nats of categorical distributions given as log-probabilities [...,A]."""
    return -(log_probs.exp() * log_probs.clamp(min=-100.0)).sum(-1)


def approximate_kl(log_prob: Tensor, old_log_prob: Tensor) -> Tensor:
    """Return an estimate per sample of KL(old || new) that is never negative: ratio - 1 - log ratio (Schulman 2020)."""
    log_ratio = log_prob - old_log_prob
    return log_ratio.exp() - 1.0 - log_ratio
