"""The kernels that play a batch of board games."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from marl_meta.games.batch import begin_trial
from marl_meta.games.connect.parameters import AGENTS, NOBODY
from marl_meta.games.connect.state import EMPTY, begin_position, clear, landing, put
from marl_meta.games.connect.view import show
from marl_meta.games.kernel import inner, kernel, parallel_kernel, rare

_AGENTS = len(AGENTS)


@inner
def mover(game: Any) -> Any:
    """Return whose turn it is."""
    return game.step % _AGENTS


@kernel
def take_actions(actions: Any, chosen: Any, tables: Any, state: Any) -> Any:
    """Write the cells that unsigned `actions` in a row mean to `chosen` [B]; return the first game with no such action.

    Only those of players whose turn it is matter. Returns -1 where all are legal.
    """
    for b in range(np.uint64(len(chosen))):
        game = state.games[b]
        rule = tables.rules[game.variant]
        action = np.uint64(actions[b * _AGENTS + mover(game)])
        if action >= rule.actions:
            return np.int64(b)
        chosen[b] = landing(state, rule, b, np.int64(action))
        if chosen[b] == NOBODY:
            return np.int64(b)
    return np.int64(-1)


@kernel
def step_games(  # noqa: PLR0913 (what a kernel writes it is given)
    chunk: Any, chunks: Any, trial: Any, deck: Any, chosen: Any, tables: Any, state: Any, view: Any, final: Any,
    reward: Any, terminated: Any, game_over: Any, trial_over: Any,
) -> Any:  # fmt: skip
    """Play a move of the games of one chunk of several; return how many ended (and began again)."""
    first, last = chunk * len(chosen) // chunks, (chunk + 1) * len(chosen) // chunks
    ended = 0
    for b in range(np.uint64(first), np.uint64(last)):
        game = state.games[b]
        player = mover(game)
        completed = put(state, tables, b, chosen[b], player)
        game.earlier, game.before, game.last = game.before, game.last, chosen[b]
        game.step += 1
        over = completed or game.free == 0
        pays = tables.rules[game.variant].pays if completed else np.float32(0.0)
        for i in range(_AGENTS):
            reward[b, i] = pays if i == player or pays == 0.0 else -pays
            terminated[b, i] = over
        game_over[b] = over
        trial_over[b] = False
        if over:
            ended += 1
            show(final, tables, state, b, player)
            trial_over[b] = begin_again(trial, deck, tables, state, b)
        show(view, tables, state, b, mover(game))
    return ended


@parallel_kernel
def step_games_in_parallel(  # noqa: PLR0913 (as above)
    chunks: Any, trial: Any, deck: Any, chosen: Any, tables: Any, state: Any, view: Any, final: Any,
    reward: Any, terminated: Any, game_over: Any, trial_over: Any,
) -> Any:  # fmt: skip
    """Play a move of all games, each thread some of the `chunks`; the same bits as by `step_games`."""
    ended = 0
    # A chunk's number is made signed, as calls from Python have it, or `step_games` would be compiled a second time.
    for chunk in prange(chunks):
        ended += step_games(
            np.int64(chunk), chunks, trial, deck, chosen, tables, state, view, final,
            reward, terminated, game_over, trial_over,
        )  # fmt: skip
    return ended


@rare
def begin_again(trial: Any, deck: Any, tables: Any, state: Any, b: Any) -> Any:
    """Begin the next episode of a game, in the next trial if this one is over; return whether it is."""
    game = state.games[b]
    game.episode += 1
    over = game.episode >= trial
    if over:
        begin_trial(game, deck)
    begin_position(state, tables, b)
    return over


@kernel
def begin_games(deck: Any, tables: Any, state: Any) -> None:
    """Begin a new trial in every game."""
    for b in range(np.uint64(len(state.games))):
        begin_trial(state.games[b], deck)
        begin_position(state, tables, b)


@kernel
def show_games(tables: Any, state: Any, view: Any) -> None:
    """Write what every game shows."""
    for b in range(np.uint64(len(state.games))):
        show(view, tables, state, b, mover(state.games[b]))


@kernel
def set_games(cells: Any, last: Any, tables: Any, state: Any) -> None:
    """Put the stones of `cells` [B,C] on cleared boards; `last` [B] are those of the last moves."""
    for b in range(np.uint64(len(state.games))):
        clear(state, tables, b)
        for cell in range(tables.rules[state.games[b].variant].cells - 1, -1, -1):  # from the bottom
            if cells[b, cell] != EMPTY:
                put(state, tables, b, cell, np.int64(cells[b, cell]))
        state.games[b].last = last[b]
