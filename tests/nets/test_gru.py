"""The fused GRU beside its plain code and torch's own cell."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from marl_meta.nets.gru import Gru, _tanh, gru, gru_reference
from marl_meta.types import FloatArray


def sequence(steps: int, rows: int, size: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Return gates, hidden, starts, weight and bias."""
    torch.manual_seed(seed)
    starts = torch.rand(steps, rows) < 0.3
    learnt = (
        torch.randn(steps, rows, 3 * size),
        torch.randn(rows, size),
        torch.randn(3 * size, size) / size**0.5,
        torch.randn(3 * size),
    )
    gates, hidden, weight, bias = (tensor.requires_grad_() for tensor in learnt)
    return gates, hidden, starts, weight, bias


@pytest.mark.parametrize(("steps", "rows", "size"), [(1, 1, 1), (4, 3, 5), (9, 17, 32)])
def test_kernel_equals_reference(steps: int, rows: int, size: int) -> None:
    gates, hidden, starts, weight, bias = sequence(steps, rows, size)
    found, expected = (run(gates, hidden, starts, weight, bias) for run in (gru, gru_reference))
    torch.testing.assert_close(found, expected, atol=5e-6, rtol=0)
    slope = torch.randn_like(expected)
    learnt = [gates, hidden, weight, bias]
    for one, other in zip(
        torch.autograd.grad((slope * found).sum(), learnt),
        torch.autograd.grad((slope * expected).sum(), learnt),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=5e-5, rtol=1e-4)


def test_gradient_of_the_last_state_alone() -> None:
    gates, hidden, starts, weight, bias = sequence(6, 4, 8)
    starts = torch.zeros_like(starts)
    found, expected = (
        torch.autograd.grad(run(gates, hidden, starts, weight, bias)[-1].sum(), [gates, hidden, weight, bias])
        for run in (gru, gru_reference)
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=5e-5, rtol=1e-4)
    assert (found[1] != 0).all()  # it reaches back to the state before the first step


@pytest.mark.parametrize("fused", [True, False])
def test_equals_torch_cell(fused: bool) -> None:
    layer, cell = Gru(5, 8), nn.GRUCell(5, 8)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    cell.load_state_dict(layer.state_dict())
    inputs, hidden = torch.randn(4, 3, 5, requires_grad=True), torch.randn(3, 8, requires_grad=True)
    starts = torch.tensor([[False, True, False], [False] * 3, [True, False, False], [False] * 3])
    states = layer(inputs, hidden, starts, fused)
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
def test_a_start_forgets_everything_before_it(run: object) -> None:
    gates, hidden, _, weight, bias = sequence(5, 2, 4)
    starts = torch.zeros(5, 2, dtype=torch.bool)
    starts[2, 0] = True
    states = run(gates, hidden, starts, weight, bias)  # type: ignore[operator]
    other_past = torch.cat([gates[:2] + 1, gates[2:]])
    changed = run(other_past, hidden + 1, starts, weight, bias)  # type: ignore[operator]
    assert torch.equal(states[2:, 0], changed[2:, 0])
    assert not torch.isclose(states[2, 1], changed[2, 1]).all()
    afresh = run(gates[2:], torch.zeros(2, 4), starts[2:], weight, bias)  # type: ignore[operator]
    torch.testing.assert_close(states[2:, 0], afresh[:, 0])
    back = torch.autograd.grad(states[2:, 0].sum(), [gates, hidden])
    assert (back[0][:2, 0] == 0).all()
    assert (back[1][0] == 0).all()


@pytest.mark.parametrize("fused", [True, False])
def test_step_by_step_equals_the_whole_sequence(fused: bool) -> None:
    layer = Gru(3, 4)
    inputs, starts = torch.randn(6, 5, 3), torch.rand(6, 5) < 0.3
    whole = layer(inputs, torch.zeros(5, 4), starts, fused)
    state = torch.zeros(5, 4)
    for step in range(6):
        state = layer(inputs[step : step + 1], state, starts[step : step + 1], fused)[-1]
        torch.testing.assert_close(state, whole[step], atol=1e-6, rtol=0)


def test_tanh_is_right_to_float32() -> None:
    @numba.njit
    def over(values: FloatArray, out: FloatArray) -> None:
        for index in range(values.size):
            out[index] = _tanh(values[index])

    values = np.concatenate([np.linspace(-12, 12, 200_001), [0.0, 1e-8, -1e-8, 1e30, -1e30, np.inf, -np.inf]])
    values = values.astype(np.float32)
    out = np.empty_like(values)
    over(values, out)
    exact = np.tanh(values.astype(np.float64))
    assert np.abs(out - exact).max() < 4.5e-7
    assert (out[values == 0] == 0).all()


def test_kernel_refuses_what_it_cannot_do() -> None:
    gates, hidden, starts, weight, bias = sequence(3, 2, 4)
    with pytest.raises(TypeError, match="float32"):
        gru(gates.double(), hidden, starts, weight, bias)
    with pytest.raises(ValueError, match="do not fit"):
        gru(gates, hidden, starts[:-1], weight, bias)
    with pytest.raises(ValueError, match="do not fit"):
        gru(gates, hidden[:-1], starts, weight, bias)
