"""Play whole trials of every variant, and keep what each side earned in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from marl_meta.games.rewards import check_rewards
from marl_meta.replay.recorder import Recorder
from marl_meta.rollout import Controller
from marl_meta.types import FloatArray, VectorGame


@dataclass(frozen=True, slots=True, eq=False)
class Earned:
    """What one side (a team of the game) earned: returns [V,n,K] of V variants, n games of each, K episodes."""

    per_agent: FloatArray
    """The mean over the side's agents of their returns."""
    total: FloatArray
    """The sum over the side's agents."""


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """Trials that were played to their end."""

    earned: dict[str, Earned]
    """By side."""
    env_steps: int
    """Of the episodes that count."""


def sides_of(game: VectorGame) -> dict[str, npt.NDArray[np.int64]]:
    """Return the agent slots of every team that has agents, by the team's name."""
    slots = {team.name: np.flatnonzero(game.agent_team == index) for index, team in enumerate(game.layout.teams)}
    return {name: agents for name, agents in slots.items() if len(agents)}


def play(
    game: VectorGame,
    players: Mapping[str, Controller],
    variants: int,
    rounds: int,
    episodes: int,
    report: Callable[[int], None] = lambda _: None,
    seats: Mapping[str, npt.NDArray[np.int64]] | None = None,
    recorders: Sequence[Recorder] = (),
) -> Played:
    """Play `rounds` trials of `episodes` episodes in every game, `players` by side; returns what they earned.

    Game b plays variant b modulo `variants`, and its trials are as long as `episodes`. Every game gives exactly its
    first `rounds` trials, so that short episodes count no more than long ones. `report` is told of every episode.
    `seats` are the agent slots of each player where they are other than a side's; `recorders` write games down, until
    their first trial is over. Raises UserError where a game pays what is no finite number.
    """
    sides = seats if seats is not None else sides_of(game)
    for side, agents in sides.items():
        players[side].reset(game.num_games, agents)
    wanted = rounds * episodes
    per_agent = {side: np.zeros((game.num_games, wanted), np.float32) for side in sides}
    total = {side: np.zeros((game.num_games, wanted), np.float32) for side in sides}
    running = np.zeros((game.num_games, game.num_agents))
    took_part = np.zeros((game.num_games, game.num_agents), bool)
    finished = np.zeros(game.num_games, np.int64)
    env_steps = 0
    actions = np.zeros((game.num_games, game.num_agents), np.int64)
    observation = game.reset().observation
    for recorder in recorders:
        recorder.begin(observation)
    while (finished < wanted).any():
        for side, agents in sides.items():
            actions[:, agents] = players[side].act(observation)
        writing = [recorder for recorder in recorders if finished[recorder.b] < episodes]
        for recorder in writing:
            recorder.choose(observation, actions)
        took_part |= observation.acting
        step = game.step(actions)
        check_rewards(game, step.reward)
        for recorder in writing:
            recorder.note(step)
        for side in sides:
            players[side].observe(step)
        running += step.reward
        env_steps += int((finished < wanted).sum())
        if step.game_over.any():
            rows = np.flatnonzero(step.game_over & (finished < wanted))
            for side, agents in sides.items():
                sums, counts = running[rows][:, agents].sum(1), took_part[rows][:, agents].sum(1)
                total[side][rows, finished[rows]] = sums
                per_agent[side][rows, finished[rows]] = sums / np.maximum(counts, 1)
            finished[rows] += 1
            running[step.game_over] = 0.0
            took_part[step.game_over] = False
            report(len(rows))
        observation = step.observation
    earned = {
        side: Earned(_by_variant(per_agent[side], variants, episodes), _by_variant(total[side], variants, episodes))
        for side in sides
    }
    return Played(earned, env_steps)


def _by_variant(returns: FloatArray, variants: int, episodes: int) -> FloatArray:
    """Return [V,n,K] of [B,rounds*K], where row b is of variant b modulo V."""
    copies, rounds = len(returns) // variants, returns.shape[1] // episodes
    folded = returns.reshape(copies, variants, rounds, episodes)
    ordered: FloatArray = folded.transpose(1, 0, 2, 3).reshape(variants, copies * rounds, episodes)
    return ordered
