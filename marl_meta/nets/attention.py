"""Attention over the small dense graph around each agent, without a key or value per edge.

A sender j shows receiver i only raw features f_ij (its kind, what it is worth, where it is relative to i), and keys,
values and edge terms are linear in them. So with x_i the receiver, q_i the query of a head, and W_k, W_v its maps,

    score_ij = q_i . (W_k f_ij) / sqrt(D) = (W_k^T q_i / sqrt(D)) . f_ij = p_i . f_ij        [F] instead of [E,D]
    message_i = sum_j a_ij (W_v f_ij)     = W_v (sum_j a_ij f_ij)       = W_v s_i
    out_i = W_s x_i + message_i

p_i and W_s x_i are linear in x_i, so one matrix product gives both, and another turns s_i into messages (`nets.fold`
makes the two matrices). What is left in the middle, p -> s, is one pass over memory, forward and backward.
`relational_attention_reference` is the same function in plain tensor code: the one to differentiate twice, to run on a
GPU, and to test the kernels against. Senders that carry a learnt embedding besides (agents, in deeper layers) enter
through an additive score and are read back from the weights, so nothing here knows of them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from marl_meta.kernels import exp, kernel
from marl_meta.nets.arrays import arrays
from marl_meta.nets.fold import Maps
from marl_meta.types import BoolArray, FloatArray


def relational_attention_reference(
    receivers: Tensor, features: Tensor, mask: Tensor, maps: Maps, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the receivers' new embeddings [M,H] and the attention weights [M,L,E] of L heads.

    `receivers` [M,I], `features` [M,E,F], `mask` bool [M,E] says who is a sender, `bias` [M,L,E] is added to the
    scores. A receiver without any sender gets zeros for messages.
    """
    width, hidden = maps.spread.shape
    projection, skip = torch.nn.functional.linear(receivers, maps.into, maps.offset).split([width, hidden], -1)
    scores = torch.einsum("mlf,mef->mle", projection.unflatten(-1, (-1, features.shape[-1])), features)
    if bias is not None:
        scores = scores + bias
    blocked = ~mask[:, None, :]
    scores = scores.masked_fill(blocked, -math.inf)
    alone = ~mask.any(dim=1)[:, None, None]
    weights = torch.softmax(scores.masked_fill(alone, 0.0), dim=-1).masked_fill(blocked, 0.0)
    attended = torch.einsum("mle,mef->mlf", weights, features).flatten(1)
    return skip + attended @ maps.spread, weights


