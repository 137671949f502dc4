"""Attention over the small dense graph around each agent, without a key or value per edge.

A sender j shows receiver i only raw features f_ij (its kind, what it is worth, where it is relative to i), and keys,
values and edge terms are linear in them. So with q_i the query of a head, and W_k, W_v its maps,

    score_ij = q_i . (W_k f_ij) / sqrt(D) = (W_k^T q_i / sqrt(D)) . f_ij = p_i . f_ij        [F] instead of [E,D]
    message_i = sum_j a_ij (W_v f_ij)     = W_v (sum_j a_ij f_ij)       = W_v s_i

What is left in the middle, (p, f) -> s, is this file: `relational_attention`, forward and backward each one pass over
memory. `relational_attention_reference` is the same function in plain tensor code: the one to differentiate twice, to
run on a GPU, and to test the kernels against. Senders that carry a learnt embedding besides (agents, in deeper layers)
enter through an additive score and are read back from the weights, so nothing here knows of them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from marl_meta.kernels import kernel
from marl_meta.types import BoolArray, FloatArray


def relational_attention_reference(
    projection: Tensor, features: Tensor, mask: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the attended features [M,L,F] and the attention weights [M,L,E].

    `projection` [M,L,F] is W_k^T q / sqrt(D) of each of L heads, `features` [M,E,F], `mask` bool [M,E] says who is a
    sender, `bias` [M,L,E] is added to the scores. A receiver without any sender gets zeros.
    """
    scores = torch.einsum("mlf,mef->mle", projection, features)
    if bias is not None:
        scores = scores + bias
    blocked = ~mask[:, None, :]
    scores = scores.masked_fill(blocked, -math.inf)
    alone = ~mask.any(dim=1)[:, None, None]
    weights = torch.softmax(scores.masked_fill(alone, 0.0), dim=-1).masked_fill(blocked, 0.0)
    return torch.einsum("mle,mef->mlf", weights, features), weights


@kernel
def _forward(
    projection: FloatArray,
    features: FloatArray,
    mask: BoolArray,
    bias: FloatArray,
    out: FloatArray,
    weights: FloatArray,
) -> None:
    rows, heads, width = projection.shape
    senders = features.shape[1]
    for row in range(rows):
        for head in range(heads):
            largest = np.float32(-np.inf)
            for sender in range(senders):
                score = np.float32(-np.inf)
                if mask[row, sender]:
                    score = bias[row, head, sender] if bias.size else np.float32(0.0)
                    for k in range(width):
                        score += projection[row, head, k] * features[row, sender, k]
                    largest = max(largest, score)
                weights[row, head, sender] = score
            total = np.float32(0.0)
            for sender in range(senders):
                weight = np.float32(0.0)
                if mask[row, sender]:
                    weight = np.float32(math.exp(weights[row, head, sender] - largest))
                weights[row, head, sender] = weight
                total += weight
            scale = np.float32(1.0) / total if total > 0 else np.float32(0.0)
            for k in range(width):
                out[row, head, k] = 0.0
            for sender in range(senders):
                if mask[row, sender]:
                    weight = weights[row, head, sender] * scale
                    weights[row, head, sender] = weight
                    for k in range(width):
                        out[row, head, k] += weight * features[row, sender, k]


@kernel
def _backward(
    features: FloatArray,
    mask: BoolArray,
    weights: FloatArray,
    grad_out: FloatArray,
    grad_weights: FloatArray,
    grad_projection: FloatArray,
    grad_bias: FloatArray,
) -> None:
    rows, heads, width = grad_out.shape
    senders = features.shape[1]
    for row in range(rows):
        slope = np.empty(senders, np.float32)
        for head in range(heads):
            average = np.float32(0.0)
            for sender in range(senders):
                value = np.float32(0.0)
                if mask[row, sender]:
                    value = grad_weights[row, head, sender] if grad_weights.size else np.float32(0.0)
                    for k in range(width):
                        value += grad_out[row, head, k] * features[row, sender, k]
                    average += weights[row, head, sender] * value
                slope[sender] = value
            for k in range(width):
                grad_projection[row, head, k] = 0.0
            for sender in range(senders):
                value = np.float32(0.0)
                if mask[row, sender]:
                    value = weights[row, head, sender] * (slope[sender] - average)
                    for k in range(width):
                        grad_projection[row, head, k] += value * features[row, sender, k]
                if grad_bias.size:
                    grad_bias[row, head, sender] = value


_NOTHING = np.empty((0, 0, 0), np.float32)


def _array(tensor: Tensor | None) -> Any:
    return _NOTHING if tensor is None else tensor.detach().contiguous().numpy()


class _RelationalAttention(torch.autograd.Function):
    """The kernels as one differentiable function; `features` are inputs of the graph and get no gradient."""

    @staticmethod
    def forward(
        ctx: Any, projection: Tensor, features: Tensor, mask: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        rows, heads, width = projection.shape
        out = torch.empty(rows, heads, width)
        weights = torch.empty(rows, heads, features.shape[1])
        _forward(_array(projection), _array(features), _array(mask), _array(bias), out.numpy(), weights.numpy())
        ctx.save_for_backward(features, mask, weights)
        ctx.has_bias = bias is not None
        ctx.set_materialize_grads(False)
        return out, weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        features, mask, weights = ctx.saved_tensors
        grad_out, grad_weights = grads
        rows, heads, senders = weights.shape
        if grad_out is None:
            grad_out = torch.zeros(rows, heads, features.shape[2])
        grad_projection = torch.empty(rows, heads, features.shape[2])
        grad_bias = torch.empty(rows, heads, senders) if ctx.has_bias else None
        _backward(
            _array(features),
            _array(mask),
            weights.numpy(),
            _array(grad_out),
            _array(grad_weights),
            grad_projection.numpy(),
            _array(grad_bias) if grad_bias is None else grad_bias.numpy(),
        )
        return grad_projection, None, None, grad_bias


def relational_attention(
    projection: Tensor, features: Tensor, mask: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return what `relational_attention_reference` returns, by one fused CPU kernel (float32).

    Differentiable once, in `projection` and `bias`.
    """
    if projection.dtype != torch.float32 or projection.device.type != "cpu":
        raise TypeError(f"the fused kernel takes float32 on the CPU, not {projection.dtype} on {projection.device}")
    if projection.dim() != 3 or features.dim() != 3 or mask.shape != features.shape[:2]:
        raise ValueError(f"shapes {tuple(projection.shape)}, {tuple(features.shape)}, {tuple(mask.shape)} do not fit")
    return _RelationalAttention.apply(projection, features, mask, bias)  # type: ignore[no-any-return, no-untyped-call]
