"""Other simulators of our games, stepped with random actions: what ours are measured beside.

Each maker returns an `Episodes`, whose every call plays one whole episode of all its games with actions that were drawn
before, or None where it has no such game or is not installed. mpe2 is always there; VMAS and JaxMARL only if somebody
installed them. VMAS's physics and rewards differ from mpe2's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

import numpy as np

EPISODE = 25
"""Steps of an episode of mpe2's simple_spread and simple_tag."""

ACTIONS = 5


@dataclass(frozen=True, slots=True)
class Episodes:
    """A batch of games of one system that are played from start to end at every call."""

    system: str
    num_games: int
    play: Callable[[], object]
    steps: int = EPISODE
    """Of each game."""

    @property
    def env_steps(self) -> int:
        """Steps of single games that one call plays."""
        return self.steps * self.num_games


def installed(package: str) -> bool:
    """Return whether a package is installed here (a folder of its name beside the caller is not enough)."""
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def mpe2_episodes(family: str, seed: int = 0) -> Episodes | None:
    """Return one game of mpe2 as its own `parallel_env`, with its default rules."""
    if family == "spread":
        from mpe2.simple_spread_v3 import parallel_env
    elif family == "tag":
        from mpe2.simple_tag_v3 import parallel_env
    else:
        return None
    env = parallel_env()
    env.reset(seed=seed)
    agents = list(env.agents)
    drawn = np.random.default_rng(seed).integers(ACTIONS, size=(EPISODE, len(agents)))
    actions = [{agent: int(action) for agent, action in zip(agents, row, strict=True)} for row in drawn]

    def play() -> None:
        for row in actions:
            env.step(row)
        env.reset()

    return Episodes("mpe2", 1, play)


def connect_four_episodes(family: str, seed: int = 0) -> Episodes | None:
    """Return one game of PettingZoo's connect four, without the wrappers that check how it is used."""
    if family != "connect":
        return None
    from pettingzoo.classic.connect_four.connect_four import raw_env

    env, rng = raw_env(), np.random.default_rng(seed)
    env.reset()
    actions = []
    while not any(env.terminations.values()):
        legal = np.flatnonzero(env.observe(env.agent_selection)["action_mask"])
        actions.append(int(rng.choice(legal)))
        env.step(actions[-1])

    def play() -> None:
        env.reset()
        for action in actions:
            env.observe(env.agent_selection)
            env.step(action)

    return Episodes("PettingZoo", 1, play, len(actions))


def vmas_episodes(family: str, num_games: int, seed: int = 0) -> Episodes | None:
    """Return a batch of VMAS's simple_spread or simple_tag on the CPU, as many threads as torch has."""
    scenario = {"spread": "simple_spread", "tag": "simple_tag"}.get(family)
    if scenario is None or not installed("vmas"):
        return None
    import torch
    import vmas

    env = vmas.make_env(
        scenario, num_envs=num_games, device="cpu", continuous_actions=False, max_steps=EPISODE, seed=seed
    )
    env.reset()
    generator = torch.Generator().manual_seed(seed)
    actions = [
        [torch.randint(ACTIONS, (num_games, 1), generator=generator) for _ in env.agents] for _ in range(EPISODE)
    ]

    def play() -> None:
        for row in actions:
            env.step(row)
        env.reset()

    return Episodes("VMAS", num_games, play)


def jaxmarl_episodes(family: str, num_games: int, seed: int = 0) -> Episodes | None:
    """Return a batch of JaxMARL's MPE game: one compiled scan over the steps of vmapped games that reset themselves."""
    name = {"spread": "MPE_simple_spread_v3", "tag": "MPE_simple_tag_v3"}.get(family)
    if name is None or not installed("jaxmarl"):
        return None
    import jax
    import jaxmarl

    env = jaxmarl.make(name)
    key = jax.random.key(seed)
    _, state = jax.jit(jax.vmap(env.reset))(jax.random.split(key, num_games))
    actions = {
        agent: jax.random.randint(jax.random.fold_in(key, index), (EPISODE, num_games), 0, ACTIONS)
        for index, agent in enumerate(env.agents)
    }

    def one_step(state: Any, now: tuple[Any, Any]) -> tuple[Any, Any]:
        key, chosen = now
        observation, state, reward, done, _ = jax.vmap(env.step)(jax.random.split(key, num_games), state, chosen)
        return state, (observation, reward, done)

    @jax.jit  # type: ignore[untyped-decorator]  # JAX need not be installed
    def episode(state: Any, key: Any, actions: Any) -> Any:
        state, (observation, reward, done) = jax.lax.scan(one_step, state, (jax.random.split(key, EPISODE), actions))
        # All outputs are returned (the last of each): what nobody reads would be compiled away.
        return state, jax.tree.map(lambda steps: steps[-1], (observation, reward, done))

    carried = [state]

    def play() -> None:
        carried[0], _ = jax.block_until_ready(episode(carried[0], key, actions))

    return Episodes("JaxMARL", num_games, play)
