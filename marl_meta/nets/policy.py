"""The relational policy: who is where, seen from each agent -> what to do, and what it is worth.

    graph -> input map -> message passing -> residual block -> (GRU) -> policy head, value head

One set of parameters serves every agent, team size and number of objects. A centralised critic is a second encoder over
the full graph, with everybody's private features on the nodes. A told critic reads the true hidden rules beside what
the policy sees (asymmetric actor-critic, Pinto et al. 2018). Both are used in training only.
As a control, a flat encoder (`nets.flat`) may stand where the message passing is.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from marl_meta.nets.features import RELATION
from marl_meta.nets.flat import FlatEncoder
from marl_meta.nets.gru import Gru
from marl_meta.nets.layer import RelationalLayer
from marl_meta.nets.linked import LinkedEncoder, TargetHead
from marl_meta.nets.operators import operators_of

_LOCK = threading.Lock()
_LOOKS_AT = ("opponent", "teammate", "object")
_FIRST_SCORE = 3.0


@dataclass(frozen=True, slots=True)
class GraphTensors:
    """Relation graphs of T steps and M receivers. Rows are time-major: row t * M + m."""

    own: Tensor
    """[T,M,S+P+C] receivers, with the context C (such as the previous action) that the policy was built for."""
    edges: Tensor
    """[T,M,E,F]."""
    mask: Tensor
    """bool [T,M,E]."""
    lower: LowerGraph | None = None
    """What the layers below the last need, in networks of several layers."""
    links: Tensor | None = None
    """int [T,V,E,L] who is linked with whom, in V views through which M / V receivers in a row look."""
    targets: Tensor | None = None
    """int [T,V,A] the entity that each action is about."""


@dataclass(frozen=True, slots=True)
class LowerGraph:
    """The graph in which agents embed each other, from public features only, before the last layer."""

    own: Tensor
    """[T,V,N,S] nodes of the N agents, in each of V views, through which M / V receivers in a row look."""
    edges: Tensor
    """[T,V,N,E,F]."""
    mask: Tensor
    """bool [T,V,N,E]."""
    embeds: Tensor | None = None
    """[T,V,N] 1 for those that are agents, where others are among the N; None where all are."""


@dataclass(frozen=True, slots=True)
class PolicyShape:
    """The sizes that fix a policy's parameters."""

    node: int
    edge: int
    own: int
    actions: int
    hidden: int = 64
    heads: int = 4
    layers: int = 1
    recurrent: bool = True
    memory: str = "heads"
    """Where recurrent memory enters: the `heads`, after attention, or the `query` of the last attention."""
    critic: str = "own"
    """What the value head reads. `own`: the policy's features; `central`: those of an encoder of its own over the full
    graph; `told`: the policy's features and the hidden rules."""
    critic_node: int = 0
    """Node features of the centralised critic's graph (own + everybody's private ones)."""
    guesses: int = 0
    """Scores by which the network says what it makes of the hidden rules, an auxiliary task in training."""
    told: int = 0
    """Columns of the hidden rules that a told critic reads."""
    places: int = 0
    """Of a flat encoder: how many entities it has a place for; 0 is the encoder over the graph."""
    links: tuple[str, ...] = ()
    """What the last links are, of an encoder of linked entities; none is one of those above."""
    known: tuple[int, int] = (0, 0)
    """First and last (exclusive) column of a receiver's features that say what is known of hidden rules."""


