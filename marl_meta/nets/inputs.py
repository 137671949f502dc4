"""What a policy reads, built from observations: storage for T steps, filled step by step, sliced by games."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from marl_meta.nets.belief import BeliefNet, score_width
from marl_meta.nets.events import EventReader
from marl_meta.nets.features import Graph, GraphFeatures
from marl_meta.nets.flat import Places
from marl_meta.nets.knowledge import Knowledge
from marl_meta.nets.outcomes import OutcomeModel
from marl_meta.nets.policy import GraphTensors, LowerGraph, PolicyShape, RelationalPolicy
from marl_meta.types import (
    BoolArray,
    BoundRule,
    FloatArray,
    IntArray,
    Layout,
    LinkArray,
    Observation,
    Snapshot,
    Step,
    UserError,
    VectorGame,
)

PERIODS = (2, 3, 4, 8, 16, 32, 64, 128, 256)
"""Of the hands of the clock: steps for a turn. Every step of a trial of up to 768 looks different."""


@dataclass(frozen=True, slots=True)
class BeliefDesign:
    """How hidden rules are inferred from what happens."""

    hidden: int = 64
    """Width of its networks."""
    memory: int = 32
    """Width of the memory for each kind of entity (D)."""
    events: str = "contacts"
    """`contacts`: what is touched or displaced is evidence; `all`: every entity at every step."""
    read: str = "head"
    """How a belief is read: by a `head`, or from examples of past tasks by `matching` or `prototypes`."""
    examples: int = 512
    """How many examples are kept of each rule."""
    latents: int = 0
    """How many numbers of every kind of entity are inferred in place of rules, without anybody knowing the truth."""


@dataclass(frozen=True, slots=True)
class PolicyDesign:
    """Everything that fixes a policy besides the game's layout: sizes, and what it reads."""

    hidden: int = 64
    heads: int = 4
    layers: int = 1
    recurrent: bool = True
    memory: str = "heads"
    """Where recurrent memory enters: the `heads`, or the `query` of the last attention."""
    critic: str = "own"
    privileged: tuple[BoundRule, ...] = ()
    """Numbers of hidden rules that training knows: those that a critic `told` reads, and that are guessed."""
    guesses: bool = False
    """Whether the network learns to guess them, as an auxiliary task."""
    kinds: tuple[str, ...] = ()
    """Kinds of entity that nodes tell apart; none means those of the game."""
    rules: tuple[str, ...] = ()
    """Features of visible rules that nodes carry."""
    trial_inputs: bool = False
    """Whether an agent also receives its previous action, reward and episode end."""
    clock: bool = False
    """Whether it also receives how many steps of the trial have passed."""
    unknowns: tuple[BoundRule, ...] = ()
    """Numbers of hidden rules of which nodes carry what is known: the truth, or a belief."""
    belief: BeliefDesign | None = None
    """How the unknown rules are inferred; None where they are told or stay unknown."""
    adapted: int = 0
    """How many features of every kind's nodes are left to adaptation by gradients (`meta.policies.KIND_CONTEXT`)."""
    slots: tuple[int, ...] = ()
    """Of a flat encoder: how many entities of each of `kinds` it has places for; none is the encoder over the graph."""

    def context_width(self, layout: Layout) -> int:
        """Return C, the number of inputs beyond the observation."""
        return (len(layout.actions) + 2 if self.trial_inputs else 0) + (2 * len(PERIODS) if self.clock else 0)


