"""From an observation to the relation graph: what each agent's node, and each edge into it, carries.

A *receiver* is an agent, a *sender* any entity that it sees, itself included. The features of edge i <- j are those of
the sender's node (kind, radius, the visible rules bound to its kind) followed by the relation as i sees it:

- relative position and velocity (of those that the game shows), distance, direction, nearness, contact;
- who is closer: the margin by which i is nearer to j than i's nearest teammate is, the same against opponents, i's rank
  among its team by distance to j, and j's rank among its kind by distance to i;
- self, teammate, opponent or object.

Nothing here is an absolute position. What an agent knows privately is appended to its own node only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from marl_meta.kernels import kernel
from marl_meta.types import BoolArray, FloatArray, IntArray, Layout, Observation, SmallIntArray

GEOMETRY = ("x", "y", "vx", "vy")
RELATIVE = (
    "dx",
    "dy",
    "dvx",
    "dvy",
    "distance",
    "direction_x",
    "direction_y",
    "nearness",
    "contact",
    "margin_over_teammates",
    "margin_over_opponents",
    "rank_in_team",
    "rank_in_kind",
)
RELATION = ("self", "teammate", "opponent", "object")

_PLACE, _ORDER = 9, 4
"""How many of the relative features say where the sender is, and how many who is closer."""
_NEAR = np.float32(0.2)
"""The distance (in the game's units of length) at which nearness is one half, and over which contact fades."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The relation graphs of G games for n receivers each, as arrays."""

    own: FloatArray
    """[G,n,S+P] the receiver's node and its private features."""
    edges: FloatArray
    """[G,n,E,F] sender's node and relation."""
    mask: BoolArray
    """[G,n,E] who sends to whom."""


class _Scene(NamedTuple):
    """An observation, as the kernels take it."""

    entities: FloatArray
    kind: SmallIntArray
    team: SmallIntArray
    present: BoolArray
    private: FloatArray
    rules: FloatArray
    seen: BoolArray
    """[B,n,E] what each receiver sees; of size 0 where everybody sees everything."""


class _Columns(NamedTuple):
    """Where the kernels find and put what: indices of the layout's columns."""

    geometry: IntArray
    """Entity columns of x, y, vx, vy; empty where the game has no places."""
    radius: int
    """Entity column, or -1."""
    plain: IntArray
    """Entity columns that nodes carry as they are."""
    rules: IntArray
    """[kinds, rule features] column of `Observation.rules`, or -1."""
    kinds: IntArray
    """[kinds] place of each of the layout's kinds among those that nodes tell apart."""
    privileged: bool


class GraphFeatures:
    """Builds the graphs of one layout, for any number of agents and objects.

    `rules` names the features of visible rules (`BoundRule.feature`) that nodes carry, in order. `kinds` are the kinds
    that nodes tell apart, in order, where they are not the layout's own: a policy may know more kinds than a game has.
    `privileged` puts every agent's private features on its node for all to see: for a centralised critic alone. `known`
    names node features that are left at zero for `nets.knowledge` to fill.
    """

    def __init__(
        self,
        layout: Layout,
        rules: tuple[str, ...] = (),
        kinds: tuple[str, ...] = (),
        privileged: bool = False,
        known: tuple[str, ...] = (),
    ) -> None:
        kinds = kinds or layout.kinds
        self.layout = layout
        self.rules = rules
        self.privileged = privileged
        self.geometric = set(GEOMETRY) <= set(layout.entity_features)
        columns = layout.entity_features
        plain = [i for i, name in enumerate(columns) if name not in GEOMETRY or not self.geometric]
        self._columns = _Columns(
            geometry=np.array([columns.index(name) for name in GEOMETRY] if self.geometric else [], np.int64),
            radius=columns.index("radius") if "radius" in columns else -1,
            plain=np.array(plain, np.int64),
            rules=rule_columns(layout, (*rules, *known)),
            kinds=np.array([kinds.index(kind) for kind in layout.kinds], np.int64),
            privileged=privileged,
        )
        shared = layout.private_features if privileged else ()
        self.node_names = (
            "one",
            *kinds,
            *(columns[i] for i in plain),
            *rules,
            *known,
            *(f"private_{name}" for name in shared),
        )
        self.first_known = len(self.node_names) - len(shared) - len(known)
        """The node column where what is known of hidden rules begins."""
        self.edge_names = (*(RELATIVE if self.geometric else ()), *RELATION)

    @property
    def node_width(self) -> int:
        """S, the number of features of a sender's node."""
        return len(self.node_names)

    @property
    def width(self) -> int:
        """F, the number of features of an edge: the sender's node and the relation."""
        return len(self.node_names) + len(self.edge_names)

    @property
    def own_width(self) -> int:
        """S + P, the number of features of a receiver."""
        return len(self.node_names) + len(self.layout.private_features)

    def allocate(self, shape: tuple[int, ...], entities: int) -> Graph:
        """Return an empty graph of `shape` [..., n] receivers."""
        return Graph(
            np.empty((*shape, self.own_width), np.float32),
            np.empty((*shape, entities, self.width), np.float32),
            np.empty((*shape, entities), np.bool_),
        )

    def __call__(
        self, observation: Observation, agents: IntArray, out: Graph | None = None, everything: bool = False
    ) -> Graph:
        """Return the graph of `agents` (indices [n] of agent slots), written into `out` where given.

        `everything` shows all entities to all, whatever the observation says that they see.
        """
        games, entities = observation.present.shape
        if out is None:
            out = self.allocate((games, len(agents)), entities)
        seen = _NO_SIGHT
        if observation.sees is not None and not everything:
            seen = np.ascontiguousarray(observation.sees[:, agents])
        scene = _Scene(
            observation.entities,
            observation.kind,
            observation.team,
            observation.present,
            observation.private,
            observation.rules,
            seen,
        )
        _fill(scene, self._columns, agents, out.own, out.edges, out.mask)
        return out

    def views(self, observation: Observation, agents: IntArray, out: Graph) -> Graph:
        """Return how all N agents relate in each of `agents`' own view: a graph [B*n,N] of what that agent sees.

        Entities that the viewer does not see are absent from its view, as receivers and as senders. Where everybody
        sees everything one view [B,N] serves all.
        """
        everybody = np.arange(observation.private.shape[1])
        if observation.sees is None:
            return self(observation, everybody, out)
        repeats = len(agents)
        seen = observation.sees[:, agents].copy()
        seen[:, np.arange(repeats), agents] = True
        present = np.repeat(observation.present, repeats, axis=0) & seen.reshape(-1, seen.shape[2])
        view = Observation(
            entities=np.repeat(observation.entities, repeats, axis=0),
            kind=np.repeat(observation.kind, repeats, axis=0),
            team=np.repeat(observation.team, repeats, axis=0),
            present=present,
            private=np.repeat(observation.private, repeats, axis=0),
            sees=None,
            acting=np.repeat(observation.acting, repeats, axis=0),
            action_mask=np.repeat(observation.action_mask, repeats, axis=0),
            rules=np.repeat(observation.rules, repeats, axis=0),
            links=None if observation.links is None else np.repeat(observation.links, repeats, axis=0),
            targets=None if observation.targets is None else np.repeat(observation.targets, repeats, axis=0),
        )
        return self(view, everybody, out)


def rule_columns(layout: Layout, features: tuple[str, ...]) -> IntArray:
    """Return [kinds, features]: which column of `Observation.rules` fills each feature of a kind's nodes, or -1."""
    columns = np.full((len(layout.kinds), len(features)), -1, np.int64)
    for column, bound in enumerate(layout.visible_rules):
        if bound.feature in features:
            for kind in bound.kinds:
                columns[layout.kinds.index(kind), features.index(bound.feature)] = column
    return columns


_NO_SIGHT = np.empty((0, 0, 0), np.bool_)


@kernel
def _fill(
    scene: _Scene, columns: _Columns, agents: IntArray, own: FloatArray, edges: FloatArray, mask: BoolArray
) -> None:
    games, senders = scene.present.shape
    slots, private_width = scene.private.shape[1], scene.private.shape[2]
    node_width = own.shape[2] - private_width
    nodes = np.empty((senders, node_width), np.float32)
    distance = np.empty((slots, senders), np.float32)
    for game in range(games):
        _fill_nodes(scene, columns, game, nodes)
        if columns.geometry.size:
            _fill_distances(scene.entities[game], columns.geometry, distance)
        team, kind = scene.team[game], scene.kind[game]
        for n in range(agents.size):
            i = agents[n]
            receiver, visible = own[game, n], mask[game, n]
            for k in range(node_width):
                receiver[k] = nodes[i, k]
            for k in range(private_width):
                receiver[node_width + k] = scene.private[game, i, k]
            for j in range(senders):
                seen = scene.seen.size == 0 or j == i or scene.seen[game, n, j]
                visible[j] = scene.present[game, i] and scene.present[game, j] and seen
            for j in range(senders):
                edge = edges[game, n, j]
                if not visible[j]:
                    for k in range(edge.size):
                        edge[k] = 0.0
                    continue
                for k in range(node_width):
                    edge[k] = nodes[j, k]
                at = node_width
                if columns.geometry.size:
                    _fill_place(scene.entities[game], columns, i, j, distance, edge[at:])
                    _fill_order(team, kind, i, j, visible, distance, edge[at + _PLACE :])
                    at += _PLACE + _ORDER
                same = team[i] == team[j]
                edge[at] = 1.0 if i == j else 0.0
                edge[at + 1] = 1.0 if i != j and same else 0.0
                edge[at + 2] = 1.0 if not same and team[j] >= 0 else 0.0
                edge[at + 3] = 1.0 if team[j] < 0 else 0.0


@kernel
def _fill_nodes(scene: _Scene, columns: _Columns, game: int, nodes: FloatArray) -> None:
    """Fill `nodes` [E,S]; absent entities' are zero."""
    senders, width = nodes.shape
    slots, private_width = scene.private.shape[1], scene.private.shape[2]
    shared = private_width if columns.privileged else 0
    first_rule = width - shared - columns.rules.shape[1]
    first_plain = first_rule - columns.plain.size
    for j in range(senders):
        node = nodes[j]
        for k in range(width):
            node[k] = 0.0
        if not scene.present[game, j]:
            continue
        kind = scene.kind[game, j]
        node[0] = 1.0
        node[1 + columns.kinds[kind]] = 1.0
        for k in range(columns.plain.size):
            node[first_plain + k] = scene.entities[game, j, columns.plain[k]]
        for k in range(columns.rules.shape[1]):
            if columns.rules[kind, k] >= 0:
                node[first_rule + k] = scene.rules[game, columns.rules[kind, k]]
        if j < slots:
            for k in range(shared):
                node[width - shared + k] = scene.private[game, j, k]


@kernel
def _fill_distances(entities: FloatArray, geometry: IntArray, distance: FloatArray) -> None:
    """Fill `distance` [N,E] between agents and entities."""
    for i in range(distance.shape[0]):
        for j in range(distance.shape[1]):
            dx = entities[j, geometry[0]] - entities[i, geometry[0]]
            dy = entities[j, geometry[1]] - entities[i, geometry[1]]
            distance[i, j] = np.float32(math.sqrt(dx * dx + dy * dy))


@kernel
def _fill_place(
    entities: FloatArray, columns: _Columns, i: int, j: int, distance: FloatArray, edge: FloatArray
) -> None:
    """Fill where j is, relative to i: the first _PLACE relative features."""
    one = np.float32(1.0)
    apart = distance[i, j]
    for k in range(4):
        edge[k] = entities[j, columns.geometry[k]] - entities[i, columns.geometry[k]]
    inverse = one / max(apart, np.float32(1e-6))
    edge[4] = apart
    edge[5] = edge[0] * inverse
    edge[6] = edge[1] * inverse
    edge[7] = _NEAR / (_NEAR + apart)
    edge[8] = 0.0
    if i != j:
        gap = apart
        if columns.radius >= 0:
            gap -= entities[i, columns.radius] + entities[j, columns.radius]
        edge[8] = min(max(one - gap / _NEAR, np.float32(0.0)), np.float32(2.0))


@kernel
def _fill_order(
    team: SmallIntArray, kind: SmallIntArray, i: int, j: int, visible: BoolArray, distance: FloatArray, edge: FloatArray
) -> None:
    """Fill who is closer to whom, among the entities visible to i: the last _ORDER relative features.

    Without another teammate (opponent) in sight, the margin over them is 1.
    """
    one = np.float32(1.0)
    apart = distance[i, j]
    teammate, opponent, closer, nearer = one + apart, one + apart, 0, 0
    for other in range(visible.size):
        if other in (i, j) or not visible[other]:
            continue
        if other < distance.shape[0]:
            if team[other] == team[i]:
                teammate = min(teammate, distance[other, j])
                closer += distance[other, j] < apart
            else:
                opponent = min(opponent, distance[other, j])
        nearer += kind[other] == kind[j] and distance[i, other] < apart
    edge[0] = max(teammate - apart, -one)
    edge[1] = max(opponent - apart, -one)
    edge[2] = one / np.float32(1 + closer)
    edge[3] = one / np.float32(1 + nearer)
