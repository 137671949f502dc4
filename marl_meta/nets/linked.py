"""The encoder of games whose entities are linked with each other, and whose actions are about entities: boards.

    h_e = relu(W_0 x_e + b_0)                                          x_e what the agent sees of entity e
    h_e <- h_e + relu(W_s h_e + sum_r W_r sum_{j in links_r(e)} h_j + b)    a relational graph convolution, some rounds
    g = norm(relu(W_g [own; pooled] + b_g))       pooled: attention over all entities, each head by its own scores
    logit_a = w . relu(W_t z_target(a) + W_u g' + b_t)                 g' is g, after memory where the policy has one

(Schlichtkrull et al. 2018, eq. 2, without its normalisation; torch-geometric's RGCNConv with sums.) z is h after one
round more, of which only those are asked that legal actions are about. An entity that is absent sends nothing. Agents
that do not act have no graph here and cost nothing: their embeddings are zero.

The fused path lists who is there first. The plain one computes with all slots, absent ones too, so that no size depends
on what the tensors hold: it can be exported, and differentiated for many tasks at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from marl_meta.nets.links import Linked, linked_sums, linked_sums_reference, list_linked
from marl_meta.nets.operators import operators_of

if TYPE_CHECKING:
    from marl_meta.nets.policy import GraphTensors

_ILLEGAL = -1e9


@dataclass(frozen=True, slots=True)
class Asked:
    """What the encoder makes of the Q entities that legal actions are about, of the R of N agents that act."""

    agent: Tensor
    """int [Q] whose action it is, below N."""
    action: Tensor
    """int [Q]"""
    entity: Tensor
    """[Q,H]"""
    counts: Tensor | None = None
    """bool [Q] which of them an action is about at all; None is all."""


class LinkedLayer(nn.Module):
    """One round in which linked entities tell each other what they are."""

    def __init__(self, hidden: int, named: tuple[str, ...]) -> None:
        super().__init__()
        self._named = named
        relations = 1 + len(set(named))
        self.own = nn.Linear(hidden, hidden)
        self.linked = nn.Linear(relations * hidden, hidden, bias=False)
        for linear in (self.own, self.linked):
            nn.init.orthogonal_(linear.weight)
        nn.init.zeros_(self.own.bias)
        with torch.no_grad():
            self.linked.weight *= 0.5  # sums over a dozen links

    def forward(self, hidden: Tensor, chosen: Tensor, links: Tensor, path: str) -> Tensor:
        """Return the embeddings [Q,H] after the round of those `chosen` [Q,H], who are linked to `hidden` [P,H]."""
        sums = linked_sums if path == "fused" else linked_sums_reference
        joint = torch.cat([chosen, sums(hidden, links, self._named)], -1)
        weight = torch.cat([self.own.weight, self.linked.weight], 1)
        return chosen + operators_of(path).rectified(joint, weight, self.own.bias)


class LinkedEncoder(nn.Module):
    """What acting agents see -> an embedding of each of them, and of the entities that their actions are about."""

    def __init__(self, features: int, own: int, named: tuple[str, ...], hidden: int, heads: int, layers: int) -> None:
        """`features` are F of an edge, `own` those of a receiver; `named` are the relations of the last links."""
        super().__init__()
        self._heads = heads
        self.entity = nn.Linear(features, hidden)
        self.rounds = nn.ModuleList(LinkedLayer(hidden, named) for _ in range(layers))
        self.last = LinkedLayer(hidden, named)
        self.score = nn.Linear(hidden, heads)
        self.agent = nn.Linear(own + heads * hidden, hidden)
        self.norm = nn.LayerNorm(hidden)
        for linear in (self.entity, self.agent):
            nn.init.orthogonal_(linear.weight, math.sqrt(2))
            nn.init.zeros_(linear.bias)

    def forward(self, graph: GraphTensors, legal: Tensor, path: str) -> tuple[Tensor, Tensor, Asked]:
        """Return embeddings [T,M,H], attention [T,M,heads,E], and what actions are about; `legal` is bool [T,M,A]."""
        if path != "fused":
            return self._everywhere(graph, legal, path)
        steps, count, entities, width = graph.edges.shape
        assert graph.links is not None
        assert graph.targets is not None
        mask = graph.mask.flatten(0, 1)
        rows = mask.any(-1).nonzero().squeeze(-1)
        views = rows // (count // graph.links.shape[1])
        links = graph.links.flatten(0, 1).index_select(0, views)
        targets = graph.targets.flatten(0, 1).index_select(0, views)
        present = mask.index_select(0, rows)
        linked = list_linked(present, links, targets, legal.flatten(0, 1).index_select(0, rows))
        seen = graph.edges.view(-1, entities, width).index_select(0, rows).flatten(0, 1).index_select(0, linked.place)
        operators = operators_of(path)
        hidden = operators.rectified(seen, self.entity.weight, self.entity.bias)
        for layer in self.rounds:
            hidden = layer(hidden, hidden, linked.links, path)
        chosen, joined = (each.index_select(0, linked.asked) for each in (hidden, linked.links))
        asked = self.last(hidden, chosen, joined, path)
        pooled, weights = self._pool(hidden, linked, present)
        own = graph.own.flatten(0, 1).index_select(0, rows)
        agent = operators.rectified(torch.cat([own, pooled], -1), self.agent.weight, self.agent.bias)
        agent = self.norm(agent)
        found = agent.new_zeros(steps * count, agent.shape[-1]).index_copy(0, rows, agent)
        attention = weights.new_zeros(steps * count, self._heads, entities).index_copy(0, rows, weights)
        about = Asked(rows.index_select(0, linked.asker), linked.action, asked)
        return found.view(steps, count, -1), attention.view(steps, count, self._heads, entities), about

    def _everywhere(self, graph: GraphTensors, legal: Tensor, path: str) -> tuple[Tensor, Tensor, Asked]:
        """Return what `forward` does, in plain tensor code of sizes that do not depend on who is there."""
        steps, count, entities, _ = graph.edges.shape
        rows, actions, operators = steps * count, legal.shape[-1], operators_of(path)
        mask = graph.mask.flatten(0, 1)
        links, targets = _of_receivers(graph.links, count), _of_receivers(graph.targets, count)
        first = entities * torch.arange(rows, device=mask.device)
        joins = (links >= 0) & mask.gather(1, links.clamp(min=0).flatten(1)).view(links.shape)
        place = torch.where(joins, links + first.view(-1, 1, 1), -1).flatten(0, 1)
        hidden = operators.rectified(graph.edges.flatten(0, 2), self.entity.weight, self.entity.bias)
        for layer in self.rounds:
            hidden = layer(hidden, hidden, place, path)
        about = (targets.clamp(min=0) + first.unsqueeze(-1)).flatten()
        asked = self.last(hidden, hidden[about], place[about], path)
        acts = mask.any(-1, keepdim=True)
        scores = self.score(hidden).view(rows, entities, self._heads).masked_fill(~mask.unsqueeze(-1), _ILLEGAL)
        weights = torch.softmax(scores, 1).transpose(1, 2) * acts.unsqueeze(-1)
        pooled = weights @ (hidden.view(rows, entities, -1) * mask.unsqueeze(-1))
        joint = torch.cat([graph.own.flatten(0, 1), pooled.flatten(1)], -1)
        agent = self.norm(operators.rectified(joint, self.agent.weight, self.agent.bias)) * acts
        slots = torch.arange(rows * actions, device=mask.device)
        counts = legal.flatten(0, 1) & (targets >= 0) & mask.gather(1, targets.clamp(min=0)) & acts
        found = Asked(slots // actions, slots % actions, asked, counts.flatten())
        return agent.view(steps, count, -1), weights.view(steps, count, self._heads, entities), found

    def _pool(self, hidden: Tensor, linked: Linked, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each of R agents makes of all entities [R,heads H], and how much of each [R,heads,E]."""
        rows, entities = present.shape
        scores = hidden.new_full((rows * entities, self._heads), _ILLEGAL).index_copy(
            0, linked.place, self.score(hidden)
        )
        weights = torch.softmax(scores.view(rows, entities, self._heads), 1)
        whole = hidden.new_zeros(rows * entities, hidden.shape[-1]).index_copy(0, linked.place, hidden)
        weights = weights.transpose(1, 2)
        pooled = weights @ whole.view(rows, entities, hidden.shape[-1])
        return pooled.view(rows, self._heads * hidden.shape[-1]), weights


