"""The maps of the dense message-passing layer, made from TransformerConv's weights.

With L heads of depth D, K_l [D,F] the key's and the edge's weights on a sender's features, V_l [D,F] the value's and
the edge's, Q_l [D,I] and q_l [D] the query's, S [H,I] and s [H] the skip's:

    into = [K_l^T Q_l / sqrt(D) for each l; S] [L F + H, I]          offset = [K_l^T q_l / sqrt(D) for each l; s]
    spread = blockdiag(V_l^T) [L F, H]

so that receivers x give projections and skips by x into^T + offset, and attended features a give messages by a spread.
The first feature of every sender is one: its attended value is the sum of the weights (1, or 0 for a receiver without
senders), so the bias of the values rides on it. What keys and values make of embeddings is not part of this.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from marl_meta.kernels import kernel
from marl_meta.nets.arrays import arrays
from marl_meta.types import FloatArray


class Weights(NamedTuple):
    """TransformerConv's weights, in its own names and shapes; senders' first `node` columns are features."""

    query: Tensor
    query_bias: Tensor
    key: Tensor
    value: Tensor
    value_bias: Tensor
    edge: Tensor
    skip: Tensor
    skip_bias: Tensor


class Maps(NamedTuple):
    """What a layer multiplies by."""

    into: Tensor
    """[L F + H, I] receivers -> projections and skips."""
    offset: Tensor
    """[L F + H]."""
    spread: Tensor
    """[L F, H] attended features -> messages."""


def fold_reference(weights: Weights, heads: int, node: int) -> Maps:
    """Return the maps, in plain tensor code."""
    query, query_bias, key, value, value_bias, edge, skip, skip_bias = weights
    depth = len(query) // heads
    scale = 1.0 / math.sqrt(depth)
    keys = torch.cat([key[:, :node], edge], 1).view(heads, depth, -1)
    projection = torch.einsum("ldf,ldi->lfi", keys, query.view(heads, depth, -1)).flatten(0, 1) * scale
    offset = torch.einsum("ldf,ld->lf", keys, query_bias.view(heads, depth)).flatten() * scale
    values = torch.cat([value[:, :node], edge], 1)
    values = torch.cat([(values[:, 0] + value_bias)[:, None], values[:, 1:]], 1)
    spread = torch.block_diag(*values.view(heads, depth, -1)).t()
    return Maps(torch.cat([projection, skip]), torch.cat([offset, skip_bias]), spread)


@kernel
def _fold(
    weights: tuple[FloatArray, ...], heads: int, node: int, into: FloatArray, offset: FloatArray, spread: FloatArray
) -> None:
    """Add to `into`, `offset` and `spread`, which come in as zeros."""
    query, query_bias, key, value, value_bias, edge, skip, skip_bias = weights
    depth, width = len(query) // heads, node + edge.shape[1]
    scale = np.float32(1.0 / math.sqrt(depth))
    for row in range(len(query)):
        first = row // depth * width
        for f in range(width):
            weight = scale * (key[row, f] if f < node else edge[row, f - node])
            for i in range(query.shape[1]):
                into[first + f, i] += weight * query[row, i]
            offset[first + f] += weight * query_bias[row]
            spread[first + f, row] = value[row, f] if f < node else edge[row, f - node]
        spread[first, row] += value_bias[row]
        into[heads * width + row] = skip[row]
        offset[heads * width + row] = skip_bias[row]


@kernel
def _fold_backward(
    weights: tuple[FloatArray, ...], heads: int, node: int, grad_into: FloatArray, grad_offset: FloatArray,
    grad_spread: FloatArray, grads: tuple[FloatArray, ...],
) -> None:  # fmt: skip
    """Add to the gradients of the weights, which come in as zeros."""
    query, query_bias, key, _, _, edge, _, _ = weights
    grad_query, grad_query_bias, grad_key, grad_value, grad_value_bias, grad_edge, grad_skip, grad_skip_bias = grads
    depth, width = len(query) // heads, node + edge.shape[1]
    scale = np.float32(1.0 / math.sqrt(depth))
    for row in range(len(query)):
        first = row // depth * width
        for f in range(width):
            weight = scale * (key[row, f] if f < node else edge[row, f - node])
            slope = grad_offset[first + f] * query_bias[row]
            grad_query_bias[row] += weight * grad_offset[first + f]
            for i in range(query.shape[1]):
                grad_query[row, i] += weight * grad_into[first + f, i]
            for i in range(query.shape[1]):
                slope += query[row, i] * grad_into[first + f, i]
            if f < node:
                grad_key[row, f] = scale * slope
                grad_value[row, f] = grad_spread[first + f, row]
            else:
                grad_edge[row, f - node] = scale * slope + grad_spread[first + f, row]
        grad_value_bias[row] = grad_spread[first, row]
        grad_skip[row] = grad_into[heads * width + row]
        grad_skip_bias[row] = grad_offset[heads * width + row]


class _Fold(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, heads: int, node: int, *weights: Tensor) -> tuple[Tensor, ...]:
        query, edge = weights[0], weights[5]
        hidden, receiver = query.shape
        projections = heads * (node + edge.shape[1])
        maps = (
            torch.zeros(projections + hidden, receiver),
            torch.zeros(projections + hidden),
            torch.zeros(projections, hidden),
        )
        _fold(arrays(*weights), heads, node, *arrays(*maps))
        ctx.save_for_backward(*weights)
        ctx.sizes = heads, node
        return maps

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        weights = ctx.saved_tensors
        heads, node = ctx.sizes
        grads = tuple(torch.zeros_like(weight) for weight in weights)
        grad_into, grad_offset, grad_spread = arrays(*slopes)
        _fold_backward(arrays(*weights), heads, node, grad_into, grad_offset, grad_spread, arrays(*grads))
        return None, None, *grads


def fold(weights: Weights, heads: int, node: int) -> Maps:
    """Return what `fold_reference` returns, by CPU kernels (float32), differentiable once."""
    return Maps(*_Fold.apply(heads, node, *weights))  # type: ignore[no-untyped-call]
