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
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor, nn

from marl_meta.kernels import kernel
from marl_meta.types import FloatArray


def gru_reference(gates: Tensor, hidden: Tensor, starts: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the states [T,M,H] after each step.

    `gates` [T,M,3H] are the input's part of (r, z, n), `hidden` [M,H] the state before the first step, `starts`
    bool [T,M] where an episode starts, before which the state is cleared; `weight` [3H,H] and `bias` [3H].
    """
    states = []
    for step in range(gates.shape[0]):
        hidden = hidden * (~starts[step])[:, None]
        r_in, z_in, n_in = gates[step].chunk(3, dim=-1)
        r_hidden, z_hidden, n_hidden = nn.functional.linear(hidden, weight, bias).chunk(3, dim=-1)
        reset, update = torch.sigmoid(r_in + r_hidden), torch.sigmoid(z_in + z_hidden)
        new = torch.tanh(n_in + reset * n_hidden)
        hidden = new + update * (hidden - new)
        states.append(hidden)
    return torch.stack(states)


@numba.njit(inline="always")
def _tanh(x: Any) -> Any:
    """Return tanh to 4e-7 as x p(x^2) / q(x^2), which the compiler can do on many numbers at once.

    A minimax fit on [-8, 8], beyond which tanh is 1 in float32.
    """
    x = min(max(x, np.float32(-8.0)), np.float32(8.0))
    y = x * x
    p = np.float32(1.52305331e-08)
    p = p * y + np.float32(2.18947431e-05)
    p = p * y + np.float32(0.0035716029)
    p = p * y + np.float32(0.134445021)
    p = p * y + np.float32(0.999999994)
    q = np.float32(8.52249313e-07)
    q = q * y + np.float32(0.000341130002)
    q = q * y + np.float32(0.0261644615)
    q = q * y + np.float32(0.467778294)
    q = q * y + np.float32(1.0)
    return x * p / q


# The kernels go over each row in short loops of few arrays: the compiler can prove those free of overlap and vectorise
# them, where one loop over everything stays scalar (5 times slower).


@kernel
def _step(
    step: int, gates: FloatArray, recurrent: FloatArray, bias: FloatArray, keep: FloatArray, before: FloatArray,
    saved: FloatArray, states: FloatArray,
) -> None:  # fmt: skip
    """Fill `states[step]` [M,H], `saved[step]` [M,3H] with r, z and n, and `before` of the next step.

    `recurrent` has the products W h alone, and for n is left with its bias added.
    """
    rows, size = states.shape[1], states.shape[2]
    half = np.float32(0.5)
    new_bias = bias[2 * size :]
    for row in range(rows):
        gate_in, gate_hidden, gate = gates[step, row], recurrent[step, row], saved[step, row]
        for k in range(2 * size):
            gate[k] = half * _tanh(half * (gate_in[k] + gate_hidden[k] + bias[k])) + half
        reset, update, new = gate[:size], gate[size : 2 * size], gate[2 * size :]
        new_in, new_hidden = gate_in[2 * size :], gate_hidden[2 * size :]
        for k in range(size):
            new_hidden[k] += new_bias[k]
        for k in range(size):
            new[k] = _tanh(new_in[k] + reset[k] * new_hidden[k])
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
    grad_gates: FloatArray, grad_recurrent: FloatArray, grad_hidden: FloatArray, scratch: FloatArray,
) -> None:  # fmt: skip
    """Fill the gradients of both gate inputs [M,3H], and turn `grad_hidden` [M,H] into the direct part of dL/dh.

    dL/dh' has two parts: the step's own output's, and what `grad_hidden` brings back from the step after it, before
    that step's episode start is accounted for. Indexing whole arrays is what vectorises here, not rows of them.
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


class _Gru(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, hidden: Tensor, starts: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        steps, rows, width = gates.shape
        keep = (~starts).float()
        before = torch.empty(steps, rows, width // 3)
        torch.mul(hidden, keep[0, :, None], out=before[0])
        states, saved, recurrent = torch.empty_like(before), torch.empty_like(gates), torch.empty_like(gates)
        tensors = (gates.contiguous(), recurrent, bias, keep, before, saved, states)
        arrays = [tensor.detach().numpy() for tensor in tensors]
        transposed = weight.t()
        for step, (old, product) in enumerate(zip(before.unbind(), recurrent.unbind(), strict=True)):
            torch.mm(old, transposed, out=product)
            _step(step, *arrays)
        ctx.save_for_backward(before, saved, recurrent, keep, weight)
        return states

    @staticmethod
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor | None, ...]:
        before, saved, recurrent, keep, weight = ctx.saved_tensors
        steps, rows, size = before.shape
        grad_gates, grad_recurrent = torch.empty_like(saved), torch.empty_like(saved)
        grad_hidden = torch.zeros(rows, size)
        tensors = (grad_states.contiguous(), saved, recurrent, keep, before, grad_gates, grad_recurrent, grad_hidden)
        arrays = [tensor.numpy() for tensor in (*tensors, torch.empty(2, size))]
        products = grad_recurrent.unbind()
        for step in range(steps - 1, -1, -1):
            _step_backward(step, *arrays)
            grad_hidden.addmm_(products[step], weight)
        flat = grad_recurrent.view(-1, 3 * size)
        grad_weight = torch.mm(flat.t(), before.view(-1, size))
        return grad_gates, grad_hidden * keep[0, :, None], None, grad_weight, flat.sum(0)


def gru(gates: Tensor, hidden: Tensor, starts: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return what `gru_reference` returns, by fused CPU kernels (float32), differentiable once."""
    if gates.dtype != torch.float32 or gates.device.type != "cpu":
        raise TypeError(f"the fused kernel takes float32 on the CPU, not {gates.dtype} on {gates.device}")
    if gates.dim() != 3 or starts.shape != gates.shape[:2] or hidden.shape[0] != gates.shape[1]:
        raise ValueError(f"shapes {tuple(gates.shape)}, {tuple(hidden.shape)}, {tuple(starts.shape)} do not fit")
    return _Gru.apply(gates, hidden, starts, weight, bias)  # type: ignore[no-any-return, no-untyped-call]


class Gru(nn.Module):
    """A GRU layer; its weights are shaped and ordered as torch.nn.GRUCell's."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden, inputs))
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden, hidden))
        self.bias_ih = nn.Parameter(torch.zeros(3 * hidden))
        self.bias_hh = nn.Parameter(torch.zeros(3 * hidden))
        for weight in (self.weight_ih, self.weight_hh):
            for gate in weight.chunk(3):
                nn.init.orthogonal_(gate, gain=1.0 if weight is self.weight_hh else math.sqrt(2))

    def forward(self, inputs: Tensor, hidden: Tensor, starts: Tensor, fused: bool = True) -> Tensor:
        """Return the states [T,M,H] for inputs [T,M,I], the state before [M,H] and episode starts bool [T,M]."""
        gates = nn.functional.linear(inputs, self.weight_ih, self.bias_ih)
        run = gru if fused else gru_reference
        return run(gates, hidden, starts, self.weight_hh, self.bias_hh)
