"""What the kernels write of a game that players see, and the record in which they get it."""

from __future__ import annotations

import numpy as np

from marl_meta.games.buffers import NEVER
from marl_meta.games.catalog import Catalog
from marl_meta.games.payoff.view import View
from marl_meta.types import Observation


def make_view(catalog: Catalog, num_games: int) -> View:
    """Return the arrays of an observation."""
    layout, agents = catalog.layout, len(catalog.agent_names)
    return View(
        entities=np.zeros((num_games, agents, len(layout.entity_features)), np.float32),
        present=np.zeros((num_games, agents), np.bool_),
        private=np.zeros((num_games, agents, len(layout.private_features)), np.float32),
        acting=np.zeros((num_games, agents), np.bool_),
        mask=np.ones((num_games, agents, len(layout.actions)), np.bool_),
        rules=np.zeros((num_games, catalog.visible.shape[1]), np.float32),
        written=np.full(num_games, NEVER, np.int64),
    )


def observe(view: View) -> Observation:
    """Return the record of what a view shows; empty seats keep their kind and team."""
    return Observation(
        entities=view.entities,
        kind=np.zeros(view.present.shape, np.int8),
        team=np.zeros(view.present.shape, np.int8),
        present=view.present,
        private=view.private,
        sees=None,
        acting=view.acting,
        action_mask=view.mask,
        rules=view.rules,
    )
