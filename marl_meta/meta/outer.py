"""The meta-gradient: the gradient of what a learner is worth after adapting, with respect to where it started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from marl_meta.meta.parameters import Parameters
from marl_meta.rl.sharding import Workers

_Share = TypeVar("_Share")
Statistics = dict[str, float]
"""Sums by name, of a share or of all."""
_Part = tuple[Tensor, tuple[Tensor, ...], Statistics]
"""Of a share or of all: the objective, its gradients, and statistics."""


def meta_gradient(
    objective: Callable[[Parameters, _Share], tuple[Tensor, Statistics]],
    parameters: Parameters,
    shares: Sequence[_Share],
    workers: Workers,
) -> tuple[Tensor, Parameters, Statistics]:
    """Return the sum over shares of `objective(parameters, share)`, its gradient by name, and the sums of statistics.

    An objective is a number [] and statistics. `parameters` are whatever is meta-learnt, step sizes and Leo's too. A
    share is some of the meta-batch's tasks, which its objective adapts at once; `shares` are those that `workers` work
    on in this process. Running a policy changes its module meanwhile, so each share has a `policies.shell` of its own.
    """

    def of_share(share: _Share) -> _Part:
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        value, statistics = objective(leaves, share)
        gradients = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)
        return value.detach(), gradients, statistics

    total, gradients, statistics = workers.reduce(of_share, shares, _together)
    return total, dict(zip(parameters, gradients, strict=True)), statistics


def _together(parts: list[_Part]) -> _Part:
    (total, gradients, statistics), *others = parts
    for value, more, noted in others:
        total = total + value
        gradients = tuple(one + other for one, other in zip(gradients, more, strict=True))
        statistics = {name: sums + noted[name] for name, sums in statistics.items()}
    return total, gradients, statistics
