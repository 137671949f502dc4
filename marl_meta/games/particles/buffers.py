"""What the kernels write of a game that players see, and the record in which they get it."""

from __future__ import annotations

import numpy as np

from marl_meta.games.buffers import NEVER
from marl_meta.games.particles.parameters import ACTIONS, Tables
from marl_meta.games.particles.view import ENTITY_FEATURES, PRIVATE_FEATURES, View
from marl_meta.types import Observation


def make_view(tables: Tables, num_games: int) -> View:
    """Return the arrays of an observation."""
    catalog = tables.catalog
    entities, agents = len(tables.kind), len(catalog.agent_names)
    limited = num_games if tables.rules["partial"].any() else 0
    return View(
        entities=np.zeros((num_games, entities, len(ENTITY_FEATURES)), np.float32),
        present=np.zeros((num_games, entities), np.bool_),
        private=np.zeros((num_games, agents, len(PRIVATE_FEATURES)), np.float32),
        sees=np.zeros((limited, agents, entities), np.bool_),
        acting=np.zeros((num_games, agents), np.bool_),
        rules=np.zeros((num_games, catalog.visible.shape[1]), np.float32),
        written=np.full(num_games, NEVER, np.int64),
    )


def observe(view: View, tables: Tables) -> Observation:
    """Return the record of what a view shows; slots keep their kind and team whether or not they are taken."""
    num_games, agents, _ = view.private.shape
    return Observation(
        entities=view.entities,
        kind=np.tile(tables.kind, (num_games, 1)),
        team=np.tile(tables.team, (num_games, 1)),
        present=view.present,
        private=view.private,
        sees=view.sees if len(view.sees) > 0 else None,
        acting=view.acting,
        action_mask=np.ones((num_games, agents, len(ACTIONS)), np.bool_),
        rules=view.rules,
    )
