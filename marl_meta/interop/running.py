"""One running copy of a third-party game: stepping it, what it shows now, and the log that brings it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.interop.entry import Environment
from marl_meta.interop.plan import GamePlan
from marl_meta.interop.reconstruct import remember
from marl_meta.interop.spaces import legal_actions
from marl_meta.interop.turn_based import TurnBased
from marl_meta.types import BoolArray, FloatArray, IntArray, UserError


class RunningGame:
    """A PettingZoo game of n agents (in the plan's order) that is always in the middle of an episode."""

    def __init__(self, environment: Environment, plan: GamePlan, observation_size: int, num_actions: int) -> None:
        n = len(plan.agents)
        self.plan = plan
        self.vectors: FloatArray = np.zeros((n, observation_size), np.float32)
        """Flat observations; zero for agents that are not in the game."""
        self.alive: BoolArray = np.zeros(n, bool)
        """Who is shown an observation now: agents that play, and for one last time those that just ended."""
        self.acting: BoolArray = np.zeros(n, bool)
        """Who acts now: all that play, or whose turn it is."""
        self.acted: BoolArray = np.zeros(n, bool)
        """Who acted in the transition that led here."""
        self.action_mask: BoolArray = np.zeros((n, num_actions), bool)
        self.reward: FloatArray = np.zeros(n, np.float32)
        self.terminated: BoolArray = np.zeros(n, bool)
        self.truncated: BoolArray = np.zeros(n, bool)
        self.over = False
        self.seed = 0
        self.log: list[IntArray] = []
        """The actions [n] of this episode so far."""
        entities = len(plan.kinds)
        self.places: FloatArray = np.full((entities, 2), np.nan, np.float32)
        """Where objects are that were seen in this episode, for games that show only the nearest."""
        self.original: dict[str, tuple[Any, Mapping[str, Any]]] = {}
        """What the game itself shows those who play or ended just now: observation and info, by agent."""
        self.farewell: dict[str, tuple[Any, Mapping[str, Any]]] = {}
        """What it showed at the end of the episode before."""
        self._environment = environment
        self._playing: BoolArray = np.zeros(n, bool)
        self._ended: BoolArray = np.zeros(n, bool)
        self._all_actions = np.zeros((n, num_actions), bool)
        for i, codec in enumerate(plan.actions):
            self._all_actions[i, : codec.count] = True

    def reset(self, seed: int) -> None:
        """Start an episode that `seed` determines."""
        self.seed = seed
        self.log = []
        self.farewell = self.original
        self.places[:] = np.nan
        observations, infos = self._environment.reset(seed=seed)
        self.acted[:] = False
        self.reward[:] = 0.0
        self.terminated[:] = False
        self.truncated[:] = False
        self._ended[:] = False
        self.over = False
        self._look(observations, infos)

    def step(self, actions: npt.NDArray[np.integer[Any]]) -> None:
        """Play `actions` [n] (those of agents that do not act are ignored)."""
        played = np.where(self.acting, actions, 0).astype(np.int64)
        place = {agent: i for i, agent in enumerate(self.plan.agents) if self.acting[i]}
        decoded = {  # in the game's own order, which some games rely on
            agent: self.plan.actions[place[agent]].decode(int(played[place[agent]]))
            for agent in self._environment.agents
            if agent in place
        }
        self.log.append(played)
        self.acted = self.acting.copy()
        played_on = self._playing.copy()
        observations, rewards, terminations, truncations, infos = self._environment.step(decoded)
        playing = set(self._environment.agents)
        for i, agent in enumerate(self.plan.agents):
            there = bool(played_on[i])
            cut = bool(truncations.get(agent, False))
            # An agent that leaves the game without a word ended by its rules.
            ended = bool(terminations.get(agent, False)) or (agent not in playing and not cut)
            self.reward[i] = np.float32(np.asarray(rewards.get(agent, 0.0)).item()) if there else 0.0
            self.terminated[i] = there and ended
            self.truncated[i] = there and cut and not ended
        self._ended |= self.terminated | self.truncated
        self._look(observations, infos)
        self.over = not self._playing.any()

    def replay(self, seed: int, actions: npt.NDArray[np.integer[Any]]) -> None:
        """Go to where the episode of `seed` is after `actions` [T,n]; what came of the last step is forgotten."""
        self.reset(seed)
        for row in actions:
            if self.over:
                raise UserError("A snapshot does not fit: a game ends before the actions that it holds for it.")
            self.step(row)
        self.reward[:] = 0.0
        self.terminated[:] = False
        self.truncated[:] = False

    def close(self) -> None:
        """Close the game."""
        self._environment.close()

    def _look(self, observations: Mapping[str, Any], infos: Mapping[str, Any]) -> None:
        """Read what the game shows after a reset or a step."""
        playing = set(self._environment.agents)
        asked = {self._environment.turn} if isinstance(self._environment, TurnBased) else playing
        self.original = {}
        for i, agent in enumerate(self.plan.agents):
            self._playing[i] = agent in playing and not self._ended[i]
            self.acting[i] = self._playing[i] and agent in asked
            self.alive[i] = self._playing[i] or self.terminated[i] or self.truncated[i]
            self.action_mask[i] = self._all_actions[i]
            if not self.alive[i]:
                self.vectors[i] = 0.0
            elif agent in observations:  # else it keeps what it saw last, as one that ended and is shown nothing more
                codec = self.plan.observations[i]
                self.vectors[i, : codec.size] = codec.encode(observations[agent])
            if self.alive[i] and agent in observations:
                self.original[agent] = observations[agent], infos.get(agent, {})
            if self.acting[i]:
                where = f"Agent {agent!r}"
                mask = legal_actions(observations.get(agent), infos.get(agent, {}), self.plan.actions[i], where)
                if mask is not None:
                    self.action_mask[i, : mask.size] = mask
        if self.plan.reading is not None and self.plan.reading.remembers:
            remember(self.plan.reading, self.vectors, self.alive, self.places)
