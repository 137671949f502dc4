"""What the kernels write of a game that players see, and the record in which they get it."""

from __future__ import annotations

import numpy as np

from marl_meta.games.buffers import NEVER
from marl_meta.games.connect.parameters import AGENTS, NOBODY, Boards
from marl_meta.games.connect.view import View
from marl_meta.types import Observation


def make_view(boards: Boards, num_games: int) -> View:
    """Return the arrays of an observation."""
    tables, agents, entities = boards.tables, len(AGENTS), len(boards.kind)
    numbers = np.zeros((num_games, *tables.numbers.shape[1:]), np.float32)
    return View(
        entities=numbers.reshape(num_games, entities, -1),
        numbers=numbers,
        team=np.full((num_games, entities), NOBODY, np.int8),
        present=np.zeros((num_games, entities), np.bool_),
        private=np.zeros((num_games, agents, len(boards.catalog.layout.private_features)), np.float32),
        acting=np.zeros((num_games, agents), np.bool_),
        mask=np.zeros((num_games, agents, tables.targets.shape[1]), np.bool_),
        rules=np.zeros((num_games, tables.features.shape[1]), np.float32),
        links=np.full((num_games, *tables.links.shape[1:]), NOBODY, np.int16),
        targets=np.full((num_games, tables.targets.shape[1]), NOBODY, np.int16),
        written=np.full((num_games, 3), NEVER, np.int64),
    )


def observe(view: View, boards: Boards) -> Observation:
    """Return the record of what a view shows; slots keep their kind whether or not they are taken."""
    return Observation(
        entities=view.entities,
        kind=np.tile(boards.kind, (len(view.entities), 1)),
        team=view.team,
        present=view.present,
        private=view.private,
        sees=None,
        acting=view.acting,
        action_mask=view.mask,
        rules=view.rules,
        links=view.links,
        targets=view.targets,
    )
