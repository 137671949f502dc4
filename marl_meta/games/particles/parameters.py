"""Rules become numbers: the tables that the kernels look up, one row for each variant of a batch.

A family says what is on the field under given rules (a `Scene`); this module gives every body a slot, compiles the
rules that all particle games share, and stacks all variants into record arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.games.batch import STATE_FIELDS
from marl_meta.games.catalog import Catalog, make_catalog
from marl_meta.games.family import Family
from marl_meta.games.particles.view import ENTITY_FEATURES, PRIVATE_FEATURES
from marl_meta.types import Layout, SmallIntArray, TeamLayout, Variant

Rules = Mapping[str, Any]
RecordArray = npt.NDArray[np.void]

ACTIONS = ("stay", "left", "right", "down", "up")
DIRECTIONS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
_EVERYBODY = 2**31

COMMON_FIELDS: list[tuple[Any, ...]] = [
    # Counts and indices are unsigned: for signed ones numba would ask at every access whether they count from the end.
    ("agents", "u8"),  # bodies 0..agents-1 act, those up to solids-1 are solid, those up to bodies-1 exist
    ("solids", "u8"),
    ("bodies", "u8"),
    ("episode_length", "i8"),
    ("stop_on_success", "?"),
    ("partial", "?"),
    ("walls", "?"),
    ("arena", "f8"),
    ("keep", "f8"),  # share of the velocity that is kept
    ("contact_force", "f8"),
    ("wind_x", "f8"),
    ("wind_y", "f8"),
    ("bump", "f8"),  # reward of each contact with a teammate
    ("vision_squared", "f8"),
    ("nearest_agents", "i8"),
    ("nearest_objects", "i8"),
    ("direction", "f8", (len(ACTIONS), 2)),
]
TRAIT = np.dtype(
    [
        ("slot", "u8"),  # place in the observation's entities
        ("team", "i8"),
        ("radius", "f8"),
        ("accel", "f8"),
        ("max_speed", "f8"),
        ("spawn", "f8"),  # half the width of the square in which it appears
        ("shows_velocity", "?"),
    ],
    align=True,
)
BODY = np.dtype([("x", "f8"), ("y", "f8"), ("vx", "f8"), ("vy", "f8")])
# placed: the step in which objects were last placed anew. It comes first, since numba would take records that begin
# with the fields of another simulator's for those.
GAME = np.dtype([("placed", "i8"), *STATE_FIELDS])


def rule_dtype(*family_fields: tuple[Any, ...]) -> np.dtype[np.void]:
    """Return the record type of a variant's numbers: the common ones and the family's own."""
    return np.dtype([*COMMON_FIELDS, *family_fields], align=True)


@dataclass(frozen=True, slots=True)
class Group:
    """Some bodies of one sort, next to each other in the order of entities."""

    kind: str
    count: int
    radius: float
    spawn: float = 1.0
    """Half the width of the square in which they appear, as a share of the arena's."""
    solid: bool = False
    team: int = -1
    team_name: str = ""
    agent_name: str = ""
    """Agent i is called `agent_name_i`."""
    accel: float = 0.0
    max_speed: float = 0.0
    """0 is no limit."""
    shows_velocity: bool = False
    """Whether others see its velocity."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What is on the field under some rules: agents team by team, then obstacles, then what is not solid.

    Under all rules of a family it has the same groups in the same order, some of them empty.
    """

    groups: tuple[Group, ...]
    numbers: dict[str, Any] = field(default_factory=dict)
    """Values of the family's own fields of the rule record."""


@dataclass(frozen=True, slots=True)
class Tables:
    """All that a batch of particle games knows of its variants, as arrays; V variants, E and N slots."""

    catalog: Catalog
    rules: RecordArray
    """[V]"""
    traits: RecordArray
    """[V,E] of the bodies that exist, in order."""
    kind: SmallIntArray
    """[E]"""
    team: SmallIntArray
    """[E]"""


def players(rules: Rules, kind: str, count: int, team: int) -> Group:
    """Return a team of agents of a kind, and called like it, whose size, force and speed limit are rules."""
    return Group(
        kind,
        count,
        rules[f"{kind}_size"],
        solid=True,
        team=team,
        team_name=kind,
        agent_name=kind,
        accel=rules[f"{kind}_accel"],
        max_speed=rules[f"{kind}_max_speed"],
    )


