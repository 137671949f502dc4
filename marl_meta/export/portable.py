"""A policy with all that it keeps in mind as one pure function of tensors: what an ONNX file holds.

    what R agents see, what came of their last actions, memory  ->  logits, what they believe, memory

An agent's memory begins as `start`, is handed in at every call and comes back changed. `phase` says where a game is:
0 its first observation, 1 one on the way, 2 its last one, after which nobody acts: it is shown all the same, so that
the last move counts as evidence. What was learnt stays from one game to the next, as long as the memory is kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from marl_meta.export.graph import Columns, Moves, Views, edges, events, nodes, one_hot
from marl_meta.meta.adapter import LOUD
from marl_meta.nets.belief import BeliefNet
from marl_meta.nets.features import rule_columns
from marl_meta.nets.inputs import PERIODS, PolicyInputs
from marl_meta.nets.policy import GraphTensors, LowerGraph, RelationalPolicy
from marl_meta.team.team import Team
from marl_meta.types import TeamLayout

FIRST, MID, LAST = 0, 1, 2


class Told(NamedTuple):
    """What R agents are told at a step."""

    entities: Tensor
    """[R,E,F] public features of what they see."""
    kind: Tensor
    """int64 [R,E] index into the design's kinds."""
    team: Tensor
    """int64 [R,E] number of the team, -1 for objects."""
    seen: Tensor
    """bool [R,E], the agent itself among them."""
    me: Tensor
    """int64 [R] which entity the agent is."""
    rules: Tensor
    """[R,Rules] the visible rules, scaled."""
    private: Tensor
    """[R,P]"""
    legal: Tensor
    """bool [R,A]"""
    phase: Tensor
    """int64 [R] FIRST, MID or LAST."""
    action: Tensor
    """int64 [R] its last action; ignored at FIRST."""
    reward: Tensor
    """[R] what that paid."""
    links: Tensor | None = None
    """int64 [R,E,L] places of what each entity is linked with, -1 for none; on boards alone."""
    targets: Tensor | None = None
    """int64 [R,A] the place of the entity that each action is about, -1 for none; on boards alone."""


class Memory(NamedTuple):
    """What R agents keep in mind; parts that a team does not have are [R,0]."""

    state: Tensor
    """[R,H] recurrent."""
    evidence: Tensor
    """[R,slots,D]"""
    context: Tensor
    """[R,C] last action, reward and end, and the clock."""
    passed: Tensor
    """[R] steps of the trial."""
    entities: Tensor
    """[R,E,F] what was seen last, for those who infer rules."""
    seen: Tensor
    """[R,E] 1 for what was seen."""
    private: Tensor
    """[R,P]"""


