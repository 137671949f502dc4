"""From what was taken down of a PettingZoo environment to its replay."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from marl_meta.interop.taping import Tape, TapedEpisode
from marl_meta.interop.turn_game import our_game
from marl_meta.replay.digest import Chain
from marl_meta.replay.encoding import encode_numbers, encode_rewards, ends_of, team_returns
from marl_meta.replay.packing import pack
from marl_meta.replay.record import (
    FORMAT,
    MOST_LOG,
    VERSION,
    ActionGroup,
    AgentRecord,
    EpisodeRecord,
    ReplayRecord,
    Scene,
    Status,
    TeamRecord,
)
from marl_meta.replay.recorder import made_here
from marl_meta.types import BoolArray


def develop(
    tape: Tape, *, players: Mapping[str, str] | None = None, title: str | None = None, log: str = "",
    failed: bool = False,
) -> ReplayRecord | None:  # fmt: skip
    """Return the replay of all that is on a tape; None where that is nothing.

    `players` are who plays, by team or by agent; `log` is what there is to say about the loop, and `failed` whether an
    error ended it.
    """
    tape.finish()
    if not tape.episodes:
        return None
    agents, known = tape.agents, players or {}
    kinds = tape.camera.kinds or [_stem(agent) for agent in agents]
    teams = _teams(tape, kinds, known)
    names = list(dict.fromkeys(teams))
    numbers = [names.index(team) for team in teams]
    chain = Chain(tape.game.name, tape.game.variant_id or tape.game.entry_point, agents)
    episodes, returns = [], []
    for episode, scene in zip(tape.episodes, tape.camera.scenes(), strict=True):
        rewards = _over_time(episode.rewards, agents, np.float64)
        episodes.append(_episode(tape, episode, rewards, scene, chain))
        returns.append(team_returns(np.nan_to_num(rewards), numbers, len(names)))
    status: Status = "ERROR" if failed else "DONE" if episodes[-1].over else "ACTIVE"
    return ReplayRecord(
        format=FORMAT,
        version=VERSION,
        title=title,
        made=made_here(),
        game=tape.game,
        agents=[
            AgentRecord(name=agent, team=team, kind=kind)
            for agent, team, kind in zip(agents, numbers, kinds, strict=True)
        ],
        objects=tape.camera.objects,
        actions=_action_names(tape.env, agents),
        teams=[TeamRecord(name=name, player=known.get(name, "unknown")) for name in names],
        episodes=episodes,
        returns=returns,
        status=[status] * len(agents),
        logs={"everybody": log[:MOST_LOG]} if log else None,
        digest=chain.digest(),
    )


def _episode(
    tape: Tape, episode: TapedEpisode, rewards: npt.NDArray[np.float64], scene: Scene, chain: Chain
) -> EpisodeRecord:  # fmt: skip
    terminated: BoolArray = _over_time(episode.terminated, tape.agents, np.bool_)
    truncated: BoolArray = _over_time(episode.truncated, tape.agents, np.bool_)
    outcomes = [b"", *map(_joined, rewards.T, terminated.T, truncated.T)]
    for shown, outcome in zip(episode.shown, outcomes, strict=True):
        chain.add([*shown, outcome])
    return EpisodeRecord(
        seed=episode.seed,
        steps=len(episode.actions),
        over=episode.over,
        actions=_groups(tape.env, tape.agents, episode.actions),
        rewards=encode_rewards(np.nan_to_num(rewards)),
        ends=ends_of(terminated, truncated),
        checks=chain.checks(),
        scene=scene,
    )


def _joined(*rows: npt.NDArray[Any]) -> bytes:
    return b"".join(row.tobytes() for row in rows)


def _over_time(rows: Sequence[Mapping[str, Any]], agents: Sequence[str], dtype: type[Any]) -> npt.NDArray[Any]:
    """Return what is kept of T times, by agent, as [N,T]; who is not there has 0."""
    found = [[_number_in(row.get(agent, 0)) for row in rows] for agent in agents]
    return np.array(found, dtype).reshape(len(agents), len(rows))


def _number_in(value: Any) -> Any:
    """Return a number as it is, or the only one in an array."""
    return value.item() if isinstance(value, np.ndarray) else value


def _groups(env: Any, agents: Sequence[str], actions: Sequence[Mapping[str, Any]]) -> list[ActionGroup]:
    """Return what was done, agents with the same sort of actions together."""
    sorts: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for index, agent in enumerate(agents):
        space = env.action_space(agent)
        key = ("chosen", ()) if isinstance(space, spaces.Discrete) else (str(space.dtype), space.shape or (1,))
        sorts.setdefault(key, []).append(index)
    groups = []
    for (sort, shape), members in sorts.items():
        if sort == "chosen":
            first = [int(env.action_space(agents[i]).start) for i in members]
            chosen = [
                [_number(step.get(agents[i]), start) for step in actions]
                for i, start in zip(members, first, strict=True)
            ]
            groups.append(ActionGroup(agents=members, chosen=pack(np.array(chosen, np.int64))))
        else:
            lists = [[step.get(agents[i]) for step in actions] for i in members]
            groups.append(encode_numbers(members, lists, _sort_of(sort, lists), shape))
    return groups


def _sort_of(sort: str, lists: Sequence[Sequence[Any]]) -> str:
    """Return the dtype in which nothing of these actions is lost: games compute with the floats that they are given."""
    single = all(action is None or np.asarray(action).dtype.itemsize <= 4 for row in lists for action in row)
    return sort if not sort.startswith("float") else "float32" if single else "float64"


def _number(action: Any, first: int) -> int:
    """Return 0 for no action, else the number of the action plus 1."""
    return 0 if action is None else int(_number_in(action)) - first + 1


def _action_names(env: Any, agents: Sequence[str]) -> list[str]:
    """Return the names of actions that are chosen among few, those of the agent that has the most."""
    found = [env.action_space(agent) for agent in agents]
    most = max((int(space.n) for space in found if isinstance(space, spaces.Discrete)), default=0)
    ours = our_game(env)
    known = list(ours.game.layout.actions) if ours is not None else []
    return known if len(known) >= most else [f"action {index}" for index in range(most)]


def _teams(tape: Tape, kinds: list[str], players: Mapping[str, str]) -> list[str]:
    """Return the team of each agent: what the game says, else those of one kind are one.

    In turn-based games of somebody else every agent is on its own, and where players are named by agent.
    """
    game, ours = tape.env.unwrapped, our_game(tape.env)
    if ours is not None:
        layout = ours.game.layout
        return [layout.teams[team].name for team in ours.game.agent_team]
    alone = tape.game.api == "aec" and not game.metadata.get("is_parallelizable", False)
    if alone or any(agent in players for agent in tape.agents):
        return list(tape.agents)
    return list(kinds)


def _stem(agent: str) -> str:
    return re.sub(r"[_-]?\d+$", "", agent) or agent
