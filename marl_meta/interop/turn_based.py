"""A turn-based PettingZoo game (an AECEnv), stepped a turn at a time through the interface of those who move at once.

PettingZoo lets an agent that is out of the game take one more turn, with the action None, and leave. Here these turns
are taken at once, so that whoever's turn it is can act. An agent ends in the step in which it leaves; until then it is
there and is paid. What an agent is paid in a step is what the turns of that step paid it, so that its rewards add up to
those that `env.last()` tells it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Space

from marl_meta.interop.origin import core_of
from marl_meta.types import UserError


class TurnBased:
    """An AECEnv as `RunningGame` steps it; `turn` says whose turn it is."""

    def __init__(self, game: Any) -> None:
        self._game = game
        self.possible_agents: list[Any] = list(game.possible_agents)
        self.agents: list[Any] = []
        """Who plays."""
        self.turn: Any = None
        """Who acts now; None when the game is over."""

    def reset(self, seed: int | None = None) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Start an episode; return observations and infos of all agents."""
        self._game.reset(seed=seed)
        return self._shown()

    def step(self, actions: Mapping[Any, Any]) -> tuple[dict[Any, Any], ...]:
        """Play the action of whose turn it is; return observations, rewards, terminations, truncations and infos.

        Ends are told of agents that have left. Those have the observation of the moment before they left.
        """
        core = core_of(self._game)
        rewards: dict[Any, float] = {}
        ended: tuple[dict[Any, bool], dict[Any, bool]] = ({}, {})
        self._game.step(actions[self.turn])
        _pay(rewards, core.rewards)
        observations, infos = self._shown()
        for _ in range(len(core.agents)):
            agent = core.agent_selection
            flags = (bool(core.terminations[agent]), bool(core.truncations[agent]))
            if not any(flags):
                break
            ended[0][agent], ended[1][agent] = flags
            self._game.step(None)
            _pay(rewards, core.rewards)
            if agent in core.agents:
                raise UserError(f"The agent {agent!r} is out of the game, and does not leave it on the action None.")
        if ended[0]:
            still_there, their_infos = self._shown()
            observations |= still_there
            infos |= their_infos
        return observations, rewards, *ended, infos

    def observation_space(self, agent: Any) -> Space[Any]:
        """Return the space of an agent's observations."""
        space: Space[Any] = self._game.observation_space(agent)
        return space

    def action_space(self, agent: Any) -> Space[Any]:
        """Return the space of an agent's actions."""
        space: Space[Any] = self._game.action_space(agent)
        return space

    def close(self) -> None:
        """Release what the game holds."""
        self._game.close()

    def _shown(self) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Return what everybody who is there is shown now; takes note of who that is, and whose turn it is."""
        core = core_of(self._game)
        self.agents = list(core.agents)
        self.turn = core.agent_selection if self.agents else None
        observations = {agent: self._game.observe(agent) for agent in self.agents}
        return observations, {agent: core.infos.get(agent, {}) for agent in self.agents}


def _pay(rewards: dict[Any, float], paid: Mapping[Any, Any]) -> None:
    for agent, reward in paid.items():
        rewards[agent] = rewards.get(agent, 0.0) + float(np.asarray(reward).item())
