"""What happened between two steps, as each agent saw it: the evidence from which hidden rules are inferred.

An event is one transition seen by agent i together with one entity j: what j is, who touches it after the move, whether
it was displaced, what the move paid, how often each kind was displaced in that step, and, where j is i itself, which
action it took and how its private features changed. Touching is between where agents are now and where j was before:
an object that is collected appears elsewhere at once.

On boards nothing moves: there an event is that an entity came to be complete (`Layout.completes`: a line that is full),
and whose it is then. Of a dozen lines that change with every move hardly any says what the rules are.

Few pairs matter in a step. `contacts` keeps those of an agent with itself and with what is touched or displaced, `all`
keeps every pair (for rules that show at a distance).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from marl_meta.kernels import kernel
from marl_meta.nets.features import GEOMETRY
from marl_meta.types import BoolArray, FloatArray, IntArray, Layout, Observation, SmallIntArray

_RELATION, _TOUCH, _PAY = 4, 8, 1
"""How many columns say who j is to i, who touches it, and what the move paid."""


@dataclass(frozen=True, slots=True)
class Events:
    """C events of B games as n agents saw them, in the order of games and agents."""

    row: IntArray
    """[C] game * n + agent."""
    kind: IntArray
    """[C] the kind of the entity, or the number of kinds where it is the agent itself."""
    features: FloatArray
    """[C,V]."""


class EventReader:
    """Finds the events of one layout; `everything` keeps every pair of an agent and an entity.

    `kinds` are the kinds of entity that events tell apart, all those of the layout among them.
    """

    def __init__(self, layout: Layout, kinds: tuple[str, ...], everything: bool = False) -> None:
        self.layout, self.everything = layout, everything
        self._kinds = np.array([kinds.index(kind) for kind in layout.kinds], np.int8)
        columns = layout.entity_features
        geometric = set(GEOMETRY) <= set(columns)
        self._geometry = np.array([columns.index(name) for name in GEOMETRY[:2]] if geometric else [], np.int64)
        self._radius = columns.index("radius") if "radius" in columns else -1
        self.slots = len(kinds) + 1
        """Kinds of event: one for each kind of entity, and the agent itself."""
        private = len(layout.private_features)
        self._completes = columns.index(layout.completes) if layout.completes else -1
        self.width = self.slots + _RELATION + _TOUCH + _PAY + len(kinds) + 2 * private + len(layout.actions)
        """V."""
        touch = self.slots + _RELATION
        self.pay = touch + _TOUCH
        """The column that says what the move paid."""
        change = self.pay + _PAY + len(kinds) + private
        self.change = range(change, change + private)
        """The columns that say how private features changed."""
        self.displaced = range(self.pay + _PAY, self.pay + _PAY + len(kinds))
        """The columns that say how many of each kind were displaced."""
        self.moved = (touch + _TOUCH - 1, *self.displaced)
        """The columns that say what was displaced."""

    def kinds_of(self, observation: Observation, agents: IntArray) -> SmallIntArray:
        """Return the kind [B,n] that each of the agents is, among those that events tell apart."""
        found: SmallIntArray = self._kinds[observation.kind[:, agents]]
        return found

    def __call__(
        self,
        before: Observation,
        after: Observation,
        actions: npt.NDArray[np.integer[Any]],
        reward: FloatArray,
        agents: IntArray,
    ) -> Events:
        """Return the events of one step: `before` and `after` it, `actions` and `reward` [B,n] of `agents` [n]."""
        games, entities = before.present.shape
        room = games * len(agents) * entities
        row, kind = np.empty(room, np.int64), np.empty(room, np.int64)
        features = np.zeros((room, self.width), np.float32)
        transition = _Transition(
            before.entities, after.entities, self._kinds[before.kind], before.team, after.team, before.present,
            _NO_SIGHT if before.sees is None else before.sees, before.private, after.private,
            np.asarray(actions, np.int64), np.ascontiguousarray(reward),
        )  # fmt: skip
        sizes = (self.slots - 1, len(self.layout.actions), self._completes, self.everything)
        count = _read(transition, agents, self._geometry, self._radius, sizes, row, kind, features)
        return Events(row[:count].copy(), kind[:count].copy(), features[:count].copy())


class _Transition(NamedTuple):
    """A step, as the kernels take it."""

    before: FloatArray
    after: FloatArray
    kind: SmallIntArray
    team: SmallIntArray
    team_after: SmallIntArray
    present: BoolArray
    sees: BoolArray
    """[B,N,E], of size 0 where everybody sees everything."""
    private: FloatArray
    private_after: FloatArray
    actions: IntArray
    reward: FloatArray


_NO_SIGHT = np.empty((0, 0, 0), np.bool_)
_STILL = 1e-6
_REACH = np.float32(0.2)
"""The distance over which touching fades, as for the feature `contact` of the graph."""


@kernel
def _read(
    step: _Transition, agents: IntArray, geometry: IntArray, radius: int, sizes: tuple[int, int, int, bool],
    row: IntArray, slot: IntArray, features: FloatArray,
) -> int:  # fmt: skip
    """Fill the events; returns how many there are.

    `sizes` are kinds, actions, the feature that is 1 of what is complete (or -1), and whether to keep every pair.
    """
    games, entities, _ = step.before.shape
    kinds, num_actions, completes, everything = sizes
    count = 0
    moved = np.empty(entities, np.bool_)
    displaced = np.empty(kinds, np.float32)
    gap = np.empty((step.private.shape[1], entities), np.float32)
    for game in range(games):
        _find_moved(step, game, moved, displaced, completes)
        if geometry.size:
            _fill_gaps(step.before[game], step.after[game], step.team[game], geometry, radius, gap)
        for n in range(agents.size):
            i = agents[n]
            for j in range(entities):
                hides = step.sees.size and j != i and not step.sees[game, i, j]
                if not step.present[game, i] or not step.present[game, j] or hides:
                    continue
                kind = kinds if j == i else step.kind[game, j]
                event = features[count]
                event[:] = 0.0
                event[kind] = 1.0
                at = kinds + 1
                event[at + _relation(step.team_after[game] if completes >= 0 else step.team[game], i, j)] = 1.0
                at += _RELATION
                touched = geometry.size and _fill_touch(step.team[game], step.present[game], i, j, gap, event[at:])
                event[at + _TOUCH - 1] = moved[j]
                if not (everything or j == i or moved[j] or touched):
                    continue
                at += _TOUCH
                event[at] = step.reward[game, n]
                event[at + _PAY : at + _PAY + kinds] = displaced
                if j == i:
                    _fill_own(step, game, n, i, num_actions, event[at + _PAY + kinds :])
                row[count] = game * agents.size + n
                slot[count] = kind
                count += 1
    return count


@kernel
def _find_moved(step: _Transition, game: int, moved: BoolArray, displaced: FloatArray, completes: int) -> None:
    """Fill which objects were displaced (on boards: which entities came to be complete), and how many of each kind."""
    displaced[:] = 0.0
    for j in range(moved.size):
        moved[j] = False
        if not step.present[game, j]:
            continue
        if completes >= 0:
            moved[j] = step.after[game, j, completes] >= 1.0 - _STILL > step.before[game, j, completes]
        elif step.team[game, j] < 0:
            for k in range(step.before.shape[2]):
                moved[j] |= abs(step.after[game, j, k] - step.before[game, j, k]) > _STILL
        displaced[step.kind[game, j]] += moved[j]


@kernel
def _relation(team: SmallIntArray, i: int, j: int) -> int:
    if j == i:
        return 0
    if team[j] == team[i]:
        return 1
    return 2 if team[j] >= 0 else 3


@kernel
def _fill_own(step: _Transition, game: int, n: int, i: int, num_actions: int, own: FloatArray) -> None:
    """Fill what only agent i knows of its own transition."""
    width = step.private.shape[2]
    for k in range(width):
        own[k] = step.private[game, i, k]
        own[width + k] = step.private_after[game, i, k] - step.private[game, i, k]
    for k in range(num_actions):
        own[2 * width + k] = step.actions[game, n] == k


@kernel
def _fill_gaps(
    before: FloatArray, after: FloatArray, team: SmallIntArray, geometry: IntArray, radius: int, gap: FloatArray
) -> None:
    """Fill `gap` [N,E] between where agents are now and where things were (other agents: where they are)."""
    x, y = geometry[0], geometry[1]
    for i in range(gap.shape[0]):
        for j in range(gap.shape[1]):
            there = after if team[j] >= 0 else before
            dx, dy = there[j, x] - after[i, x], there[j, y] - after[i, y]
            apart = np.float32(math.sqrt(dx * dx + dy * dy))
            if radius >= 0:
                apart -= before[i, radius] + before[j, radius]
            gap[i, j] = apart


@kernel
def _fill_touch(team: SmallIntArray, present: BoolArray, i: int, j: int, gap: FloatArray, touch: FloatArray) -> bool:
    """Fill who touches j, and how closely i does; returns whether anybody else than j itself does."""
    mates, rivals, mine = 0, 0, False
    for other in range(gap.shape[0]):
        if present[other] and other != j and gap[other, j] < 0.0:
            if other == i:
                mine = True
            elif team[other] == team[i]:
                mates += 1
            else:
                rivals += 1
    if i != j:
        touch[0] = min(max(np.float32(1.0) - gap[i, j] / _REACH, np.float32(0.0)), np.float32(2.0))
        touch[1] = gap[i, j]
    touch[2] = mine
    touch[3] = mates == 1
    touch[4] = mates > 1
    touch[5] = mine and mates == 0 and rivals == 0
    touch[6] = rivals > 0
    return mine or mates > 0 or rivals > 0
