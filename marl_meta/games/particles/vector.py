"""Particle games as a `Simulator`: their bodies, and the kernels that move them."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.games import compiled
from marl_meta.games.batch import refuse_illegal, unsigned
from marl_meta.games.buffers import Buffer, make_buffer
from marl_meta.games.particles.buffers import make_view, observe
from marl_meta.games.particles.parameters import BODY, GAME, Rules, Scene, Tables, compile_tables
from marl_meta.games.particles.step import (
    begin_games,
    show_games,
    step_games,
    step_games_in_parallel,
    take_actions,
)
from marl_meta.games.trials import Trials
from marl_meta.types import Snapshot

THREADED_GAMES = 2048


def entry_point(rule_dtype: np.dtype[np.void], scene: Callable[[Rules], Scene]) -> Callable[..., compiled.CompiledGame]:
    """Return what a particle family's family.yaml names as its entry point.

    Args:
        rule_dtype: the records of the family's rules, by which the kernels find its `score`.
        scene: says what is on the field under given rules.
    """
    return compiled.entry_point(partial(compile_tables, dtype=rule_dtype, scene=scene), ParticleSimulator, GAME)


class ParticleSimulator:
    """What particle games have of their own (a `Simulator`).

    Its state is `bodies` [B,E]: positions and velocities of the bodies that exist, in the order agents, obstacles,
    objects.
    """

    def __init__(self, tables: Tables, trials: Trials) -> None:
        """Make what plays these trials of the tables' variants."""
        games, deck, catalog = trials.games, trials.deck, tables.catalog
        num_games, agents = len(games), len(catalog.agent_names)
        self._games = games
        self._bodies = np.zeros((num_games, len(tables.kind)), BODY)
        self._actions = np.zeros((num_games, agents), np.uint8)
        self._actions_in_a_row = self._actions.reshape(-1)
        self._action_count = len(catalog.layout.actions)
        self._agent_names = catalog.agent_names
        view, record = partial(make_view, tables, num_games), partial(observe, tables=tables)
        self.buffers = make_buffer(view, record), make_buffer(view, record)
        self.threaded_games = THREADED_GAMES
        knowledge = (tables.rules, tables.traits, catalog.visible, games, self._bodies)
        # The threads' shares have scratch space of their own, far enough apart not to share a cache line.
        chunks = os.cpu_count() or 1
        scratch = np.zeros((chunks, 3, agents + 8))
        play = (scratch, trials.episodes_per_trial, deck, self._actions, *knowledge)
        self._begin_arguments = (deck, tables.rules, tables.traits, games, self._bodies)
        self._show_arguments = tuple((*knowledge, *buffer.view) for buffer in self.buffers)
        arguments = [(*play, *buffer.view, *buffer.final, *buffer.outcome) for buffer in self.buffers]
        self.plays: compiled.Plays = tuple(
            (partial(step_games, 0, 1, *each), partial(step_games_in_parallel, chunks, *each)) for each in arguments
        )

    def begin(self) -> None:
        """Begin a new trial in every game."""
        begin_games(*self._begin_arguments)

    def take(self, actions: npt.NDArray[np.integer[Any]], shown: Buffer) -> None:
        """Copy `actions` [B,N] to where the kernels read them; raises UserError when an acting agent's is none."""
        count = self._action_count
        if take_actions(unsigned(actions, self._actions.shape), self._actions_in_a_row) < count:
            return
        acting = shown.step.observation.acting
        self._actions[refuse_illegal(actions, np.array(count), acting, self._agent_names)] = 0

    def show(self, turn: int) -> None:
        """Write what every game shows to the buffer of that number."""
        show_games(*self._show_arguments[turn])

    def snapshot(self) -> Snapshot:
        """Return copies: positions, velocities [B,E,2]."""
        return {
            "positions": np.stack([self._bodies["x"], self._bodies["y"]], axis=-1),
            "velocities": np.stack([self._bodies["vx"], self._bodies["vy"]], axis=-1),
        }

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to its own part of a snapshot."""
        self._games["placed"] = snapshot["step"]  # so that both buffers are written afresh
        self._bodies["x"], self._bodies["y"] = np.moveaxis(snapshot["positions"], -1, 0)
        self._bodies["vx"], self._bodies["vy"] = np.moveaxis(snapshot["velocities"], -1, 0)
