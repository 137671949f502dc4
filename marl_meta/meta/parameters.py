"""Parameters as values: a dict of tensors by name, of one learner or, with leading M, of M tasks at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from marl_meta.types import UserError
from marl_meta.wording import close_match, listed

Parameters = dict[str, Tensor]
"""By name, as `nn.Module.named_parameters` has them."""

_POLICY_HEAD = ("actor.*", "target.*")
_HEADS = (*_POLICY_HEAD, "critic.*", "critic_hidden.*")
PARTS: dict[str, tuple[str, ...]] = {
    "all": ("*",),
    "policy_head": _POLICY_HEAD,
    "heads": _HEADS,
    "edges": ("*.lin_edge.*",),
    "norms": ("*.norm.*",),
    "edges_norms_heads": ("*.lin_edge.*", "*.norm.*", *_HEADS),
    "context": ("context", "kind_context"),
}
"""Parts of the relational policy that are worth adapting alone: `policy_head` is ANIL, `context` CAVIA."""


def parameters_of(module: nn.Module) -> Parameters:
    """Return a module's own parameters by name: what a meta-gradient is taken with respect to."""
    return dict(module.named_parameters())


def select(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Return those of the names that match any of the patterns (`*.norm.*`) or parts (`heads`), in their order.

    Raises UserError if a pattern matches nothing.
    """
    known = list(names)
    wanted: set[str] = set()
    for pattern in patterns:
        alternatives = PARTS.get(pattern, (pattern,))
        matches = [name for name in known if any(fnmatchcase(name, alternative) for alternative in alternatives)]
        if not matches:
            raise UserError(
                f"No parameter is called {pattern!r}{close_match(pattern, [*PARTS, *known])}; allowed are the parts "
                f"{listed(PARTS)} and names (with * and ?) out of {listed(known)}."
            )
        wanted.update(matches)
    return [name for name in known if name in wanted]


def split(parameters: Parameters, patterns: Sequence[str]) -> tuple[Parameters, Parameters]:
    """Return the parameters that the patterns select, to be adapted, and the others, which all tasks share."""
    moving = set(select(parameters, patterns))
    chosen = {name: value for name, value in parameters.items() if name in moving}
    return chosen, {name: value for name, value in parameters.items() if name not in moving}


def for_tasks(parameters: Parameters, tasks: int) -> Parameters:
    """Return the same parameters for each of M tasks, [M,...]: nothing is copied, and gradients add up over tasks."""
    return {name: value.expand(tasks, *value.shape) for name, value in parameters.items()}


def of_task(parameters: Parameters, task: int) -> Parameters:
    """Return one task's parameters [...] out of those of M tasks [M,...]."""
    return {name: value[task] for name, value in parameters.items()}


def detached(parameters: Parameters) -> Parameters:
    """Return copies that share neither memory nor gradients with the parameters."""
    return {name: value.detach().clone() for name, value in parameters.items()}


def uniform_rates(parameters: Parameters, rate: float) -> Parameters:
    """Return a step size for each single parameter, to be learnt (Meta-SGD, Li et al. 2017): all start at `rate`."""
    return {name: torch.full_like(value, rate) for name, value in parameters.items()}
