"""The game that family.yaml declares, in plain numpy: a `marl_meta.types.VectorGame` small enough to reason about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.games.deck import deal, new_deck
from marl_meta.games.family import Family
from marl_meta.types import (
    FloatArray,
    IntArray,
    Layout,
    Observation,
    Snapshot,
    Step,
    TeamLayout,
    Variant,
)

WORDS = 3


def knows(observation: Observation, agents: IntArray) -> IntArray:
    """Say what is shown: perfect where nothing is hidden or shifted."""
    said: IntArray = observation.private[:, agents, :WORDS].argmax(-1)
    return said


def make_game(family: Family, variants: Sequence[Variant], **settings: Any) -> Recall:
    return Recall(family, variants, **settings)


class Recall:
    def __init__(
        self,
        family: Family,
        variants: Sequence[Variant],
        *,
        num_games: int,
        seed: int,
        episodes_per_trial: int,
        first_game: int,
        fixed: bool,
    ) -> None:
        self.num_games, self._variants, self._family = num_games, list(variants), family
        self.num_variants = len(variants)
        self._players = max(variant.rules["players"] for variant in variants)
        rivals = max(variant.rules["rivals"] for variant in variants)
        self.num_agents = self.num_entities = self._players + rivals
        self.agent_names = (
            *(f"player_{i}" for i in range(self._players)),
            *(f"rival_{i}" for i in range(rivals)),
        )
        self.agent_team = np.array([0] * self._players + [1] * rivals, np.int8)
        teams = (TeamLayout("players", "player"), TeamLayout("rivals", "rival"))
        self.layout = Layout(
            kinds=family.agents,
            teams=teams if rivals else teams[:1],
            entity_features=(),
            private_features=("word_0", "word_1", "word_2", "time"),
            actions=("a", "b", "c"),
            visible_rules=family.columns(hidden=False),
            hidden_rules=family.columns(hidden=True),
        )
        self._encoded = np.stack([family.encode(variant.rules, hidden=False) for variant in variants])
        self._episodes_per_trial = episodes_per_trial
        self._first_game = first_game
        self._seed = seed
        self._state = {
            "draws": np.zeros(num_games, np.int64),
            "variant": np.arange(num_games) % len(variants),
            "time": np.zeros(num_games, np.int64),
            "episode": np.zeros(num_games, np.int64),
            "word": np.zeros((num_games, self.num_agents), np.int64),
            "deck": new_deck(0 if fixed else len(variants)),
        }

    @property
    def rules(self) -> list[dict[str, Any]]:
        return [self._variants[v].rules for v in self._state["variant"]]

    @property
    def variant_ids(self) -> list[str]:
        return [self._variants[v].variant_id for v in self._state["variant"]]

    @property
    def variant_numbers(self) -> IntArray:
        return self._state["variant"].copy()

    @property
    def action_counts(self) -> IntArray:
        return np.full((self.num_games, self.num_agents), WORDS)

    @property
    def hidden_rules(self) -> FloatArray:
        return np.stack([self._family.encode(rules, hidden=True) for rules in self.rules])

    def reset(self, seed: int | None = None) -> Step:
        if seed is not None:
            self._seed = seed
            self._state["draws"][:] = 0
        self._begin(np.ones(self.num_games, bool), np.ones(self.num_games, bool))
        return self._quiet()

    def deal(self, weights: npt.ArrayLike) -> None:
        deal(self._state["deck"], weights)

    def step(self, actions: IntArray) -> Step:
        state = self._state
        here = self._observe().acting
        pays_always = self._flag("pays", "always")
        said = actions == (state["word"] + self._column("shift")[:, None]) % WORDS
        reward = np.where(here & (said | pays_always[:, None]), 1.0, 0.0).astype(np.float32)
        state["time"] += 1
        game_over = state["time"] >= self._column("length")
        terminated = here & (game_over & self._flag("ends", "terminated"))[:, None]
        terminated[:, 0] |= here[:, 0] & (state["time"] == self._column("leaves"))
        truncated = here & game_over[:, None] & ~terminated
        final = self._observe() if game_over.any() else None
        trial_over = game_over & (state["episode"] + 1 >= self._episodes_per_trial)
        self._begin(game_over, trial_over)
        return Step(self._observe(), reward, terminated, truncated, game_over, trial_over, final)

    def snapshot(self) -> Snapshot:
        return {name: array.copy() for name, array in self._state.items()} | {"seed": np.array([self._seed])}

    def restore(self, snapshot: Snapshot) -> Step:
        self._seed = int(snapshot["seed"][0])
        self._state = {name: snapshot[name].copy() for name in self._state}
        return self._quiet()

    def close(self) -> None:
        pass

    def _column(self, rule: str) -> IntArray:
        column: IntArray = np.array([int(variant.rules[rule]) for variant in self._variants])[self._state["variant"]]
        return column

    def _flag(self, rule: str, value: Any) -> Any:
        return np.array([variant.rules[rule] == value for variant in self._variants])[self._state["variant"]]

    def _begin(self, games: Any, trials: Any) -> None:
        state = self._state
        for b in np.flatnonzero(games):
            stream = np.random.default_rng([self._seed, self._first_game + int(b), int(state["draws"][b])])
            state["draws"][b] += 1
            words = stream.integers(WORDS, size=self.num_agents)
            if trials[b] and len(state["deck"]):
                state["variant"][b] = state["deck"][stream.integers(len(state["deck"]))]
            if trials[b] or self._variants[state["variant"][b]].rules["lasts"] == "episode":
                state["word"][b] = words
            state["episode"][b] = 0 if trials[b] else state["episode"][b] + 1
            state["time"][b] = 0

    def _observe(self) -> Observation:
        state, games, slots = self._state, self.num_games, self.num_agents
        index = np.arange(slots) - np.where(self.agent_team == 0, 0, self._players)
        size = np.where(self.agent_team == 0, self._column("players")[:, None], self._column("rivals")[:, None])
        present = index < size
        gone = (self._column("leaves") > 0) & (state["time"] >= self._column("leaves"))
        present[:, 0] &= ~gone
        new = (state["time"] == 0) & ((state["episode"] == 0) | self._flag("lasts", "episode"))
        shown = present & (new | ~self._flag("hides", True))[:, None]
        private = np.zeros((games, slots, WORDS + 1), np.float32)
        private[..., :WORDS] = np.eye(WORDS, dtype=np.float32)[state["word"]] * shown[..., None]
        # Who is cut off by a time limit does not see it come, and so has no reason to value the last state less.
        told = present & self._flag("ends", "terminated")[:, None]
        private[..., WORDS] = state["time"][:, None] / 10.0 * told
        return Observation(
            entities=np.zeros((games, slots, 0), np.float32),
            kind=np.tile(self.agent_team, (games, 1)),
            team=np.tile(self.agent_team, (games, 1)),
            present=present,
            private=private,
            sees=None,
            acting=present.copy(),
            action_mask=np.ones((games, slots, WORDS), np.bool_),
            rules=self._encoded[state["variant"]],
        )

    def _quiet(self) -> Step:
        nobody = np.zeros((self.num_games, self.num_agents), np.bool_)
        none = np.zeros(self.num_games, np.bool_)
        return Step(self._observe(), nobody.astype(np.float32), nobody, nobody.copy(), none, none.copy(), None)
