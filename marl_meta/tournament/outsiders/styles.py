"""The styles in which people write agents, each made a Player. This runs in an entrant's own process.

Which style something has is decided by the names of its methods and of their first parameters:

| style | what it looks like |
|---|---|
| native | methods `act(observations, infos, step)` and `reset(agents, info, seed)`; others of `Player` if it likes |
| lux | a class made with `(player, env_cfg)`, with a method `act(step, obs, remainingOverageTime=60)` |
| sb3 | a method `predict(observation, state=None, episode_start=None, deterministic=False)` |
| meltingpot | methods `initial_state()` and `step(timestep, prev_state)` |
| kaggle | a function `f(obs)`, or `f(obs, config)` whose second parameter begins with `conf`, `cfg` or `env` |
| pettingzoo | a function `f(observation, agent)` whose second parameter begins with `agent` |

What fits none or several is named by its style (`sb3:file.py:load`); then a function without parameters is a factory,
for styles with methods. Classes are made without arguments, but for lux; those of native
and lux are made anew for each series.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal, get_args

from marl_meta.tournament.outsiders.adapters import (
    Adapter,
    Kaggle,
    Lux,
    MeltingPot,
    Native,
    PettingZoo,
    StableBaselines,
)
from marl_meta.tournament.outsiders.signatures import methods_of, parameters_of
from marl_meta.types import UserError
from marl_meta.wording import listed

Style = Literal["native", "lux", "sb3", "meltingpot", "kaggle", "pettingzoo"]
STYLES: tuple[Style, ...] = get_args(Style)

_METHODS: dict[Style, dict[str, tuple[str, ...]]] = {
    "native": {"act": ("observations", "infos", "step"), "reset": ("agents", "info", "seed")},
    "lux": {"act": ("step", "obs")},
    "sb3": {"predict": ("obs",)},
    "meltingpot": {"initial_state": (), "step": ("timestep", "prev")},
}
"""Methods of each style, and what their first parameters begin with."""
_SECOND: dict[Style, tuple[str, ...]] = {"kaggle": ("conf", "cfg", "env"), "pettingzoo": ("agent",)}
"""What the second parameter of a function begins with."""


def style_of(symbol: object) -> Style:
    """Return the style of a function, a class or an object; raises UserError where it has none, or several."""
    methods = methods_of(symbol)
    fitting: list[Style] = [
        style for style, wanted in _METHODS.items()
        if all(name in methods and _begins(methods[name], first) for name, first in wanted.items())
    ]  # fmt: skip
    called = parameters_of(symbol) if inspect.isroutine(symbol) else methods.get("__call__")
    if not fitting and called is not None and not inspect.isclass(symbol):
        if len(called) == 1:
            return "kaggle"
        fitting = [style for style, names in _SECOND.items() if len(called) > 1 and called[1].startswith(names)]
    if len(fitting) == 1:
        return fitting[0]
    trouble = f"looks like several styles ({listed(fitting)})" if fitting else "looks like none of the known styles"
    raise UserError(
        f"{_called(symbol)} {trouble}; name one in front, as in kaggle:file.py:Symbol; there are {listed(STYLES)}."
    )


def as_player(symbol: Any, style: Style | None = None) -> Adapter:
    """Return the Player that plays a symbol of a style (None: of what it looks like)."""
    chosen = style or style_of(symbol)
    if chosen == "kaggle":
        return Kaggle(_made(symbol))
    if chosen == "pettingzoo":
        return PettingZoo(_made(symbol))
    if chosen == "lux":
        return Lux(symbol)
    if chosen == "sb3":
        return StableBaselines(_made(symbol, factory=True))
    if chosen == "meltingpot":
        return MeltingPot(_made(symbol, factory=True))
    return Native(symbol)


def _made(symbol: Any, *, factory: bool = False) -> Any:
    """Return an object as it is, and of a class, or a function that is a factory, what it makes."""
    return symbol() if inspect.isclass(symbol) or (factory and inspect.isroutine(symbol)) else symbol


def _begins(names: list[str], wanted: tuple[str, ...]) -> bool:
    return len(names) >= len(wanted) and all(
        name.startswith(first) for name, first in zip(names, wanted, strict=False)
    )  # fmt: skip


def _called(symbol: object) -> str:
    return getattr(symbol, "__name__", None) or type(symbol).__name__


def last_callable(namespace: Mapping[str, Any], where: str) -> Any:
    """Return the last thing that can be called in a file, as kaggle-environments chooses it; raises UserError."""
    found = [value for name, value in namespace.items() if callable(value) and not name.startswith("__")]
    if not found:
        raise UserError(f"{where} has no function or class to play with.")
    return found[-1]
