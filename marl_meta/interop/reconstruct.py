"""From agents' flat observations to entities, by the index maps that a schema compiles to.

Shape letters as in `types`, for one choice of a game's arguments: b games, n agents, e entities (agents first), D the
length of the longest flat vector, P private features. Positions come from what the agents are told together: an
agent's own position, or another's observation of it relative to its own. What each agent itself sees is `sees`.
"""

from __future__ import annotations

import numpy as np

from marl_meta.interop.schema_maps import ENTITY_FEATURES, Reading
from marl_meta.types import BoolArray, FloatArray

_SAME_PLACE = 1e-3
"""Positions closer than this, told by several agents in float32, are those of one entity."""


def reconstruct(
    reading: Reading, vectors: FloatArray, alive: BoolArray, places: FloatArray
) -> tuple[FloatArray, BoolArray, FloatArray, BoolArray | None]:
    """Return entities [b,e,5], present [b,e], private [b,n,P] and sees [b,n,e] (None if all see all).

    `vectors` [b,n,D] are the flat observations, `alive` [b,n] says whose are valid, and `places` [b,e,2] are the
    remembered places of objects (NaN where unknown), as `remember` keeps them.
    """
    (games, agents), count = alive.shape, len(reading.kinds)
    position, known = _positions(reading, vectors, alive, places)
    entities = np.zeros((games, count, len(ENTITY_FEATURES)), np.float32)
    entities[:, :, 0:2] = position
    entities[:, :, 2:4] = _velocities(reading, vectors, alive)
    entities[:, :, 4] = reading.radius
    present = known.copy()
    present[:, :agents] &= alive
    entities[~present] = 0.0
    at = np.maximum(reading.private, 0)
    private = np.take_along_axis(vectors, np.broadcast_to(at, (games, *at.shape)), axis=2)
    private = np.where((reading.private >= 0) & alive[:, :, None], private, np.float32(0))
    if reading.sees_all:
        return entities, present, private, None
    return entities, present, private, _sees(reading, vectors, present, position)


def remember(reading: Reading, vectors: FloatArray, alive: BoolArray, places: FloatArray) -> None:
    """Add to `places` [e,2] of one game the objects that its agents see for the first time (`vectors` [n,D])."""
    for block in reading.nearest:
        if not block.remembered or not alive[block.observer]:
            continue
        own = _pair(vectors[block.observer], int(reading.own_position[block.observer]))
        for slot in range(block.count):
            seen = _pair(vectors[block.observer], block.offset + 2 * slot)
            if not seen.any():
                continue
            here = own + seen
            known = places[block.candidates]
            unknown = np.isnan(known[:, 0])
            if not (np.abs(known[~unknown] - here).max(axis=1, initial=0.0) < _SAME_PLACE).any() and unknown.any():
                places[block.candidates[int(np.argmax(unknown))]] = here


def _pair(vectors: FloatArray, offset: int) -> FloatArray:
    """Return the two numbers at `offset` of the last axis."""
    return vectors[..., offset : offset + 2]


def _positions(
    reading: Reading, vectors: FloatArray, alive: BoolArray, places: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """Return the entities' positions [b,e,2] and whether they are known [b,e]."""
    agents = alive.shape[1]
    position = np.nan_to_num(places).astype(np.float32)
    known = ~np.isnan(places[:, :, 0])
    for i in range(agents):
        if reading.own_position[i] >= 0:
            _learn(position, known, i, _pair(vectors[:, i], int(reading.own_position[i])), alive[:, i])
        elif reading.origin is not None and reading.relative[i, reading.origin] >= 0:
            _learn(position, known, i, -_pair(vectors[:, i], int(reading.relative[i, reading.origin])), alive[:, i])
    for i in range(agents):
        for j in np.flatnonzero(reading.absolute[i] >= 0):
            _learn(position, known, int(j), _pair(vectors[:, i], int(reading.absolute[i, j])), alive[:, i])
    for i in range(agents):
        if known.all():
            break
        for j in np.flatnonzero(reading.relative[i] >= 0):
            seen = _pair(vectors[:, i], int(reading.relative[i, j]))
            valid = alive[:, i] & known[:, i] & (seen.any(axis=1) | ~reading.can_hide[i, j])
            _learn(position, known, int(j), position[:, i] + seen, valid)
    return position, known


def _learn(position: FloatArray, known: BoolArray, entity: int, value: FloatArray, valid: BoolArray) -> None:
    """Write `value` [b,2] where it is valid and the entity's position is not known yet."""
    new = valid & ~known[:, entity]
    position[new, entity] = value[new]
    known[new, entity] = True


def _velocities(reading: Reading, vectors: FloatArray, alive: BoolArray) -> FloatArray:
    """Return the velocities [b,e,2] of entities that show theirs: as they say, or else as the first that sees them."""
    agents = alive.shape[1]
    velocity = np.zeros((len(vectors), len(reading.kinds), 2), np.float32)
    known = np.zeros(velocity.shape[:2], bool)
    for j in np.flatnonzero(reading.shows_velocity):
        if j < agents and reading.own_velocity[j] >= 0:
            _learn(velocity, known, int(j), _pair(vectors[:, j], int(reading.own_velocity[j])), alive[:, j])
        for i in np.flatnonzero(reading.velocity[:, j] >= 0):
            shown = _pair(vectors[:, i], int(reading.velocity[i, j]))
            _learn(velocity, known, int(j), shown, alive[:, i] & (shown.any(axis=1) | ~reading.can_hide[i, j]))
    return velocity


def _sees(reading: Reading, vectors: FloatArray, present: BoolArray, position: FloatArray) -> BoolArray:
    """Return whom each agent sees, itself among them, [b,n,e]."""
    agents = vectors.shape[1]
    told = (reading.relative >= 0) | (reading.absolute >= 0)
    sees = np.repeat(told[None], len(vectors), axis=0)
    for i, j in np.argwhere(reading.can_hide):
        sees[:, i, j] = _pair(vectors[:, i], int(reading.relative[i, j])).any(axis=1)
    for block in reading.nearest:
        for slot in range(block.count):
            seen = _pair(vectors[:, block.observer], block.offset + 2 * slot)
            gap = np.abs(position[:, block.candidates] - (position[:, block.observer] + seen)[:, None]).max(axis=2)
            gap = np.where(present[:, block.candidates], gap, np.inf)
            match = gap.argmin(axis=1)
            rows = np.flatnonzero(seen.any(axis=1) & (gap.min(axis=1) < _SAME_PLACE))
            sees[rows, block.observer, block.candidates[match[rows]]] = True
    sees[:, np.arange(agents), np.arange(agents)] = True
    return sees & present[:, None, :] & present[:, :agents, None]
