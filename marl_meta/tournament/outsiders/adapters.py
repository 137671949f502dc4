"""Adapters from the styles in which people write agents to a Player. They run in an entrant's own process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from marl_meta.tournament.outsiders.player import SeriesInfo
from marl_meta.tournament.outsiders.signatures import methods_of, parameters_of

Infos = Mapping[str, Mapping[str, Any]]
_LAST = "observations"
"""The argument of an `observe` that wants to know what a game showed at its end."""


class Struct(dict[str, Any]):
    """A dict whose keys are attributes too, as kaggle-environments hands them over."""

    __getattr__ = dict.__getitem__


class StepType(IntEnum):
    """Where in a game a timestep lies, as dm_env has it."""

    FIRST = 0
    MID = 1
    LAST = 2


class TimeStep(NamedTuple):
    """What a Melting Pot policy is shown: dm_env's TimeStep."""

    step_type: StepType
    reward: float
    discount: float
    observation: dict[str, Any]

    def first(self) -> bool:
        """Return whether the game begins."""
        return self.step_type == StepType.FIRST

    def mid(self) -> bool:
        """Return whether the game goes on."""
        return self.step_type == StepType.MID

    def last(self) -> bool:
        """Return whether the game is over, which it never is when somebody is asked for an action."""
        return self.step_type == StepType.LAST


def _shown(observation: Any, info: Mapping[str, Any]) -> dict[str, Any]:
    """Return an observation and its mask (where there is one), as PettingZoo's classic games show them."""
    shown = dict(observation) if isinstance(observation, Mapping) else {"observation": observation}
    return {**shown, "action_mask": info["action_mask"]} if info.get("action_mask") is not None else shown


