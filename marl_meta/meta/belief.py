"""Rule inference on the graph: learn to infer hidden rules from what happened, supervised by the truth.

In training the rules are known, so that a belief about them is a matter of supervised learning (privileged task
inference, Humplik et al. 2019): minus the log-likelihood of the true rules at every step of a trial, given the events
before it. The policy reads the belief where an oracle reads the truth, and no gradient goes from it to the belief.

Where nobody knows the rules, beliefs are about latents of each kind of entity, and learn to explain what the steps of
the trial came to (VariBAD, Zintgraf et al. 2020), see `nets.outcomes`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from marl_meta.mind import stack
from marl_meta.nets.belief import Belief, BeliefNet, belief_loss, places
from marl_meta.nets.events import Events
from marl_meta.nets.outcomes import OutcomeModel, outcome_loss
from marl_meta.rl.sharding import Workers
from marl_meta.rollout import Testimony
from marl_meta.types import FloatArray, IntArray

EXAMPLES = 4
"""From how many games of each share an iteration's examples for an episodic memory are taken."""


@dataclass(frozen=True, slots=True)
class BeliefSettings:
    """The hyperparameters of an update."""

    epochs: int = 1
    minibatches: int = 4
    max_grad_norm: float = 1.0


def improve_belief(
    net: BeliefNet,
    optimiser: torch.optim.Optimizer,
    shares: Sequence[Testimony],
    settings: BeliefSettings,
    order: np.random.Generator,
    workers: Workers,
) -> dict[str, float]:
    """Improve `net` in place on an iteration's testimonies, those that `workers` work on here; returns statistics.

    `belief_loss` is the mean loss in nats per rule, `belief_start` and `belief_end` that of the first and the last
    step; `belief_sure` the share of agent-steps at which the likeliest rules are the true ones.
    """
    parameters = list(net.parameters())
    found: list[Tensor] = []
    sizes = workers.map(lambda share: share.hidden.shape[1], shares)
    minibatches = min(settings.minibatches, *sizes)
    for _ in range(settings.epochs):
        batches = [np.array_split(order.permutation(size), minibatches) for size in sizes]
        for games in zip(*batches, strict=True):
            gradients, statistics = workers.reduce(
                lambda item: _gradients(net, parameters, *item),
                list(zip(shares, workers.own(games), strict=True)),
                _together,
            )
            total = float(statistics[0])
            if total == 0:
                continue
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient / total
            nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
            optimiser.step()
            found.append(statistics)
    sums = torch.stack(found).sum(0) if found else torch.zeros(6)
    if net.recalls:
        chosen = [order.permutation(size)[:EXAMPLES] for size in sizes]
        _keep_examples(net, shares, chosen, workers)
    weight, first, last = (max(float(sums[index]), 1.0) for index in (0, 3, 5))
    return {
        "belief_loss": float(sums[1]) / weight,
        "belief_start": float(sums[2]) / first,
        "belief_end": float(sums[4]) / last,
    }


def _together(parts: list[tuple[list[Tensor], Tensor]]) -> tuple[list[Tensor], Tensor]:
    """Return the sums over shares of gradients and statistics."""
    (first, _), *others = parts
    gradients = [sum((other[index] for other, _ in others), own) for index, own in enumerate(first)]
    return gradients, torch.stack([statistics for _, statistics in parts]).sum(0)


@torch.no_grad()
def _keep_examples(net: BeliefNet, shares: Sequence[Testimony], chosen: Sequence[IntArray], workers: Workers) -> None:
    """Have the net keep what agents of the chosen games remember at the last step, with the rules of these games."""

    @torch.no_grad()  # which each thread decides for itself
    def examples(item: tuple[Testimony, IntArray]) -> tuple[Tensor, IntArray, FloatArray]:
        share, games = item
        agents = share.starts.shape[1] // share.hidden.shape[1]
        memory, rows = remembered(net, share, games)
        acting = share.weight[-1, rows].bool()
        hidden = np.repeat(share.hidden[-1, games], agents, axis=0)[acting.numpy()]
        return memory[-1][acting], net.knowledge.classes(hidden), net.knowledge.numbers(hidden)

    for example in workers.map(examples, list(zip(shares, workers.own(chosen), strict=True))):
        net.keep_examples(*example)


