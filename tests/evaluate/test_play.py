from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from marl_meta.evaluate.play import play, sides_of
from marl_meta.types import Step, TeamLayout, UserError


class Clockwork:
    """Two teams; game b's e-th episode lasts b % 2 + 1 + e steps and pays everybody in it 1 a step, the second team -1.

    The first team's second agent leaves after one step of every episode; in odd games it is absent.
    """

    num_agents = 3
    agent_team = np.array([0, 0, 1], np.int8)
    agent_names = ("cat_0", "cat_1", "mouse_0")
    layout = SimpleNamespace(teams=(TeamLayout("cats", "cat"), TeamLayout("mice", "mouse"), TeamLayout("owls", "owl")))

    def __init__(self, num_games: int, episodes: int) -> None:
        self.num_games, self.episodes = num_games, episodes
        self.variant_ids = ["clockwork-0123456789"] * num_games
        self.time, self.episode = np.zeros(num_games, int), np.zeros(num_games, int)

    def acting(self) -> np.ndarray:
        acting = np.ones((self.num_games, 3), bool)
        acting[:, 1] = (self.time == 0) & (np.arange(self.num_games) % 2 == 0)
        return acting

    def reset(self) -> Any:
        return self.step_of(np.zeros((self.num_games, 3), np.float32), np.zeros(self.num_games, bool))

    def step(self, actions: np.ndarray) -> Any:  # noqa: ARG002 (a game's arguments)
        reward = self.acting() * np.array([1, 1, -1], np.float32)
        self.time += 1
        over = self.time == np.arange(self.num_games) % 2 + 1 + self.episode
        self.time[over] = 0
        self.episode[over] += 1
        return self.step_of(reward, over)

    def step_of(self, reward: np.ndarray, over: np.ndarray) -> Any:
        trial_over = over & (self.episode % self.episodes == 0)
        return Step(SimpleNamespace(acting=self.acting()), reward, None, None, over, trial_over, None)


class Idler:
    """Does nothing, and counts."""

    def __init__(self) -> None:
        self.trials = 0

    def reset(self, games: int, agents: np.ndarray) -> None:  # noqa: ARG002 (a player's arguments)
        self.agents = agents

    def act(self, observation: Any) -> np.ndarray:
        return np.zeros((len(observation.acting), len(self.agents)), np.int64)

    def observe(self, step: Step) -> None:
        self.trials += int(step.trial_over.sum())


def test_sides_are_the_teams_that_are_there() -> None:
    slots = sides_of(Clockwork(1, 1))
    assert list(slots) == ["cats", "mice"]
    assert slots["cats"].tolist() == [0, 1]


def test_returns_are_those_of_the_first_trials_of_every_game() -> None:
    players = {"cats": Idler(), "mice": Idler()}
    told: list[int] = []
    played = play(Clockwork(4, 2), players, variants=2, rounds=2, episodes=2, report=told.append)
    lengths = np.array([[[1, 2], [3, 4], [1, 2], [3, 4]], [[2, 3], [4, 5], [2, 3], [4, 5]]])  # [V,n,K]
    mice, cats = played.earned["mice"], played.earned["cats"]
    np.testing.assert_array_equal(mice.total, -lengths)
    np.testing.assert_array_equal(mice.per_agent, -lengths)
    with_leaver = lengths[0] + 1  # one step of the second agent in every episode of even games
    np.testing.assert_array_equal(cats.total, [with_leaver, lengths[1]])
    np.testing.assert_array_equal(cats.per_agent, [with_leaver / 2, lengths[1]])
    assert played.env_steps == lengths.sum()
    assert sum(told) == 16
    assert players["cats"].trials >= 8


def test_a_reward_that_is_no_number_counts_for_nobody() -> None:
    class Broken(Clockwork):
        def step(self, actions: np.ndarray) -> Any:
            step = super().step(actions)
            step.reward[1, 2] *= np.nan
            return step

    with pytest.raises(UserError, match="The game 'clockwork' paid the agent 'mouse_0' a reward of nan"):
        play(Broken(2, 1), {"cats": Idler(), "mice": Idler()}, variants=2, rounds=1, episodes=1)
