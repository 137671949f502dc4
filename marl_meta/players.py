"""Players that do not learn, as `marl_meta.rollout.Controller`s: random ones and hand-written ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from marl_meta.games.family import Family
from marl_meta.games.scripted import RememberingPolicy, ScriptedPolicy, load_script
from marl_meta.rollout import Controller
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
        return {"stream": _stream(self._draws)}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        _set_stream(self._draws, snapshot["stream"])


def scripted_player(family: str | Family, name: str, seed: int = 0) -> Controller:
    """Return a family's hand-written player; raises UserError for one that it does not have."""
    script, policy = load_script(family, name)
    return RememberingPlayer(policy, script.memory, seed) if script.memory else ScriptedPlayer(policy)


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


class RememberingPlayer:
    """Plays a hand-written policy with a memory, which it clears between trials, and with a random stream."""

    def __init__(self, policy: RememberingPolicy, width: int, seed: int = 0) -> None:
        self._policy, self._width, self._seed = policy, width, seed
        self.reset(0, np.empty(0, np.int64))

    def reset(self, games: int, agents: IntArray) -> None:
        """Forget everything, start its random stream afresh, and get ready to play the agent slots `agents`."""
        self._agents = agents
        self._memory: IntArray = np.zeros((games, len(agents), self._width), np.int64)
        self._draws = np.random.default_rng(self._seed)

    def act(self, observation: Observation) -> IntArray:
        """Return its agents' actions [B,n]."""
        chance = self._draws.random(self._memory.shape[:2])
        actions, self._memory = self._policy(observation, self._agents, self._memory, chance)
        return actions

    def observe(self, step: Step) -> None:
        """Forget games whose trial is over."""
        self._memory[step.trial_over] = 0

    def snapshot(self) -> Snapshot:
        """Return its memory and its random stream."""
        return {"memory": self._memory.copy(), "stream": _stream(self._draws)}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        self._memory = snapshot["memory"].copy()
        _set_stream(self._draws, snapshot["stream"])


def _stream(draws: np.random.Generator) -> npt.NDArray[np.uint64]:
    """Return where a random stream is, as four words (it draws no 32-bit numbers, of which it would keep a half)."""
    state = draws.bit_generator.state["state"]
    words = [(state[name] >> shift) & 0xFFFFFFFFFFFFFFFF for name in ("state", "inc") for shift in (0, 64)]
    return np.array(words, np.uint64)


def _set_stream(draws: np.random.Generator, words: npt.NDArray[np.uint64]) -> None:
    """Go back to where `_stream` was."""
    low, high, inc_low, inc_high = (int(word) for word in words)
    state = dict(draws.bit_generator.state)
    state["state"] = {"state": low | high << 64, "inc": inc_low | inc_high << 64}
    draws.bit_generator.state = state