def _gradients(
    net: BeliefNet, parameters: Sequence[Tensor], share: Testimony, games: IntArray
) -> tuple[list[Tensor], Tensor]:
    """Return the gradients of the summed loss over some games, and the sums of weights and losses."""
    agents = share.starts.shape[1] // share.hidden.shape[1]
    memory, rows = remembered(net, share, games)
    belief = net(memory)
    weight = share.weight[:, rows]
    if net.outcomes is not None:
        loss = _unexplained(net, net.outcomes, belief, share, games, rows)
    else:
        hidden = np.repeat(share.hidden[:, games], agents, axis=1)
        loss = belief_loss(belief, net.knowledge, net.knowledge.classes(hidden), net.knowledge.numbers(hidden))
    gradients = torch.autograd.grad((loss * weight).sum(), parameters, materialize_grads=True)
    with torch.no_grad():
        weighted = loss * weight
        ends = (weighted[0].sum(), weight[0].sum(), weighted[-1].sum(), weight[-1].sum())
        statistics = torch.stack([weight.sum(), weighted.sum(), *ends])
    return list(gradients), statistics


def remembered(net: BeliefNet, share: Testimony, games: IntArray) -> tuple[Tensor, Tensor]:
    """Return the memory [T,m,slots,D] before every step, of the m rows of `games`, and these rows' indices [m]."""
    rows, features, place = _happened(net, share, games)
    shape = (len(share.events), len(rows), net.slots)
    gained = net.evidence(features, place, math.prod(shape)).view(*shape, -1)
    return stack(share.evidence[rows], gained, share.starts[:, rows]), rows


def _happened(net: BeliefNet, share: Testimony, games: IntArray) -> tuple[Tensor, Tensor, Tensor]:
    """Return the m rows of `games`, the features of their events [C,V], and where of [T,m,slots] each belongs [C]."""
    agents = share.starts.shape[1] // share.hidden.shape[1]
    rows = torch.from_numpy((games[:, None] * agents + np.arange(agents)).reshape(-1))
    where = np.full(share.starts.shape[1], -1, np.int64)
    where[rows.numpy()] = np.arange(len(rows))
    kept = [_of_rows(events, where) for events in share.events]
    features = torch.from_numpy(np.concatenate([events.features for events in kept]))
    size = len(rows) * net.slots
    return rows, features, torch.cat([places(events, net.slots) + time * size for time, events in enumerate(kept)])


def _unexplained(
    net: BeliefNet, outcomes: OutcomeModel, belief: Belief, share: Testimony, games: IntArray, rows: Tensor
) -> Tensor:
    """Return how badly the belief of each step [T,m] explains the steps of its trial, in nats (`nets.outcomes`)."""
    _, features, place = _happened(net, share, games)
    shape = (len(share.events), len(rows), net.slots)
    sums = features.new_zeros(math.prod(shape), features.shape[-1]).index_add(0, place, features).view(*shape, -1)
    trial = share.starts[:, rows].cumsum(0)
    together = (trial.unsqueeze(1) == trial).to(sums.dtype) * share.weight[:, rows]
    own = torch.from_numpy(share.kind[:, rows.numpy()])
    return outcome_loss(outcomes.read(sums), *net.latents(belief, own), together)


def _of_rows(events: Events, where: IntArray) -> Events:
    """Return the events of the rows that have a place in `where`, numbered by it."""
    chosen = where[events.row] >= 0
    return Events(where[events.row[chosen]], events.kind[chosen], events.features[chosen])