def _parted(observation: Any, info: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return an observation without its mask, and the mask; None where there is none."""
    if not isinstance(observation, Mapping) or "action_mask" not in observation:
        return observation, info.get("action_mask")
    rest = {key: value for key, value in observation.items() if key != "action_mask"}
    return rest.get("observation", rest) if len(rest) == 1 else rest, observation["action_mask"]


class Adapter:
    """What every adapter does unless it says otherwise: nothing."""

    name = ""
    observes = False
    """Whether it wants to know what steps led to."""
    bank = 60.0
    """Seconds in the entrant's bank at this move."""

    def start_series(self, info: SeriesInfo) -> None:
        """Keep what the series is."""
        self.info = info

    def act(self, observations: Mapping[str, Any], infos: Infos, step: int) -> Any:
        """Return an action of each agent that has an observation."""
        raise NotImplementedError

    def reset(self, agents: list[str], info: Mapping[str, Any], seed: int) -> None:
        """Begin a game."""

    def observe(
        self, rewards: Mapping[str, float], terminations: Mapping[str, bool], truncations: Mapping[str, bool],
        observations: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Take note of nothing."""

    def close(self) -> None:
        """Release nothing."""


class Native(Adapter):
    """Whoever is a Player already; it may lack `start_series`, `observe` and `close`."""

    def __init__(self, symbol: Any) -> None:
        self._symbol = symbol
        fresh = inspect.isclass(symbol) or inspect.isroutine(symbol)
        self._player: Any = None if fresh else symbol
        self._fresh = fresh
        # What a factory makes is not known yet.
        self.observes = inspect.isroutine(symbol) or "observe" in methods_of(symbol)

    def start_series(self, info: SeriesInfo) -> None:
        """Get ready for a series."""
        super().start_series(info)
        if self._fresh:
            self.close()
            self._player = self._symbol()
        self._has = methods_of(self._player)
        if "start_series" in self._has:
            self._player.start_series(info)

    def reset(self, agents: list[str], info: Mapping[str, Any], seed: int) -> None:
        """Get ready for a game."""
        self._player.reset(agents, info, seed)

    def act(self, observations: Mapping[str, Any], infos: Infos, step: int) -> Any:
        """Return its actions by agent."""
        return self._player.act(observations, infos, step)

    def observe(
        self, rewards: Mapping[str, float], terminations: Mapping[str, bool], truncations: Mapping[str, bool],
        observations: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Take note of what the step led to."""
        if "observe" in self._has:
            last = {_LAST: observations} if _LAST in self._has["observe"] else {}
            self._player.observe(rewards, terminations, truncations, **last)

    def close(self) -> None:
        """Release what it holds."""
        if self._player is not None and "close" in methods_of(self._player):
            self._player.close()


class Lux(Adapter):
    """Lux AI: `Agent(player, env_cfg)` once a series; `act(step, obs, remainingOverageTime)` for all agents at once.

    `obs` has for each agent that acts `{"observation", "action_mask"}` (the mask where there is one). It returns a dict
    of actions by agent, or the action itself where one agent acts.
    """

    def __init__(self, symbol: Any) -> None:
        self._symbol = symbol

    def start_series(self, info: SeriesInfo) -> None:
        """Get ready for a series."""
        super().start_series(info)
        made = inspect.isclass(self._symbol) or inspect.isroutine(self._symbol)
        self._agent = self._symbol(info.side, info.record()) if made else self._symbol

    def act(self, observations: Mapping[str, Any], infos: Infos, step: int) -> Any:
        """Return its actions by agent."""
        shown = {agent: _shown(one, infos.get(agent, {})) for agent, one in observations.items()}
        action = self._agent.act(step, shown, self.bank)
        return {next(iter(shown)): action} if len(shown) == 1 and not isinstance(action, dict) else action


class Kaggle(Adapter):
    """kaggle-environments: `f(obs)` or `f(obs, config)` for one agent after the other.

    `obs` has `observation` (and `action_mask`, where there is one), `step`, `remainingOverageTime`, `player` (its
    side), `agent`, and `reward`, which is what it earned since it was asked last, be it in the game before; `config`
    what SeriesInfo.record has, the same as `env_cfg`, `episodes` (K) and `actTimeout`.
    """

    observes = True

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._earned: dict[str, float] = {}
        called = function if inspect.isroutine(function) else type(function).__call__
        count = len(parameters_of(called)) - (0 if inspect.isroutine(function) else 1)
        self._given = 2 if count >= 2 else 1

    def start_series(self, info: SeriesInfo) -> None:
        """Get ready for a series."""
        super().start_series(info)
        record, wait = info.record(), info.limits.get("act_seconds")
        self._config = Struct(record, env_cfg=record, episodes=info.games, actTimeout=wait)
        self._earned = {}

    def act(self, observations: Mapping[str, Any], infos: Infos, step: int) -> dict[str, Any]:
        """Return its actions by agent."""
        actions = {}
        for agent, observation in observations.items():
            shown = Struct(
                _shown(observation, infos.get(agent, {})),
                step=step, remainingOverageTime=self.bank, player=self.info.side, agent=agent,
                reward=self._earned.pop(agent, 0.0),
            )  # fmt: skip
            actions[agent] = self._function(*(shown, self._config)[: self._given])
        return actions

    def observe(
        self, rewards: Mapping[str, float], terminations: Mapping[str, bool], truncations: Mapping[str, bool],  # noqa: ARG002 (a Player's)
        observations: Mapping[str, Any] | None = None,  # noqa: ARG002 (a Player's)
    ) -> None:  # fmt: skip
        """Add up what its agents earned, to be told when they are asked next."""
        for agent, reward in rewards.items():
            self._earned[agent] = self._earned.get(agent, 0.0) + reward


class PettingZoo(Adapter):
    """PettingZoo loops: `f(observation, agent)`; where there is a mask, it is shown `{observation, action_mask}`."""

    def __init__(self, policy: Callable[[Any, str], Any]) -> None:
        self._policy = policy

    def act(self, observations: Mapping[str, Any], infos: Infos, step: int) -> dict[str, Any]:  # noqa: ARG002 (a Player's)
        """Return its actions by agent."""
        actions = {}
        for agent, observation in observations.items():
            shown = _shown(observation, infos.get(agent, {}))
            actions[agent] = self._policy(shown if "action_mask" in shown else observation, agent)
        return actions


class StableBaselines(Adapter):
    """Stable-Baselines3: `predict` for each agent, with a state of its own that begins with each game.

    Where it has a parameter `action_masks` (sb3-contrib), it is given the mask, and the observation without it.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._masks = "action_masks" in inspect.signature(model.predict).parameters
        self._states: dict[str, Any] = {}

    def reset(self, agents: list[str], info: Mapping[str, Any], seed: int) -> None:  # noqa: ARG002 (a Player's)
        """Get ready for a game."""
        self._states = {}

    def act(self, observations: Mapping[str, Any], infos: Infos, step: int) -> dict[str, Any]:  # noqa: ARG002 (a Player's)
        """Return its actions by agent."""
        actions = {}
        for agent, shown in observations.items():
            starts = np.array([agent not in self._states])
            observation, mask = _parted(shown, infos.get(agent, {}))
            more = {"action_masks": mask} if self._masks and mask is not None else {}
            actions[agent], self._states[agent] = self._model.predict(
                observation, state=self._states.get(agent), episode_start=starts, **more
            )
        return actions


class MeltingPot(Adapter):
    """Melting Pot: `step(timestep, state)` for each agent, with a state of its own that begins with each game.

    `timestep.observation` has `observation`, and `action_mask` where there is one.
    """

    observes = True

    def __init__(self, policy: Any) -> None:
        self._policy = policy
        self._states: dict[str, Any] = {}
        self._rewards: Mapping[str, float] = {}

    def reset(self, agents: list[str], info: Mapping[str, Any], seed: int) -> None:  # noqa: ARG002 (a Player's)
        """Get ready for a game."""
        self._states, self._rewards = {}, {}

    def act(self, observations: Mapping[str, Any], infos: Infos, step: int) -> dict[str, Any]:  # noqa: ARG002 (a Player's)
        """Return its actions by agent."""
        actions = {}
        for agent, observation in observations.items():
            first = agent not in self._states
            state = self._policy.initial_state() if first else self._states[agent]
            timestep = TimeStep(
                StepType.FIRST if first else StepType.MID,
                float(self._rewards.get(agent, 0.0)), 0.0 if first else 1.0, _shown(observation, infos.get(agent, {})),
            )  # fmt: skip
            actions[agent], self._states[agent] = self._policy.step(timestep, state)
        return actions

    def observe(
        self,
        rewards: Mapping[str, float],
        terminations: Mapping[str, bool],  # noqa: ARG002 (a Player's)
        truncations: Mapping[str, bool],  # noqa: ARG002 (a Player's)
        observations: Mapping[str, Any] | None = None,  # noqa: ARG002 (a Player's)
    ) -> None:
        """Take note of what the step led to."""
        self._rewards = rewards
