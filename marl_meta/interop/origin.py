"""Where a PettingZoo environment comes from: what would make it again."""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any, Literal

from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import BaseParallelWrapper, BaseWrapper
from pettingzoo.utils.conversions import aec_to_parallel_wrapper, parallel_to_aec_wrapper

from marl_meta.interop.schemas import SCHEMAS
from marl_meta.interop.turn_game import our_game
from marl_meta.replay.record import GameRecord
from marl_meta.replay.recorder import changed_rules, rules_card
from marl_meta.types import UserError

Api = Literal["parallel", "aec"]

_HARMLESS = "pettingzoo."
"""Wrappers of this package check how a game is used, or convert it; what it shows and pays stays the same."""


def api_of(env: Any) -> Api:
    """Return which of PettingZoo's interfaces an environment has; raises UserError for anything else."""
    if isinstance(env, ParallelEnv):
        return "parallel"
    if isinstance(env, AECEnv):
        return "aec"
    raise UserError(f"Only a PettingZoo ParallelEnv or AECEnv can be recorded, not a {type(env).__name__}.")


def origin(
    env: Any, entry_point: str | None = None, kwargs: dict[str, Any] | None = None, schema: str | None = None
) -> GameRecord:  # fmt: skip
    """Return what would make an environment again, as far as it can be found out.

    Games of ours know their rules. Others are found by the class of the innermost environment, whose module has
    PettingZoo's `env` and `parallel_env`, and the arguments that it was made with. Where wrappers change what it shows,
    or it does not say its arguments, `entry_point` and `kwargs` have to be given, or nobody can play the replay again.
    """
    api = api_of(env)
    game, ours = env.unwrapped, our_game(env)
    if ours is not None:
        family = ours.family
        started = ours.seed if ours._first else None  # noqa: SLF001 (else its random stream has gone on)
        return GameRecord(
            name=family.name, family=True, api=api, rules=changed_rules(family, ours.rules), variant_id=ours.variant_id,
            card=rules_card(family, ours.rules), seed=started,
        )  # fmt: skip
    found, arguments = (entry_point, kwargs or {}) if entry_point is not None else _found(env, game, api)
    if schema is not None and found is None:
        raise UserError(f"The schema {schema!r} can only be read where entry_point says what makes the game.")
    return GameRecord(
        name=_name(type(game)), family=False, api=api, entry_point=found, kwargs=arguments,
        schema=schema or (_schema(type(game).__module__) if _is_plain(env) else None),
    )  # fmt: skip


def _found(env: Any, game: Any, api: Api) -> tuple[str | None, dict[str, Any]]:
    """Return the entry point and the arguments of a game of somebody else; None where they cannot be known."""
    if not _is_plain(env):
        return None, {}
    arguments = _arguments(game)
    if arguments is None:
        return None, {}
    module = type(game).__module__
    made_by = "parallel_env" if api == "parallel" else "env"
    known = sys.modules.get(module)
    symbol = made_by if known is not None and callable(vars(known).get(made_by)) else type(game).__qualname__
    if "." in symbol or module == "__main__":
        return None, {}
    return f"{module}:{symbol}", arguments


def _is_plain(env: Any) -> bool:
    """Return whether an environment shows what its game does, whatever it is wrapped in."""
    return all(type(wrapper).__module__.startswith(_HARMLESS) for wrapper in _wrappers(env))


def _wrappers(env: Any) -> list[Any]:
    """Return what an environment is wrapped in, outermost first."""
    found: list[Any] = []
    while True:
        if isinstance(env, aec_to_parallel_wrapper):
            inner = env.aec_env
        elif isinstance(env, BaseWrapper | BaseParallelWrapper | parallel_to_aec_wrapper):
            inner = env.env
        else:
            return found if env is env.unwrapped else [*found, env]
        found.append(env)
        env = inner


def _name(game: type) -> str:
    """Return what a game of somebody else is called: its module, since metadata may be another game's.

    (All games of mpe2 that a program makes share one dictionary of it.)
    """
    module = game.__module__.rpartition(".")[2]
    return game.__name__ if module in ("__main__", "__mp_main__") else module


def core_of(env: Any) -> Any:
    """Return the AEC environment inside those of PettingZoo's wrappers that only check how it is used."""
    while isinstance(env, BaseWrapper) and type(env).__module__.startswith(_HARMLESS):
        env = env.env
    return env


def _arguments(game: Any) -> dict[str, Any] | None:
    """Return what a game was made with, by name (as gymnasium's EzPickle keeps it); None where it does not say."""
    positional, named = getattr(game, "_ezpickle_args", None), getattr(game, "_ezpickle_kwargs", None)
    if positional is None or named is None:
        return None if set(inspect.signature(type(game)).parameters) - {"render_mode"} else {}
    try:
        bound = inspect.signature(type(game)).bind(*positional, **named)
        arguments = {name: value for name, value in bound.arguments.items() if name != "render_mode"}
        json.dumps(arguments, allow_nan=False)
    except (TypeError, ValueError):
        return None
    return arguments


def _schema(module: str) -> str | None:
    """Return the schema that reads a game's observations, where one of ours is for that game."""
    package, _, name = module.rpartition(".")
    return name if package.startswith("mpe2") and name in SCHEMAS else None
