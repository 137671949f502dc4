"""Repeated games as a `Simulator`: what was last played and earned, and the kernels that pay."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.games.batch import refuse_illegal, unsigned
from marl_meta.games.buffers import Buffer, make_buffer
from marl_meta.games.compiled import Plays, entry_point
from marl_meta.games.payoff.buffers import make_view, observe
from marl_meta.games.payoff.parameters import GAME, Tables, compile_tables
from marl_meta.games.payoff.step import begin_games, show_games, step_games, step_games_in_parallel, take_actions
from marl_meta.games.trials import Trials
from marl_meta.types import Snapshot, UserError

THREADED_GAMES = 4096


class PayoffSimulator:
    """What repeated games have of their own (a `Simulator`): its state is the last actions and rewards [B,N]."""

    def __init__(self, tables: Tables, trials: Trials) -> None:
        """Make what plays these trials of the tables' variants."""
        games, deck, catalog = trials.games, trials.deck, tables.catalog
        num_games, agents = len(games), len(catalog.agent_names)
        self._games, self._rules = games, tables.rules
        self._actions = np.zeros((num_games, agents), np.uint8)
        self._rewards = np.zeros((num_games, agents), np.float32)
        self._action_count = len(catalog.layout.actions)
        self._agent_names = catalog.agent_names
        view = partial(make_view, catalog, num_games)
        self.buffers = make_buffer(view, observe), make_buffer(view, observe)
        self.threaded_games = THREADED_GAMES
        shown = (self._actions, tables.rules, catalog.visible, games, self._rewards)
        self._show_arguments = tuple((*shown, *buffer.view) for buffer in self.buffers)
        play = (
            trials.episodes_per_trial, deck, self._actions,
            tables.rules, tables.payoffs, catalog.visible, games, self._rewards,
        )  # fmt: skip
        arguments = [(*play, *buffer.view, *buffer.final, *_written(buffer)) for buffer in self.buffers]
        self.plays: Plays = tuple(
            (partial(step_games, 0, 1, *each), partial(step_games_in_parallel, os.cpu_count() or 1, *each))
            for each in arguments
        )
        self._begin_arguments = (deck, games)

    def begin(self) -> None:
        """Begin a new trial in every game."""
        begin_games(*self._begin_arguments)

    def take(self, actions: npt.NDArray[np.integer[Any]], shown: Buffer) -> None:
        """Copy `actions` [B,N] to where the kernels read them; raises UserError when one is not an action of its game.

        Those of empty seats may be anything.
        """
        if not take_actions(unsigned(actions, self._actions.shape), self._actions, self._rules, self._games):
            acting = shown.step.observation.acting
            refuse_illegal(actions, self._rules["actions"][self._games["variant"]], acting, self._agent_names)

    def show(self, turn: int) -> None:
        """Write what every game shows to the buffer of that number."""
        show_games(*self._show_arguments[turn])

    def snapshot(self) -> Snapshot:
        """Return copies: actions, rewards [B,N]."""
        return {"actions": self._actions.copy(), "rewards": self._rewards.copy()}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to its own part of a snapshot; raises UserError where that holds what are no actions."""
        if (snapshot["actions"] >= self._action_count).any():
            raise UserError(f"A snapshot to restore must hold actions below {self._action_count} everywhere.")
        self._actions[:] = snapshot["actions"]
        self._rewards[:] = snapshot["rewards"]


def _written(buffer: Buffer) -> tuple[npt.NDArray[Any], ...]:
    """Return what the kernels write of an outcome: by its rules no game is terminated."""
    step = buffer.step
    return step.reward, step.truncated, step.game_over, step.trial_over


make_game = entry_point(compile_tables, PayoffSimulator, GAME)
