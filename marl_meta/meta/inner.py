"""The inner loop: gradient steps of all tasks of a meta-batch at once, themselves differentiable.

    theta_m <- theta_m - alpha * grad L(theta_m, D_m)                    for every task m, S times

A loss is written for one task, `loss(parameters, experience) -> []`, and `torch.func.vmap` makes it that of M. Tasks do
not meet in it, so the gradient of the *sum* of the losses holds every task's own gradient: one gradient over one
vectorised forward pass, whose backward passes (the second too) are ordinary batched products. That is faster than
vectorising the gradient.

What a method adapts is what it hands in as `parameters`; what all tasks share is `fixed`. So MAML moves everything,
ANIL the policy's head, CAVIA a context (`parameters.split`), LEO its latent, and Meta-SGD hands in its step sizes as
tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from marl_meta.meta.parameters import Parameters
from marl_meta.types import UserError
from marl_meta.wording import listed

Experience = Any
"""Tensors in dicts, tuples or registered dataclasses: with leading M for all tasks, without for one."""
Loss = Callable[[Parameters, Experience], Tensor]
"""One task's loss [] from all parameters and its experience."""
Rates = float | Mapping[str, Tensor | float]
"""Step sizes: one for all; or by name, a number or a tensor that broadcasts against that parameter [...] or [M,...]."""
Order = Literal["first", "second"]
"""Which derivatives of the losses a gradient through `adapt` has: `first` takes the inner gradients as constants."""


def each_task(
    function: Callable[[Parameters, Experience], Any], parameters: Parameters, fixed: Parameters, experience: Experience
) -> Any:
    """Return `function` of each of M tasks, stacked along a new first axis: its parameters [M,...] and the shared ones.

    `function` sees one task: all parameters by name, and that task's part of the experience [M,...].
    """
    return torch.func.vmap(lambda own, lived: function({**fixed, **own}, lived))(parameters, experience)


def adapt(
    loss: Loss,
    parameters: Parameters,
    experience: Sequence[Experience],
    *,
    rates: Rates,
    fixed: Parameters | None = None,
    order: Order = "second",
) -> Parameters:
    """Return the parameters [M,...] after one gradient step on each entry of `experience`, in turn.

    `parameters` [M,...] are those of M tasks (`parameters.for_tasks` makes them from shared ones) and stay as they are;
    an entry of `experience` has leading M. The result is differentiable in `parameters`, `fixed` and `rates`.
    """
    shared = fixed or {}
    _check_names(parameters, shared, rates)
    gradient = _gradient if order == "second" else _constant_gradient
    for lived in experience:
        gradients = gradient(loss, parameters, shared, lived)
        parameters = {name: value - _rate(rates, name) * gradients[name] for name, value in parameters.items()}
    return parameters


def reptile(parameters: Parameters, adapted: Parameters, rate: float) -> Parameters:
    """Return theta + rate * mean over tasks of (theta' - theta) (Reptile, Nichol et al. 2018, algorithm 2).

    `parameters` [...] are shared, `adapted` [M,...] those of M tasks after their own steps.
    """
    return {name: value + rate * (adapted[name] - value).mean(0) for name, value in parameters.items()}


def _gradient(loss: Loss, parameters: Parameters, fixed: Parameters, experience: Experience) -> Parameters:
    gradients: Parameters = torch.func.grad(_total)(parameters, loss, fixed, experience)
    return gradients


def _constant_gradient(loss: Loss, parameters: Parameters, fixed: Parameters, experience: Experience) -> Parameters:
    # Cut before and after: nothing is recorded that only second derivatives would need.
    return _cut(_gradient(loss, _cut(parameters), _cut(fixed), experience))


def _cut(parameters: Parameters) -> Parameters:
    return {name: value.detach() for name, value in parameters.items()}


def _total(parameters: Parameters, loss: Loss, fixed: Parameters, experience: Experience) -> Tensor:
    losses = each_task(loss, parameters, fixed, experience)
    if losses.dim() != 1:
        raise ValueError(f"a task's loss must be a single number, not of shape {tuple(losses.shape[1:])}")
    total: Tensor = losses.sum()
    return total


def _rate(rates: Rates, name: str) -> Tensor | float:
    return rates[name] if isinstance(rates, Mapping) else rates


def _check_names(parameters: Parameters, fixed: Parameters, rates: Rates) -> None:
    both = [name for name in parameters if name in fixed]
    if both:
        raise ValueError(f"parameters that are adapted cannot be fixed: {listed(both)}")
    if not parameters:
        raise UserError(f"Adapting needs at least one parameter to adapt; all of these are fixed: {listed(fixed)}.")
    if isinstance(rates, Mapping):
        missing = [name for name in parameters if name not in rates]
        if missing:
            raise UserError(f"Step sizes are missing for {listed(missing)}; they are given for {listed(rates)}.")