@kernel
def _score(
    row: int, joint: FloatArray, features: FloatArray, mask: BoolArray, bias: FloatArray, weights: FloatArray
) -> None:
    """Fill the row's weights [L E] with its scores, less the largest of each head; 0 where there is no sender."""
    _, senders, width = features.shape
    for head in range(weights.shape[1] // senders):
        largest = np.float32(-np.inf)
        for sender in range(senders):
            if mask[row, sender]:
                score = bias[row, head, sender] if bias.size else np.float32(0.0)
                for k in range(width):
                    score += joint[row, head * width + k] * features[row, sender, k]
                largest = max(largest, score)
                weights[row, head * senders + sender] = score
        for sender in range(senders):
            place = head * senders + sender
            weights[row, place] = weights[row, place] - largest if mask[row, sender] else np.float32(0.0)


@kernel
def _average(row: int, features: FloatArray, mask: BoolArray, weights: FloatArray, attended: FloatArray) -> None:
    """Make the row's weights sum to one in each head, and fill the features attended to [L F]."""
    _, senders, width = features.shape
    for k in range(attended.shape[1]):
        attended[row, k] = 0.0
    for head in range(weights.shape[1] // senders):
        total = np.float32(0.0)
        for sender in range(senders):
            if mask[row, sender]:
                total += weights[row, head * senders + sender]
        scale = np.float32(1.0) / total
        for sender in range(senders):
            weight = np.float32(0.0)
            if mask[row, sender]:
                weight = weights[row, head * senders + sender] * scale
                for k in range(width):
                    attended[row, head * width + k] += weight * features[row, sender, k]
            weights[row, head * senders + sender] = weight


@kernel
def _forward(
    joint: FloatArray, offset: FloatArray, features: FloatArray, mask: BoolArray, bias: FloatArray,
    attended: FloatArray, weights: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    """Fill what is attended to [M,L F], the weights [M,L E], and `out` [M,H] with the skips.

    `joint` [M,L F + H] has the products of receivers and `into`, and is left with their offset added.
    """
    first_skip = attended.shape[1]
    for row in range(len(joint)):
        for k in range(offset.size):
            joint[row, k] += offset[k]
        for k in range(out.shape[1]):
            out[row, k] = joint[row, first_skip + k]
        _score(row, joint, features, mask, bias, weights)
        for place in range(weights.shape[1]):
            weights[row, place] = exp(weights[row, place])
        _average(row, features, mask, weights, attended)


@kernel
def _score_backward(
    row: int, features: FloatArray, mask: BoolArray, weights: FloatArray, grad_attended: FloatArray,
    grad_weights: FloatArray, grad_joint: FloatArray, grad_bias: FloatArray, slope: FloatArray,
) -> None:  # fmt: skip
    """Add to the gradient of the row's projections and fill that of its scores' bias; `slope` [E] is scratch."""
    _, senders, width = features.shape
    for head in range(weights.shape[1] // senders):
        average = np.float32(0.0)
        for sender in range(senders):
            slope[sender] = 0.0
            if mask[row, sender]:
                value = grad_weights[row, head, sender] if grad_weights.size else np.float32(0.0)
                for k in range(width):
                    value += grad_attended[row, head * width + k] * features[row, sender, k]
                average += weights[row, head * senders + sender] * value
                slope[sender] = value
        for sender in range(senders):
            value = weights[row, head * senders + sender] * (slope[sender] - average)
            if mask[row, sender]:
                for k in range(width):
                    grad_joint[row, head * width + k] += value * features[row, sender, k]
            if grad_bias.size:
                grad_bias[row, head, sender] = value


@kernel
def _backward(
    features: FloatArray, mask: BoolArray, weights: FloatArray, grad_attended: FloatArray, grad_weights: FloatArray,
    grad_out: FloatArray, grad_joint: FloatArray, grad_offset: FloatArray, grad_bias: FloatArray,
) -> None:  # fmt: skip
    """Fill the gradients of `joint` [M,L F + H] and of the scores' bias, and add to that of the offset."""
    first_skip = grad_attended.shape[1]
    slope = np.empty(features.shape[1], np.float32)
    for row in range(len(features)):
        for k in range(first_skip):
            grad_joint[row, k] = 0.0
        for k in range(grad_out.shape[1]):
            grad_joint[row, first_skip + k] = grad_out[row, k]
        _score_backward(row, features, mask, weights, grad_attended, grad_weights, grad_joint, grad_bias, slope)
        for k in range(grad_offset.size):
            grad_offset[k] += grad_joint[row, k]


_NOTHING = torch.empty(0, 0, 0)


class _RelationalAttention(torch.autograd.Function):
    """The kernels as one differentiable function; `features` are inputs of the graph and get no gradient."""

    @staticmethod
    def forward(
        ctx: Any, receivers: Tensor, features: Tensor, mask: Tensor, into: Tensor, offset: Tensor, spread: Tensor,
        bias: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        rows, senders, width = features.shape
        heads = len(spread) // width
        joint = torch.mm(receivers, into.t())
        attended, out = torch.empty(rows, len(spread)), torch.empty(rows, spread.shape[1])
        weights = torch.empty(rows, heads * senders)
        _forward(*arrays(joint, offset, features, mask, bias, attended, weights, out))
        out.addmm_(attended, spread)
        ctx.save_for_backward(receivers, features, mask, into, spread, attended, weights)
        ctx.has_bias = bias.numel() > 0
        ctx.set_materialize_grads(False)
        return out, weights.view(rows, heads, senders)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        receivers, features, mask, into, spread, attended, weights = ctx.saved_tensors
        rows, senders, width = features.shape
        grad_out, grad_weights = grads
        if grad_out is None:
            grad_out = torch.zeros(rows, spread.shape[1])
        grad_attended = torch.mm(grad_out, spread.t())
        grad_joint, grad_offset = torch.empty(rows, len(into)), torch.zeros(len(into))
        grad_bias = torch.empty(rows, len(spread) // width, senders) if ctx.has_bias else _NOTHING
        if grad_weights is None:
            grad_weights = _NOTHING
        _backward(
            *arrays(features, mask, weights, grad_attended, grad_weights, grad_out, grad_joint, grad_offset, grad_bias)
        )
        grad_receivers = torch.mm(grad_joint, into) if ctx.needs_input_grad[0] else None
        grad_into, grad_spread = torch.mm(grad_joint.t(), receivers), torch.mm(attended.t(), grad_out)
        return grad_receivers, None, None, grad_into, grad_offset, grad_spread, grad_bias if ctx.has_bias else None


def relational_attention(
    receivers: Tensor, features: Tensor, mask: Tensor, maps: Maps, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return what `relational_attention_reference` returns, by fused CPU kernels (float32).

    Differentiable once, in all but `features`.
    """
    if receivers.dim() != 2 or features.dim() != 3 or mask.shape != features.shape[:2] or len(receivers) != len(mask):
        raise ValueError(f"shapes {tuple(receivers.shape)}, {tuple(features.shape)}, {tuple(mask.shape)} do not fit")
    return _RelationalAttention.apply(  # type: ignore[no-any-return, no-untyped-call]
        receivers, features, mask, *maps, _NOTHING if bias is None else bias
    )
