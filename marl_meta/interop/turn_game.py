"""A board game of ours as a PettingZoo AECEnv, in which players act in turn."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from gymnasium.utils import EzPickle
from pettingzoo import AECEnv
from pettingzoo.utils import wrappers

from marl_meta.interop.boards import Board
from marl_meta.interop.parallel import ParallelGame, Picture
from marl_meta.types import FloatArray

ILLEGAL_REWARD = -1
"""What an illegal move costs, which ends the game, as in PettingZoo's connect_four_v3."""


def in_turns(game: ParallelGame) -> AECEnv:
    """Return a board game in PettingZoo's wrappers for such games: an illegal move loses it."""
    env = wrappers.TerminateIllegalWrapper(TurnGame(game), illegal_reward=ILLEGAL_REWARD)
    return wrappers.OrderEnforcingWrapper(wrappers.AssertOutOfBoundsWrapper(env))


class TurnGame(AECEnv, EzPickle):  # type: ignore[misc]  # PettingZoo ships no types
    """One variant of a board game as a PettingZoo AECEnv; `parallel` is the game that it plays.

    With default rules its observations are those of connect_four_v3 (see `BoardView`).
    """

    def __init__(self, parallel: ParallelGame) -> None:
        EzPickle.__init__(self, parallel)
        super().__init__()
        self.parallel = parallel
        self.metadata = {**parallel.metadata, "is_parallelizable": False}
        self.render_mode = parallel.render_mode
        self.rules, self.variant_id = parallel.rules, parallel.variant_id
        self.possible_agents: list[str] = list(parallel.possible_agents)
        self.agents: list[str] = []
        self.state_space = parallel.state_space

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """Return the space of a player's observations."""
        return self.parallel.observation_space(agent)

    def action_space(self, agent: str) -> spaces.Discrete:
        """Return the space of a player's actions."""
        return self.parallel.action_space(agent)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start a game, afresh from `seed` or else going on with the random stream."""
        _, self.infos = self.parallel.reset(seed, options)
        self.agents = list(self.possible_agents)
        self.rewards: dict[str, float] = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards: dict[str, float] = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.agent_selection = self._to_move()

    def observe(self, agent: str) -> Board:
        """Return what a player sees of the board, and what it may play."""
        game = self.parallel
        assert game.board is not None
        moves = agent == self.agent_selection
        return game.board(game.shown, self.possible_agents.index(agent), moves=moves)

    def step(self, action: int | None) -> None:
        """Play the action of the player whose turn it is."""
        mover = self.agent_selection
        if self.terminations[mover] or self.truncations[mover]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[mover] = 0.0
        played = self.parallel.step(dict.fromkeys(self.agents, action))
        _, self.rewards, self.terminations, self.truncations, self.infos = played
        self._accumulate_rewards()
        other = self.possible_agents.index(mover) - 1  # of two
        self.agent_selection = self._to_move() if self.parallel.agents else self.possible_agents[other]

    def state(self) -> FloatArray:
        """Return both players' planes in a row, one after the other."""
        return self.parallel.state()

    def render(self) -> Picture | None:
        """Return a picture uint8 [H,W,3] (render mode rgb_array), or show it in a window (human)."""
        return self.parallel.render()

    def close(self) -> None:
        """Close the game, and its window if there is one."""
        self.parallel.close()

    def _to_move(self) -> str:
        return self.possible_agents[int(self.parallel.shown.acting[0].argmax())]


def our_game(env: Any) -> ParallelGame | None:
    """Return the game of ours that an environment plays, whatever it is wrapped in; None where it is another one."""
    inner = env.unwrapped
    if isinstance(inner, TurnGame):
        return inner.parallel
    return inner if isinstance(inner, ParallelGame) else None