def _of_receivers(of_views: Tensor | None, count: int) -> Tensor:
    """Return what belongs to views [T,V,...] once for each of the M receivers that look through them [T*M,...]."""
    assert of_views is not None
    if of_views.shape[1] != count:
        of_views = of_views.repeat_interleave(count // of_views.shape[1], 1)
    return of_views.flatten(0, 1).long()


class TargetHead(nn.Module):
    """How good each action is, by the entity that it is about."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.entity = nn.Linear(hidden, hidden)
        self.agent = nn.Linear(hidden, hidden, bias=False)
        self.score = nn.Linear(hidden, 1, bias=False)
        nn.init.orthogonal_(self.score.weight, 0.1)

    def forward(self, agents: Tensor, asked: Asked, legal: Tensor) -> Tensor:
        """Return logits [N,A] of N agents [N,H], for `legal` bool [N,A]; who does not act has 0 there."""
        read = self.entity(asked.entity) + self.agent(agents).index_select(0, asked.agent)
        scores = self.score(torch.relu(read)).squeeze(-1)
        if asked.counts is not None:
            scores = torch.where(asked.counts, scores, 0.0)
        place = asked.agent * legal.shape[-1] + asked.action
        whole = torch.zeros(legal.numel(), dtype=agents.dtype, device=agents.device).index_copy(0, place, scores)
        return whole.view(legal.shape).masked_fill(~legal, _ILLEGAL)
