"""What a team knows of the hidden rules, as features of the very nodes that each rule is bound to.

Of every number of a rule that is unknown there is a *block*: a distribution over the values that it may take (or, for
a number that may be anything, a mean), and how unsure that is (entropy or deviation: 1 as before any experience,
0 for what is certain). An oracle has the truth there, a team that infers its belief: to the policy both are the same.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from marl_meta.kernels import kernel
from marl_meta.types import BoundRule, FloatArray, IntArray, Layout, SmallIntArray

_NO_VARIANCE = 1e-9

MOST_ORDERINGS = 720
"""Of a rule with more orderings, every position is inferred by itself."""


@dataclass(frozen=True, slots=True)
class Block:
    """What is known of one number of a rule (of all its numbers, where just one of them is 1)."""

    feature: str
    """Under this name nodes carry it; blocks that belong to other kinds may share one."""
    kinds: tuple[str, ...]
    columns: tuple[int, ...]
    """Which of the unknown numbers it stands for."""
    values: tuple[float, ...]
    """The distinct values of its only column; empty where it is one-hot, or may be anything."""
    size: int
    """How many values there are to choose from; 0 for a number that may be anything."""
    start: int
    """Its first column of the knowledge."""

    @property
    def width(self) -> int:
        """Columns of the knowledge: a probability for each value, or the mean; then how unsure."""
        return max(self.size, 1) + 1

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the node features that carry it."""
        values = [f"{value:g}" for value in self.values] or [str(index) for index in range(self.size)] or ["mean"]
        return (*(f"{self.feature}={value}" for value in values), f"{self.feature}?")


@dataclass(frozen=True, slots=True)
class Unknown:
    """One hidden rule to be inferred: its blocks, and which of their values go together."""

    rule: str
    blocks: tuple[Block, ...]
    orderings: npt.NDArray[np.int64] | None
    """[O,blocks] the allowed combinations, as indices into each block's values; None where blocks are independent."""


