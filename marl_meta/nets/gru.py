"""A gated recurrent unit over whole sequences, with episode boundaries inside them.

The equations and the layout of the weights are torch.nn.GRUCell's (Cho et al. 2014):

    r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)        z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
    n = tanh(W_in x + b_in + r (W_hn h + b_hn))       h' = (1 - z) n + z h

All input products are one matrix product over all steps, what lies between two products of the recurrence is one
kernel, and the gradients of the weights are one matrix product again. `gru_reference` is the same in plain tensor
code: for second derivatives, for GPUs, and to test against.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from marl_meta.kernels import kernel, tanh
from marl_meta.nets.arrays import arrays
from marl_meta.types import FloatArray


class GruWeights(NamedTuple):
    """The parameters, in torch.nn.GRUCell's names and shapes."""

    weight_ih: Tensor
    """[3H,I]."""
    weight_hh: Tensor
    """[3H,H]."""
    bias_ih: Tensor
    """[3H]."""
    bias_hh: Tensor
    """[3H]."""


def gru_reference(inputs: Tensor, hidden: Tensor, starts: Tensor, weights: GruWeights) -> Tensor:
    """Return the states [T,M,H] after each step.

    `inputs` are [T,M,I], `hidden` [M,H] is the state before the first step, `starts` bool [T,M] says where an episode
    starts, before which the state is cleared.
    """
    linear = torch.nn.functional.linear
    states = []
    for step, gates in enumerate(linear(inputs, weights.weight_ih, weights.bias_ih)):
        hidden = hidden * (~starts[step])[:, None]
        r_in, z_in, n_in = gates.chunk(3, dim=-1)
        r_hidden, z_hidden, n_hidden = linear(hidden, weights.weight_hh, weights.bias_hh).chunk(3, dim=-1)
        reset, update = torch.sigmoid(r_in + r_hidden), torch.sigmoid(z_in + z_hidden)
        new = torch.tanh(n_in + reset * n_hidden)
        hidden = new + update * (hidden - new)
        states.append(hidden)
    return torch.stack(states)


# The kernels go over each row in short loops of few arrays: the compiler can prove those free of overlap and vectorise
# them, where one loop over everything stays scalar (5 times slower).


@kernel
def _step(
    step: int, gates: FloatArray, recurrent: FloatArray, bias_ih: FloatArray, bias_hh: FloatArray, keep: FloatArray,
    before: FloatArray, saved: FloatArray, states: FloatArray,
) -> None:  # fmt: skip
    """Fill `states[step]` [M,H], `saved[step]` [M,3H] with r, z and n, and `before` of the next step.

    `gates` and `recurrent` have the products W x and W h alone; for n, `recurrent` is left with its bias added.
    """
    rows, size = states.shape[1], states.shape[2]
    half = np.float32(0.5)
    new_bias, new_hidden_bias = bias_ih[2 * size :], bias_hh[2 * size :]
    for row in range(rows):
        gate_in, gate_hidden, gate = gates[step, row], recurrent[step, row], saved[step, row]
        for k in range(2 * size):
            gate[k] = half * tanh(half * (gate_in[k] + gate_hidden[k] + bias_ih[k] + bias_hh[k])) + half
        reset, update, new = gate[:size], gate[size : 2 * size], gate[2 * size :]
        new_in, new_hidden = gate_in[2 * size :], gate_hidden[2 * size :]
        for k in range(size):
            new_hidden[k] += new_hidden_bias[k]
        for k in range(size):
            new[k] = tanh(new_in[k] + new_bias[k] + reset[k] * new_hidden[k])
        old, state = before[step, row], states[step, row]
        for k in range(size):
            state[k] = new[k] + update[k] * (old[k] - new[k])
        if step + 1 < states.shape[0]:
            following, kept = before[step + 1, row], keep[step + 1, row]
            for k in range(size):
                following[k] = state[k] * kept


