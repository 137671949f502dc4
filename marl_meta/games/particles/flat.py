"""Flat observations with the columns of mpe2's: one vector of an agent, for tools that know no entities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from marl_meta.types import FloatArray, Observation

_PLACE, _VELOCITY = slice(0, 2), slice(2, 4)


def flat_observation(
    observation: Observation, b: int, agent: int, *, nearest_agents: int = 0, nearest_objects: int = 0
) -> FloatArray:
    """Return what one agent of game b sees of a particle game as one vector, as mpe2 arranges it.

    own velocity, own place, then relative places of obstacles and other objects, relative places of the other agents,
    and velocities of the other agents of the last kind (in tag only the prey's are shown; in spread they are zeros,
    where mpe2 has its silent communication). Entities that are absent or unseen leave zeros.

    Under the rules of the same names, which are 0 for all, only the nearest so many are listed, nearest first, and
    what is missing is zeros; then all other agents have a velocity, zeros for those that do not show it.
    """
    agents = observation.private.shape[1]
    entities, own = observation.entities[b], observation.private[b, agent]
    seen = observation.present[b] if observation.sees is None else observation.sees[b, agent]
    others = np.array([i for i in range(agents) if i != agent], np.int64)
    objects = np.arange(agents, len(entities))
    relative = np.where(seen[:, None], entities[:, _PLACE] - own[_PLACE], np.float32(0))
    velocities = np.where(seen[:, None], entities[:, _VELOCITY], np.float32(0))
    if nearest_objects > 0:
        objects = _nearest(relative, seen, objects)[:nearest_objects]
    if nearest_agents > 0:
        others = _nearest(relative, seen, others)[:nearest_agents]
        shown = others
    else:
        last_kind = observation.kind[b, :agents].max()
        shown = others[observation.kind[b, others] == last_kind]
    flat = np.concatenate(
        [
            own[_VELOCITY],
            own[_PLACE],
            _padded(relative[objects], nearest_objects),
            _padded(relative[others], nearest_agents),
            _padded(velocities[shown], nearest_agents),
        ]
    )
    return flat.astype(np.float32, copy=False)


def _nearest(relative: FloatArray, seen: npt.NDArray[np.bool_], slots: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the slots sorted by distance, those that are not seen last."""
    distance = np.where(seen[slots], np.square(relative[slots]).sum(-1), np.inf)
    return slots[np.argsort(distance, kind="stable")]


def _padded(rows: FloatArray, count: int) -> FloatArray:
    """Return rows [n,2] as one vector, of at least `count` rows."""
    return np.concatenate([rows.ravel(), np.zeros(2 * max(count - len(rows), 0), np.float32)])
