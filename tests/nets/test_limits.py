"""Numbers that are held between limits: who is beyond feels what moves him back, and nothing else."""

from __future__ import annotations

import torch
from torch.func import grad, vmap

from marl_meta.nets.limits import within

VALUES = torch.tensor([-3.0, 0.0, 0.5, 1.0, 4.0])
UP, DOWN = torch.ones(5), -torch.ones(5)
"""Slopes of a loss that falls to the left, and to the right."""


def test_it_is_clamp_in_either_mode() -> None:
    assert torch.equal(within(VALUES, 0.0, 1.0), VALUES.clamp(0.0, 1.0))
    with torch.no_grad():
        assert torch.equal(within(VALUES, 0.0, 1.0), VALUES.clamp(0.0, 1.0))


def test_a_loss_moves_back_who_is_beyond_and_nobody_further() -> None:
    values = VALUES.clone().requires_grad_()
    up = torch.autograd.grad((within(values, 0.0, 1.0) * UP).sum(), values)[0]
    down = torch.autograd.grad((within(values, 0.0, 1.0) * DOWN).sum(), values)[0]
    assert up.tolist() == [0.0, 0.0, 1.0, 1.0, 1.0]
    assert down.tolist() == [-1.0, -1.0, -1.0, 0.0, 0.0]


def test_many_losses_at_once_come_to_the_same() -> None:
    slopes = torch.stack([UP, DOWN])

    def loss(values: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        return (within(values, 0.0, 1.0) * slope).sum()

    at_once = vmap(grad(loss), in_dims=(None, 0))(VALUES, slopes)
    assert torch.equal(at_once, torch.stack([grad(loss)(VALUES, slope) for slope in slopes]))
    assert at_once[0].tolist() == [0.0, 0.0, 1.0, 1.0, 1.0]


def test_descent_does_not_run_away() -> None:
    """What lies beyond a limit stays where it is while a loss asks for more of it, and comes back when it does not."""
    value = torch.tensor([-0.1], requires_grad=True)
    optimiser = torch.optim.SGD([value], lr=1.0)
    for wanted in [-1.0] * 10 + [0.5] * 10:
        optimiser.zero_grad()
        (within(value, 0.0, 1.0) - wanted).square().sum().mul(0.5).backward()
        optimiser.step()
        assert value.item() > -0.2
    assert abs(value.item() - 0.5) < 1e-3