class RelationalEncoder(nn.Module):
    """Graph -> one embedding [R,H] per receiver."""

    def __init__(
        self, node: int, edge: int, own: int, hidden: int, heads: int, layers: int, remembers: bool = False
    ) -> None:
        """`remembers` adds a first glance, to be remembered by a memory that the last layer's query reads."""
        super().__init__()
        self.glance = RelationalLayer(hidden, node, edge, hidden, heads) if remembers else None
        self.lower_input = nn.Linear(node, hidden) if layers > 1 else None
        self.lower = nn.ModuleList(
            RelationalLayer(hidden, node, edge, hidden, heads, embedded=0 if index == 0 else hidden)
            for index in range(layers - 1)
        )
        self.input = nn.Linear(own, hidden)
        self.last = RelationalLayer(hidden, node, edge, hidden, heads, embedded=hidden if layers > 1 else 0)
        self.norm = nn.LayerNorm(hidden)
        self.block = nn.Linear(hidden, hidden)
        relations = len(RELATION)
        for layer in (*self.lower, self.last, *([self.glance] if self.glance is not None else [])):
            assert isinstance(layer, RelationalLayer)
            for head in range(heads):
                # In turn: opponents, teammates, objects, all alike.
                if head % relations < len(_LOOKS_AT):
                    which = RELATION.index(_LOOKS_AT[head % relations])
                    layer.specialise(edge - relations + which, head, _FIRST_SCORE)
        for linear in (self.input, self.block):
            nn.init.orthogonal_(linear.weight, math.sqrt(2))
            nn.init.zeros_(linear.bias)

    def forward(
        self, graph: GraphTensors, path: str, recall: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return embeddings [T,M,H] and the last layer's attention [T,M,heads,E].

        `recall` turns what receivers see at a first glance [T,M,H] into what they remember, for the query.
        """
        steps, rows, senders, width = graph.edges.shape
        operators = operators_of(path)
        own = graph.own.view(steps * rows, -1)
        edges, mask = graph.edges.view(steps * rows, senders, width), graph.mask.view(steps * rows, senders)
        receivers = operators.rectified(own, self.input.weight, self.input.bias)
        embedding = self._embed_agents(graph.lower, path) if graph.lower is not None else None
        if self.glance is not None and recall is not None:
            seen, _ = self.glance(receivers, edges, mask, None, path)
            receivers = receivers + recall((receivers + seen).view(steps, rows, -1)).flatten(0, 1)
        hidden, weights = self.last(receivers, edges, mask, embedding, path)
        norm, block = self.norm, self.block
        hidden = operators.residual(hidden, norm.weight, norm.bias, block.weight, block.bias)
        return hidden.view(steps, rows, -1), weights.view(steps, rows, -1, senders)

    def _embed_agents(self, graph: LowerGraph, path: str) -> Tensor:
        steps, views, agents, senders, width = graph.edges.shape
        assert self.lower_input is not None
        own = graph.own.flatten(0, 2)
        hidden = operators_of(path).rectified(own, self.lower_input.weight, self.lower_input.bias)
        edges, mask = graph.edges.view(-1, senders, width), graph.mask.view(-1, senders)

        def sent_of(hidden: Tensor) -> Tensor:
            sent = hidden.view(steps * views, agents, -1)
            return sent if graph.embeds is None else sent * graph.embeds.view(steps * views, agents, 1)

        for index, layer in enumerate(self.lower):
            update, _ = layer(hidden, edges, mask, sent_of(hidden) if index else None, path)
            hidden = hidden + torch.relu(update)
        return sent_of(hidden)


def _encoder(
    shape: PolicyShape, node: int, own: int, remembers: bool = False
) -> RelationalEncoder | FlatEncoder | LinkedEncoder:
    """Return a fresh encoder of receivers with `own` features, who see nodes with `node` of them."""
    if shape.links:
        return LinkedEncoder(node + shape.edge, own, shape.links, shape.hidden, shape.heads, shape.layers)
    sizes = (shape.hidden, shape.heads, shape.layers, remembers)
    if shape.places:
        return FlatEncoder(node + shape.edge, own, shape.places, *sizes)
    return RelationalEncoder(node, shape.edge, own, *sizes)


class RelationalPolicy(nn.Module):
    """Policy and value of every receiver of a graph."""

    def __init__(self, shape: PolicyShape) -> None:
        super().__init__()
        self.shape = shape
        self._inside = 0
        self._asks = shape.recurrent and shape.memory == "query" and not shape.links
        self.encoder = _encoder(shape, shape.node, shape.own, remembers=self._asks)
        self.memory = Gru(shape.hidden, shape.hidden) if shape.recurrent else None
        self.actor = nn.Linear(shape.hidden, shape.actions if not shape.links else 1)
        self.target = TargetHead(shape.hidden) if shape.links else None
        known = shape.known[1] - shape.known[0] if not shape.links else 0
        self.known_actor = nn.Linear(shape.hidden, shape.actions * known, bias=False) if known else None
        if self.known_actor is not None:
            nn.init.zeros_(self.known_actor.weight)
        self.guess = nn.Linear(shape.hidden, shape.guesses) if shape.guesses else None
        central = shape.critic == "central"
        # A centralised critic's receivers read their own row of the privileged nodes, private features included.
        self.critic_encoder = (
            _encoder(shape, shape.critic_node, shape.critic_node + shape.own - shape.node) if central else None
        )
        self.critic_hidden = nn.Linear(shape.hidden + shape.told, shape.hidden)
        self.critic = nn.Linear(shape.hidden, 1)
        nn.init.orthogonal_(self.actor.weight, 0.01)
        nn.init.orthogonal_(self.critic_hidden.weight, math.sqrt(2))
        nn.init.orthogonal_(self.critic.weight, 1.0)
        for linear in (self.actor, self.critic_hidden, self.critic):
            nn.init.zeros_(linear.bias)

    def tie(self, columns: list[int]) -> None:
        """Have the network treat these features of the nodes that agents see alike (`RelationalLayer.tie`)."""
        for module in self.modules():
            if isinstance(module, RelationalLayer):
                module.tie(columns)

    @contextmanager
    def unchanging(self) -> Iterator[None]:
        """While this lasts nobody changes the weights, and what is derived from them is worked out once.

        Several threads may be inside at a time.
        """
        with _LOCK:
            self._inside += 1
            if self._inside == 1:
                self._keep_folded(keep=True)
        try:
            yield
        finally:
            with _LOCK:
                self._inside -= 1
                if self._inside == 0:
                    self._keep_folded(keep=False)

    def _keep_folded(self, keep: bool) -> None:
        for module in self.modules():
            if isinstance(module, RelationalLayer):
                module.keep_folded(keep)

    def initial_state(self, rows: int) -> Tensor:
        """Return the memory [M,H] of M receivers that have seen nothing."""
        width = self.shape.hidden if self.memory is not None else 0
        return self.actor.weight.new_zeros(rows, width)

    def forward(
        self,
        graph: GraphTensors,
        state: Tensor,
        starts: Tensor,
        action_mask: Tensor,
        full: GraphTensors | None = None,
        path: str = "fused",
        told: Tensor | None = None,
    ) -> PolicyOutput:
        """Return what the policy does at each of T steps for M receivers.

        `state` [M,H] is the memory before the first step, `starts` bool [T,M] where an episode (or trial) starts,
        `action_mask` bool [T,M,A], `full` the graph that a centralised critic reads, `told` [T,M,W] the rules that a
        told one does.
        """
        output, hidden = self._act(graph, state, starts, action_mask, path)
        guess = self.guess(hidden) if self.guess is not None else None
        if self.critic_encoder is not None:
            if full is None:
                raise ValueError("a centralised critic needs the full graph")
            hidden = self.critic_encoder(full, path)[0]
        if self.shape.told:
            if told is None:
                raise ValueError("a told critic needs the hidden rules")
            hidden = torch.cat([hidden, told], -1)
        last, head = self.critic_hidden, self.critic
        value = operators_of(path).value(hidden.flatten(0, 1), last.weight, last.bias, head.weight, head.bias)
        return PolicyOutput(output.logits, value.view(starts.shape), output.state, output.attention, guess)

    def act(
        self, graph: GraphTensors, state: Tensor, starts: Tensor, action_mask: Tensor, path: str = "fused"
    ) -> ActionOutput:
        """Return what `forward` does, without values: all that playing takes."""
        return self._act(graph, state, starts, action_mask, path)[0]

    def _act(
        self, graph: GraphTensors, state: Tensor, starts: Tensor, action_mask: Tensor, path: str
    ) -> tuple[ActionOutput, Tensor]:
        operators, actor = operators_of(path), self.actor

        def recall(seen: Tensor) -> Tensor:
            nonlocal state
            assert self.memory is not None
            states = operators.gru(seen, state, starts, self.memory.weights())
            state = states[-1]
            return states

        asked = None
        if isinstance(self.encoder, LinkedEncoder):
            hidden, attention, asked = self.encoder(graph, action_mask, path)
        else:
            hidden, attention = self.encoder(graph, path, recall if self._asks else None)
        if self.memory is not None and not self._asks:
            hidden = hidden + recall(hidden)
        if self.target is not None and asked is not None:
            logits = self.target(hidden.flatten(0, 1), asked, action_mask.flatten(0, 1))
        else:
            logits = operators.legal_logits(hidden.flatten(0, 1), actor.weight, actor.bias, action_mask.flatten(0, 1))
        logits = logits.view(action_mask.shape)
        if self.known_actor is not None:
            # A rule such as which action moves where changes what to do with everything else: it multiplies.
            first, last = self.shape.known
            each = self.known_actor(hidden).unflatten(-1, (self.shape.actions, -1))
            logits = logits + (each * graph.own[..., None, first:last]).sum(-1)
        return ActionOutput(logits, state, attention), hidden


@dataclass(frozen=True, slots=True)
class ActionOutput:
    """What a policy does for T steps and M receivers."""

    logits: Tensor
    """[T,M,A]; illegal actions have -1e9."""
    state: Tensor
    """[M,H] the memory after the last step."""
    attention: Tensor
    """[T,M,heads,E] of the last layer; zeros of a flat encoder."""


@dataclass(frozen=True, slots=True)
class PolicyOutput:
    """What a policy does and expects for T steps and M receivers."""

    logits: Tensor
    """[T,M,A]; illegal actions have -1e9."""
    value: Tensor
    """[T,M] in the value normaliser's units."""
    state: Tensor
    """[M,H] the memory after the last step."""
    attention: Tensor
    """[T,M,heads,E] of the last layer."""
    guess: Tensor | None = None
    """[T,M,G] scores of the hidden rules, for a network that guesses them."""
