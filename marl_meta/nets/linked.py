"""The encoder of games whose entities are linked with each other, and whose actions are about entities: boards.

    h_e = relu(W_0 x_e + b_0)                                          x_e what the agent sees of entity e
    h_e <- h_e + relu(W_s h_e + sum_r W_r sum_{j in links_r(e)} h_j + b)    a relational graph convolution, some rounds
    g = norm(relu(W_g [own; pooled] + b_g))       pooled: attention over all entities, each head by its own scores
    logit_a = w . relu(W_t z_target(a) + W_u g' + b_t)                 g' is g, after memory where the policy has one

(Schlichtkrull et al. 2018, eq. 2, without its normalisation; torch-geometric's RGCNConv with sums.) z is h after one
round more, of which only those are asked that legal actions are about. An entity that is absent sends nothing. Agents
that do not act have no graph here and cost nothing: their embeddings are zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from marl_meta.nets.links import Linked, column_relations, linked_sums, linked_sums_reference, list_linked
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


class LinkedLayer(nn.Module):
    """One round in which linked entities tell each other what they are."""

    def __init__(self, hidden: int, relations: int) -> None:
        super().__init__()
        self.own = nn.Linear(hidden, hidden)
        self.linked = nn.Linear(relations * hidden, hidden, bias=False)
        self.relations = relations
        for linear in (self.own, self.linked):
            nn.init.orthogonal_(linear.weight)
        nn.init.zeros_(self.own.bias)
        with torch.no_grad():
            self.linked.weight *= 0.5  # sums over a dozen links

    def forward(self, hidden: Tensor, chosen: Tensor, links: Tensor, relation: Tensor, path: str) -> Tensor:
        """Return the embeddings [Q,H] after the round of those `chosen` [Q,H], who are linked to `hidden` [P,H]."""
        sums = linked_sums if path == "fused" else linked_sums_reference
        joint = torch.cat([chosen, sums(hidden, links, relation, self.relations)], -1)
        weight = torch.cat([self.own.weight, self.linked.weight], 1)
        return chosen + operators_of(path).rectified(joint, weight, self.own.bias)


class LinkedEncoder(nn.Module):
    """What acting agents see -> an embedding of each of them, and of the entities that their actions are about."""

    def __init__(self, features: int, own: int, named: tuple[str, ...], hidden: int, heads: int, layers: int) -> None:
        """`features` are F of an edge, `own` those of a receiver; `named` are the relations of the last links."""
        super().__init__()
        self._named, self._heads = named, heads
        self.entity = nn.Linear(features, hidden)
        _, relations = column_relations(len(named), named)
        self.rounds = nn.ModuleList(LinkedLayer(hidden, relations) for _ in range(layers))
        self.last = LinkedLayer(hidden, relations)
        self.score = nn.Linear(hidden, heads)
        self.agent = nn.Linear(own + heads * hidden, hidden)
        self.norm = nn.LayerNorm(hidden)
        for linear in (self.entity, self.agent):
            nn.init.orthogonal_(linear.weight, math.sqrt(2))
            nn.init.zeros_(linear.bias)

    def forward(self, graph: GraphTensors, legal: Tensor, path: str) -> tuple[Tensor, Tensor, Asked]:
        """Return embeddings [T,M,H], attention [T,M,heads,E], and what actions are about; `legal` is bool [T,M,A]."""
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
        relation = torch.from_numpy(column_relations(links.shape[-1], self._named)[0]).to(links.device)
        operators = operators_of(path)
        hidden = operators.rectified(seen, self.entity.weight, self.entity.bias)
        for layer in self.rounds:
            hidden = layer(hidden, hidden, linked.links, relation, path)
        chosen, joined = (each.index_select(0, linked.asked) for each in (hidden, linked.links))
        asked = self.last(hidden, chosen, joined, relation, path)
        pooled, weights = self._pool(hidden, linked, present)
        own = graph.own.flatten(0, 1).index_select(0, rows)
        agent = operators.rectified(torch.cat([own, pooled], -1), self.agent.weight, self.agent.bias)
        agent = self.norm(agent)
        found = agent.new_zeros(steps * count, agent.shape[-1]).index_copy(0, rows, agent)
        attention = weights.new_zeros(steps * count, self._heads, entities).index_copy(0, rows, weights)
        about = Asked(rows.index_select(0, linked.asker), linked.action, asked)
        return found.view(steps, count, -1), attention.view(steps, count, self._heads, entities), about

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
        place = asked.agent * legal.shape[-1] + asked.action
        whole = torch.zeros(legal.numel(), dtype=agents.dtype, device=agents.device).index_copy(0, place, scores)
        return whole.view(legal.shape).masked_fill(~legal, _ILLEGAL)
