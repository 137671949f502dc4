"""Players that do not learn, as `marl_meta.rollout.Controller`s: random ones and hand-written ones."""

from __future__ import annotations

import numpy as np

from marl_meta.games.scripted import ScriptedPolicy
from marl_meta.types import IntArray, Observation, Snapshot, Step


class RandomPlayer:
    """Plays a uniformly random legal action."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self.reset(0, np.empty(0, np.int64))

    def reset(self, games: int, agents: IntArray) -> None:  # noqa: ARG002 (a Controller's arguments)
        """Start its random stream afresh, to play the agent slots `agents`."""
        self._agents = agents
        self._draws = np.random.default_rng(self._seed)

    def act(self, observation: Observation) -> IntArray:
        """Return its agents' actions [B,n]."""
        legal = observation.action_mask[:, self._agents]
        actions: IntArray = np.where(legal, self._draws.random(legal.shape), -1.0).argmax(-1)
        return actions

    def observe(self, step: Step) -> None:
        """Learn nothing."""

    def snapshot(self) -> Snapshot:
        """Return its random stream."""
        state = self._draws.bit_generator.state["state"]
        words = [(state[name] >> shift) & 0xFFFFFFFFFFFFFFFF for name in ("state", "inc") for shift in (0, 64)]
        return {"stream": np.array(words, np.uint64)}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        low, high, inc_low, inc_high = (int(word) for word in snapshot["stream"])
        state = dict(self._draws.bit_generator.state)
        state["state"] = {"state": low | high << 64, "inc": inc_low | inc_high << 64}
        self._draws.bit_generator.state = state


class ScriptedPlayer:
    """Plays a hand-written policy, which has no memory."""

    def __init__(self, policy: ScriptedPolicy) -> None:
        self._policy = policy
        self._agents: IntArray = np.empty(0, np.int64)

    def reset(self, games: int, agents: IntArray) -> None:  # noqa: ARG002 (a Controller's arguments)
        """Get ready to play the agent slots `agents`."""
        self._agents = agents

    def act(self, observation: Observation) -> IntArray:
        """Return its agents' actions [B,n]."""
        return self._policy(observation, self._agents)

    def observe(self, step: Step) -> None:
        """Learn nothing."""

    def snapshot(self) -> Snapshot:
        """Return nothing: it has no state."""
        return {}

    def restore(self, snapshot: Snapshot) -> None:
        """Do nothing: it has no state."""