def obstacles(rules: Rules) -> Group:
    """Return the obstacles that every particle game may have."""
    return Group("obstacle", rules["obstacles"], rules["obstacle_size"], spawn=0.9, solid=True)


def compile_tables(
    family: Family, variants: Sequence[Variant], dtype: np.dtype[np.void], scene: Callable[[Rules], Scene]
) -> Tables:
    """Return the tables of a family's variants; `scene` says what is on the field under given rules."""
    scenes = [scene(variant.rules) for variant in variants]
    columns = list(zip(*(one.groups for one in scenes), strict=True))
    widths = [max(group.count for group in column) for column in columns]
    starts = np.concatenate([[0], np.cumsum(widths)])
    groups = [column[0] for column in columns]
    kinds = (*family.agents, *family.objects)
    traits = np.zeros((len(variants), starts[-1]), TRAIT)
    rules = np.zeros(len(variants), dtype)
    for v, (variant, one) in enumerate(zip(variants, scenes, strict=True)):
        _write_traits(traits[v], one.groups, starts, variant.rules["arena"])
        _write_rules(rules[v], variant.rules, one)
    playing = [(group, width) for group, width in zip(groups, widths, strict=True) if group.team >= 0 and width > 0]
    layout = Layout(
        kinds=kinds,
        teams=tuple(TeamLayout(name=group.team_name, kind=group.kind) for group, _ in playing),
        entity_features=ENTITY_FEATURES,
        private_features=PRIVATE_FEATURES,
        actions=ACTIONS,
    )
    agent_names = tuple(f"{group.agent_name}_{i}" for group, width in playing for i in range(width))
    team = np.repeat(np.array([group.team for group in groups], np.int8), widths)
    return Tables(
        catalog=make_catalog(family, variants, layout, agent_names, team[: len(agent_names)].copy()),
        rules=rules,
        traits=traits,
        kind=np.repeat(np.array([kinds.index(group.kind) for group in groups], np.int8), widths),
        team=team,
    )


def _write_traits(traits: RecordArray, groups: Sequence[Group], starts: npt.NDArray[Any], arena: float) -> None:
    body = 0
    for group, start in zip(groups, starts, strict=False):
        rows = traits[body : body + group.count]
        rows["slot"] = start + np.arange(group.count)
        rows["team"] = group.team
        rows["radius"] = group.radius
        rows["accel"] = group.accel
        rows["max_speed"] = group.max_speed or math.inf
        rows["spawn"] = group.spawn * arena
        rows["shows_velocity"] = group.shows_velocity
        body += group.count


def _write_rules(record: Any, rules: Rules, scene: Scene) -> None:
    limits = (rules["vision_radius"], rules["nearest_agents"], rules["nearest_objects"])
    numbers = {
        "agents": sum(group.count for group in scene.groups if group.team >= 0),
        "solids": sum(group.count for group in scene.groups if group.solid),
        "bodies": sum(group.count for group in scene.groups),
        "episode_length": rules["episode_length"],
        "stop_on_success": rules.get("terminate_on_success", False),
        "partial": any(limits),
        "walls": rules["walls"],
        "arena": rules["arena"],
        "keep": 1.0 - rules["damping"],
        "contact_force": rules["contact_force"],
        "wind_x": rules["wind_x"],
        "wind_y": rules["wind_y"],
        "bump": rules["collision_sign"] * rules["collision_reward"],
        "vision_squared": rules["vision_radius"] ** 2 or math.inf,
        "nearest_agents": rules["nearest_agents"] or _EVERYBODY,
        "nearest_objects": rules["nearest_objects"] or _EVERYBODY,
        "direction": [_turned(x, y, rules["control"] // 90) for x, y in DIRECTIONS],
        **scene.numbers,
    }
    for name, value in numbers.items():
        record[name] = value


def _turned(x: int, y: int, quarters: int) -> tuple[int, int]:
    for _ in range(quarters):
        x, y = -y, x
    return x, y
