"""What one game shows: the kernel side of `types.Observation`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from marl_meta.games.kernel import inner, rare
from marl_meta.games.particles.physics import squared_distance
from marl_meta.types import BoolArray, FloatArray

ENTITY_FEATURES = ("x", "y", "vx", "vy", "radius")
PRIVATE_FEATURES = ("x", "y", "vx", "vy")


class View(NamedTuple):
    """The arrays of an Observation that a kernel fills; which variant each row was described for."""

    entities: FloatArray
    """[B,E,5]"""
    present: BoolArray
    """[B,E]"""
    private: FloatArray
    """[B,N,4]"""
    sees: BoolArray
    """[B,N,E], or [0,N,E] when nobody's sight is limited in any game."""
    acting: BoolArray
    """[B,N]"""
    rules: FloatArray
    """[B,R]"""
    written: npt.NDArray[np.int64]
    """[B] the variant that the columns which do not change during play were written for."""


@inner
def show(
    view: Any, rule: Any, traits: Any, v: Any, features: Any, bodies: Any, b: Any, agents: Any, complete: Any
) -> None:
    """Write what game b, which plays variant v with so many agents, shows to row b of the view.

    What a move changes is always written; the rest only if `complete`, as it must be after anything else has changed.
    """
    if complete and view.written[b] != v:
        describe(view, rule, traits, v, features, b)
        view.written[b] = v
    for i in range(agents):
        slot = traits[v, i].slot
        x, y, vx, vy = bodies[b, i].x, bodies[b, i].y, bodies[b, i].vx, bodies[b, i].vy
        view.private[b, slot, 0] = x
        view.private[b, slot, 1] = y
        view.private[b, slot, 2] = vx
        view.private[b, slot, 3] = vy
        view.entities[b, slot, 0] = x
        view.entities[b, slot, 1] = y
        if traits[v, i].shows_velocity:
            view.entities[b, slot, 2] = vx
            view.entities[b, slot, 3] = vy
    if complete:
        for i in range(agents, rule.bodies):
            slot = traits[v, i].slot
            view.entities[b, slot, 0] = bodies[b, i].x
            view.entities[b, slot, 1] = bodies[b, i].y
    if rule.partial:
        for i in range(agents):
            look(view.sees, rule, traits, v, bodies, b, i)


@rare
def describe(view: Any, rule: Any, traits: Any, v: Any, features: Any, b: Any) -> None:
    """Write the columns that depend on the variant alone, zeros in the slots that this variant leaves empty."""
    view.entities[b] = 0.0
    view.private[b] = 0.0
    view.present[b] = False
    view.acting[b] = False
    for column in range(features.shape[1]):
        view.rules[b, column] = features[v, column]
    for i in range(rule.bodies):
        view.present[b, traits[v, i].slot] = True
        view.entities[b, traits[v, i].slot, 4] = traits[v, i].radius
    for i in range(rule.agents):
        view.acting[b, traits[v, i].slot] = True
    if view.sees.shape[0] > 0:
        view.sees[b] = False
        for i in range(rule.agents):
            for j in range(rule.bodies):
                view.sees[b, traits[v, i].slot, traits[v, j].slot] = True


@rare
def look(sees: Any, rule: Any, traits: Any, v: Any, bodies: Any, b: Any, i: Any) -> None:
    """Write which bodies agent i sees: those within its vision and among the nearest of their sort."""
    for j in range(rule.bodies):
        distance = squared_distance(bodies, b, i, j)
        seen = distance <= rule.vision_squared
        if j < rule.agents:
            seen = seen and rank(bodies, b, i, j, distance, np.uint64(0), rule.agents) < rule.nearest_agents
        else:
            seen = seen and rank(bodies, b, i, j, distance, rule.agents, rule.bodies) < rule.nearest_objects
        sees[b, traits[v, i].slot, traits[v, j].slot] = seen or j == i


@inner
def rank(bodies: Any, b: Any, i: Any, j: Any, distance: Any, first: Any, last: Any) -> Any:
    """Return how many of the bodies first..last-1 other than i are nearer to i than j (at `distance`) is."""
    nearer = 0
    for other in range(first, last):
        if other not in (i, j):
            rival = squared_distance(bodies, b, i, other)
            nearer += rival < distance or (rival == distance and other < j)
    return nearer
