"""The same game in mpe2 and in ours, step by step."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from marl_meta.games import make_vec
from marl_meta.games.particles.flat import flat_observation
from marl_meta.types import Observation, Step, VectorGame


class Pair:
    """mpe2's game and ours (row 1 of a batch of two), in the same state."""

    def __init__(self, module: ModuleType, kwargs: dict[str, Any], family: str, rules: dict[str, Any]) -> None:
        self.theirs = module.parallel_env(**kwargs)
        self.ours: VectorGame = make_vec(family, num_games=2, rules=rules)
        self.names = self.ours.agent_names
        self.limits = {name: rules.get(name, 0) for name in ("nearest_agents", "nearest_objects")}

    def reset(self, seed: int, half_width: float) -> Observation:
        """Start both from the same places, drawn from a square; returns our observation."""
        self.theirs.reset(seed=seed)
        assert list(self.theirs.agents) == list(self.names)
        rng = np.random.default_rng(seed)
        for entity in self.entities:
            entity.state.p_pos = rng.uniform(-half_width, half_width, 2)
        for agent in self.theirs.unwrapped.world.agents:
            agent.state.p_vel = rng.uniform(-1, 1, 2)
        self.ours.reset(seed)
        return self.put().observation

    @property
    def entities(self) -> list[Any]:
        world = self.theirs.unwrapped.world
        return [*world.agents, *world.landmarks]

    def put(self) -> Step:
        """Put our game into the state of theirs."""
        snapshot = self.ours.snapshot()
        snapshot["positions"][1] = [entity.state.p_pos for entity in self.entities]
        snapshot["velocities"][1] = [entity.state.p_vel for entity in self.entities]
        snapshot["step"][1] = 0
        return self.ours.restore(snapshot)

    def assert_same_state(self) -> None:
        snapshot = self.ours.snapshot()
        for name, attribute in (("positions", "p_pos"), ("velocities", "p_vel")):
            expected = [getattr(entity.state, attribute) for entity in self.entities]
            np.testing.assert_allclose(snapshot[name][1], expected, rtol=0, atol=1e-5)

    def assert_same_view(self, observation: Observation) -> None:
        for i, name in enumerate(self.names):
            expected = self.theirs.unwrapped.observe(name)
            found = flat_observation(observation, 1, i, **self.limits)
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