@kernel
def _step_backward(  # noqa: PLR0913 (arrays that exist once a sequence)
    step: int, grad_states: FloatArray, saved: FloatArray, recurrent: FloatArray, keep: FloatArray, before: FloatArray,
    grad_gates: FloatArray, grad_recurrent: FloatArray, grad_bias: FloatArray, grad_hidden: FloatArray,
    scratch: FloatArray,
) -> None:  # fmt: skip
    """Fill the gradients of both gate inputs [M,3H], and turn `grad_hidden` [M,H] into the direct part of dL/dh.

    dL/dh' has two parts: the step's own output's, and what `grad_hidden` brings back from the step after it, before
    that step's episode start is accounted for. The sums over rows of both gate inputs' gradients are added to
    `grad_bias` [2,3H]. Indexing whole arrays is what vectorises here, not rows of them.
    """
    steps, rows, size = grad_states.shape
    one = np.float32(1.0)
    slope, of_new = scratch[0], scratch[1]
    for row in range(rows):
        kept = keep[step + 1, row] if step + 1 < steps else np.float32(0.0)
        for k in range(size):
            slope[k] = grad_states[step, row, k] + kept * grad_hidden[row, k]
        for k in range(size):
            new = saved[step, row, 2 * size + k]
            of_new[k] = slope[k] * (one - saved[step, row, size + k]) * (one - new * new)
        for k in range(size):
            update = saved[step, row, size + k]
            change = before[step, row, k] - saved[step, row, 2 * size + k]
            grad_gates[step, row, size + k] = slope[k] * change * update * (one - update)
        for k in range(size):
            reset = saved[step, row, k]
            grad_gates[step, row, k] = of_new[k] * recurrent[step, row, 2 * size + k] * reset * (one - reset)
        for k in range(2 * size):
            grad_recurrent[step, row, k] = grad_gates[step, row, k]
        for k in range(size):
            grad_gates[step, row, 2 * size + k] = of_new[k]
        for k in range(size):
            grad_recurrent[step, row, 2 * size + k] = of_new[k] * saved[step, row, k]
        for k in range(size):
            grad_hidden[row, k] = slope[k] * saved[step, row, size + k]
        for k in range(3 * size):
            grad_bias[0, k] += grad_gates[step, row, k]
        for k in range(3 * size):
            grad_bias[1, k] += grad_recurrent[step, row, k]


class _Gru(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, hidden: Tensor, starts: Tensor, *weights: Tensor) -> Tensor:
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        steps, rows, size = *starts.shape, hidden.shape[1]
        gates = torch.mm(inputs.flatten(0, 1), weight_ih.t()).view(steps, rows, 3 * size)
        keep = (~starts).float()
        before = torch.empty(steps, rows, size)
        torch.mul(hidden, keep[0, :, None], out=before[0])
        states, saved, recurrent = torch.empty_like(before), torch.empty_like(gates), torch.empty_like(gates)
        views = arrays(gates, recurrent, bias_ih, bias_hh, keep, before, saved, states)
        transposed = weight_hh.t()
        for step, (old, product) in enumerate(zip(before.unbind(), recurrent.unbind(), strict=True)):
            torch.mm(old, transposed, out=product)
            _step(step, *views)
        ctx.save_for_backward(inputs, before, saved, recurrent, keep, weight_ih, weight_hh)
        return states

    @staticmethod
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor | None, ...]:
        inputs, before, saved, recurrent, keep, weight_ih, weight_hh = ctx.saved_tensors
        steps, rows, size = before.shape
        grad_gates, grad_recurrent = torch.empty_like(saved), torch.empty_like(saved)
        grad_hidden, grad_bias = torch.zeros(rows, size), torch.zeros(2, 3 * size)
        sums = (grad_gates, grad_recurrent, grad_bias, grad_hidden)
        views = arrays(grad_states, saved, recurrent, keep, before, *sums, torch.empty(2, size))
        products = grad_recurrent.unbind()
        for step in range(steps - 1, -1, -1):
            _step_backward(step, *views)
            grad_hidden.addmm_(products[step], weight_hh)
        of_gates, of_recurrent = grad_gates.flatten(0, 1), grad_recurrent.flatten(0, 1)
        grad_inputs = torch.mm(of_gates, weight_ih).view_as(inputs) if ctx.needs_input_grad[0] else None
        grad_ih = torch.mm(of_gates.t(), inputs.flatten(0, 1))
        grad_hh = torch.mm(of_recurrent.t(), before.flatten(0, 1))
        return grad_inputs, grad_hidden * keep[0, :, None], None, grad_ih, grad_hh, *grad_bias.unbind()


def gru(inputs: Tensor, hidden: Tensor, starts: Tensor, weights: GruWeights) -> Tensor:
    """Return what `gru_reference` returns, by fused CPU kernels (float32), differentiable once."""
    if inputs.dim() != 3 or starts.shape != inputs.shape[:2] or hidden.shape[0] != inputs.shape[1]:
        raise ValueError(f"shapes {tuple(inputs.shape)}, {tuple(hidden.shape)}, {tuple(starts.shape)} do not fit")
    return _Gru.apply(inputs, hidden, starts, *weights)  # type: ignore[no-any-return, no-untyped-call]


class Gru(nn.Module):
    """A GRU layer's parameters, named, shaped and ordered as torch.nn.GRUCell's."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden, inputs))
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden, hidden))
        self.bias_ih = nn.Parameter(torch.zeros(3 * hidden))
        self.bias_hh = nn.Parameter(torch.zeros(3 * hidden))
        for weight in (self.weight_ih, self.weight_hh):
            for gate in weight.chunk(3):
                nn.init.orthogonal_(gate, gain=1.0 if weight is self.weight_hh else math.sqrt(2))

    def weights(self) -> GruWeights:
        """Return the parameters as `gru` takes them."""
        return GruWeights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
