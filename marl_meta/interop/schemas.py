"""Schemas of third-party games: mpe2's, and those that a user writes (`schema_format` explains the format).

A schema turns a game's flat observations into entities with the same columns and the same meaning as those of our
particle families, so that a policy trained in one plays the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marl_meta.interop.schema_format import Schema, parse_schema
from marl_meta.resources import is_path, read_yaml
from marl_meta.types import UserError
from marl_meta.wording import listed, shorten

_DISCRETE = {"continuous_actions": False}
_MOVES = ["stay", "left", "right", "down", "up"]
_COMMON_RULES = {
    "episode_length": "max_cycles",
    "terminate_on_success": "terminate_on_success",
    "nearest_agents": "num_agent_neighbors",
    "nearest_objects": "num_landmark_neighbors",
}
"""Rules of our families beside the arguments that mean the same in simple_spread and simple_tag."""
_COMMON_ARGUMENTS = {
    "max_cycles": 25,
    "terminate_on_success": False,
    "num_agent_neighbors": None,
    "num_landmark_neighbors": None,
}
"""These arguments' defaults."""

_SPREAD: dict[str, Any] = {
    "family": "spread",
    "rules": {
        "agents": "N",
        "local_ratio": "local_ratio",
        **_COMMON_RULES,
    },
    "arguments": {"N": 3, "local_ratio": 0.5, **_COMMON_ARGUMENTS},
    "requires": {"curriculum": False, **_DISCRETE},
    "entities": {
        "agent": {"agents": "agent_*", "radius": 0.15},
        "landmark": {"count": "N", "radius": 0.05},
    },
    "observation": {
        "*": [
            "own_velocity",
            "own_position",
            {"relative_position": ["landmark"], "nearest": "num_landmark_neighbors"},
            {"relative_position": ["agent"], "nearest": "num_agent_neighbors"},
            {"ignore": 2, "of": ["agent"], "nearest": "num_agent_neighbors"},  # what the others say: nothing
        ]
    },
}

_TAG: dict[str, Any] = {
    "family": "tag",
    "rules": {
        "adversaries": "num_adversaries",
        "prey": "num_good",
        "obstacles": "num_obstacles",
        **_COMMON_RULES,
    },
    "arguments": {"num_adversaries": 3, "num_good": 1, "num_obstacles": 2, **_COMMON_ARGUMENTS},
    "requires": {"curriculum": False, **_DISCRETE},
    "entities": {
        "adversary": {"agents": "adversary_*", "radius": 0.075},
        "prey": {"agents": "agent_*", "radius": 0.05},
        "obstacle": {"count": "num_obstacles", "radius": 0.2},
    },
    "observation": {
        "*": [
            "own_velocity",
            "own_position",
            {"relative_position": ["obstacle"], "nearest": "num_landmark_neighbors"},
            {"relative_position": ["adversary", "prey"], "nearest": "num_agent_neighbors"},
            {"velocity": ["prey"], "nearest": "num_agent_neighbors"},
        ]
    },
}

_ADVERSARY: dict[str, Any] = {
    "arguments": {"N": 2},
    # Nobody is told where it is, so the nearest of several landmarks could not be told apart.
    "requires": {"num_agent_neighbors": None, "num_landmark_neighbors": None, **_DISCRETE},
    "origin": "landmark",
    "actions": _MOVES,
    "entities": {
        "adversary": {"agents": "adversary_*", "radius": 0.15},
        "agent": {"agents": "agent_*", "radius": 0.15},
        "landmark": {"count": "N", "radius": 0.08},
    },
    "observation": {
        "adversary": [{"relative_position": ["landmark"]}, {"relative_position": ["adversary", "agent"]}],
        "agent": [
            {"private": ["goal_x", "goal_y"]},  # relative to the agent; the adversary must not know it
            {"relative_position": ["landmark"]},
            {"relative_position": ["adversary", "agent"]},
        ],
    },
}

_HUNTER_BLOCKS: list[Any] = [
    "own_velocity",
    "own_position",
    {"relative_position": ["obstacle", "food", "forest"]},
    {"relative_position": ["leader", "adversary", "prey"], "hidden": "zeros"},
    {"velocity": ["prey"]},
    {"ignore": 1, "of": ["forest"]},  # whether it is in the forest: positions and radii say so
    {"private": ["said_0", "said_1", "said_2", "said_3"]},  # what the leader said last
]

_WORLD_COMM: dict[str, Any] = {
    "arguments": {"num_good": 2, "num_adversaries": 4, "num_obstacles": 1, "num_food": 2, "num_forests": 2},
    "requires": _DISCRETE,
    "actions": [move if said == 0 else f"{move}_say_{said}" for said in range(4) for move in _MOVES],
    "entities": {
        "leader": {"agents": "leadadversary_*", "radius": 0.075, "team": "adversary"},
        "adversary": {"agents": "adversary_*", "radius": 0.075},
        "prey": {"agents": "agent_*", "radius": 0.045},
        "obstacle": {"count": "num_obstacles", "radius": 0.2},
        "food": {"count": "num_food", "radius": 0.03},
        "forest": {"count": "num_forests", "radius": 0.3},
    },
    "observation": {
        "leader": _HUNTER_BLOCKS,
        "adversary": _HUNTER_BLOCKS,
        "prey": [*_HUNTER_BLOCKS[:4], {"ignore": 1, "of": ["forest"]}, {"velocity": ["prey"]}],
    },
}

SCHEMAS: Mapping[str, dict[str, Any]] = {
    "simple_spread": _SPREAD,
    "simple_tag": _TAG,
    "simple_adversary": _ADVERSARY,
    "simple_world_comm": _WORLD_COMM,
}
"""Schemas that come with the project, for the games of these names in mpe2."""


def load_schema(schema: str | dict[str, Any], folder: Path | None = None) -> Schema:
    """Return a schema by name, from a YAML file (relative to `folder`), or from plain data.

    Raises UserError if there is no such schema, or if it is not one.
    """
    if isinstance(schema, dict):
        return parse_schema(Path("the schema"), "given", schema)
    if not isinstance(schema, str):
        raise UserError(f"A schema must be a name, the path of a YAML file or a mapping, not {shorten(schema)}.")
    if schema in SCHEMAS:
        return parse_schema(Path(f"schema {schema}"), schema, SCHEMAS[schema])
    if not is_path(schema):
        raise UserError(f"There is no schema {schema!r}; allowed are {listed(SCHEMAS)}, or the path of a YAML file.")
    path = Path(folder or ".") / Path(schema).expanduser()
    return parse_schema(path, path.stem, read_yaml(path))
