"""The kernels that play a batch of particle games, for every family alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import from_dtype, prange
from numba.extending import overload

from marl_meta.games.batch import begin_trial
from marl_meta.games.kernel import INNER_OPTIONS, Function, inner, kernel, parallel_kernel, rare
from marl_meta.games.particles.physics import move
from marl_meta.games.particles.view import View, show
from marl_meta.games.random import draw


def score(rule: Any, traits: Any, v: Any, bodies: Any, b: Any, agents: Any, game: Any, gain: Any) -> Any:
    """Set `gain` [N] to what each agent gains in game b after a move; return whether the game is won.

    Each family has its own, chosen by the type of the record `rule` when the kernels are compiled. `agents` is
    `rule.agents`, where it can be as a constant (see `play`): loops over all agents should end there.
    """
    raise NotImplementedError("only for compiled code")


def score_of(rule_dtype: np.dtype[np.void]) -> Callable[[Function], Function]:
    """Return a decorator: the function is the `score` of the family whose rules are records of that type."""
    record = from_dtype(rule_dtype)

    def register(function: Function) -> Function:
        @overload(score, jit_options=INNER_OPTIONS)  # type: ignore[arg-type]  # numba's types lack `_nrt`
        def choose(
            rule: Any, traits: Any, v: Any, bodies: Any, b: Any, agents: Any, game: Any, gain: Any,  # noqa: ARG001 (numba's protocol)
        ) -> Any:  # fmt: skip
            return function if rule == record else None

        return function

    return register


@inner
def begin_episode(rule: Any, traits: Any, v: Any, bodies: Any, b: Any, game: Any) -> None:
    """Place all bodies of game b at random, at rest."""
    game.step = 0
    game.placed = 0
    for i in range(rule.bodies):
        place(traits[v, i], bodies[b, i], game)


@inner
def place(trait: Any, body: Any, game: Any) -> None:
    """Place one body at random, at rest."""
    body.x = (2.0 * draw(game) - 1.0) * trait.spawn
    body.y = (2.0 * draw(game) - 1.0) * trait.spawn
    body.vx = 0.0
    body.vy = 0.0


@rare
def write_ends(rule: Any, traits: Any, v: Any, early: Any, late: Any, terminated: Any, truncated: Any, b: Any) -> None:
    """Write whether and how the game of each agent ended; False for absent agents."""
    for slot in range(np.uint64(terminated.shape[1])):
        terminated[b, slot] = False
        truncated[b, slot] = False
    for i in range(rule.agents):
        terminated[b, traits[v, i].slot] = early
        truncated[b, traits[v, i].slot] = late


@rare
def begin_again(trial: Any, deck: Any, rules: Any, traits: Any, games: Any, bodies: Any, b: Any) -> Any:
    """Begin the next episode of game b, in the next trial if this one is over; return whether it is."""
    games[b].episode += 1
    over = games[b].episode >= trial
    if over:
        begin_trial(games[b], deck)
    v = games[b].variant
    begin_episode(rules[v], traits, v, bodies, b, games[b])
    return over


@kernel
def take_actions(actions: Any, taken: Any) -> Any:
    """Copy unsigned `actions` to the bytes of `taken`; return the largest of them."""
    largest = actions[0]
    for i in range(len(actions)):
        largest = max(largest, actions[i])
        taken[i] = actions[i]
    return largest


@inner
def play(  # noqa: PLR0913 (a kernel's arguments)
    view: Any, rule: Any, traits: Any, v: Any, features: Any, bodies: Any, b: Any, game: Any,
    actions: Any, force_x: Any, force_y: Any, gain: Any, reward: Any,
) -> Any:  # fmt: skip
    """Play one step of game b and show it unless it is over; return whether it is won early, and cut off late.

    Loops over agents whose number the compiler knows are unrolled, and the processor need not guess where they end,
    which it can hardly do when games of unlike numbers take turns. So the usual numbers are compiled for one by one.
    """
    if rule.agents == 2:
        return play_agents(
            np.uint64(2), view, rule, traits, v, features, bodies, b, game, actions, force_x, force_y, gain, reward
        )
    if rule.agents == 3:
        return play_agents(
            np.uint64(3), view, rule, traits, v, features, bodies, b, game, actions, force_x, force_y, gain, reward
        )
    if rule.agents == 4:
        return play_agents(
            np.uint64(4), view, rule, traits, v, features, bodies, b, game, actions, force_x, force_y, gain, reward
        )
    return play_agents(
        rule.agents, view, rule, traits, v, features, bodies, b, game, actions, force_x, force_y, gain, reward
    )


@inner
def play_agents(  # noqa: PLR0913 (as above)
    agents: Any, view: Any, rule: Any, traits: Any, v: Any, features: Any, bodies: Any, b: Any, game: Any,
    actions: Any, force_x: Any, force_y: Any, gain: Any, reward: Any,
) -> Any:  # fmt: skip
    """Do what `play` does, for that number of agents."""
    move(rule, traits, v, bodies, b, agents, actions, force_x, force_y)
    game.step += 1
    won = score(rule, traits, v, bodies, b, agents, game, gain)
    # Buffers take turns: what happens in one step is news for the other buffer in the next one. A game's last
    # step pays agents that the next variant may lack, in the buffer that is written again two steps later.
    if game.step <= game.placed + 2:
        for slot in range(np.uint64(reward.shape[1])):
            reward[b, slot] = 0.0
    for i in range(agents):
        reward[b, traits[v, i].slot] = gain[i]
    late = game.step >= rule.episode_length
    early = won and rule.stop_on_success and not late
    if not (early or late):
        show(view, rule, traits, v, features, bodies, b, agents, game.step <= game.placed + 1)
    return early, late


@kernel
def step_games(  # noqa: PLR0913 (numba takes long to look into a tuple of arrays at every call)
    chunk: Any, chunks: Any, scratch: Any, trial: Any, deck: Any, actions: Any,
    rules: Any, traits: Any, features: Any, games: Any, bodies: Any,
    entities: Any, present: Any, private: Any, sees: Any, acting: Any, rule_features: Any, written: Any,
    final_entities: Any, final_present: Any, final_private: Any, final_sees: Any, final_acting: Any,
    final_rule_features: Any, final_written: Any,
    reward: Any, terminated: Any, truncated: Any, game_over: Any, trial_over: Any,
) -> Any:  # fmt: skip
    """Play one step of the games of one chunk of several; return how many ended (and began again)."""
    view = View(entities, present, private, sees, acting, rule_features, written)
    final = View(
        final_entities, final_present, final_private, final_sees, final_acting, final_rule_features, final_written
    )
    force_x, force_y, gain = scratch[chunk, 0], scratch[chunk, 1], scratch[chunk, 2]
    first, last = chunk * len(games) // chunks, (chunk + 1) * len(games) // chunks
    ended = 0
    for b in range(np.uint64(first), np.uint64(last)):
        game = games[b]
        v = game.variant
        rule = rules[v]
        early, late = play(
            view, rule, traits, v, features, bodies, b, game, actions, force_x, force_y, gain, reward
        )  # fmt: skip
        over = early or late
        if over or game_over[b]:
            write_ends(rule, traits, v, early, late, terminated, truncated, b)
        game_over[b] = over
        trial_over[b] = False
        if over:
            ended += 1
            show(final, rule, traits, v, features, bodies, b, rules[v].agents, True)
            trial_over[b] = begin_again(trial, deck, rules, traits, games, bodies, b)
            v = game.variant
            show(view, rules[v], traits, v, features, bodies, b, rules[v].agents, True)
    return ended


@parallel_kernel
def step_games_in_parallel(  # noqa: PLR0913 (as above)
    chunks: Any, scratch: Any, trial: Any, deck: Any, actions: Any,
    rules: Any, traits: Any, features: Any, games: Any, bodies: Any,
    entities: Any, present: Any, private: Any, sees: Any, acting: Any, rule_features: Any, written: Any,
    final_entities: Any, final_present: Any, final_private: Any, final_sees: Any, final_acting: Any,
    final_rule_features: Any, final_written: Any,
    reward: Any, terminated: Any, truncated: Any, game_over: Any, trial_over: Any,
) -> Any:  # fmt: skip
    """Play one step of all games, each thread some of the `chunks`; the same bits as by `step_games`."""
    ended = 0
    # A chunk's number is made signed, as calls from Python have it, or `step_games` would be compiled a second time.
    for chunk in prange(chunks):
        ended += step_games(
            np.int64(chunk), chunks, scratch, trial, deck, actions, rules, traits, features, games, bodies,
            entities, present, private, sees, acting, rule_features, written,
            final_entities, final_present, final_private, final_sees, final_acting, final_rule_features, final_written,
            reward, terminated, truncated, game_over, trial_over,
        )  # fmt: skip
    return ended


@kernel
def begin_games(deck: Any, rules: Any, traits: Any, games: Any, bodies: Any) -> None:
    """Begin a new trial in every game."""
    for b in range(np.uint64(len(games))):
        begin_trial(games[b], deck)
        v = games[b].variant
        begin_episode(rules[v], traits, v, bodies, b, games[b])


@kernel
def show_games(  # noqa: PLR0913 (as above)
    rules: Any, traits: Any, features: Any, games: Any, bodies: Any,
    entities: Any, present: Any, private: Any, sees: Any, acting: Any, rule_features: Any, written: Any,
) -> None:  # fmt: skip
    """Write what every game shows."""
    view = View(entities, present, private, sees, acting, rule_features, written)
    for b in range(np.uint64(len(games))):
        v = games[b].variant
        show(view, rules[v], traits, v, features, bodies, b, rules[v].agents, True)
