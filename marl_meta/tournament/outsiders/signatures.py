"""Names of parameters: the one place that looks into entrants' code."""

from __future__ import annotations

import inspect
from typing import Any

_DECIDING = ("act", "reset", "predict", "initial_state", "step", "observe", "start_series", "close", "__call__")


def methods_of(symbol: object) -> dict[str, list[str]]:
    """Return the methods that decide, each with the names of its parameters but for self."""
    owner = symbol if inspect.isclass(symbol) else type(symbol)
    found = {}
    for name in _DECIDING:
        method = inspect.getattr_static(owner, name, None)
        if isinstance(method, staticmethod | classmethod):
            parameters = parameters_of(method.__func__)
            found[name] = parameters if isinstance(method, staticmethod) else parameters[1:]
        elif inspect.isroutine(method):
            found[name] = parameters_of(method)[1:]
    return found


def parameters_of(function: Any) -> list[str]:
    """Return the names of the parameters that can be given by position, none where they cannot be known."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, parameter in signature.parameters.items() if parameter.kind in kinds]
