"""What a policy says of an embedding: how good each legal action is, and what the game is worth.

    logits = h W^T + b, or -1e9 where the action is illegal          value = w . relu(h U^T + c) + d

h is [R,H], W [A,H], b [A], U [H,H], c and w [H], d [1]; logits are [R,A] and values [R].
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from marl_meta.kernels import kernel
from marl_meta.nets.arrays import arrays
from marl_meta.nets.rectified import rectified_reference
from marl_meta.types import BoolArray, FloatArray

_ILLEGAL = -1e9


def legal_logits_reference(hidden: Tensor, weight: Tensor, bias: Tensor, legal: Tensor) -> Tensor:
    """Return the logits [R,A], for `legal` bool [R,A]."""
    return torch.nn.functional.linear(hidden, weight, bias).masked_fill(~legal, _ILLEGAL)


def value_reference(hidden: Tensor, weight: Tensor, bias: Tensor, last_weight: Tensor, last_bias: Tensor) -> Tensor:
    """Return the values [R], for U [H,H], c [H], w [1,H] and d [1]."""
    active = rectified_reference(hidden, weight, bias)
    return torch.nn.functional.linear(active, last_weight, last_bias).squeeze(-1)


@kernel
def _forbid(logits: FloatArray, bias: FloatArray, legal: BoolArray) -> None:
    for row in range(logits.shape[0]):
        for k in range(bias.size):
            logits[row, k] = logits[row, k] + bias[k] if legal[row, k] else np.float32(_ILLEGAL)


@kernel
def _forbid_backward(grad_out: FloatArray, legal: BoolArray, grad: FloatArray, grad_bias: FloatArray) -> None:
    for row in range(grad.shape[0]):
        for k in range(grad_bias.size):
            grad[row, k] = grad_out[row, k] if legal[row, k] else np.float32(0.0)
            grad_bias[k] += grad[row, k]


class _LegalLogits(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, legal: Tensor) -> Tensor:
        logits = torch.mm(hidden, weight.t())
        _forbid(*arrays(logits, bias, legal))
        ctx.save_for_backward(hidden, weight, legal)
        return logits

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, legal = ctx.saved_tensors
        grad, grad_bias = torch.empty(legal.shape), torch.zeros(len(weight))
        _forbid_backward(*arrays(grad_out, legal, grad, grad_bias))
        return torch.mm(grad, weight), torch.mm(grad.t(), hidden), grad_bias, None


@kernel
def _weigh(active: FloatArray, bias: FloatArray, last: FloatArray, last_bias: FloatArray, value: FloatArray) -> None:
    """Turn products [R,H] into relu(product + bias), in place, and fill the values [R]."""
    zero = np.float32(0.0)
    for row in range(active.shape[0]):
        for k in range(bias.size):
            entry = active[row, k] + bias[k]
            active[row, k] = max(entry, zero)
        total = last_bias[0]
        for k in range(bias.size):
            total += active[row, k] * last[0, k]
        value[row] = total


@kernel
def _weigh_backward(
    grad_value: FloatArray, active: FloatArray, last: FloatArray, grad: FloatArray, grad_bias: FloatArray,
    grad_last: FloatArray, grad_last_bias: FloatArray,
) -> None:  # fmt: skip
    zero = np.float32(0.0)
    for row in range(active.shape[0]):
        slope = grad_value[row]
        grad_last_bias[0] += slope
        for k in range(grad_bias.size):
            grad[row, k] = slope * last[0, k] if active[row, k] > zero else zero
        for k in range(grad_bias.size):
            grad_bias[k] += grad[row, k]
        for k in range(grad_bias.size):
            grad_last[0, k] += slope * active[row, k]


class _Value(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, last_weight: Tensor, last_bias: Tensor
    ) -> Tensor:
        active, value = torch.mm(hidden, weight.t()), torch.empty(len(hidden))
        _weigh(*arrays(active, bias, last_weight, last_bias, value))
        ctx.save_for_backward(hidden, weight, last_weight, active)
        return value

    @staticmethod
    def backward(ctx: Any, grad_value: Tensor) -> tuple[Tensor, ...]:
        hidden, weight, last_weight, active = ctx.saved_tensors
        grad = torch.empty_like(active)
        grad_bias, grad_last, grad_last_bias = torch.zeros(len(weight)), torch.zeros_like(last_weight), torch.zeros(1)
        _weigh_backward(*arrays(grad_value, active, last_weight, grad, grad_bias, grad_last, grad_last_bias))
        return torch.mm(grad, weight), torch.mm(grad.t(), hidden), grad_bias, grad_last, grad_last_bias


def legal_logits(hidden: Tensor, weight: Tensor, bias: Tensor, legal: Tensor) -> Tensor:
    """Return what `legal_logits_reference` returns, by fused CPU kernels (float32), differentiable once."""
    return _LegalLogits.apply(hidden, weight, bias, legal)  # type: ignore[no-any-return, no-untyped-call]


def value(hidden: Tensor, weight: Tensor, bias: Tensor, last_weight: Tensor, last_bias: Tensor) -> Tensor:
    """Return what `value_reference` returns, by fused CPU kernels (float32), differentiable once."""
    return _Value.apply(hidden, weight, bias, last_weight, last_bias)  # type: ignore[no-any-return, no-untyped-call]
