"""A residual block: layer normalisation (Ba et al. 2016), a linear map and a rectifier, beside what came in.

    n = g (x - mean(x)) / sqrt(var(x) + 1e-5) + c          y = x + relu(n W^T + b)

All of x, n and y are [R,H]; mean and variance are each row's own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from marl_meta.kernels import kernel
from marl_meta.nets.arrays import arrays
from marl_meta.nets.rectified import rectified_reference, rectify_backward
from marl_meta.types import FloatArray

_EPSILON = 1e-5


def residual_reference(inputs: Tensor, gain: Tensor, centre: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return y [R,H] for x [R,H], g and c [H], W [H,H] and b [H]."""
    normal = torch.nn.functional.layer_norm(inputs, gain.shape, gain, centre, _EPSILON)
    return inputs + rectified_reference(normal, weight, bias)


@kernel
def _normalise(
    inputs: FloatArray, gain: FloatArray, centre: FloatArray, normal: FloatArray, moments: FloatArray
) -> None:
    """Fill n [R,H], and each row's mean and inverse standard deviation [R,2]."""
    size = gain.size
    share = np.float32(1.0) / np.float32(size)
    for row in range(inputs.shape[0]):
        total = np.float32(0.0)
        for k in range(size):
            total += inputs[row, k]
        mean, square = total * share, np.float32(0.0)
        for k in range(size):
            square += (inputs[row, k] - mean) * (inputs[row, k] - mean)
        inverse = np.float32(1.0) / np.float32(math.sqrt(square * share + np.float32(_EPSILON)))
        for k in range(size):
            normal[row, k] = (inputs[row, k] - mean) * inverse * gain[k] + centre[k]
        moments[row, 0] = mean
        moments[row, 1] = inverse


@kernel
def _add_rectified(inputs: FloatArray, active: FloatArray, bias: FloatArray, out: FloatArray) -> None:
    """Turn products [R,H] into relu(product + bias), in place, and fill y."""
    zero = np.float32(0.0)
    for row in range(active.shape[0]):
        for k in range(bias.size):
            value = active[row, k] + bias[k]
            active[row, k] = max(value, zero)
        for k in range(bias.size):
            out[row, k] = inputs[row, k] + active[row, k]


@kernel
def _normalise_backward(
    inputs: FloatArray, moments: FloatArray, gain: FloatArray, grad_normal: FloatArray, grad_out: FloatArray,
    grad_inputs: FloatArray, grad_gain: FloatArray, grad_centre: FloatArray,
) -> None:  # fmt: skip
    """Fill dL/dx [R,H], what passes the block by included, and add to the gradients of g and c."""
    size = gain.size
    share = np.float32(1.0) / np.float32(size)
    standard, slope = np.empty(size, np.float32), np.empty(size, np.float32)
    for row in range(inputs.shape[0]):
        mean, inverse = moments[row, 0], moments[row, 1]
        for k in range(size):
            standard[k] = (inputs[row, k] - mean) * inverse
        for k in range(size):
            slope[k] = grad_normal[row, k] * gain[k]
        average, along = np.float32(0.0), np.float32(0.0)
        for k in range(size):
            average += slope[k]
            along += slope[k] * standard[k]
        average *= share
        along *= share
        for k in range(size):
            grad_inputs[row, k] = grad_out[row, k] + inverse * (slope[k] - average - standard[k] * along)
        for k in range(size):
            grad_gain[k] += grad_normal[row, k] * standard[k]
        for k in range(size):
            grad_centre[k] += grad_normal[row, k]


class _Residual(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, gain: Tensor, centre: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        normal, moments, out = torch.empty_like(inputs), torch.empty(len(inputs), 2), torch.empty_like(inputs)
        _normalise(*arrays(inputs, gain, centre, normal, moments))
        active = torch.mm(normal, weight.t())
        _add_rectified(*arrays(inputs, active, bias, out))
        ctx.save_for_backward(inputs, gain, weight, normal, moments, active)
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, ...]:
        inputs, gain, weight, normal, moments, active = ctx.saved_tensors
        grad, grad_inputs = torch.empty_like(active), torch.empty_like(active)
        grad_gain, grad_centre, grad_bias = torch.zeros(3, len(gain)).unbind()
        rectify_backward(*arrays(grad_out, active, grad, grad_bias))
        grad_weight = torch.mm(grad.t(), normal)
        grad_normal = torch.mm(grad, weight)
        _normalise_backward(*arrays(inputs, moments, gain, grad_normal, grad_out, grad_inputs, grad_gain, grad_centre))
        return grad_inputs, grad_gain, grad_centre, grad_weight, grad_bias


def residual(inputs: Tensor, gain: Tensor, centre: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return what `residual_reference` returns, by fused CPU kernels (float32), differentiable once."""
    return _Residual.apply(inputs.contiguous(), gain, centre, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
