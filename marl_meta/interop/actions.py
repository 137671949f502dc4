"""Between the numbers of actions and the actions that a game understands.

Policies choose among few. Of a space of few actions each has a number; of continuous ones, those of a grid have. An
answer from outside may lie anywhere: beyond the grid numbers go on with a lattice that is as fine as a number can say,
so that who plays, whatever it is, is recorded, resumed and played again by one whole number an action.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from marl_meta.types import FloatArray, IntArray, UserError

LARGEST_PRODUCT = 64
"""Joint actions of a MultiDiscrete or MultiBinary space beyond which it is refused rather than flattened."""

GRID = (7, 5, 3, 3, 2, 2)
"""How many values each number of a continuous action has on the grid, where it is of 1, 2, ... numbers."""

_FINEST = 24
"""Bits of a number on the lattice, at most: those of a 32-bit float."""

_ALL_BITS = 48
"""Of all numbers of an action together: what a replay holds of one."""


@dataclass(frozen=True, slots=True)
class FewActions:
    """Action numbers 0 .. count - 1 of a space of so many actions."""

    space: spaces.Discrete | spaces.MultiDiscrete
    count: int

    @property
    def names(self) -> tuple[str, ...]:
        """What the actions are called, where the game does not say."""
        return tuple(f"action_{number}" for number in range(self.count))

    @property
    def digits(self) -> tuple[IntArray, IntArray] | None:
        """How many values each part of an action has, and the least of each; None where an action is one number."""
        if isinstance(self.space, spaces.Discrete):
            return None
        return self.space.nvec.astype(np.int64), np.asarray(self.space.start, np.int64)

    def decode(self, number: int) -> Any:
        """Return the action that the game understands; raises UserError for a number it does not have."""
        if not 0 <= number < self.count:
            raise _no_action(number, self.count)
        if isinstance(self.space, spaces.Discrete):
            return int(self.space.start) + number
        digits = np.array(np.unravel_index(number, tuple(self.space.nvec.ravel())), dtype=self.space.dtype)
        return digits.reshape(self.space.shape) + self.space.start

    def encode(self, action: Any) -> int:
        """Return the number of an action that the game understands: what `decode` makes it of."""
        if isinstance(self.space, spaces.Discrete):
            return int(action) - int(self.space.start)
        digits = (np.asarray(action) - self.space.start).ravel()
        return int(np.ravel_multi_index(tuple(digits), tuple(self.space.nvec.ravel())))


@dataclass(frozen=True, slots=True)
class ContinuousActions:
    """Arrays of numbers between bounds: numbers of actions below `count` are of a grid, the others of a lattice."""

    space: spaces.Box

    @property
    def count(self) -> int:
        """How many actions the grid has."""
        return int(self._levels**self._size)

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers of each action of the grid."""
        actions = (np.ravel(self.decode(number)) for number in range(self.count))
        return tuple(", ".join(f"{number:.3g}" for number in action.tolist()) for action in actions)

    @property
    def _size(self) -> int:
        return math.prod(self.space.shape)

    @property
    def _levels(self) -> int:
        return GRID[self._size - 1]

    @property
    def _fine(self) -> int:
        """How many values each number has on the lattice."""
        return 1 << min(_FINEST, _ALL_BITS // self._size)

    def decode(self, number: int) -> FloatArray:
        """Return the action that the game understands; raises UserError for a number it does not have."""
        most = self.count + self._fine**self._size
        if not 0 <= number < most:
            raise _no_action(number, most)
        on_grid = number < self.count
        levels = self._levels if on_grid else self._fine
        digits = np.array(np.unravel_index(number if on_grid else number - self.count, (levels,) * self._size))
        low, span = self._bounds()
        values = (low + span * (digits / (levels - 1))).reshape(self.space.shape)
        if np.issubdtype(self.space.dtype, np.integer):
            values = np.rint(values)
        action: FloatArray = np.clip(values.astype(self.space.dtype), self.space.low, self.space.high)
        return action

    def encode(self, action: Any) -> int:
        """Return the number of the action that is nearest: a grid's if it is that, else one of the lattice."""
        given = np.asarray(action, self.space.dtype).reshape(self.space.shape)
        on_grid = self._nearest(given, self._levels)
        if np.array_equal(self.decode(on_grid), given):
            return on_grid
        return self.count + self._nearest(given, self._fine)

    def _nearest(self, action: Any, levels: int) -> int:
        low, span = self._bounds()
        parts = (action.astype(np.float64).ravel() - low) / np.where(span > 0, span, 1.0)
        digits = np.rint(np.clip(parts, 0.0, 1.0) * (levels - 1)).astype(np.int64)
        return int(np.ravel_multi_index(tuple(digits), (levels,) * self._size))

    def _bounds(self) -> tuple[Any, Any]:
        """Return the least of each number, and how much more the largest is, in double precision."""
        low, high = (bound.astype(np.float64).ravel() for bound in (self.space.low, self.space.high))
        return low, high - low


ActionCodec = FewActions | ContinuousActions
"""How an action number becomes one agent's action, and back."""


def action_codec(space: spaces.Space[Any], where: str) -> ActionCodec:
    """Return the codec of an agent's action space, or raise UserError saying which spaces are known."""
    if isinstance(space, spaces.Discrete):
        return FewActions(space, int(space.n))
    if isinstance(space, spaces.Box):
        return _continuous(space, where)
    parts = spaces.MultiDiscrete(np.full(space.shape, 2)) if isinstance(space, spaces.MultiBinary) else space
    if not isinstance(parts, spaces.MultiDiscrete):
        raise UserError(
            f"{where} has the action space {short(space)}; only Discrete, MultiDiscrete, MultiBinary and Box actions "
            "are allowed."
        )
    count = math.prod(int(n) for n in parts.nvec.ravel())
    if count > LARGEST_PRODUCT:
        raise UserError(
            f"{where} has a {type(space).__name__} action space of {count} joint actions; at most {LARGEST_PRODUCT} "
            "are allowed."
        )
    return FewActions(parts, count)


def _continuous(space: spaces.Box, where: str) -> ContinuousActions:
    size = math.prod(space.shape)
    if not 1 <= size <= len(GRID):
        raise UserError(f"{where} has actions of {size} numbers, {short(space)}; 1 to {len(GRID)} are allowed.")
    if not space.is_bounded():
        raise UserError(
            f"{where} has continuous actions without bounds, {short(space)}; only those between bounds are allowed."
        )
    return ContinuousActions(space)


def short(space: spaces.Space[Any]) -> str:
    """Return a space in one line of a message."""
    text = " ".join(str(space).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _no_action(number: int, count: int) -> UserError:
    return UserError(f"Action {number} does not exist; allowed is 0 to {count - 1}.")
