"""The arrays that the kernels write, and the records in which players get them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.games.payoff.parameters import Tables
from marl_meta.games.payoff.view import NEVER, View
from marl_meta.types import Observation, Step


@dataclass(frozen=True, slots=True)
class Buffer:
    """One set of output arrays of a batch; its records are made once and hold these very arrays."""

    view: View
    """The observation."""
    final: View
    """The last observations of ended games."""
    outcome: tuple[npt.NDArray[Any], ...]
    """reward, truncated, game_over, trial_over"""
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
    observation, last = observe(view), observe(final)
    agents = len(tables.agent_names)
    reward = np.zeros((num_games, agents), np.float32)
    terminated, truncated = (np.zeros((num_games, agents), np.bool_) for _ in range(2))  # the rules end no game
    game_over, trial_over = (np.zeros(num_games, np.bool_) for _ in range(2))
    ends = (terminated, truncated, game_over, trial_over)
    outcome = (reward, truncated, game_over, trial_over)
    return Buffer(view, final, outcome, Step(observation, reward, *ends, None), Step(observation, reward, *ends, last))


def make_view(tables: Tables, num_games: int) -> View:
    """Return the arrays of an observation."""
    layout, agents = tables.layout, len(tables.agent_names)
    return View(
        entities=np.zeros((num_games, agents, len(layout.entity_features)), np.float32),
        present=np.zeros((num_games, agents), np.bool_),
        private=np.zeros((num_games, agents, len(layout.private_features)), np.float32),
        acting=np.zeros((num_games, agents), np.bool_),
        mask=np.ones((num_games, agents, len(layout.actions)), np.bool_),
        rules=np.zeros((num_games, tables.visible.shape[1]), np.float32),
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
