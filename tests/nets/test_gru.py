"""The fused GRU beside its plain code and torch's own cell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from marl_meta.nets.gru import Gru, GruWeights, gru, gru_reference

WIDTH = 5
"""Of the inputs."""

Sequence = tuple[Tensor, Tensor, Tensor, GruWeights]
Run = Callable[[Tensor, Tensor, Tensor, GruWeights], Tensor]


def sequence(steps: int, rows: int, size: int, seed: int = 0) -> Sequence:
    """Return inputs, hidden, starts and weights."""
    torch.manual_seed(seed)
    starts = torch.rand(steps, rows) < 0.3
    weights = GruWeights(
        torch.randn(3 * size, WIDTH) / WIDTH**0.5,
        torch.randn(3 * size, size) / size**0.5,
        torch.randn(3 * size),
        torch.randn(3 * size),
    )
    inputs, hidden = torch.randn(steps, rows, WIDTH), torch.randn(rows, size)
    for tensor in (inputs, hidden, *weights):
        tensor.requires_grad_()
    return inputs, hidden, starts, weights


@pytest.mark.parametrize(("steps", "rows", "size"), [(1, 1, 1), (4, 3, 5), (9, 17, 32)])
def test_kernel_equals_reference(steps: int, rows: int, size: int) -> None:
    inputs, hidden, starts, weights = sequence(steps, rows, size)
    found, expected = (run(inputs, hidden, starts, weights) for run in (gru, gru_reference))
    torch.testing.assert_close(found, expected, atol=5e-6, rtol=0)
    slope = torch.randn_like(expected)
    learnt = [inputs, hidden, *weights]
    for one, other in zip(
        torch.autograd.grad((slope * found).sum(), learnt),
        torch.autograd.grad((slope * expected).sum(), learnt),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=5e-5, rtol=1e-4)


def test_gradient_of_the_last_state_alone() -> None:
    inputs, hidden, starts, weights = sequence(6, 4, 8)
    starts = torch.zeros_like(starts)
    found, expected = (
        torch.autograd.grad(run(inputs, hidden, starts, weights)[-1].sum(), [inputs, hidden, *weights])
        for run in (gru, gru_reference)
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=5e-5, rtol=1e-4)
    assert (found[1] != 0).all()  # it reaches back to the state before the first step


@pytest.mark.parametrize("run", [gru, gru_reference])
def test_equals_torch_cell(run: Run) -> None:
    layer, cell = Gru(5, 8), nn.GRUCell(5, 8)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    cell.load_state_dict(layer.state_dict())
    inputs, hidden = torch.randn(4, 3, 5, requires_grad=True), torch.randn(3, 8, requires_grad=True)
    starts = torch.tensor([[False, True, False], [False] * 3, [True, False, False], [False] * 3])
    states = run(inputs, hidden, starts, layer.weights())
    state, expected = hidden, []
    for step in range(4):
        state = cell(inputs[step], torch.where(starts[step][:, None], torch.zeros(()), state))
        expected.append(state)
    torch.testing.assert_close(states, torch.stack(expected), atol=5e-6, rtol=0)
    found = torch.autograd.grad(states.square().sum(), [inputs, hidden, *layer.parameters()])
    wanted = torch.autograd.grad(torch.stack(expected).square().sum(), [inputs, hidden, *cell.parameters()])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("run", [gru, gru_reference])
def test_a_start_forgets_everything_before_it(run: Run) -> None:
    inputs, hidden, _, weights = sequence(5, 2, 4)
    starts = torch.zeros(5, 2, dtype=torch.bool)
    starts[2, 0] = True
    states = run(inputs, hidden, starts, weights)
    other_past = torch.cat([inputs[:2] + 1, inputs[2:]])
    changed = run(other_past, hidden + 1, starts, weights)
    assert torch.equal(states[2:, 0], changed[2:, 0])
    assert not torch.isclose(states[2, 1], changed[2, 1]).all()
    afresh = run(inputs[2:], torch.zeros(2, 4), starts[2:], weights)
    torch.testing.assert_close(states[2:, 0], afresh[:, 0])
    back = torch.autograd.grad(states[2:, 0].sum(), [inputs, hidden])
    assert (back[0][:2, 0] == 0).all()
    assert (back[1][0] == 0).all()


@pytest.mark.parametrize("run", [gru, gru_reference])
def test_step_by_step_equals_the_whole_sequence(run: Run) -> None:
    inputs, _, starts, weights = sequence(6, 5, 4)
    whole = run(inputs, torch.zeros(5, 4), starts, weights)
    state = torch.zeros(5, 4)
    for step in range(6):
        state = run(inputs[step : step + 1], state, starts[step : step + 1], weights)[-1]
        torch.testing.assert_close(state, whole[step], atol=1e-6, rtol=0)


def test_kernel_refuses_what_it_cannot_do() -> None:
    inputs, hidden, starts, weights = sequence(3, 2, 4)
    with pytest.raises(TypeError, match="float32"):
        gru(inputs.double(), hidden.double(), starts, GruWeights(*(weight.double() for weight in weights)))
    with pytest.raises(ValueError, match="do not fit"):
        gru(inputs, hidden, starts[:-1], weights)
    with pytest.raises(ValueError, match="do not fit"):
        gru(inputs, hidden[:-1], starts, weights)