class PolicyInputs:
    """Turns observations of one layout into the tensors that a policy of one design reads."""

    def __init__(self, layout: Layout, design: PolicyDesign) -> None:
        self.layout = layout
        self.design = design
        self.knowledge = Knowledge(design.unknowns, layout) if design.unknowns else None
        self.privileged = Knowledge(design.privileged, layout) if design.privileged else None
        known = self.knowledge.node_names if self.knowledge is not None else ()
        known = (*known, *(f"adapted_{index}" for index in range(design.adapted)))
        self.known_width = len(known)
        self.features = GraphFeatures(layout, design.rules, design.kinds, known=known)
        self.full_features = GraphFeatures(layout, design.rules, design.kinds, privileged=True, known=known)
        everything = design.belief is not None and design.belief.events == "all"
        self.events = EventReader(layout, design.kinds or layout.kinds, everything) if design.belief else None
        self.context_width = design.context_width(layout)
        self.places = Places(design.slots, design.kinds or layout.kinds, layout.kinds) if design.slots else None

    @property
    def told_width(self) -> int:
        """Columns that a told critic reads."""
        return self.privileged.width if self.privileged is not None and self.design.critic == "told" else 0

    def alike(self) -> tuple[list[list[int]], list[list[int]]]:
        """Return which features say what kind an entity is, by groups of kinds that are alike (`Knowledge.alike`).

        They are those of nodes, and those of events: what kind the entity is, and how many of it were displaced.
        """
        kinds = self.design.kinds or self.layout.kinds
        groups = self.knowledge.alike if self.knowledge is not None else ()
        places = [[kinds.index(kind) for kind in group] for group in groups]
        nodes = [[1 + place for place in group] for group in places]
        if self.events is None:
            return nodes, []
        return nodes, places + [[self.events.displaced[place] for place in group] for group in places]

    def context_after(self, actions: IntArray, step: Step, agents: IntArray, passed: IntArray) -> FloatArray:
        """Return the context [B,n,C] that the inputs after `step` carry, where `agents` [n] had played `actions` [B,n].

        It is the action (one for each), the reward, and whether the episode ended; then the clock, of `passed` [B]
        steps of the trial. What a design does not have is left out. Before a trial's first step it is zero.
        """
        context = np.zeros((*actions.shape, self.context_width), np.float32)
        if self.design.trial_inputs:
            count = len(self.layout.actions)
            context[:, :, :count] = np.eye(count, dtype=np.float32)[actions]
            context[:, :, count] = step.reward[:, agents]
            context[:, :, count + 1] = step.game_over[:, None]
        if self.design.clock:
            angle = passed[:, None, None] * (2.0 * np.pi / np.array(PERIODS))
            context[:, :, -2 * len(PERIODS) :] = np.concatenate([np.sin(angle), 1.0 - np.cos(angle)], -1)
        return context

    def build_policy(self) -> RelationalPolicy:
        """Return a freshly initialised policy that reads these inputs."""
        design, privileged = self.design, self.privileged
        shape = PolicyShape(
            node=self.features.node_width,
            edge=len(self.features.edge_names),
            own=self.features.own_width + self.context_width,
            actions=len(self.layout.actions),
            hidden=design.hidden,
            heads=design.heads,
            layers=design.layers,
            recurrent=design.recurrent,
            memory=design.memory,
            critic=design.critic,
            critic_node=self.full_features.node_width,
            told=self.told_width,
            guesses=sum(score_width(block) for block in privileged.blocks) if privileged and design.guesses else 0,
            places=self.places.count if self.places is not None else 0,
            links=self.layout.links if self.places is None else (),
            known=(self.features.first_known, self.features.first_known + self.known_width),
        )
        return RelationalPolicy(shape)

    def build_belief(self) -> BeliefNet | None:
        """Return a freshly initialised network that infers the unknown rules; None for a design without."""
        design = self.design.belief
        if design is None or self.knowledge is None or self.events is None:
            return None
        kinds = self.design.kinds or self.layout.kinds
        outcomes = OutcomeModel(self.events, design.latents) if design.latents else None
        return BeliefNet(
            self.knowledge,
            kinds,
            self.events.width,
            design.hidden,
            design.memory,
            design.read,
            design.examples,
            outcomes,
        )

    def storage(self, steps: int, game: VectorGame, agents: IntArray, shared_view: bool) -> InputStorage:
        """Return room for `steps` observations of `game` as `agents` see them."""
        return InputStorage(self, steps, (game.num_games, game.num_agents, game.num_entities), agents, shared_view)


