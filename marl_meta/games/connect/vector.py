"""Board games as a `Simulator`: their positions, and the kernels that play."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.games.batch import unsigned
from marl_meta.games.buffers import Buffer, make_buffer
from marl_meta.games.compiled import Plays, entry_point
from marl_meta.games.connect.buffers import make_view, observe
from marl_meta.games.connect.parameters import AGENTS, GAME, NOBODY, Boards, compile_tables
from marl_meta.games.connect.state import BLOCKED, EMPTY, make_state
from marl_meta.games.connect.step import (
    begin_games,
    set_games,
    show_games,
    step_games,
    step_games_in_parallel,
    take_actions,
)
from marl_meta.games.trials import Trials
from marl_meta.types import Snapshot, UserError
from marl_meta.wording import listed

THREADED_GAMES = 512


class ConnectSimulator:
    """What board games have of their own (a `Simulator`): what is on each cell, and where the last stone is."""

    def __init__(self, boards: Boards, trials: Trials) -> None:
        """Make what plays these trials of the tables' variants."""
        games = trials.games
        self._tables, self._state = boards.tables, make_state(boards.tables, games)
        self._deck, self._shape = trials.deck, (len(games), len(AGENTS))
        self._chosen = np.zeros(len(games), np.int64)
        view, record = partial(make_view, boards, len(games)), partial(observe, boards=boards)
        self.buffers = make_buffer(view, record), make_buffer(view, record)
        self.threaded_games = THREADED_GAMES
        play = (trials.episodes_per_trial, trials.deck, self._chosen, self._tables, self._state)
        arguments = [(*play, buffer.view, buffer.final, *_written(buffer)) for buffer in self.buffers]
        self.plays: Plays = tuple(
            (partial(step_games, 0, 1, *each), partial(step_games_in_parallel, os.cpu_count() or 1, *each))
            for each in arguments
        )

    def begin(self) -> None:
        """Begin a new trial in every game."""
        begin_games(self._deck, self._tables, self._state)

    def take(self, actions: npt.NDArray[np.integer[Any]], shown: Buffer) -> None:
        """Copy what `actions` [B,2] mean to where the kernels read it.

        Raises UserError when one of a player whose turn it is is not legal; those of the others may be anything.
        """
        wrong = take_actions(unsigned(actions, self._shape), self._chosen, self._tables, self._state)
        if wrong >= 0:
            observation = shown.step.observation
            player = int(observation.acting[wrong].argmax())
            legal = np.flatnonzero(observation.action_mask[wrong, player]).tolist()
            raise UserError(
                f"The action of {AGENTS[player]} in game {wrong} is {actions[wrong, player]}; "
                f"legal now: {listed(map(str, legal))}."
            )

    def show(self, turn: int) -> None:
        """Write what every game shows to the buffer of that number."""
        show_games(self._tables, self._state, self.buffers[turn].view)

    def snapshot(self) -> Snapshot:
        """Return copies: cells [B,C], last [B]."""
        return {"cells": self._state.cells.copy(), "last": self._state.games["last"].copy()}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to its own part of a snapshot; raises UserError where that holds no positions."""
        for name, low, high in (("cells", EMPTY, BLOCKED), ("last", NOBODY, self._state.cells.shape[1] - 1)):
            if ((snapshot[name] < low) | (snapshot[name] > high)).any():
                raise UserError(f"A snapshot to restore must hold {name} from {low} to {high} everywhere.")
        self._state.games["variant"] = snapshot["variant"]  # which says what lines there are
        set_games(snapshot["cells"], snapshot["last"], self._tables, self._state)


def _written(buffer: Buffer) -> tuple[npt.NDArray[Any], ...]:
    """Return what the kernels write of an outcome: no game is truncated."""
    step = buffer.step
    return step.reward, step.terminated, step.game_over, step.trial_over


make_game = entry_point(compile_tables, ConnectSimulator, GAME)
