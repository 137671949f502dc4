"""From an entry point string to a PettingZoo game that can be stepped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from gymnasium.error import Error as GymnasiumError
from gymnasium.spaces import Space
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import aec_to_parallel

from marl_meta.interop.turn_based import TurnBased
from marl_meta.resources import load_symbol
from marl_meta.types import UserError
from marl_meta.wording import one_line


class Environment(Protocol):
    """What is used of PettingZoo's ParallelEnv (which ships no types), and what `TurnBased` makes of an AECEnv."""

    possible_agents: list[Any]
    agents: list[Any]

    def reset(self, seed: int | None = None) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Start an episode; return observations and infos by agent."""

    def step(self, actions: dict[Any, Any]) -> tuple[dict[Any, Any], ...]:
        """Return observations, rewards, terminations, truncations and infos by agent."""

    def observation_space(self, agent: Any) -> Space[Any]:
        """Return the space of an agent's observations."""

    def action_space(self, agent: Any) -> Space[Any]:
        """Return the space of an agent's actions."""

    def close(self) -> None:
        """Release what the game holds."""


def make_environment(
    entry_point: str,
    kwargs: Mapping[str, Any],
    wrappers: Sequence[Mapping[str, Any]] = (),
    folder: Path | None = None,
) -> Environment:
    """Return the game that `entry_point` makes from `kwargs`, inside `wrappers`, outermost last.

    A wrapper is `{wrapper: "module:callable", ...}`; it is called with the game and its other entries, for
    instance `{wrapper: "supersuit:resize_v1", x_size: 8, y_size: 8}`. A ParallelEnv is returned as it is, and so is an
    AECEnv whose agents all act once in a cycle (`metadata["is_parallelizable"]`), after conversion; any other AECEnv is
    played in turns. Anything else raises UserError. `folder` is where code that is named as `file.py:callable` lies.
    """
    game = wrapped(call(entry_point, folder, (), kwargs), wrappers, folder)
    if not isinstance(game, AECEnv | ParallelEnv):
        raise UserError(f"Entry point {entry_point!r} makes a {type(game).__name__}, which is no PettingZoo game.")
    try:
        fixed = bool(game.possible_agents)
    except AttributeError:  # PettingZoo leaves it out where agents are made as a game goes on
        fixed = False
    if not fixed:
        raise UserError(
            f"Entry point {entry_point!r} makes a game without possible_agents; a fixed set of agents is needed."
        )
    if isinstance(game, ParallelEnv):
        return cast("Environment", game)
    at_once = game.metadata.get("is_parallelizable", False)
    return cast("Environment", aec_to_parallel(game)) if at_once else TurnBased(game)


def wrapped(game: Any, wrappers: Sequence[Mapping[str, Any]], folder: Path | None) -> Any:
    """Return a game inside `wrappers`, outermost last, as `make_environment` takes them."""
    for wrapper in wrappers:
        options = dict(wrapper)
        name = options.pop("wrapper", None)
        if not isinstance(name, str):
            raise UserError(f"Each entry of wrappers needs a key 'wrapper' ('module:callable'), unlike {options}.")
        game = call(name, folder, (game,), options)
    return game


def call(entry_point: str, folder: Path | None, positional: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Call an entry point; what it refuses becomes a UserError that repeats its reason."""
    function = load_symbol(entry_point, folder)
    if not callable(function):
        raise UserError(f"Entry point {entry_point!r} names a {type(function).__name__}, which cannot be called.")
    try:
        return function(*positional, **kwargs)
    except (TypeError, ValueError, AssertionError, KeyError, ImportError, GymnasiumError) as error:
        given = ", ".join(f"{name}={value!r}" for name, value in kwargs.items()) or "no arguments"
        raise UserError(f"Entry point {entry_point!r} refuses {given}: {one_line(error)}.") from error
