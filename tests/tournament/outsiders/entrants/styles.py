"""An agent of every style; each says in `SEEN` what it was shown, which is printed when it plays."""

# ruff: noqa: ARG001, ARG002, T201 (this is what entrants look like: they ignore and print)

from __future__ import annotations

from typing import Any

import numpy as np


def kaggle(obs: Any) -> int:
    assert obs["observation"] is obs.observation
    mask = obs.action_mask.tolist() if "action_mask" in obs else None
    print("kaggle", obs.step, obs.player, obs.agent, obs.observation.tolist(), mask, round(obs.remainingOverageTime))
    return obs.step + 1


def kaggle_rewarded(obs: Any) -> int:
    print(obs.agent, obs.reward)
    return 0


def kaggle_with_config(observation: Any, configuration: Any) -> int:
    print("config", configuration.episodes, configuration.env_cfg["rules"], configuration.actTimeout)
    return observation.step + 1


def pettingzoo(observation: Any, agent: str) -> Any:
    if isinstance(observation, dict):
        return int(observation["action_mask"].argmax())
    return np.float32(1) if agent == "red_0" else np.int64(2)


class Lux:
    def __init__(self, player: str, env_cfg: dict[str, Any]) -> None:
        self.player, self.config, self.turns = player, env_cfg, 0

    def act(self, step: int, obs: dict[str, Any], remainingOverageTime: float = 60) -> Any:
        self.turns += 1
        print("lux", self.player, self.config["games"], step, self.turns, sorted(obs), round(remainingOverageTime))
        return {agent: np.int64(len(shown)) for agent, shown in obs.items()}


class Model:
    """Stable-Baselines3: counts its steps in its state, and says when a game begins."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        begins = bool(episode_start[0])
        assert begins == (state is None)
        count = 0 if state is None else state[0] + 1
        return np.array(count), (count,)


class MaskableModel(Model):
    def predict(  # type: ignore[override]
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False,
        action_masks: Any = None,
    ) -> tuple[Any, Any]:  # fmt: skip
        return np.array(3 if action_masks is None else int(np.flatnonzero(action_masks)[0])), None


def load() -> Model:
    return Model()


class Policy:
    """Melting Pot: counts its steps in its state, and plays 3 after a reward."""

    def initial_state(self) -> int:
        return 0

    def step(self, timestep: Any, prev_state: int) -> tuple[int, int]:
        assert timestep.first() == (prev_state == 0)
        assert timestep.step_type in (0, 1)
        print("meltingpot", timestep.reward, timestep.discount, sorted(timestep.observation))
        return (3 if timestep.reward > 0 else prev_state), prev_state + 1


class Native:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def start_series(self, info: Any) -> None:
        self.seen.append(("series", info.game, info.own, info.actions["red_0"].n, info.limits["act_seconds"]))

    def reset(self, agents: list[str], info: dict[str, Any], seed: int) -> None:
        self.seen.append(("reset", tuple(agents), info["game"], seed))

    def act(self, observations: dict[str, Any], infos: dict[str, Any], step: int) -> dict[str, int]:
        kinds = {agent: (shown.dtype.name, shown.shape) for agent, shown in observations.items()}
        masks = {
            agent: (str(shown["action_mask"].dtype), shown["action_mask"].tolist()) for agent, shown in infos.items()
        }
        self.seen.append(("act", kinds, masks, step))
        return dict.fromkeys(observations, 1)

    def observe(self, rewards: Any, terminations: Any, truncations: Any) -> None:
        self.seen.append(("observe", rewards, terminations, truncations))

    def close(self) -> None:
        for line in self.seen:
            print(*line)


native = Native()


class Unclear:
    """Could be two things."""

    def act(self, step: int, obs: Any) -> int:
        return 1

    def predict(self, obs: Any) -> tuple[int, None]:
        return 2, None


def unclear(one: Any, other: Any) -> int:
    return 1


def last(obs: Any) -> int:
    return 2
