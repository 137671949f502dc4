"""The objective of proximal policy optimisation (Schulman et al. 2017, eq. 9) and its slopes in what a policy returns.

Summed over the entries that count (w = 1), with log pi = log softmax(logits), a the action, r = pi(a) / old pi(a), g
the value's target and v' the value clipped around the old one:

    L = sum w (-min(r A, clip(r) A) + c_v / 2 max((v - g)^2, (v' - g)^2) - c_H H(pi))

    dL/dlogits_k = w (s (1[k = a] - pi_k) + c_H pi_k (log pi_k + H))      s = -r A, or 0 where clipping holds it
    dL/dv        = w c_v (v - g), or 0 where the clipped value is the worse one

A policy is then differentiated from these slopes on: `torch.autograd.grad((logits, value), parameters, slopes)`.
`slopes` takes one pass over memory on the CPU; `slopes_reference` is `objective` and torch's own differentiation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from marl_meta.kernels import kernel
from marl_meta.rl.losses import approximate_kl, clipped_surrogate, clipped_value_loss, entropy
from marl_meta.types import FloatArray, IntArray


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


@dataclass(frozen=True, slots=True)
class Coefficients:
    """What the objective weighs and where it clips."""

    clip: float
    value_clip: float | None
    value_weight: float
    entropy: float


@dataclass(frozen=True, slots=True)
class Slopes:
    """Derivatives of the objective."""

    logits: Tensor
    """[T,M,A]."""
    value: Tensor
    """[T,M]."""
    sums: Tensor
    """[5] policy loss, value loss, entropy, KL, share clipped: each summed over the entries that count."""


def objective(logits: Tensor, value: Tensor, targets: Targets, by: Coefficients) -> tuple[Tensor, Tensor]:
    """Return the objective, summed over entries, and `Slopes.sums`, for logits [T,M,A] and values [T,M]."""
    log_probs = torch.log_softmax(logits, -1)
    log_prob = log_probs.gather(-1, targets.action.unsqueeze(-1)).squeeze(-1)
    surrogate = clipped_surrogate(log_prob, targets.old_log_prob, targets.advantage, by.clip)
    value_loss = clipped_value_loss(value, targets.old_value, targets.target, by.value_clip)
    bonus = entropy(log_probs)
    loss = surrogate + by.value_weight * value_loss - by.entropy * bonus
    with torch.no_grad():
        kl = approximate_kl(log_prob, targets.old_log_prob)
        clipped = ((log_prob - targets.old_log_prob).exp() - 1.0).abs() > by.clip
        entries = (surrogate, value_loss, bonus, kl, clipped)
        sums = torch.stack([(entry * targets.weight).sum() for entry in entries])
    return (loss * targets.weight).sum(), sums


def slopes_reference(logits: Tensor, value: Tensor, targets: Targets, by: Coefficients) -> Slopes:
    """Return the derivatives of `objective` in logits [T,M,A] and values [T,M], on any device."""
    logits, value = logits.detach().requires_grad_(), value.detach().requires_grad_()
    loss, sums = objective(logits, value, targets, by)
    grad_logits, grad_value = torch.autograd.grad(loss, (logits, value))
    return Slopes(grad_logits, grad_value, sums)


@kernel
def _fill(  # noqa: PLR0913 (what an entry has, and where its slopes go)
    logits: FloatArray, value: FloatArray, action: IntArray, old_log_prob: FloatArray, old_value: FloatArray,
    advantage: FloatArray, target: FloatArray, weight: FloatArray, by: tuple[np.float32, ...],
    grad_logits: FloatArray, grad_value: FloatArray, sums: FloatArray,
) -> None:  # fmt: skip
    one, zero = np.float32(1.0), np.float32(0.0)
    clip, value_clip, value_weight, bonus = by
    probs, log_probs = np.empty(logits.shape[2], np.float32), np.empty(logits.shape[2], np.float32)
    for t in range(logits.shape[0]):
        for m in range(logits.shape[1]):
            slope = grad_logits[t, m]
            slope[:] = zero
            grad_value[t, m] = zero
            counts = weight[t, m]
            if counts == 0:
                continue
            largest, total = logits[t, m, 0], zero
            for k in range(slope.size):
                largest = max(largest, logits[t, m, k])
            for k in range(slope.size):
                log_probs[k] = logits[t, m, k] - largest
                probs[k] = np.float32(math.exp(log_probs[k]))
                total += probs[k]
            spread, log_total = zero, np.float32(math.log(total))
            for k in range(slope.size):
                log_probs[k] -= log_total
                probs[k] /= total
                spread -= probs[k] * max(log_probs[k], np.float32(-100.0))

            taken, gain = action[t, m], advantage[t, m]
            log_ratio = log_probs[taken] - old_log_prob[t, m]
            ratio = np.float32(math.exp(log_ratio))
            held = min(max(ratio, one - clip), one + clip)
            surrogate = -min(ratio * gain, held * gain)
            push = zero if ratio * gain > held * gain else -ratio * gain
            for k in range(slope.size):
                slope[k] = counts * probs[k] * (bonus * (max(log_probs[k], np.float32(-100.0)) + spread) - push)
            slope[taken] += counts * push

            error = value[t, m] - target[t, m]
            moved = value[t, m] - old_value[t, m]
            other = old_value[t, m] + min(max(moved, -value_clip), value_clip) - target[t, m]
            outside = abs(moved) > value_clip and other * other > error * error
            grad_value[t, m] = zero if outside else counts * value_weight * error

            sums[0] += counts * surrogate
            sums[1] += counts * np.float32(0.5) * (other * other if outside else error * error)
            sums[2] += counts * spread
            sums[3] += counts * (ratio - one - log_ratio)
            sums[4] += counts * (abs(ratio - one) > clip)


def slopes(logits: Tensor, value: Tensor, targets: Targets, by: Coefficients) -> Slopes:
    """Return what `slopes_reference` returns: by one CPU kernel for float32 there, by it for anything else."""
    if logits.device.type != "cpu" or logits.dtype != torch.float32:
        return slopes_reference(logits, value, targets, by)
    if logits.dim() != 3 or not logits.shape[:2] == value.shape == targets.action.shape:
        raise ValueError(f"shapes {tuple(logits.shape)}, {tuple(value.shape)}, {tuple(targets.action.shape)} differ")
    value_clip = math.inf if by.value_clip is None else by.value_clip
    numbers = (np.float32(by.clip), np.float32(value_clip), np.float32(by.value_weight), np.float32(by.entropy))
    grad_logits, grad_value = torch.empty_like(logits), torch.empty_like(value)
    sums = torch.zeros(5, dtype=torch.float64)
    _fill(
        logits.detach().numpy(), value.detach().numpy(), targets.action.numpy(), targets.old_log_prob.numpy(),
        targets.old_value.numpy(), targets.advantage.numpy(), targets.target.numpy(), targets.weight.numpy(),
        numbers, grad_logits.numpy(), grad_value.numpy(), sums.numpy(),
    )  # fmt: skip
    return Slopes(grad_logits, grad_value, sums.float())
