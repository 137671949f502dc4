"""Each fused operator beside the tensor code that it replaces: what it returns, and its gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from marl_meta.nets.fold import Weights
from marl_meta.nets.operators import FUSED, PLAIN, operators_of

SIZES = [(1, 1, 1), (7, 5, 3), (130, 9, 64)]
"""Rows, inputs, hidden."""


def learnt(*shapes: Sequence[int]) -> list[Tensor]:
    """Return random tensors that want a gradient."""
    return [torch.randn(*shape, requires_grad=True) for shape in shapes]


def compare(fused: Callable[..., Any], plain: Callable[..., Any], inputs: Sequence[Tensor]) -> None:
    """Assert that both return equal tensors with equal gradients in all inputs that want one."""
    wanting = [tensor for tensor in inputs if tensor.requires_grad]
    results = []
    for run in (fused, plain):
        found = run(*inputs)
        outputs = [found] if isinstance(found, Tensor) else list(found)
        torch.manual_seed(1)
        loss = sum((torch.randn(output.shape) * output).sum() for output in outputs)
        results.append([*outputs, *torch.autograd.grad(loss, wanting, materialize_grads=True)])
    for one, other in zip(*results, strict=True):
        scale = max(1.0, float(other.detach().abs().max()))
        torch.testing.assert_close(one / scale, other / scale, atol=2e-6, rtol=1e-5)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("wants", [True, False])
@pytest.mark.parametrize(("rows", "width", "hidden"), SIZES)
def test_rectified(rows: int, width: int, hidden: int, wants: bool) -> None:
    inputs = torch.randn(rows, width, requires_grad=wants)
    compare(FUSED.rectified, PLAIN.rectified, [inputs, *learnt((hidden, width), (hidden,))])


@pytest.mark.parametrize(("rows", "_", "hidden"), SIZES)
def test_residual(rows: int, _: int, hidden: int) -> None:
    inputs = learnt((rows, hidden), (hidden,), (hidden,), (hidden, hidden), (hidden,))
    compare(FUSED.residual, PLAIN.residual, inputs)


def test_residual_of_rows_without_variance() -> None:
    _, *weights = learnt((1,), (4,), (4,), (4, 4), (4,))
    inputs = torch.full((3, 4), 2.0)
    torch.testing.assert_close(FUSED.residual(inputs, *weights), PLAIN.residual(inputs, *weights))


@pytest.mark.parametrize(("rows", "hidden", "actions"), [(1, 1, 1), (7, 5, 3), (130, 64, 5)])
def test_legal_logits(rows: int, hidden: int, actions: int) -> None:
    inputs, legal = learnt((rows, hidden), (actions, hidden), (actions,)), torch.rand(rows, actions) < 0.6
    found = FUSED.legal_logits(*inputs, legal)
    assert (found[~legal] == -1e9).all()
    compare(
        lambda *given: FUSED.legal_logits(*given, legal)[legal],
        lambda *given: PLAIN.legal_logits(*given, legal)[legal],
        inputs,
    )


@pytest.mark.parametrize(("rows", "_", "hidden"), SIZES)
def test_value(rows: int, _: int, hidden: int) -> None:
    inputs = learnt((rows, hidden), (hidden, hidden), (hidden,), (1, hidden), (1,))
    compare(FUSED.value, PLAIN.value, inputs)


@pytest.mark.parametrize(("heads", "depth", "node", "edge", "embedded", "receiver"), [
    (1, 1, 1, 1, 0, 1), (2, 3, 4, 2, 0, 5), (4, 16, 5, 17, 64, 64),
])  # fmt: skip
def test_fold(heads: int, depth: int, node: int, edge: int, embedded: int, receiver: int) -> None:
    hidden = heads * depth
    weights = learnt(
        (hidden, receiver), (hidden,), (hidden, node + embedded), (hidden, node + embedded), (hidden,),
        (hidden, edge), (hidden, receiver), (hidden,),
    )  # fmt: skip
    compare(
        lambda *given: FUSED.fold(Weights(*given), heads, node),
        lambda *given: PLAIN.fold(Weights(*given), heads, node),
        weights,
    )


def test_fused_operators_refuse_what_they_cannot_do() -> None:
    inputs = [tensor.double() for tensor in learnt((3, 4), (2, 4), (2,))]
    with pytest.raises(TypeError, match="float32"):
        FUSED.rectified(*inputs)


def test_plain_operators_can_be_differentiated_twice_and_mapped() -> None:
    rows, weight, bias = torch.randn(6, 3, 4), torch.randn(5, 4), torch.randn(5)

    def loss(weight: Tensor, rows: Tensor) -> Tensor:
        return operators_of("plain").rectified(rows, weight, bias).square().sum()

    found = torch.func.vmap(torch.func.hessian(loss), in_dims=(None, 0))(weight, rows)
    assert found.shape == (6, 5, 4, 5, 4)
    assert (found != 0).any()
