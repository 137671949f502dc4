"""The network without the graph, a control: a plain perceptron over what the receiver sees, entity beside entity.

    x_i = [own_i; f_i1; ...; f_iE]            zeros where i sees nobody
    h_i = W_L relu(... W_1 relu(W_0 x_i + b_0) + b_1 ...) + b_L          then the residual block of `nets.policy`

It reads the same numbers as the encoder over the graph, is as wide and as deep, and what comes after is the same. What
it lacks is that entities are alike: each has a place of its own, and there are so many places and no more. They go kind
by kind, in the order of the game's slots, so that a smaller game leaves the last ones of each kind empty.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from marl_meta.nets.features import Graph
from marl_meta.nets.operators import operators_of
from marl_meta.types import IntArray, SmallIntArray, UserError

if TYPE_CHECKING:  # the policy is made of encoders, and this one reads what the policy is given
    from marl_meta.nets.policy import GraphTensors


def room_of(kind: SmallIntArray, kinds: int) -> tuple[int, ...]:
    """Return how many entities of each kind games have slots for, the most over games; `kind` is int [B,E]."""
    return tuple(int(count) for count in _is(kind, kinds).sum(1).max(0))


def _is(kind: SmallIntArray, kinds: int) -> IntArray:
    """Return [B,E,kinds]: 1 at the kind that each slot has."""
    return np.eye(kinds, dtype=np.int64)[kind]


class Places:
    """Which place each entity of a game takes: `slots` says how many there are for each of `kinds`."""

    def __init__(self, slots: tuple[int, ...], kinds: tuple[str, ...], game_kinds: tuple[str, ...]) -> None:
        """`game_kinds` are those of the game's layout, all of them among `kinds`."""
        if len(slots) != len(kinds):
            raise ValueError(f"{len(slots)} numbers of places for {len(kinds)} kinds of entity")
        own = np.array([kinds.index(kind) for kind in game_kinds], np.int64)
        self.count = sum(slots)
        self._names = game_kinds
        self._room = np.array(slots, np.int64)[own]
        self._first = (np.cumsum(slots) - slots)[own]
        self.spans = (np.cumsum(slots) - slots, np.array(slots, np.int64))
        """The first place and the number of places of each of `kinds`."""

    def of(self, kind: SmallIntArray) -> IntArray:
        """Return the places [B,E] of the entities of games whose slots have the kinds int [B,E].

        Raises UserError where there are not enough.
        """
        which = _is(kind, len(self._names))
        before = which.cumsum(1) - which
        for name, most, room in zip(self._names, which.sum(1).max(0), self._room, strict=True):
            if most > room:
                raise UserError(
                    f"A policy with a flat encoder cannot play a game with {most} entities of kind {name!r}: it was "
                    f"built for {room} at most (policy.encoder=graph plays with any number)."
                )
        places: IntArray = self._first[kind] + (before * which).sum(-1)
        return places

    def put(self, graph: Graph, kind: SmallIntArray, out: Graph) -> None:
        """Fill `out` [B,n,...], which has a place for each, with a `graph` [B,n,...] of the game's own slots."""
        out.own[...] = graph.own
        out.edges[...] = 0.0
        out.mask[...] = False
        places = self.of(kind)
        games = np.arange(len(kind))[:, None]
        # The indexed axes come first: [B,E,n,...].
        out.edges[games, :, places] = graph.edges.swapaxes(1, 2)
        out.mask[games, :, places] = graph.mask.swapaxes(1, 2)


class FlatEncoder(nn.Module):
    """What each receiver sees, entity beside entity -> one embedding [R,H] per receiver."""

    def __init__(
        self, features: int, own: int, places: int, hidden: int, heads: int, layers: int, remembers: bool = False
    ) -> None:
        """`remembers` adds a layer whose output is remembered by a memory that the last layer reads.

        `heads` is of the attention that there is none of.
        """
        super().__init__()
        self._heads, self._places = heads, places
        self.input = nn.Linear(own + places * features, hidden)
        self.glance = nn.Linear(hidden, hidden) if remembers else None
        self.lower = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers - 1))
        self.last = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.block = nn.Linear(hidden, hidden)
        for linear in self.modules():
            if isinstance(linear, nn.Linear):
                nn.init.orthogonal_(linear.weight, math.sqrt(2))
                nn.init.zeros_(linear.bias)

    def forward(
        self, graph: GraphTensors, path: str, recall: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return embeddings [T,M,H], and zeros [T,M,heads,E] for attention, as nobody is attended to.

        `recall` turns what receivers see at a first glance [T,M,H] into what they remember.
        """
        steps, rows, places, _ = graph.edges.shape
        if places != self._places:
            raise ValueError(f"an encoder with places for {self._places} entities was given {places}")
        operators = operators_of(path)
        seen = graph.edges.masked_fill(~graph.mask.unsqueeze(-1), 0.0)
        inputs = torch.cat([graph.own, seen.flatten(2)], -1).flatten(0, 1)
        hidden = operators.rectified(inputs, self.input.weight, self.input.bias)
        for layer in self.lower:
            assert isinstance(layer, nn.Linear)
            hidden = operators.rectified(hidden, layer.weight, layer.bias)
        if self.glance is not None and recall is not None:
            hidden = hidden + recall((hidden + self.glance(hidden)).view(steps, rows, -1)).flatten(0, 1)
        norm, block = self.norm, self.block
        hidden = operators.residual(self.last(hidden), norm.weight, norm.bias, block.weight, block.bias)
        attention = hidden.new_zeros(()).expand(steps, rows, self._heads, places)
        return hidden.view(steps, rows, -1), attention
