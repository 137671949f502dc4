"""The kernels that play a batch of repeated games."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from marl_meta.games.batch import begin_trial
from marl_meta.games.kernel import kernel, parallel_kernel, rare
from marl_meta.games.payoff.view import View, show


@kernel
def take_actions(actions: Any, taken: Any, rules: Any, games: Any) -> Any:
    """Copy unsigned `actions` in a row to `taken` [B,N] and return True, or False if some game lacks one of them."""
    seats = np.uint64(taken.shape[1])
    wrong = 0
    for b in range(np.uint64(len(games))):
        rule = rules[games[b].variant]
        for i in range(rule.players):
            wrong += actions[b * seats + i] >= rule.actions
    if wrong > 0:
        return False
    for b in range(np.uint64(len(games))):
        for i in range(seats):
            taken[b, i] = actions[b * seats + i]
    return True


@kernel
def step_games(  # noqa: PLR0913 (numba takes long to look into a tuple of arrays at every call)
    chunk: Any, chunks: Any, trial: Any, deck: Any, actions: Any,
    rules: Any, payoffs: Any, features: Any, games: Any, rewards: Any,
    entities: Any, present: Any, private: Any, acting: Any, mask: Any, rule_features: Any, written: Any,
    final_entities: Any, final_present: Any, final_private: Any, final_acting: Any, final_mask: Any,
    final_rule_features: Any, final_written: Any,
    reward: Any, truncated: Any, game_over: Any, trial_over: Any,
) -> Any:  # fmt: skip
    """Play a round of the games of one chunk of several; return how many ended (and began again)."""
    view = View(entities, present, private, acting, mask, rule_features, written)
    final = View(
        final_entities, final_present, final_private, final_acting, final_mask, final_rule_features, final_written
    )
    first, last = chunk * len(games) // chunks, (chunk + 1) * len(games) // chunks
    seats = np.uint64(reward.shape[1])
    ended = 0
    for b in range(np.uint64(first), np.uint64(last)):
        game = games[b]
        v = game.variant
        rule = rules[v]
        joint = np.uint64(0)
        for i in range(rule.players):
            joint = joint * rule.actions + np.uint64(actions[b, i])
        game.step += 1
        over = game.step >= rule.episode_length
        for i in range(seats):
            rewards[b, i] = payoffs[v, joint, i]  # zero in empty seats
            reward[b, i] = rewards[b, i]
            truncated[b, i] = over and i < rule.players
        game_over[b] = over
        trial_over[b] = False
        if over:
            ended += 1
            show(final, rule, v, features, actions, rewards, b, False)
            trial_over[b] = begin_again(trial, deck, game)
            v = game.variant
        show(view, rules[v], v, features, actions, rewards, b, over)
    return ended


@parallel_kernel
def step_games_in_parallel(  # noqa: PLR0913 (as above)
    chunks: Any, trial: Any, deck: Any, actions: Any,
    rules: Any, payoffs: Any, features: Any, games: Any, rewards: Any,
    entities: Any, present: Any, private: Any, acting: Any, mask: Any, rule_features: Any, written: Any,
    final_entities: Any, final_present: Any, final_private: Any, final_acting: Any, final_mask: Any,
    final_rule_features: Any, final_written: Any,
    reward: Any, truncated: Any, game_over: Any, trial_over: Any,
) -> Any:  # fmt: skip
    """Play a round of all games, each thread some of the `chunks`; the same bits as by `step_games`."""
    ended = 0
    # A chunk's number is made signed, as calls from Python have it, or `step_games` would be compiled a second time.
    for chunk in prange(chunks):
        ended += step_games(
            np.int64(chunk), chunks, trial, deck, actions, rules, payoffs, features, games, rewards,
            entities, present, private, acting, mask, rule_features, written,
            final_entities, final_present, final_private, final_acting, final_mask, final_rule_features, final_written,
            reward, truncated, game_over, trial_over,
        )  # fmt: skip
    return ended


@rare
def begin_again(trial: Any, deck: Any, game: Any) -> Any:
    """Begin the next episode of a game, in the next trial if this one is over; return whether it is."""
    game.step = 0
    game.episode += 1
    over = game.episode >= trial
    if over:
        begin_trial(game, deck)
    return over


@kernel
def begin_games(deck: Any, games: Any) -> None:
    """Begin a new trial in every game."""
    for b in range(np.uint64(len(games))):
        games[b].step = 0
        begin_trial(games[b], deck)


@kernel
def show_games(  # noqa: PLR0913 (as above)
    actions: Any, rules: Any, features: Any, games: Any, rewards: Any,
    entities: Any, present: Any, private: Any, acting: Any, mask: Any, rule_features: Any, written: Any,
) -> None:  # fmt: skip
    """Write what every game shows."""
    view = View(entities, present, private, acting, mask, rule_features, written)
    for b in range(np.uint64(len(games))):
        v = games[b].variant
        show(view, rules[v], v, features, actions, rewards, b, games[b].step == 0)
