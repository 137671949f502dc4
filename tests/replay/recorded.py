"""Replays of our own games, played by chance, and handmade ones as whole files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from marl_meta.games import load_family, make_vec
from marl_meta.replay.record import BelievedRule, ReplayRecord
from marl_meta.replay.recorder import Recorder, Who, family_game
from marl_meta.replay.thoughts import Thought
from marl_meta.types import Observation, Step, VectorGame

from . import handmade

Seen = Callable[[Observation, np.ndarray, Step], None]


def whole(file: handmade.File) -> handmade.File:
    """Return a handmade file with the returns that a reader wants."""
    file["returns"] = [[0.0] * len(file["teams"]) for _ in file["episodes"]]
    return file


def every_kind() -> list[handmade.File]:
    """Return a handmade file of every kind of scene, and one with all sorts of notes."""
    made = (handmade.connect_four(), handmade.grid(), handmade.frames(), handmade.table(), handmade.hostile())
    return [*map(whole, made), whole(handmade.chase(believes=True, episodes=2, steps=8))]


def record_game(
    family: str, rules: Mapping[str, Any] | None = None, *, seed: int = 0, episodes: int = 1, steps: int | None = None,
    who: Mapping[str, Who] | None = None, luck: int = 0, seen: Seen = lambda *_: None,
) -> ReplayRecord:  # fmt: skip
    """Return the replay of a trial that is played by chance; it ends after so many `steps`, where given."""
    game = make_vec(family, num_games=1, rules=rules or {}, seed=seed, episodes_per_trial=episodes)
    recorder = Recorder(game, family_game(load_family(family), rules or {}, seed=seed), who or {})
    draws = np.random.default_rng(luck)
    observation = game.reset().observation
    recorder.begin(observation)
    done = played = 0
    while done < episodes and played != steps:
        recorder.think(observation)
        actions = by_chance(observation, draws)
        recorder.choose(observation, actions)
        step = game.step(actions)
        recorder.note(step)
        seen(observation, actions, step)
        observation, done, played = step.observation, done + bool(step.game_over[0]), played + 1
    game.close()
    return recorder.record()


def by_chance(observation: Observation, draws: np.random.Generator) -> np.ndarray:
    """Return a legal action of every agent slot [B,N]."""
    return np.where(observation.action_mask, draws.random(observation.action_mask.shape), -1).argmax(-1)


class Dreamer:
    """A player that thinks ever other things, but not far from each other, of a game with `agents` of its own."""

    def __init__(self, game: VectorGame, agents: int, seed: int = 0) -> None:
        self._shape = (agents, game.num_entities, len(game.layout.actions))
        self._draws, self._time = np.random.default_rng(seed), 0
        n, E, A = self._shape
        self._start = [self._draws.uniform(0, 6.3, shape) for shape in ((n, 4, E), (n, E), (n, A), (n,), (n, 4))]

    def believed(self) -> list[BelievedRule]:
        """Return one hidden rule of four values."""
        return [BelievedRule(rule="control", name="control", values=["0", "90", "180", "270"], truth=2)]

    def think(self, observation: Observation) -> Thought:
        """Return thoughts that move on a little."""
        assert observation.entities.shape[1] == self._shape[1]
        self._time += 1
        attention, influence, chances, value, beliefs = (
            np.exp(np.sin(start + 0.05 * self._time) + 0.1 * self._draws.normal(size=start.shape)).astype(np.float32)
            for start in self._start
        )
        return Thought(
            attention=attention / attention.sum(2, keepdims=True), influence=influence / 20,
            probabilities=chances / chances.sum(1, keepdims=True), value=10 * value,
            beliefs=beliefs / beliefs.sum(1, keepdims=True), updates=self._time // 25,
        )  # fmt: skip
