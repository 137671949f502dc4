# ruff: noqa: ARG002, RUF012  (the interface is PettingZoo's)
"""Tiny PettingZoo games, each with one thing that a third-party game may do."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv


class Countdown(ParallelEnv):
    """Agent i leaves after i + 1 steps (`cut`: by a time limit); observations count, and shrink with i."""

    metadata = {"name": "countdown", "render_modes": []}

    def __init__(self, agents=3, cut=(), masks="info", linger=False, silent=False, render_mode=None):
        self.possible_agents = [f"runner_{i}" for i in range(agents)]
        self.render_mode = render_mode
        self.cut, self.masks, self.linger, self.silent = cut, masks, linger, silent

    def _index(self, agent):
        return int(agent.rpartition("_")[2])

    def observation_space(self, agent):
        box = spaces.Box(-np.inf, np.inf, (2, len(self.possible_agents) - self._index(agent)), np.float32)
        if self.masks == "observation":
            actions = self.action_space(agent).n
            return spaces.Dict({"observation": box, "action_mask": spaces.MultiBinary(int(actions))})
        return box

    def action_space(self, agent):
        return spaces.Discrete(2 + self._index(agent), start=self._index(agent))

    def _show(self, agents):
        observations, infos = {}, {}
        for agent in agents:
            shape = (2, len(self.possible_agents) - self._index(agent))
            value = np.full(shape, self.time + 100 * self.draw, np.float32)
            mask = np.ones(self.action_space(agent).n, np.int8)
            mask[self.time % mask.size] = 0
            observations[agent] = {"observation": value, "action_mask": mask} if self.masks == "observation" else value
            infos[agent] = {"action_mask": mask} if self.masks == "info" else {}
        return observations, infos

    def reset(self, seed=None, options=None):
        self.draw = np.random.default_rng(seed).integers(1, 1000)
        self.time, self.agents = 0, list(self.possible_agents)
        return self._show(self.agents)

    def step(self, actions):
        assert list(actions) == [agent for agent in self.agents if agent in actions]
        for agent, action in actions.items():
            assert self.action_space(agent).contains(action)
        self.time += 1
        over = {agent: self._index(agent) < self.time for agent in self.agents}
        shown = self.agents if not self.silent else [agent for agent in self.agents if not over[agent]]
        observations, infos = self._show(shown)
        rewards = {agent: float(actions.get(agent, -1)) for agent in self.agents}
        terminated = {agent: over[agent] and self._index(agent) not in self.cut for agent in self.agents}
        truncated = {agent: over[agent] and self._index(agent) in self.cut for agent in self.agents}
        if not self.linger or all(over.values()):
            self.agents = [agent for agent in self.agents if not over[agent]]
        return observations, rewards, terminated, truncated, infos

    def close(self):
        pass


class Spaces(ParallelEnv):
    """One agent with the spaces that it is given; echoes its action as its reward."""

    metadata = {"name": "spaces", "render_modes": []}

    def __init__(self, observation=None, action=None, length=3, noisy=False):
        self.possible_agents = ["player"]
        self.render_mode = None
        self._observation = observation if observation is not None else spaces.Discrete(3)
        self._action = action if action is not None else spaces.Discrete(2)
        self.length, self.noisy = length, noisy
        self.played = []

    def observation_space(self, agent):
        return self._observation

    def action_space(self, agent):
        return self._action

    def _show(self):
        if self.noisy:
            return {"player": self._observation.low + np.random.rand()}  # noqa: NPY002  (what is tested)
        return {"player": self._observation.sample()}

    def reset(self, seed=None, options=None):
        self._observation.seed(seed)
        self.time, self.agents = 0, ["player"]
        return self._show(), {"player": {}}

    def step(self, actions):
        assert self._action.contains(actions["player"])
        self.played.append(actions["player"])
        self.time += 1
        done = self.time == self.length
        if done:
            self.agents = []
        return self._show(), {"player": np.array([1.5])}, {"player": False}, {"player": done}, {"player": {}}

    def close(self):
        pass


class Hidden(ParallelEnv):
    """A walker that is told no absolute position but sees a tower, and a watcher that sees the walker now and then."""

    metadata = {"name": "hidden", "render_modes": []}

    def __init__(self, towers=1):
        self.possible_agents = ["walker_0", "watcher_0"]
        self.render_mode = None
        self.towers = towers

    def observation_space(self, agent):
        size = 2 * self.towers + (0 if agent == "walker_0" else 4)
        return spaces.Box(-np.inf, np.inf, (size,), np.float32)

    def action_space(self, agent):
        return spaces.Discrete(2)

    def _show(self):
        tower = self.tower[: self.towers]
        walker = (tower - self.walker).ravel()
        seen = self.walker - self.watcher if self.time % 2 == 0 else np.zeros(2)
        told = [(tower - self.watcher).ravel(), seen, [0.5, 0.25] if self.time % 2 == 0 else [0, 0]]
        return {"walker_0": walker.astype(np.float32), "watcher_0": np.concatenate(told).astype(np.float32)}

    def reset(self, seed=None, options=None):
        rng = np.random.default_rng(seed)
        self.tower, self.walker, self.watcher = rng.normal(size=(3, 2)), rng.normal(size=2), rng.normal(size=2)
        self.time, self.agents = 0, list(self.possible_agents)
        return self._show(), {agent: {} for agent in self.agents}

    def step(self, actions):
        self.time += 1
        self.walker = self.walker + np.array([0.1, 0.0])
        everybody = self.possible_agents
        done = self.time == 4
        self.agents = [] if done else list(everybody)
        return (
            self._show(),
            dict.fromkeys(everybody, 0.0),
            dict.fromkeys(everybody, False),
            dict.fromkeys(everybody, done),
            {agent: {} for agent in everybody},
        )

    def close(self):
        pass


class Pile(AECEnv):
    """In turns players take one to three of a pile; whoever takes the last wins, or with `knockout` is out of the game.

    With `knockout` there is a new pile then, until one player is left. Actions begin at `start`; what is more than the
    pile is masked, in the observation or in the info.
    """

    def __init__(self, players=2, size=7, knockout=False, masks="observation", start=0, limit=None, stays=False):
        self.metadata = {"name": "pile_v0", "render_modes": [], "is_parallelizable": False}
        self.possible_agents = [f"player_{i}" for i in range(players)]
        self.render_mode = None
        self.size, self.knockout, self.masks, self.start, self.limit = size, knockout, masks, start, limit
        self.stays = stays

    def observation_space(self, agent):
        box = spaces.Box(0, np.inf, (3,), np.float32)
        if self.masks == "observation":
            return spaces.Dict({"observation": box, "action_mask": spaces.Box(0, 1, (3,), np.int8)})
        return box

    def action_space(self, agent):
        return spaces.Discrete(3, start=self.start)

    def _mask(self, agent):
        return np.array([agent == self.agent_selection and self.pile > i for i in range(3)], np.int8)

    def observe(self, agent):
        own = self.possible_agents.index(agent)
        shown = np.array([self.pile, own, self.possible_agents.index(self.agent_selection)], np.float32)
        return {"observation": shown, "action_mask": self._mask(agent)} if self.masks == "observation" else shown

    def reset(self, seed=None, options=None):
        self.draws = np.random.default_rng(seed)
        self.pile = int(self.draws.integers(self.size, 2 * self.size))
        self.agents, self.turns = list(self.possible_agents), 0
        self.agent_selection = self.agents[0]
        self.rewards, self._cumulative_rewards = (dict.fromkeys(self.agents, 0.0) for _ in range(2))
        self.terminations, self.truncations = (dict.fromkeys(self.agents, False) for _ in range(2))
        self._tell()

    def _tell(self):
        told = self.masks == "info"
        self.infos = {agent: {"action_mask": self._mask(agent)} if told else {} for agent in self.agents}

    def step(self, action):
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            if self.stays:
                return
            self._was_dead_step(action)
            return
        assert self.action_space(agent).contains(action)
        taken = int(action) - self.start + 1
        assert taken <= self.pile
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        self.pile -= taken
        self.turns += 1
        left = [one for one in self.agents if one != agent]
        self.agent_selection = self.agents[(self.agents.index(agent) + 1) % len(self.agents)]
        if self.pile == 0:
            self.rewards = {one: (-1.0 if (one == agent) == self.knockout else 1.0) for one in self.agents}
            over = not self.knockout or len(left) == 1
            for one in self.agents if over else [agent]:
                self.terminations[one] = True
            if self.knockout and not over:
                self.pile = int(self.draws.integers(self.size, 2 * self.size))
        elif self.limit is not None and self.turns >= self.limit:
            self.truncations = dict.fromkeys(self.agents, True)
        self._accumulate_rewards()
        self._tell()
        self._deads_step_first()

    def close(self):
        pass


class Duel(ParallelEnv):
    """Two at once; whose action adds up to more is paid the difference. Spaces are nested, infos hold anything."""

    metadata = {"name": "duel_v0", "render_modes": []}

    def __init__(self, length=2, gift=0.0, picture=0):
        self.possible_agents = ["fighter_0", "fighter_1"]
        self.render_mode = None
        self.length, self.gift, self.picture = length, gift, picture

    def observation_space(self, agent):
        if self.picture:
            return spaces.Box(0, 255, (self.picture, self.picture, 3), np.uint8)
        inner = spaces.Dict({"a": spaces.Box(-9, 9, (2,), np.float64), "b": spaces.MultiBinary(3)})
        return spaces.Tuple([spaces.Discrete(5), inner])

    def action_space(self, agent):
        return spaces.MultiDiscrete([2, 3], start=[1, 5])

    def _show(self, agent):
        if self.picture:
            return np.full((self.picture, self.picture, 3), self.time + 40, np.uint8)
        return self.time, {"a": np.array([self.drawn, -1.0]), "b": np.array([1, 0, 1], np.int8)}

    def _tell(self):
        infos = {agent: {"words": ["one", "two"], "object": object(), 3: "no"} for agent in self.possible_agents}
        return {agent: self._show(agent) for agent in self.possible_agents}, infos

    def reset(self, seed=None, options=None):
        self.drawn = float(np.random.default_rng(seed).uniform())
        self.time, self.agents = 0, list(self.possible_agents)
        return self._tell()

    def step(self, actions):
        sums = [float(np.sum(actions[agent])) for agent in self.possible_agents]
        for agent in self.possible_agents:
            assert self.action_space(agent).contains(actions[agent])
        self.time += 1
        observations, infos = self._tell()
        over = dict.fromkeys(self.possible_agents, self.time == self.length)
        self.agents = [] if self.time == self.length else self.agents
        rewards = {"fighter_0": sums[0] - sums[1] + self.gift, "fighter_1": sums[1] - sums[0]}
        return observations, rewards, over, dict.fromkeys(over, False), infos

    def close(self):
        pass


class Endless(ParallelEnv):
    """A game without possible_agents."""

    metadata = {"name": "endless"}


def image(size=32):
    return Spaces(observation=spaces.Box(0, 255, (size, size, 3), np.uint8))


def large():
    return Spaces(observation=spaces.Box(0, 1, (200, 200), np.float32))


def one_hot():
    return Spaces(observation=spaces.Discrete(3), action=spaces.MultiDiscrete([2, 3]))


def nested():
    parts = {"a": spaces.Discrete(2), "b": spaces.Tuple([spaces.MultiBinary(2), spaces.Box(0, 1, (2,), np.float32)])}
    return Spaces(observation=spaces.Dict(parts))


def many_actions():
    return Spaces(action=spaces.MultiDiscrete([9, 9]))


def continuous():
    return Spaces(action=spaces.Box(-1, 1, (2,), np.float32))


def binary_actions():
    return Spaces(action=spaces.MultiBinary(2))


def unbounded():
    return Spaces(action=spaces.Box(-np.inf, np.inf, (2,), np.float32))


def many_numbers():
    return Spaces(action=spaces.Box(-1, 1, (7,), np.float32))


def many_bits():
    return Spaces(action=spaces.MultiBinary(7))


def text_actions():
    return Spaces(action=spaces.Text(5))


class Reach(ParallelEnv):
    """Two sides say where a point is that all are shown: the closer, the more it pays, less what the other is paid."""

    metadata = {"name": "reach", "render_modes": []}

    def __init__(self, length=4, span=1.0):
        self.possible_agents = ["left_0", "right_0"]
        self.render_mode = None
        self.length, self.span = length, span

    def observation_space(self, agent):
        return spaces.Box(-self.span, self.span, (2,), np.float32)

    def action_space(self, agent):
        return spaces.Box(-self.span, self.span, (2,), np.float32)

    def _show(self):
        self.point = self.rng.uniform(-self.span, self.span, 2).astype(np.float32)
        return {agent: self.point.copy() for agent in self.agents}

    def reset(self, seed=None, options=None):
        self.rng, self.time, self.agents = np.random.default_rng(seed), 0, list(self.possible_agents)
        return self._show(), {agent: {} for agent in self.agents}

    def step(self, actions):
        assert all(self.action_space(agent).contains(action) for agent, action in actions.items())
        near = {agent: -float(np.abs(action - self.point).sum()) for agent, action in actions.items()}
        rewards = {"left_0": near["left_0"] - near["right_0"], "right_0": near["right_0"] - near["left_0"]}
        self.time += 1
        done = dict.fromkeys(self.agents, self.time == self.length)
        shown = self._show()
        if self.time == self.length:
            self.agents = []
        return shown, rewards, dict.fromkeys(done, False), done, {agent: {} for agent in done}

    def close(self):
        pass


class Spoilt(ParallelEnv):
    """From its `at`-th step on it pays or shows `value`; until then whoever plays 1 is paid for it. Episodes take 4."""

    metadata = {"name": "spoilt", "render_modes": []}

    def __init__(self, at=3, value="nan", shows=False):
        self.possible_agents = ["player_0", "player_1"]
        self.render_mode = None
        self.at, self.value, self.shows, self.steps = at, float(value), shows, 0

    def observation_space(self, agent):
        return spaces.Box(-1, 1, (3,), np.float32)

    def action_space(self, agent):
        return spaces.Discrete(2)

    def _show(self):
        shown = {agent: self.rng.uniform(-1, 1, 3).astype(np.float32) for agent in self.possible_agents}
        if self.shows and self.steps >= self.at:
            shown["player_1"][2] = self.value
        return shown

    def reset(self, seed=None, options=None):
        self.rng, self.time, self.agents = np.random.default_rng(seed), 0, list(self.possible_agents)
        return self._show(), {agent: {} for agent in self.agents}

    def step(self, actions):
        self.time, self.steps = self.time + 1, self.steps + 1
        everybody = self.possible_agents
        rewards = {agent: float(actions[agent]) for agent in everybody}
        if not self.shows and self.steps >= self.at:
            rewards["player_1"] = self.value
        over = dict.fromkeys(everybody, self.time == 4)
        self.agents = [] if self.time == 4 else list(everybody)
        return self._show(), rewards, dict.fromkeys(everybody, False), over, {agent: {} for agent in everybody}

    def close(self):
        pass


def text():
    return Spaces(observation=spaces.Text(5))


def noisy():
    return Spaces(observation=spaces.Box(0, 2, (1,), np.float32), noisy=True)


def numbered():
    game = Spaces()
    game.possible_agents = [1, 2]
    return game


def number():
    return 3


def refusing(strength):
    raise ValueError(f"strength {strength} is too great")


NOT_CALLABLE = 3