class InputStorage:
    """Policy inputs of T steps of B games, [T,B,n,...] in memory, handed out as [T,B*n,...]."""

    def __init__(
        self,
        inputs: PolicyInputs,
        steps: int,
        sizes: tuple[int, int, int],
        agents: IntArray,
        shared_view: bool,
        actor_only: bool = False,
    ) -> None:
        games, slots, entities = sizes
        count, design = len(agents), inputs.design
        self.inputs, self.agents, self.games, self.shared_view = inputs, agents, games, shared_view
        self._sizes, self._actor_only = sizes, actor_only
        room = entities if inputs.places is None else inputs.places.count
        self.graph = inputs.features.allocate((steps, games, count), room)
        central = design.critic == "central" and not actor_only
        self.full = inputs.full_features.allocate((steps, games, count), room) if central else None
        self.lower = self.full_lower = None
        views = games if shared_view else games * count
        linked = bool(inputs.layout.links) and inputs.places is None
        if design.layers > 1 and inputs.places is None and not linked:
            self.lower = inputs.features.allocate((steps, views, slots), entities)
            if self.full is not None:
                self.full_lower = inputs.full_features.allocate((steps, games, slots), entities)
        self.links: LinkArray | None = None
        """[T,B,E,L], made when it is seen how many links there are."""
        self.targets = np.full((steps, games, len(inputs.layout.actions)), -1, np.int16) if linked else None
        self.context = np.zeros((steps, games, count, inputs.context_width), np.float32)
        self.told = np.zeros((steps, games, count, 0 if actor_only else inputs.told_width), np.float32)
        self.action_mask = np.empty((steps, games, count, len(inputs.layout.actions)), np.bool_)

    def arrays(self) -> Snapshot:
        """Return the arrays behind it by name, each [T,...]; what is written into them is kept."""
        graphs = {"graph": self.graph, "full": self.full, "lower": self.lower, "full_lower": self.full_lower}
        found: Snapshot = {"context": self.context, "told": self.told, "action_mask": self.action_mask}
        for name, graph in graphs.items():
            if graph is not None:
                found |= {f"{name}/own": graph.own, f"{name}/edges": graph.edges, f"{name}/mask": graph.mask}
        for name, array in (("links", self.links), ("targets", self.targets)):
            if array is not None:
                found[name] = array
        return found

    def resized(self, steps: int, kept: slice) -> InputStorage:
        """Return room for `steps` observations, with the rows `kept` of this storage at its beginning."""
        other = InputStorage(self.inputs, steps, self._sizes, self.agents, self.shared_view, self._actor_only)
        if self.links is not None:
            other.make_links(self.links.shape[1:])
        room = other.arrays()
        for name, array in self.arrays().items():
            rows = array[kept]
            room[name][: len(rows)] = rows
        return other

    def make_links(self, shape: tuple[int, ...]) -> None:
        """Make room for the links of every step, of `shape` [B,E,L]."""
        self.links = np.full((len(self.action_mask), *shape), -1, np.int16)

    def write(
        self,
        step: int,
        observation: Observation,
        context: FloatArray | None = None,
        knowledge: FloatArray | None = None,
        hidden: FloatArray | None = None,
    ) -> None:
        """Fill row `step` from `observation`, the context [B,n,C] and what is known of hidden rules [B,n,W].

        `hidden` [B,R'] are these rules, for a told critic. Knowledge enters at the last layer, whose graph is each
        agent's own.
        """
        features, full_features, agents = self.inputs.features, self.inputs.full_features, self.agents
        places = self.inputs.places
        graph = features(observation, agents, _at(self.graph, step) if places is None else None)
        if knowledge is not None and self.inputs.knowledge is not None:
            first = features.first_known
            self.inputs.knowledge.write(knowledge, observation.kind, agents, graph.own, graph.edges, graph.mask, first)
        if places is not None:
            places.put(graph, observation.kind, _at(self.graph, step))
        if self.lower is not None:
            features.views(observation, agents, _at(self.lower, step))
        if self.full is not None:
            row = _at(self.full, step) if places is None else None
            full = full_features(observation, agents, row, everything=True)
            if places is not None:
                places.put(full, observation.kind, _at(self.full, step))
        if self.full_lower is not None:
            everybody = np.arange(observation.private.shape[1])
            full_features(observation, everybody, _at(self.full_lower, step), everything=True)
        if self.targets is not None:
            self._write_links(step, observation, graph)
        if context is not None:
            self.context[step] = context
        if self.told.shape[-1]:
            assert hidden is not None
            assert self.inputs.privileged is not None
            self.told[step] = self.inputs.privileged.truth(hidden)[:, None]
        self.action_mask[step] = observation.action_mask[:, agents]

    def _write_links(self, step: int, observation: Observation, graph: Graph) -> None:
        """Fill row `step` of links and targets; who does not act sees nothing, and so costs nothing."""
        links, targets = observation.links, observation.targets
        if links is None or targets is None or self.targets is None:
            raise UserError("A policy of linked entities cannot play a game whose observations have no links.")
        if self.links is None:
            self.make_links(links.shape)
        assert self.links is not None
        self.links[step], self.targets[step] = links, targets
        graph.mask[...] &= observation.acting[:, self.agents, None]

    def read(self, steps: slice, games: IntArray | None = None, device: str = "cpu") -> ReadInputs:
        """Return the inputs of some steps, of all games or of those with the indices `games`."""
        count = len(self.agents)
        index = None if games is None else torch.from_numpy(games)

        def take(array: FloatArray | BoolArray | LinkArray, per_game: int = 1) -> Tensor:
            tensor = torch.from_numpy(array[steps])
            if index is not None:
                tensor = tensor.unflatten(1, (-1, per_game)).index_select(1, index).flatten(1, 2)
            return tensor if device == "cpu" else tensor.to(device)

        def graph_of(graph: Graph, lower: Graph | None, shared: bool, node: int) -> GraphTensors:
            own = take(graph.own)
            if self.context.shape[-1]:
                own = torch.cat([own, take(self.context)], -1)
            below = None
            if lower is not None:
                per_game = 1 if shared else count
                below = LowerGraph(
                    own=take(lower.own[..., :node], per_game),
                    edges=take(lower.edges, per_game),
                    mask=take(lower.mask, per_game),
                )
            return GraphTensors(
                own.flatten(1, 2), take(graph.edges).flatten(1, 2), take(graph.mask).flatten(1, 2), below,
                None if self.links is None else take(self.links),
                None if self.targets is None else take(self.targets),
            )  # fmt: skip

        inputs = self.inputs
        full = None
        if self.full is not None:
            full = graph_of(self.full, self.full_lower, True, inputs.full_features.node_width)
        return ReadInputs(
            graph=graph_of(self.graph, self.lower, self.shared_view, inputs.features.node_width),
            full=full,
            told=take(self.told).flatten(1, 2) if self.told.shape[-1] else None,
            action_mask=take(self.action_mask).flatten(1, 2),
        )


@dataclass(frozen=True, slots=True)
class ReadInputs:
    """Tensors [T,M,...] for `RelationalPolicy.forward`."""

    graph: GraphTensors
    full: GraphTensors | None
    told: Tensor | None
    action_mask: Tensor


def _at(graph: Graph, step: int) -> Graph:
    return Graph(graph.own[step], graph.edges[step], graph.mask[step])
