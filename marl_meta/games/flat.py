"""Flat observations: one vector of an agent, for tools that know no entities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from marl_meta.games.connect.planes import flat_planes, is_board
from marl_meta.games.particles.flat import flat_observation
from marl_meta.types import FloatArray, Layout, Observation

_PLACED = {"x", "y", "vx", "vy"}
"""The features of games whose flat observations are mpe2's."""

Flatten = Callable[[Observation, int, int], FloatArray]
"""Returns what an agent of game b sees as one vector: `flatten(observation, b, agent)`."""


def plain_observation(observation: Observation, b: int, agent: int) -> FloatArray:
    """Return what one agent of game b sees as one vector: its private features, its public ones, those of the others.

    Others come in the order of entities; who is absent or unseen leaves zeros.
    """
    seen = observation.present[b] if observation.sees is None else observation.sees[b, agent]
    shown = np.where(seen[:, None], observation.entities[b], np.float32(0))
    others = np.delete(shown, agent, axis=0)
    return np.concatenate([observation.private[b, agent], observation.entities[b, agent], others.ravel()])


def is_placed(layout: Layout) -> bool:
    """Return whether flat observations of a layout are mpe2's, with places relative to who sees them."""
    return _PLACED.issubset(layout.entity_features) and _PLACED.issubset(layout.private_features)


def flattener(layout: Layout, observation: Observation, rules: Mapping[str, Any]) -> Flatten:
    """Return what makes the flat observation of an agent of game b, as mpe2 does where things have places.

    Of a board it is planes of stones, as PettingZoo's connect four has them, in a row.

    `observation` is the first of a batch of one variant, whose `rules` these are.
    """
    if is_placed(layout):
        nearest = _listed_by_distance(observation, rules)
        return lambda shown, b, agent: flat_observation(shown, b, agent, **nearest)
    if is_board(layout):
        blocked = rules["blocked"] > 0
        return lambda shown, b, agent: flat_planes(shown, layout, b, agent, blocked=blocked)
    return plain_observation


def _listed_by_distance(observation: Observation, rules: Mapping[str, Any]) -> dict[str, int]:
    """Return the limits of what flat observations list by distance, as mpe2 does under the same rules.

    What could not be told apart then (objects of several kinds, teams of the same kind) keeps its own place in the
    vector, which is zero while it is not seen.
    """
    agents = observation.acting.shape[1]
    object_kinds = np.unique(observation.kind[0, agents:][observation.present[0, agents:]])
    teams, kinds = np.unique(observation.team[0, :agents]), np.unique(observation.kind[0, :agents])
    limits = {}
    if len(object_kinds) <= 1:
        limits["nearest_objects"] = int(rules.get("nearest_objects", 0))
    if len(teams) <= len(kinds):
        limits["nearest_agents"] = int(rules.get("nearest_agents", 0))
    return limits
