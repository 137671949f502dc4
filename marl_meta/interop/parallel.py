"""A family of ours as a PettingZoo ParallelEnv, for everybody else's tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.utils import EzPickle
from pettingzoo import ParallelEnv

from marl_meta.games import Family, load_family, make_vec
from marl_meta.games.connect.planes import is_board
from marl_meta.games.drawing import draw
from marl_meta.games.family import check_integer
from marl_meta.games.flat import flattener
from marl_meta.interop.boards import Board, BoardView
from marl_meta.interop.window import Window
from marl_meta.types import FloatArray, Observation, UserError, Variant
from marl_meta.wording import listed

RENDER_MODES = ("human", "rgb_array")
FRAMES_PER_SECOND = 10

Picture = npt.NDArray[np.uint8]
Shown = FloatArray | Board
Outcome = tuple[dict[str, Shown], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]
"""Observations, rewards, terminations, truncations and infos by agent."""


def make(
    family: str | Path | Family,
    rules: Mapping[str, Any] | None = None,
    split: str | None = None,
    seed: int | None = None,
    render_mode: str | None = None,
) -> ParallelGame:
    """Return one variant of a family as a PettingZoo ParallelEnv.

    The variant has these `rules` (others at their default), or is drawn by `seed` from a `split`; it stays the same for
    the life of the environment, so that its agents and spaces do. `seed` also starts the random stream, as
    `reset(seed=...)` does; None is a different game every time. `render_mode` is None, "human" or "rgb_array".
    Raises UserError on an unknown family, split, rule or render mode.
    """
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise UserError(f"There is no render mode {render_mode!r}; allowed are {listed(RENDER_MODES)}, or None.")
    if rules is not None and split is not None:
        raise UserError("make takes either rules or a split, not both; rules fix the variant that a split draws.")
    chosen = family if isinstance(family, Family) else load_family(family)
    if seed is not None:
        check_integer("seed", seed, low=0)
    variant = chosen.variant(rules) if split is None else chosen.sample(_started(seed), split=split)[0]
    return ParallelGame(chosen, variant, seed, render_mode)


class ParallelGame(ParallelEnv, EzPickle):  # type: ignore[misc]  # PettingZoo ships no types
    """One variant of a family as a PettingZoo ParallelEnv.

    With default rules, names, actions and observations are those of mpe2's game. `game` is the batch of one that it
    plays; `rules` and `variant_id` (also in every info) say which variant that is. In board games players take turns,
    actions of the others mean nothing, and observations are connect_four_v3's. A pickled copy, as other tools send to
    their workers, is the same environment made anew.
    """

    def __init__(self, family: Family, variant: Variant, seed: int | None, render_mode: str | None) -> None:
        EzPickle.__init__(self, family, variant, seed, render_mode)
        self.metadata = {
            "name": f"{family.name}_v0",
            "render_modes": list(RENDER_MODES),
            "render_fps": FRAMES_PER_SECOND,
            "is_parallelizable": True,
        }
        self.render_mode = render_mode
        self.family = family
        self.rules: dict[str, Any] = dict(variant.rules)
        self.variant_id = variant.variant_id
        self.game = make_vec(family, num_games=1, rules=variant.rules)
        layout = self.game.layout
        if not layout.entity_features:
            raise UserError(
                f"Family {family.name!r} has no flat observations, because its entities have no features that others "
                "see; use the game that its family.yaml names itself."
            )
        self.possible_agents: list[str] = list(self.game.agent_names)
        self.agents: list[str] = []
        self.seed: int = _started(seed)
        """Where its random stream starts, unless `reset` is given another one."""
        self._first = True
        self._window: Window | None = None
        self._observation: Observation = self.game.reset().observation
        self._flatten = flattener(layout, self._observation, self.rules)
        sizes = [vector.size for vector in self._vectors().values()]
        self.state_space = _unbounded(sum(sizes))
        # What these rules never allow comes last, and is no part of the space.
        counts = self.game.action_counts[0].tolist()
        self._action_spaces = dict(zip(self.possible_agents, map(spaces.Discrete, counts), strict=True))
        self.board = BoardView(layout, self.rules, counts[0]) if is_board(layout) else None
        """Shows the board; None where there is none."""
        found = [_unbounded(size) if self.board is None else self.board.space for size in sizes]
        self._observation_spaces = dict(zip(self.possible_agents, found, strict=True))

    @property
    def takes_turns(self) -> bool:
        """Whether one agent acts at a time."""
        return self.board is not None

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """Return the space of an agent's observations: flat vectors, or boards."""
        return self._observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Discrete:
        """Return the space of an agent's actions."""
        return self._action_spaces[agent]

    def reset(
        self,
        seed: int | None = None,
        options: dict[str, Any] | None = None,  # noqa: ARG002 (PettingZoo's interface; this game has none)
    ) -> tuple[dict[str, Shown], dict[str, dict[str, Any]]]:
        """Start a game, afresh from `seed` or else going on with the random stream; return observations and infos."""
        start = seed if seed is not None or not self._first else self.seed
        self._first = False
        self._observation = self.game.reset(start).observation
        self.agents = list(self.possible_agents)
        if self.render_mode == "human":
            self.render()
        return self.observe(self.agents), self._infos(self.agents)

    def step(self, actions: Mapping[str, Any]) -> Outcome:
        """Play an action of every agent; return observations, rewards, terminations, truncations and infos."""
        playing = self.agents
        numbers = np.zeros((1, len(self.possible_agents)), np.int64)
        for agent in playing:
            if agent not in actions:
                raise UserError(f"step needs an action of each of {listed(playing)}; {agent!r} has none.")
            numbers[0, self.possible_agents.index(agent)] = int(actions[agent])
        if not playing:
            return {}, {}, {}, {}, {}
        step = self.game.step(numbers)
        over = bool(step.game_over[0]) and step.final is not None
        self._observation = step.final if over and step.final is not None else step.observation
        index = {agent: self.possible_agents.index(agent) for agent in playing}
        terminated = {agent: bool(step.terminated[0, i]) for agent, i in index.items()}
        truncated = {agent: bool(step.truncated[0, i]) for agent, i in index.items()}
        self.agents = [] if over else [agent for agent in playing if not (terminated[agent] or truncated[agent])]
        if self.render_mode == "human":
            self.render()
        return (
            self.observe(playing),
            {agent: float(step.reward[0, i]) for agent, i in index.items()},
            terminated,
            truncated,
            self._infos(playing),
        )

    @property
    def shown(self) -> Observation:
        """What the game shows now, as a batch of one."""
        return self._observation

    def observe(self, agents: Sequence[str]) -> dict[str, Shown]:
        """Return what agents are shown now."""
        index, shown = self.possible_agents.index, self._observation
        if self.board is not None:
            acting = shown.acting[0]
            return {agent: self.board(shown, index(agent), moves=acting[index(agent)]) for agent in agents}
        return {agent: self._flatten(self._observation, 0, index(agent)) for agent in agents}

    def state(self) -> FloatArray:
        """Return all agents' flat observations, one after the other, as mpe2 does."""
        return np.concatenate(list(self._vectors().values()))

    def render(self) -> Picture | None:
        """Return a picture uint8 [H,W,3] (render mode rgb_array), or show it in a window (human)."""
        if self.render_mode is None:
            return None
        rules = self.rules
        picture = draw(
            self._observation, self.game.layout, 0, arena=rules.get("arena", 1.0), walls=rules.get("walls", False)
        )
        if self.render_mode == "rgb_array":
            return picture
        if self._window is None:
            self._window = Window(str(self.metadata["name"]), FRAMES_PER_SECOND)
        self._window.show(picture)
        return None

    def close(self) -> None:
        """Close the game, and its window if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None
        self.game.close()

    def _vectors(self) -> dict[str, FloatArray]:
        """Return every agent's flat observation."""
        return {agent: self._flatten(self._observation, 0, i) for i, agent in enumerate(self.possible_agents)}

    def _infos(self, agents: list[str]) -> dict[str, dict[str, Any]]:
        return {agent: {"variant_id": self.variant_id} for agent in agents}


def _started(seed: int | None) -> int:
    """Return the seed, or one that nobody can know."""
    return seed if seed is not None else int(np.random.SeedSequence().generate_state(1)[0])


def _unbounded(size: int) -> spaces.Box[Any]:
    return spaces.Box(low=-np.inf, high=np.inf, shape=(size,), dtype=np.float32)
