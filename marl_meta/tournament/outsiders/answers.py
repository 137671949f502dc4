"""Whether what an entrant answers can be played."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.tournament.outsiders.player import Action, ActionSpace, Box, Choice, Choices, Fault
from marl_meta.wording import listed, shorten

_SLACK = 1e-6
"""A bound may be missed by so much of it: 32-bit numbers are no closer."""


def mask_of(observation: object, info: Mapping[str, Any]) -> object:
    """Return the mask of legal actions that an agent is shown, None where there is none, or it allows nothing."""
    mask = info.get("action_mask")
    found = observation.get("action_mask") if mask is None and isinstance(observation, Mapping) else mask
    return found if found is not None and np.any(found) else None


def checked(
    name: str, actions: object, spaces: Mapping[str, ActionSpace], masks: Mapping[str, object]
) -> dict[str, Action]:
    """Return the actions of the agents that act now, which are those of `masks` (a mask each, or None).

    `spaces` are those of all of the entrant's agents. Raises Fault where an action is missing, belongs to somebody
    else's agent, does not exist, is not allowed by the mask, or has the wrong shape or numbers that are not finite.
    """
    if not isinstance(actions, dict):
        raise Fault("shape", f"{name} answered {_shown(actions)}, which has no actions by agent.")
    for agent in actions:
        if agent not in spaces:
            raise Fault("shape", f"{name} answered for {_shown(agent)}; its agents are {listed(spaces)}.")
    found: dict[str, Action] = {}
    for agent, mask in masks.items():
        if agent not in actions:
            raise Fault("shape", f"{name} answered with no action of {agent}.")
        space = spaces[agent]
        who = f"{name}'s action of {agent}"
        if isinstance(space, Box):
            found[agent] = _array(who, actions[agent], space)
        elif isinstance(space, Choices):
            found[agent] = _numbers(who, actions[agent], space, mask)
        else:
            found[agent] = _number(who, actions[agent], space, mask)
    return found


def _number(who: str, action: object, space: Choice, mask: object) -> int:
    if isinstance(action, float) and not math.isfinite(action):
        raise Fault("nan", f"{who} is {action}, which is no number.")
    if not isinstance(action, int) or isinstance(action, bool):
        raise Fault("shape", f"{who} is {_shown(action)}, which is not a whole number.")
    if not space.start <= action < space.start + space.n:
        last = space.start + space.n - 1
        raise Fault("illegal", f"{who} is {_shown(action)}; there are {space.start} to {last}.")
    if mask is not None:
        legal = np.flatnonzero(np.asarray(mask)) + space.start
        if action not in legal:
            raise Fault(
                "illegal", f"{who} is {action}, which is not allowed now; allowed are {listed(legal.tolist())}."
            )
    return action


def _numbers(who: str, action: object, space: Choices, mask: object) -> Action:
    values = _of_shape(who, action, space.shape, "iu", "array of whole numbers").ravel().tolist()
    digits = [value - start for value, start in zip(values, space.starts, strict=True)]
    for value, digit, size, start in zip(values, digits, space.sizes, space.starts, strict=True):
        if not 0 <= digit < size:
            raise Fault("illegal", f"{who} has {_shown(value)}; there are {start} to {start + size - 1}.")
    if mask is not None and not np.asarray(mask).ravel()[np.ravel_multi_index(tuple(digits), space.sizes)]:
        raise Fault("illegal", f"{who} is {_shown(action)}, which is not allowed now.")
    return np.array(values, np.int64).reshape(space.shape)


def _of_shape(who: str, action: object, shape: tuple[int, ...], kinds: str, wanted: str) -> npt.NDArray[Any]:
    """Return an answer as an array of a shape, of a dtype of one of these kinds; raises Fault where it is none."""
    try:
        numbers = np.asarray(action)
    except (ValueError, RecursionError):  # rows of different lengths, or nesting without end
        numbers = np.empty(0, np.object_)
    if numbers.dtype.kind not in kinds:
        raise Fault("shape", f"{who} is {_shown(action)}, which is no {wanted}.")
    if numbers.shape != tuple(shape):
        raise Fault("shape", f"{who} has the shape {list(numbers.shape)}; it must have {list(shape)}.")
    return numbers


def _array(who: str, action: object, space: Box) -> Action:
    numbers = _of_shape(who, action, space.shape, "iuf", "array of numbers")
    with np.errstate(over="ignore"):
        converted = numbers.astype(np.float32)
    if not np.isfinite(converted).all():
        raise Fault("nan", f"{who} is {_shown(action)}, which is not finite.")
    values = converted.ravel().astype(np.float64).tolist()
    for value, low, high in zip(values, space.low, space.high, strict=True):
        if not low - _slack(low) <= value <= high + _slack(high):
            raise Fault("illegal", f"{who} has {value:g}, which is not between {low:g} and {high:g}.")
    return converted


def _slack(bound: float) -> float:
    return _SLACK * max(1.0, abs(bound))


def _shown(value: object) -> str:
    try:
        return shorten(value)
    except RecursionError:
        return "something deeply nested"