class Knowledge:
    """The columns of what is known of some hidden rules, W in all; `unknowns` are the numbers of those rules.

    `layout` is the game's, which need not have them: then nobody can tell their truth there, but they can be believed.
    """

    def __init__(self, unknowns: tuple[BoundRule, ...], layout: Layout) -> None:
        there = {bound.name: index for index, bound in enumerate(layout.hidden_rules)}
        self._columns = [there[bound.name] for bound in unknowns if bound.name in there]
        self.tellable = len(self._columns) == len(unknowns)
        """Whether the game has all these rules."""
        found: list[Unknown] = []
        start = 0
        for rule in dict.fromkeys(bound.rule for bound in unknowns):
            found.append(_unknown(rule, unknowns, start))
            start += sum(block.width for block in found[-1].blocks)
        self.unknowns = tuple(found)
        self.blocks = tuple(block for unknown in found for block in unknown.blocks)
        self.width = start
        names = dict.fromkeys(name for block in self.blocks for name in block.names)
        self.node_names = tuple(names)
        self.places = np.full((len(layout.kinds), len(names)), -1, np.int64)
        self._kinds = layout.kinds
        order = {name: index for index, name in enumerate(names)}
        for block in self.blocks:
            for kind in set(block.kinds) & set(layout.kinds):
                for offset, name in enumerate(block.names):
                    self.places[layout.kinds.index(kind), order[name]] = block.start + offset

    @property
    def alike(self) -> tuple[tuple[str, ...], ...]:
        """Groups of kinds that differ by nothing but their place in the ordering of a hidden rule."""
        found = []
        for unknown in self.unknowns:
            kinds = tuple(kind for block in unknown.blocks for kind in block.kinds)
            if unknown.orderings is not None and len(set(kinds)) == len(unknown.blocks):
                found.append(kinds)
        return tuple(found)

    def classes(self, hidden: FloatArray) -> IntArray:
        """Return [...,blocks]: which of its values each block has under the rules `hidden` [...,R']; 0 for numbers."""
        hidden = hidden[..., self._columns]
        found = np.zeros((*hidden.shape[:-1], len(self.blocks)), np.int64)
        for index, block in enumerate(self.blocks):
            numbers = hidden[..., list(block.columns)]
            if block.values:
                found[..., index] = np.abs(numbers - np.array(block.values, np.float32)).argmin(-1)
            elif block.size:
                found[..., index] = numbers.argmax(-1)
        return found

    def numbers(self, hidden: FloatArray) -> FloatArray:
        """Return [...,blocks]: the first number of each block under the rules `hidden` [...,R']."""
        numbers: FloatArray = hidden[..., [self._columns[block.columns[0]] for block in self.blocks]]
        return numbers

    def truth(self, hidden: FloatArray) -> FloatArray:
        """Return the knowledge [...,W] of whoever is told the rules `hidden` [...,R']."""
        knowledge = np.zeros((*hidden.shape[:-1], self.width), np.float32)
        classes = self.classes(hidden)
        for index, block in enumerate(self.blocks):
            if block.size:
                one_hot = np.eye(block.size, dtype=np.float32)[classes[..., index]]
                knowledge[..., block.start : block.start + block.size] = one_hot
            else:
                knowledge[..., block.start] = self.numbers(hidden)[..., index]
        return knowledge

    def ignorance(self) -> FloatArray:
        """Return the knowledge [W] of whoever knows nothing but which rules are possible."""
        knowledge = np.zeros(self.width, np.float32)
        for unknown in self.unknowns:
            for place, block in enumerate(unknown.blocks):
                shares = np.full(block.size, 1.0 / max(block.size, 1))
                if unknown.orderings is not None:
                    shares = np.bincount(unknown.orderings[:, place], minlength=block.size) / len(unknown.orderings)
                knowledge[block.start : block.start + block.size] = shares
                knowledge[block.start + block.width - 1] = 1.0
        return knowledge

    def spread(self) -> FloatArray:
        """Return [Q,W] by which standard normal numbers Q make knowledge vary as `ignorance` says that truths do.

        Its square is the covariance of the truth: numbers that may be anything vary by 1, as scaled rules do at most.
        """
        covariance = np.zeros((self.width, self.width))
        for unknown in self.unknowns:
            drawn = unknown.orderings
            if drawn is not None:
                truths = np.zeros((len(drawn), self.width))
                for place, block in enumerate(unknown.blocks):
                    truths[np.arange(len(drawn)), block.start + drawn[:, place]] = 1.0
                covariance += np.cov(truths, rowvar=False, bias=True)
                continue
            for block in unknown.blocks:
                columns = slice(block.start, block.start + max(block.size, 1))
                share = 1.0 / max(block.size, 1)
                covariance[columns, columns] = share * np.eye(block.size) - share**2 if block.size else 1.0
        variances, directions = np.linalg.eigh(covariance)
        some = variances > _NO_VARIANCE
        spread = (np.sqrt(variances[some]) * directions[:, some]).T.astype(np.float32)
        found: FloatArray = np.where(covariance.diagonal() > 0, spread, np.float32(0.0))
        return found

    def doubt(self, knowledge: FloatArray) -> FloatArray:
        """Return how unsure `knowledge` [...,W] is in all [...]: of every rule from 0 (certain) to 1, summed."""
        total = np.zeros(knowledge.shape[:-1], np.float32)
        for unknown in self.unknowns:
            columns = [block.start + block.width - 1 for block in unknown.blocks]
            total += knowledge[..., columns].mean(-1)
        return total

    def table(self, knowledge: FloatArray, kinds: tuple[str, ...]) -> FloatArray:
        """Return what the nodes of each of the `kinds` carry [...,kinds,names], of knowledge [...,W]."""
        found = np.zeros((*knowledge.shape[:-1], len(kinds), len(self.node_names)), np.float32)
        for index, kind in enumerate(kinds):
            if kind in self._kinds:
                places = self.places[self._kinds.index(kind)]
                carried = np.flatnonzero(places >= 0)
                found[..., index, carried] = knowledge[..., places[carried]]
        return found

    def write(self, knowledge: FloatArray, kind: SmallIntArray, agents: IntArray, own: FloatArray, edges: FloatArray,
              mask: npt.NDArray[np.bool_], first: int) -> None:  # fmt: skip
        """Put each receiver's `knowledge` [B,n,W] onto the nodes that it sees, from column `first` on.

        `kind` is int [B,E], `agents` [n], `own` [B,n,S+P], `edges` [B,n,E,F], `mask` bool [B,n,E].
        """
        _write(knowledge, kind, agents, own, edges, mask, self.places, first)


def _unknown(rule: str, bounds: tuple[BoundRule, ...], start: int) -> Unknown:
    columns = [index for index, bound in enumerate(bounds) if bound.rule == rule]
    first = bounds[columns[0]]
    if first.form == "one_hot":
        block = Block(rule, first.kinds, tuple(columns), (), len(columns), start)
        return Unknown(rule, (block,), None)
    blocks = []
    for column in columns:
        bound = bounds[column]
        values = tuple(sorted(set(bound.values)))
        blocks.append(Block(bound.feature, bound.kinds, (column,), values, len(values), start))
        start += blocks[-1].width
    return Unknown(rule, tuple(blocks), _orderings(first.values) if first.form == "ordering" else None)


def _orderings(values: tuple[float, ...]) -> npt.NDArray[np.int64] | None:
    distinct = sorted(set(values))
    indices = [distinct.index(value) for value in values]
    found = dict.fromkeys(itertools.islice(itertools.permutations(indices), 50 * MOST_ORDERINGS))
    return np.array(list(found)) if len(found) <= MOST_ORDERINGS else None


@kernel
def _write(
    knowledge: FloatArray, kind: SmallIntArray, agents: IntArray, own: FloatArray, edges: FloatArray,
    mask: npt.NDArray[np.bool_], places: IntArray, first: int,
) -> None:  # fmt: skip
    games, receivers, senders = mask.shape
    for game in range(games):
        for n in range(receivers):
            for k in range(places.shape[1]):
                place = places[kind[game, agents[n]], k]
                own[game, n, first + k] = knowledge[game, n, place] if place >= 0 and mask[game, n, agents[n]] else 0.0
                for j in range(senders):
                    if mask[game, n, j]:
                        place = places[kind[game, j], k]
                        edges[game, n, j, first + k] = knowledge[game, n, place] if place >= 0 else 0.0