class Portable(nn.Module):
    """The policy of a team that plays one side, as a function of what is told and remembered."""

    def __init__(self, team: Team, side: TeamLayout) -> None:
        super().__init__()
        name = team.policy_for(side)
        design = team.designs[name]
        self.linked = bool(team.layout.links) and not design.slots
        self.kinds = design.kinds or team.layout.kinds
        self.layout = replace(team.layout, kinds=self.kinds)
        self.inputs = PolicyInputs(self.layout, design)
        self.policy: RelationalPolicy = team.policies[name]
        self.belief: BeliefNet | None = team.beliefs.get(name)
        self.columns = Columns.of(self.layout, len(self.kinds))
        adapter = team.adapters.get(name)
        self.forgets = adapter is not None
        """Whether its recurrent memory is cleared after every game, as that of teams that adapt by gradients."""
        self.nested = design.layers > 1 and not self.linked and not design.slots
        """Whether agents embed each other before the last layer looks at them."""
        self.register_buffer("rule_places", _places(rule_columns(self.layout, design.rules)))
        known = torch.zeros(len(self.kinds), self.inputs.known_width)
        if adapter is not None and adapter.kind_context is not None:
            known += adapter.kind_context * LOUD
        self.register_buffer("offset", known)
        knowledge = self.inputs.knowledge
        if knowledge is not None:
            self.register_buffer("known_places", _places(knowledge.places))
            self.register_buffer("ignorance", torch.from_numpy(knowledge.ignorance()))
        self._start = team.starts.get(name)
        self.told = tuple(name for name in Told._fields if self.linked or name not in ("links", "targets"))
        """Names of what it is told."""

    rule_places: Tensor
    offset: Tensor
    known_places: Tensor
    ignorance: Tensor

    def start(self, rows: int, entities: int) -> Memory:
        """Return the memory of R agents who begin a trial, in games of E entities."""
        slots, width = (self.belief.slots, self.belief.memory) if self.belief is not None else (0, 0)
        features, private = len(self.layout.entity_features), len(self.layout.private_features)
        kept = rows if self.belief is not None else 0
        memory = Memory(
            state=self.policy.initial_state(rows), evidence=torch.zeros(rows, slots, width),
            context=torch.zeros(rows, self.inputs.context_width), passed=torch.zeros(rows),
            entities=torch.zeros(kept, entities, features), seen=torch.zeros(kept, entities),
            private=torch.zeros(kept, private),
        )  # fmt: skip
        if self._start is not None:
            begun = self._start.rows(rows)
            memory = memory._replace(state=begun.state.clone(), evidence=begun.evidence.clone())
        return memory

    def forward(self, told: Told, memory: Memory) -> tuple[Tensor, Tensor, Memory]:
        """Return logits [R,A] (-1e9 for illegal actions), what is believed [R,W] (`nets.knowledge`), and the memory."""
        goes_on = told.phase != FIRST
        views = Views(told.entities, told.kind, told.team, told.seen, told.me)
        memory = self._remember(views, told, memory, goes_on)
        known = self._known(memory)
        graph = self._graph(views, known, told, memory)
        state = memory.state
        if self.forgets:
            state = state * goes_on.unsqueeze(-1)
        starts = torch.zeros_like(told.phase, dtype=torch.bool).unsqueeze(0)
        output = self.policy.act(graph, state, starts, told.legal.unsqueeze(0), "plain")
        over = (told.phase == LAST).unsqueeze(-1)
        kept = torch.where(over, memory.state, output.state) if state.shape[-1] else memory.state
        return output.logits[0], known, memory._replace(state=kept)

    def _remember(self, views: Views, told: Told, memory: Memory, goes_on: Tensor) -> Memory:
        """Return the memory after the transition that led here, if there was one."""
        gone = goes_on.unsqueeze(-1).float()
        passed = memory.passed + goes_on.float()
        context = self._context(told, passed)
        context = torch.where(goes_on.unsqueeze(-1), context, memory.context) if context.shape[-1] else memory.context
        memory = memory._replace(passed=passed, context=context)
        if self.belief is None or self.inputs.events is None:
            return memory
        before = replace(views, entities=memory.entities, seen=memory.seen > 0.0)
        moves = Moves(memory.private, told.private, told.action, told.reward)
        # What is out of sight now is taken to have stayed.
        after = torch.where(views.seen.unsqueeze(-1), views.entities, memory.entities)
        found, kind, counts = events(
            before, after, moves, self.columns, len(self.layout.actions), everything=self.inputs.events.everything
        )
        each: Tensor = self.belief.event(found) * counts.unsqueeze(-1).float()
        gained = one_hot(kind, self.belief.slots).transpose(1, 2) @ each
        return memory._replace(
            evidence=memory.evidence + gained * gone.unsqueeze(-1), entities=views.entities,
            seen=views.seen.float(), private=told.private,
        )  # fmt: skip

    def _context(self, told: Told, passed: Tensor) -> Tensor:
        """Return the context [R,C] after a transition, as `PolicyInputs.context_after` does."""
        parts = []
        if self.inputs.design.trial_inputs:
            ended = (told.phase == LAST).float()
            action = one_hot(told.action, len(self.layout.actions))
            parts += [action, told.reward.unsqueeze(-1), ended.unsqueeze(-1)]
        if self.inputs.design.clock:
            angle = passed.unsqueeze(-1) * (2.0 * torch.pi / torch.tensor(PERIODS))
            parts += [torch.sin(angle), 1.0 - torch.cos(angle)]
        return torch.cat(parts, -1) if parts else told.reward.new_zeros(told.reward.shape[0], 0)

    def _known(self, memory: Memory) -> Tensor:
        """Return what is known of the hidden rules [R,W]."""
        if self.inputs.knowledge is None:
            return memory.passed.new_zeros(memory.passed.shape[0], 0)
        if self.belief is None:
            return self.ignorance.expand(memory.passed.shape[0], -1)
        known: Tensor = self.belief(memory.evidence).knowledge
        return known

    def _beliefs(self, told: Told, known: Tensor) -> Tensor:
        """Return what nodes of each kind say of hidden rules [R,kinds,W]."""
        beliefs = self.offset.expand(told.me.shape[0], -1, -1)
        if self.inputs.knowledge is not None:
            width = self.known_places.shape[1]
            beliefs = beliefs + nn.functional.pad(
                _carried(known, self.known_places), (0, self.offset.shape[1] - width)
            )  # fmt: skip
        return beliefs

    def _nodes(self, views: Views, told: Told, beliefs: Tensor) -> Tensor:
        by_kind = torch.cat([_carried(told.rules, self.rule_places), beliefs], -1)
        index = views.kind.unsqueeze(-1).expand(-1, -1, by_kind.shape[-1])
        return nodes(views, self.columns, by_kind.gather(1, index))

    def _graph(self, views: Views, known: Tensor, told: Told, memory: Memory) -> GraphTensors:
        beliefs = self._beliefs(told, known)
        node = self._nodes(views, told, beliefs)
        into, seen = edges(views, self.columns, node, told.me), told.seen
        if self.inputs.places is not None:
            into, seen = self._in_places(into, told)
        lower = self._lower(views, self._nodes(views, told, torch.zeros_like(beliefs))) if self.nested else None
        mine = node.gather(1, told.me.view(-1, 1, 1).expand(-1, 1, node.shape[-1])).squeeze(1)
        own = torch.cat([mine, told.private, memory.context], -1)
        links, targets = (None if one is None else one.unsqueeze(0) for one in (told.links, told.targets))
        return GraphTensors(own.unsqueeze(0), into.unsqueeze(0), seen.unsqueeze(0), lower, links, targets)

    def _in_places(self, into: Tensor, told: Told) -> tuple[Tensor, Tensor]:
        """Return edges [R,P,F] and who is seen [R,P] of entities in the places that a flat encoder has for them.

        Those of a kind go in the order in which they come; what there is no place for is not seen.
        """
        assert self.inputs.places is not None
        count = one_hot(told.kind, len(self.kinds))
        rank = (count.cumsum(1) - 1.0).gather(2, told.kind.unsqueeze(-1)).squeeze(-1).long()
        first, room = (torch.from_numpy(array)[told.kind] for array in self.inputs.places.spans)
        place = torch.where(rank < room, first + rank, -1)
        takes = one_hot(place, self.inputs.places.count).transpose(1, 2)
        return takes @ into, (takes @ told.seen.unsqueeze(-1).float()).squeeze(-1) > 0.0

    def _lower(self, views: Views, node: Tensor) -> LowerGraph:
        """Return the graph in which everybody that an agent sees is a receiver, of public features alone."""
        rows, entities = views.kind.shape

        def of_each(values: Tensor) -> Tensor:
            """Return what belongs to views [R,...] once for each of their entities [R*E,...]."""
            return values.unsqueeze(1).expand(rows, entities, *values.shape[1:]).flatten(0, 1)

        parts = (views.entities, views.kind, views.team, views.seen, views.me)
        receiver = torch.arange(entities).expand(rows, entities).flatten()
        into = edges(Views(*map(of_each, parts)), self.columns, of_each(node), receiver)
        agents = views.seen & (views.team >= 0)
        return LowerGraph(
            own=node.unsqueeze(0), edges=into.unflatten(0, (rows, entities)).unsqueeze(0),
            mask=(views.seen.unsqueeze(2) & views.seen.unsqueeze(1)).unsqueeze(0), embeds=agents.float().unsqueeze(0),
        )  # fmt: skip


def _places(places: object) -> Tensor:
    return torch.as_tensor(places, dtype=torch.int64)


def _carried(values: Tensor, places: Tensor) -> Tensor:
    """Return what nodes of each kind carry [R,kinds,n]: of values [R,W] those at `places` [kinds,n], 0 for -1."""
    if not places.numel():
        return values.new_zeros(values.shape[0], *places.shape)
    padded = nn.functional.pad(values, (0, 1))
    index = torch.where(places >= 0, places, values.shape[-1])
    found: Tensor = padded[:, index.flatten()].unflatten(1, tuple(places.shape))
    return found
