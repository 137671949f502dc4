"""PayoffGame: a batch of repeated games as a `types.VectorGame`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.games.batch import STATE_FIELDS, check_snapshot, refuse_illegal, unsigned
from marl_meta.games.deck import deal, new_deck
from marl_meta.games.family import Family
from marl_meta.games.pace import Pace
from marl_meta.games.payoff.buffers import make_buffer
from marl_meta.games.payoff.parameters import GAME, Tables, compile_tables
from marl_meta.games.payoff.step import begin_games, show_games, step_games, step_games_in_parallel, take_actions
from marl_meta.games.random import stream_keys
from marl_meta.types import FloatArray, IntArray, Snapshot, Step, UserError, Variant

THREADED_GAMES = 4096
"""Smaller batches are played by one thread: waking the others would take longer than they save."""


def make_game(
    family: Family,
    variants: Sequence[Variant],
    *,
    num_games: int,
    seed: int = 0,
    episodes_per_trial: int = 1,
    first_game: int = 0,
    fixed: bool = False,
) -> PayoffGame:
    """Return a batch of games, not yet reset; see `PayoffGame` for the arguments."""
    return PayoffGame(
        compile_tables(family, variants),
        num_games=num_games,
        seed=seed,
        episodes_per_trial=episodes_per_trial,
        first_game=first_game,
        fixed=fixed,
    )


class PayoffGame:
    """A batch of repeated games, each under its own rules, with its own random stream (a `types.VectorGame`).

    The state is `games` [B] (random stream, variant, step, episode) and the last actions and rewards [B,N]. Two sets of
    output buffers take turns, so that a Step stays valid until the second `step` after it.
    """

    def __init__(
        self,
        tables: Tables,
        *,
        num_games: int,
        seed: int,
        episodes_per_trial: int,
        first_game: int,
        fixed: bool,
    ) -> None:
        """Make a batch, not yet reset.

        Args:
            tables: the variants.
            num_games: B.
            seed: of the random streams; game b's stream depends on it and on `first_game` + b alone.
            episodes_per_trial: after so many episodes a trial is over.
            first_game: number of the first game's stream.
            fixed: game b always plays variant b (counted around); else each trial's variant is drawn.
        """
        self.layout = tables.layout
        self.num_games = num_games
        self.num_agents = self.num_entities = len(tables.agent_names)
        self.agent_names = tables.agent_names
        self.agent_team = np.zeros(self.num_agents, np.int8)
        self.num_variants = len(tables.variants)
        self._tables = tables
        self._first_game = first_game
        self._games = np.zeros(num_games, GAME)
        self._games["key"] = stream_keys(seed, first_game, num_games)
        self._games["variant"] = np.arange(num_games) % len(tables.variants)
        self._actions = np.zeros((num_games, self.num_agents), np.uint8)
        self._rewards = np.zeros((num_games, self.num_agents), np.float32)
        self._deck = new_deck(0 if fixed else len(tables.variants))
        self._buffers = (make_buffer(tables, num_games), make_buffer(tables, num_games))
        self._pace = Pace()
        self._turn = 0
        self._started = False
        shown = (self._actions, tables.rules, tables.visible, self._games, self._rewards)
        self._show_arguments = tuple((*shown, *buffer.view) for buffer in self._buffers)
        play = (
            episodes_per_trial, self._deck, self._actions,
            tables.rules, tables.payoffs, tables.visible, self._games, self._rewards,
        )  # fmt: skip
        arguments = [(*play, *buffer.arrays) for buffer in self._buffers]
        self._plays = tuple(
            (partial(step_games, 0, 1, *each), partial(step_games_in_parallel, os.cpu_count() or 1, *each))
            for each in arguments
        )

    @property
    def rules(self) -> list[dict[str, Any]]:
        """The rules of each game."""
        return [self._tables.variants[v].rules for v in self._games["variant"]]

    @property
    def variant_ids(self) -> list[str]:
        """The variant of each game."""
        return [self._tables.variants[v].variant_id for v in self._games["variant"]]

    @property
    def variant_numbers(self) -> IntArray:
        """[B] the variant of each game, as a number below `num_variants`."""
        numbers: IntArray = self._games["variant"].astype(np.int64)
        return numbers

    @property
    def hidden_rules(self) -> FloatArray:
        """[B,R'] the hidden rules, scaled as visible ones are."""
        rules: FloatArray = self._tables.hidden[self._games["variant"]]
        return rules

    def reset(self, seed: int | None = None) -> Step:
        """Start every game afresh, in a new trial; with a seed, the random streams start afresh too."""
        if seed is not None:
            self._games["key"] = stream_keys(seed, self._first_game, self.num_games)
            self._games["draws"] = 0
        begin_games(self._deck, self._games)
        return self._show()

    def deal(self, weights: npt.ArrayLike) -> None:
        """Let new trials draw their variants in proportion to weights [V]; each variant stays possible."""
        deal(self._deck, weights)

    def step(self, actions: npt.NDArray[np.integer[Any]]) -> Step:
        """Play `actions` int [B,N] (ignored in empty seats); raises UserError when one is not an action of its game."""
        if not self._started:
            raise UserError("These games have not begun; call reset before step.")
        rules, games = self._tables.rules, self._games
        if not take_actions(unsigned(actions, self._actions.shape), self._actions, rules, games):
            acting = self._buffers[self._turn].step.observation.acting
            refuse_illegal(actions, rules["actions"][games["variant"]], acting, self.agent_names)
        self._turn = 1 - self._turn
        buffer = self._buffers[self._turn]
        ended = self._pace.play(*self._plays[self._turn], large=self.num_games >= THREADED_GAMES)
        return buffer.step_with_final if ended else buffer.step

    def snapshot(self) -> Snapshot:
        """Return a copy of all state: key, draws, variant, step, episode [B]; deck [D]; actions, rewards [B,N]."""
        snapshot: Snapshot = {name: self._games[name].copy() for name, _ in STATE_FIELDS}
        return snapshot | {"deck": self._deck.copy(), "actions": self._actions.copy(), "rewards": self._rewards.copy()}

    def restore(self, snapshot: Snapshot) -> Step:
        """Go back to a snapshot of this game; returns the observation there, with zero reward."""
        check_snapshot(snapshot, self.snapshot(), self.num_variants)
        if (snapshot["actions"] >= len(self.layout.actions)).any():
            raise UserError(f"A snapshot to restore must hold actions below {len(self.layout.actions)} everywhere.")
        for name, _ in STATE_FIELDS:
            self._games[name] = snapshot[name]
        self._deck[:] = snapshot["deck"]
        self._actions[:] = snapshot["actions"]
        self._rewards[:] = snapshot["rewards"]
        return self._show()

    def close(self) -> None:
        """Nothing to release."""

    def _show(self) -> Step:
        self._started = True
        self._turn = 1 - self._turn
        buffer = self._buffers[self._turn]
        show_games(*self._show_arguments[self._turn])
        for array in buffer.outcome:
            array[:] = 0
        return buffer.step
