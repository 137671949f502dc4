"""A schema compiled for one choice of a game's arguments: where in which agent's flat observation what lies.

Shape letters: n agents, e entities (agents first), P private features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.interop.schema_format import SELF_BLOCKS, Block, Group, Schema
from marl_meta.types import BoolArray, FloatArray, UserError

ENTITY_FEATURES = ("x", "y", "vx", "vy", "radius")
_OWN_FEATURES = {"own_position": ("x", "y"), "own_velocity": ("vx", "vy")}

Offsets = npt.NDArray[np.int64]
Placed = tuple[int, Block, int, list[int], int | None]
"""An agent, a block of its vector, where it begins, the entities it is of, and how many of them it shows at most."""


@dataclass(frozen=True, slots=True)
class NearestBlock:
    """A run of relative positions of the `count` nearest of some entities, which are not told by name."""

    observer: int
    offset: int
    count: int
    candidates: Offsets
    remembered: bool
    """Whether the candidates are objects, whose places must be learnt from what is seen."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A schema compiled for one game: where in agent i's vector a number lies, -1 for nowhere."""

    kinds: tuple[str, ...]
    """[e] of every entity."""
    radius: FloatArray
    """[e]"""
    sizes: tuple[int, ...]
    """[n] the length of every agent's vector."""
    own_position: Offsets
    """[n]"""
    own_velocity: Offsets
    """[n]"""
    relative: Offsets
    """[n,e] the entity's position less the agent's."""
    absolute: Offsets
    """[n,e]"""
    velocity: Offsets
    """[n,e]"""
    shows_velocity: BoolArray
    """[e]"""
    can_hide: BoolArray
    """[n,e] a relative position of 0, 0 means not seen."""
    nearest: tuple[NearestBlock, ...]
    private: Offsets
    """[n,P]"""
    origin: int | None
    sees_all: bool

    @property
    def remembers(self) -> bool:
        """Whether places of objects must be kept from step to step."""
        return any(block.remembered for block in self.nearest)


def private_names(schema: Schema) -> tuple[str, ...]:
    """Return the names of the P private features: x, y, vx, vy as far as told, then the schema's own."""
    blocks = [block for entries in schema.observation.values() for block in entries]
    told = {block.what for block in blocks}
    own = [name for what, names in _OWN_FEATURES.items() if what in told for name in names]
    return tuple(dict.fromkeys(own + [name for block in blocks for name in block.names]))


def compile_schema(schema: Schema, agents: Sequence[str], kwargs: Mapping[str, Any]) -> Reading:
    """Return the index maps for a game of these agents; raise UserError where schema and agents disagree."""
    settings = schema.settings(kwargs)
    groups = [group_of(schema, agent) for agent in agents]
    for group in schema.groups:
        if group.count is not None:
            count = settings[group.count] if isinstance(group.count, str) else group.count
            groups += [group] * int(count)
    n, e, features = len(agents), len(groups), private_names(schema)
    blocks = [_lay_out(schema, groups, i, settings) for i in range(n)]
    maps = {what: np.full((n, e), -1, np.int64) for what in ("relative_position", "position", "velocity")}
    own = {what: np.full(n, -1, np.int64) for what in SELF_BLOCKS}
    private, can_hide, nearest = np.full((n, len(features)), -1, np.int64), np.zeros((n, e), bool), []
    for i, block, offset, over, limit in (placed for run in blocks for placed in run):
        if block.what in SELF_BLOCKS:
            own[block.what][i] = offset
        elif block.what in maps and limit is None:
            maps[block.what][i, over] = offset + 2 * np.arange(len(over))
            can_hide[i, over] |= block.hidden
        elif block.what == "relative_position" and limit is not None and over:
            nearest.append(_nearest(schema, i, offset, limit, over, n))
        names = block.names or _OWN_FEATURES.get(block.what, ())
        private[i, [features.index(name) for name in names]] = offset + np.arange(len(names))
    moving = {kind for run in schema.observation.values() for b in run if b.what == "velocity" for kind in b.groups}
    origin = [j for j in range(n, e) if groups[j].kind == schema.origin]
    told = (maps["relative_position"] >= 0) | (maps["position"] >= 0) | np.eye(n, e, dtype=bool)
    reading = Reading(
        kinds=tuple(group.kind for group in groups),
        radius=np.array([group.radius for group in groups], np.float32),
        sizes=tuple(sum(_width(block, over, limit) for _, block, _, over, limit in run) for run in blocks),
        own_position=own["own_position"],
        own_velocity=own["own_velocity"],
        relative=maps["relative_position"],
        absolute=maps["position"],
        velocity=maps["velocity"],
        shows_velocity=np.array([group.kind in moving for group in groups], bool),
        can_hide=can_hide,
        nearest=tuple(nearest),
        private=private,
        origin=origin[0] if origin else None,
        sees_all=bool(told.all()) and not can_hide.any(),
    )
    _check_places(schema, reading)
    return reading


def _lay_out(schema: Schema, groups: Sequence[Group], observer: int, settings: Mapping[str, Any]) -> list[Placed]:
    """Return the blocks of one agent's vector, where they begin, over which entities, and the limit of nearest ones."""
    group = groups[observer]
    blocks = schema.observation.get(group.kind, schema.observation.get("*"))
    if blocks is None:
        raise UserError(f"Schema {schema.name!r}: observation says nothing of {group.kind!r}, and has no '*'.")
    placed, offset = [], 0
    for block in blocks:
        over = [j for kind in block.groups for j in range(len(groups)) if groups[j].kind == kind and j != observer]
        limit = settings[block.nearest] if block.nearest is not None else None
        placed.append((observer, block, offset, over, None if limit is None else int(limit)))
        offset += _width(block, over, limit)
    return placed


def _width(block: Block, over: Sequence[int], limit: int | None) -> int:
    """Return how many numbers a block takes."""
    parts = limit if limit is not None else len(over) if block.groups else 1
    return block.width * parts


def group_of(schema: Schema, agent: str) -> Group:
    """Return the first group of agents whose pattern fits; raise UserError if none does."""
    for group in schema.groups:
        if group.agents is not None and fnmatchcase(agent, group.agents):
            return group
    patterns = ", ".join(group.agents for group in schema.groups if group.agents is not None)
    raise UserError(f"Schema {schema.name!r} has no group for agent {agent!r}; its patterns are {patterns}.")


def _nearest(schema: Schema, observer: int, offset: int, count: int, others: list[int], agents: int) -> NearestBlock:
    objects = [j >= agents for j in others]
    if any(objects) and not all(objects):
        raise UserError(f"Schema {schema.name!r}: a block with nearest must list agents or objects, not both.")
    return NearestBlock(observer, offset, count, np.array(others, np.int64), remembered=all(objects))


def _check_places(schema: Schema, reading: Reading) -> None:
    """Raise UserError unless every agent's place can be told."""
    if reading.own_position.max() < 0 and reading.absolute.max() < 0:
        if reading.origin is None:
            raise UserError(f"Schema {schema.name!r}: no agent is told a position, so 'origin' must name a group.")
        if (reading.relative[:, reading.origin] < 0).all():
            raise UserError(f"Schema {schema.name!r}: no agent observes {schema.origin!r}, the origin.")
    for block in reading.nearest:
        if reading.own_position[block.observer] < 0:
            raise UserError(f"Schema {schema.name!r}: a block with nearest needs own_position in the same observation.")
