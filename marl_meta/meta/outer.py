"""The meta-gradient: the gradient of what a learner is worth after adapting, with respect to where it started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from marl_meta.meta.parameters import Parameters
from marl_meta.rl.sharding import Workers

_Share = TypeVar("_Share")


def meta_gradient(
    objective: Callable[[Parameters, _Share], Tensor],
    parameters: Parameters,
    shares: Sequence[_Share],
    workers: Workers,
) -> tuple[Tensor, Parameters]:
    """Return the sum over shares of `objective(parameters, share) -> []`, and its gradient by name.

    `parameters` are whatever is meta-learnt, step sizes and Leo's too. A share is some of the meta-batch's tasks, which
    its objective adapts at once; each thread takes one. Running a policy changes its module meanwhile, so each share
    has a `policies.shell` of its own.
    """

    def of_share(share: _Share) -> tuple[Tensor, tuple[Tensor, ...]]:
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        value = objective(leaves, share)
        return value.detach(), torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)

    (total, gradients), *others = workers.map(of_share, shares)
    for value, more in others:
        total = total + value
        gradients = tuple(one + other for one, other in zip(gradients, more, strict=True))
    return total, dict(zip(parameters, gradients, strict=True))
