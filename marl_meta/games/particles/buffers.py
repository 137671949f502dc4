"""The arrays that the kernels write, and the records in which players get them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.games.particles.parameters import ACTIONS, Tables
from marl_meta.games.particles.view import ENTITY_FEATURES, NEVER, PRIVATE_FEATURES, View
from marl_meta.types import Observation, Step


@dataclass(frozen=True, slots=True)
class Buffer:
    """One set of output arrays of a batch; its records are made once and hold these very arrays."""

    view: View
    """The observation."""
    final: View
    """The last observations of ended games."""
    outcome: tuple[npt.NDArray[Any], ...]
    """reward, terminated, truncated, game_over, trial_over"""
    step: Step
    """The step in which no game ended."""
    step_with_final: Step

    @property
    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """All arrays, in the order in which the kernels take them."""
        return (*self.view, *self.final, *self.outcome)


def make_buffer(tables: Tables, num_games: int) -> Buffer:
    """Return a set of output arrays, all zero, for that many games of the tables' variants."""
    view, final = make_view(tables, num_games), make_view(tables, num_games)
    observation, last = observe(view, tables), observe(final, tables)
    agents = len(tables.agent_names)
    reward = np.zeros((num_games, agents), np.float32)
    terminated, truncated = (np.zeros((num_games, agents), np.bool_) for _ in range(2))
    game_over, trial_over = (np.zeros(num_games, np.bool_) for _ in range(2))
    outcome = (reward, terminated, truncated, game_over, trial_over)
    return Buffer(view, final, outcome, Step(observation, *outcome, final=None), Step(observation, *outcome, last))


def make_view(tables: Tables, num_games: int) -> View:
    """Return the arrays of an observation."""
    entities, agents = len(tables.kind), len(tables.agent_names)
    limited = num_games if tables.rules["partial"].any() else 0
    return View(
        entities=np.zeros((num_games, entities, len(ENTITY_FEATURES)), np.float32),
        present=np.zeros((num_games, entities), np.bool_),
        private=np.zeros((num_games, agents, len(PRIVATE_FEATURES)), np.float32),
        sees=np.zeros((limited, agents, entities), np.bool_),
        acting=np.zeros((num_games, agents), np.bool_),
        rules=np.zeros((num_games, tables.visible.shape[1]), np.float32),
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
