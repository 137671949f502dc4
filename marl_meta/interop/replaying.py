"""Playing a replay of a PettingZoo environment again."""

from __future__ import annotations

from typing import Any

import numpy as np
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import aec_to_parallel, parallel_to_aec, turn_based_aec_to_parallel

from marl_meta.games.family import Family
from marl_meta.interop.aec import make_aec
from marl_meta.interop.developing import develop
from marl_meta.interop.entry import call, wrapped
from marl_meta.interop.parallel import make
from marl_meta.interop.taping import Tape
from marl_meta.replay.decoding import actions_of
from marl_meta.replay.record import EpisodeRecord, GameRecord, ReplayRecord
from marl_meta.types import UserError, Variant


def play_again(record: ReplayRecord, ours: tuple[Family, Variant] | None = None) -> tuple[ReplayRecord, str]:
    """Return what is recorded when the actions are played again, and why it ends early, if it does.

    `ours` is the variant, where it is a game of a family. Else the code that the replay names is run.

    Raises UserError where the game cannot be made again, or where its random stream started nobody knows where.
    """
    played = record.game
    if record.episodes[0].seed is None and played.seed is None:
        raise UserError(
            "The replay cannot be played again: its first episode was begun without a seed (call env.reset(seed=...))."
        )
    env = rebuilt(played, ours)
    try:
        tape = Tape(env, played, frames=False)
        problem = _play_parallel(env, tape, record) if played.api == "parallel" else _play_aec(env, tape, record)
        again = develop(tape)
    finally:
        env.close()
    assert again is not None
    return again, problem


def rebuilt(played: GameRecord, ours: tuple[Family, Variant] | None) -> Any:
    """Return the environment of a replay, made anew; raises UserError where that is not possible."""
    if ours is not None:
        family, variant = ours
        maker = make if played.api == "parallel" else make_aec
        return maker(family, rules=variant.rules, seed=played.seed)
    if played.entry_point is None:
        raise UserError(
            "The replay cannot be played again: what makes its game is not known. Record with "
            "marl_meta.record(env, path, entry_point='package.module:callable', kwargs={...})."
        )
    env = wrapped(call(played.entry_point, None, (), played.kwargs), played.wrappers, None)
    if played.api == "parallel" and isinstance(env, AECEnv):
        at_once = env.metadata.get("is_parallelizable", False)
        env = aec_to_parallel(env) if at_once else turn_based_aec_to_parallel(env)
    if played.api == "aec" and isinstance(env, ParallelEnv):
        env = parallel_to_aec(env)
    if not isinstance(env, AECEnv | ParallelEnv):
        raise UserError(f"{played.entry_point!r} makes a {type(env).__name__}, which is no PettingZoo environment.")
    return env


def _play_parallel(env: Any, tape: Tape, record: ReplayRecord) -> str:
    reset, step = tape.reset_parallel(env.reset), tape.step_parallel(env.step)
    for index, episode in enumerate(record.episodes):
        reset(seed=episode.seed)
        for time, actions in enumerate(_moves(env, record, episode)):
            if not env.agents:
                return f"episode {index + 1} is over after step {time}"
            try:
                step({agent: action for agent, action in actions.items() if agent in env.agents})
            except Exception as error:  # noqa: BLE001 (whatever a game of somebody else raises)
                return f"episode {index + 1}, step {time + 1}: the game fails ({type(error).__name__}: {error})"
    return ""


def _play_aec(env: Any, tape: Tape, record: ReplayRecord) -> str:
    env.observe = tape.observe(env.observe)
    reset, step = tape.reset_aec(env.reset), tape.step_aec(env.step)
    for index, episode in enumerate(record.episodes):
        reset(seed=episode.seed)
        for time, actions in enumerate(_moves(env, record, episode)):
            while env.agents and _is_dead(env, env.agent_selection):
                step(None)
            if not env.agents:
                return f"episode {index + 1} is over after step {time}"
            agent, action = next(iter(actions.items()), (None, None))
            if agent != env.agent_selection:
                return f"episode {index + 1}, step {time + 1}: it is the turn of {env.agent_selection}, not of {agent}"
            try:
                step(action)
            except Exception as error:  # noqa: BLE001 (whatever a game of somebody else raises)
                return f"episode {index + 1}, step {time + 1}: the game fails ({type(error).__name__}: {error})"
        while env.agents and _is_dead(env, env.agent_selection):
            step(None)
    return ""


def _is_dead(env: Any, agent: Any) -> bool:
    return bool(env.terminations[agent] or env.truncations[agent])


def _moves(env: Any, record: ReplayRecord, episode: EpisodeRecord) -> list[dict[str, Any]]:
    """Return what was done at each step, by agent, as the environment takes it."""
    moves: list[dict[str, Any]] = [{} for _ in range(episode.steps)]
    for group in actions_of(record, episode):
        for row, agent in enumerate(group.agents.tolist()):
            name = record.agents[agent].name
            space = env.action_space(name)
            for time in np.flatnonzero(group.acts[row]).tolist():
                if group.chosen is not None:
                    moves[time][name] = int(group.chosen[row, time]) + int(space.start)
                elif group.numbers is not None:
                    numbers = group.numbers[row, time]
                    moves[time][name] = numbers if numbers.dtype.kind == "f" else numbers.astype(space.dtype)
    return moves
