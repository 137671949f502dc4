"""Flat observations of games without places: one vector of an agent, for tools that know no entities."""

from __future__ import annotations

import numpy as np

from marl_meta.types import FloatArray, Observation


def plain_observation(observation: Observation, b: int, agent: int) -> FloatArray:
    """Return what one agent of game b sees as one vector: its private features, its public ones, those of the others.

    Others come in the order of entities; who is absent or unseen leaves zeros.
    """
    seen = observation.present[b] if observation.sees is None else observation.sees[b, agent]
    shown = np.where(seen[:, None], observation.entities[b], np.float32(0))
    others = np.delete(shown, agent, axis=0)
    return np.concatenate([observation.private[b, agent], observation.entities[b, agent], others.ravel()])
