"""A linear map and a rectifier.

    y = relu(x W^T + b)          x [R,I], W [H,I], b [H], y [R,H]

Between the matrix products there is one pass over memory, forward (bias and rectifier, in place) and backward (the
rectifier's gradient and its sum over rows, which is the bias's).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from marl_meta.kernels import kernel
from marl_meta.nets.arrays import arrays
from marl_meta.types import FloatArray


def rectified_reference(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return relu(x W^T + b) [R,H]."""
    return torch.relu(torch.nn.functional.linear(inputs, weight, bias))


@kernel
def rectify(active: FloatArray, bias: FloatArray) -> None:
    """Turn products [R,H] into relu(product + bias), in place; what is not a number stays so."""
    zero = np.float32(0.0)
    for row in range(active.shape[0]):
        for k in range(bias.size):
            value = active[row, k] + bias[k]
            active[row, k] = max(value, zero)


@kernel
def rectify_backward(grad_out: FloatArray, active: FloatArray, grad: FloatArray, grad_bias: FloatArray) -> None:
    """Fill the gradient before the rectifier [R,H], and add its sum over rows to `grad_bias` [H]."""
    zero = np.float32(0.0)
    for row in range(active.shape[0]):
        for k in range(grad_bias.size):
            grad[row, k] = grad_out[row, k] if active[row, k] > zero else zero
        for k in range(grad_bias.size):
            grad_bias[k] += grad[row, k]


class _Rectified(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        active = torch.mm(inputs, weight.t())
        rectify(*arrays(active, bias))
        ctx.save_for_backward(inputs, weight, active)
        return active

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, active = ctx.saved_tensors
        grad, grad_bias = torch.empty_like(active), torch.zeros(len(weight))
        rectify_backward(*arrays(grad_out, active, grad, grad_bias))
        grad_inputs = torch.mm(grad, weight) if ctx.needs_input_grad[0] else None
        return grad_inputs, torch.mm(grad.t(), inputs), grad_bias


def rectified(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return what `rectified_reference` returns, by fused CPU kernels (float32), differentiable once."""
    return _Rectified.apply(inputs, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
