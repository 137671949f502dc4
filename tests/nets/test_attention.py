"""The fused attention kernel beside the plain code that it replaces."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from marl_meta.nets.attention import relational_attention, relational_attention_reference
from marl_meta.nets.fold import Maps

SHAPES = [(1, 1, 1, 1), (7, 2, 5, 3), (33, 4, 9, 31), (5, 3, 40, 17)]
"""Receivers, heads, senders, features."""


Result = tuple[Tensor, Tensor]
HIDDEN, RECEIVER = 6, 5


def plain_maps(projection: Tensor) -> Maps:
    """Return maps that take receivers for projections, skip nothing and spread what is attended to as it is."""
    size = projection[0].numel()
    same, nothing = torch.eye(size).to(projection), projection.new_zeros(size, size)
    return Maps(torch.cat([same, nothing]), projection.new_zeros(2 * size), same)


def fused(projection: Tensor, features: Tensor, mask: Tensor, bias: Tensor | None = None) -> Result:
    """Return the features attended to [M,L,F] and the weights [M,L,E], by the kernels."""
    maps = plain_maps(projection)
    out, weights = relational_attention(projection.flatten(1), features, mask, maps, bias)
    return out.view(projection.shape), weights


def reference(projection: Tensor, features: Tensor, mask: Tensor, bias: Tensor | None = None) -> Result:
    """Return the same in plain tensor code."""
    maps = plain_maps(projection)
    out, weights = relational_attention_reference(projection.flatten(1), features, mask, maps, bias)
    return out.view(projection.shape), weights


def inputs(
    shape: tuple[int, int, int, int], biased: bool, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    rows, heads, senders, width = shape
    torch.manual_seed(seed)
    mask = torch.rand(rows, senders) < 0.6
    mask[0] = False  # a receiver without senders
    bias = torch.randn(rows, heads, senders).requires_grad_() if biased else None
    return torch.randn(rows, heads, width).requires_grad_(), torch.randn(rows, senders, width), mask, bias


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_kernel_equals_reference(shape: tuple[int, int, int, int], biased: bool) -> None:
    projection, features, mask, bias = inputs(shape, biased)
    found = fused(projection, features, mask, bias)
    expected = reference(projection, features, mask, bias)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    learnt = [tensor for tensor in (projection, bias) if tensor is not None]
    # Both outputs take part in the loss, each with weights of its own.
    weights = [torch.randn_like(output) for output in expected]
    gradients = [
        torch.autograd.grad(sum((w * o).sum() for w, o in zip(weights, outputs, strict=True)), learnt)
        for outputs in (found, expected)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_its_maps_are_applied_and_learn(shape: tuple[int, int, int, int], biased: bool) -> None:
    _, features, mask, bias = inputs(shape, biased)
    rows, heads, _, width = shape
    receivers = torch.randn(rows, RECEIVER, requires_grad=True)
    joint = heads * width + HIDDEN
    tensors = torch.randn(joint, RECEIVER), torch.randn(joint), torch.randn(heads * width, HIDDEN)
    maps = Maps(*(0.3 * tensor for tensor in tensors))
    learnt = [tensor.requires_grad_() for tensor in (receivers, *maps)] + ([] if bias is None else [bias])
    found = relational_attention(receivers, features, mask, maps, bias)
    expected = relational_attention_reference(receivers, features, mask, maps, bias)
    weights = [torch.randn_like(output) for output in expected]
    gradients = []
    for outputs in (found, expected):
        loss = sum((w * o).sum() for w, o in zip(weights, outputs, strict=True))
        gradients.append((*outputs, *torch.autograd.grad(loss, learnt)))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("used", [0, 1])
def test_gradient_where_only_one_output_is_used(used: int) -> None:
    projection, features, mask, bias = inputs((6, 2, 5, 4), biased=True)
    assert bias is not None
    weight = torch.randn_like(reference(projection, features, mask, bias)[used])
    found, expected = (
        torch.autograd.grad((weight * attend(projection, features, mask, bias)[used]).sum(), [projection, bias])
        for attend in (fused, reference)
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attend", [fused, reference])
def test_by_hand(attend: object) -> None:
    # One head, three senders of which one is blocked: scores 1 and 1 + log 3, so weights 1/4 and 3/4.
    projection = torch.tensor([[[1.0, 0.0]]])
    features = torch.tensor([[[1.0, 8.0], [1.0 + math.log(3.0), 4.0], [50.0, 100.0]]])
    mask = torch.tensor([[True, True, False]])
    out, weights = attend(projection, features, mask)  # type: ignore[operator]
    torch.testing.assert_close(weights, torch.tensor([[[0.25, 0.75, 0.0]]]))
    torch.testing.assert_close(out[0, 0, 1], torch.tensor(0.25 * 8 + 0.75 * 4))


@pytest.mark.parametrize("attend", [fused, reference])
def test_a_receiver_without_senders_gets_zeros_and_no_gradient(attend: object) -> None:
    projection = torch.randn(2, 2, 3, requires_grad=True)
    features, mask = torch.randn(2, 4, 3), torch.tensor([[False] * 4, [True] * 4])
    out, weights = attend(projection, features, mask)  # type: ignore[operator]
    assert (out[0] == 0).all()
    assert (weights[0] == 0).all()
    torch.testing.assert_close(weights[1].sum(-1), torch.ones(2))
    gradient = torch.autograd.grad((out**2).sum(), projection)[0]
    assert (gradient[0] == 0).all()
    assert torch.isfinite(gradient).all()


def test_blocked_senders_do_not_matter_at_all() -> None:
    projection, features, mask, _ = inputs((9, 2, 6, 4), biased=False)
    before = fused(projection, features, mask)
    changed = torch.where(mask[..., None], features, torch.tensor(math.nan))
    after = fused(projection, changed, mask)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other)


def test_large_scores_do_not_overflow() -> None:
    projection, features, mask, _ = inputs((9, 2, 6, 4), biased=False)
    out, weights = fused(projection * 1e4, features, mask)
    assert torch.isfinite(out).all()
    assert torch.isfinite(weights).all()


def test_kernel_refuses_what_it_cannot_do() -> None:
    projection, features, mask, _ = inputs((3, 2, 5, 4), biased=False)
    with pytest.raises(TypeError, match="float32"):
        fused(projection.double(), features, mask)
    with pytest.raises(ValueError, match="do not fit"):
        fused(projection, features, mask[:, :-1])
    with pytest.raises(ValueError, match="do not fit"):
        fused(projection[0], features, mask)


def test_not_contiguous_arguments() -> None:
    projection, features, mask, _ = inputs((8, 2, 6, 4), biased=False)
    turned = features.transpose(1, 2).contiguous().transpose(1, 2)
    every_other = mask.repeat_interleave(2, 1)[:, ::2]
    for one, other in zip(
        fused(projection, turned, every_other),
        fused(projection, features, mask),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_same_numbers_every_time() -> None:
    projection, features, mask, bias = inputs((64, 4, 9, 31), biased=True)
    first = fused(projection, features, mask, bias)[0].detach().numpy().copy()
    for _ in range(3):
        np.testing.assert_array_equal(first, fused(projection, features, mask, bias)[0].detach().numpy())
