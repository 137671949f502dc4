"""From what a game shows its agents to plain vectors, and to masks of legal actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from marl_meta.interop.actions import ActionCodec, short
from marl_meta.types import BoolArray, FloatArray, UserError

LARGEST_OBSERVATION = 16384
"""Numbers in one agent's observation beyond which a game is refused: an image wants a wrapper that shrinks it."""

_FLAT = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
_MASK = "action_mask"


@dataclass(frozen=True, slots=True)
class ObservationCodec:
    """How one agent's observation becomes a vector of `size` numbers, or nothing where that is 0."""

    space: spaces.Space[Any]
    size: int
    keys: tuple[str, ...] | None
    """The keys of a Dict beside its action mask; None if the observation is no Dict with a mask."""
    scale: float

    def encode(self, value: Any) -> FloatArray:
        """Return the observation as float32 [size]: boxes row by row, discrete values one-hot, bytes as 0 to 1."""
        if not self.size:
            return np.zeros(0, np.float32)
        if self.keys is not None:
            value = value[self.keys[0]] if len(self.keys) == 1 else {key: value[key] for key in self.keys}
        flat = np.asarray(spaces.flatten(self.space, value), dtype=np.float32)
        return flat if self.scale == 1.0 else flat * np.float32(self.scale)

    def encode_all(self, values: Sequence[Any]) -> FloatArray:
        """Return many observations as float32 [T,size], each as `encode` does."""
        if self.size and self.keys is None and isinstance(self.space, spaces.Box) and self.scale == 1.0:
            return np.stack(values).astype(np.float32).reshape(len(values), -1)
        return np.stack([self.encode(value) for value in values])


def observation_codec(space: spaces.Space[Any], where: str, *, strict: bool = True) -> ObservationCodec:
    """Return the codec of an agent's observation space, or raise UserError saying which spaces are known.

    What cannot become a vector, or only one that is too long, is left out where nobody is `strict`.
    """
    keys: tuple[str, ...] | None = None
    if isinstance(space, spaces.Dict) and _MASK in space.spaces:
        keys = tuple(key for key in space.spaces if key != _MASK)
        space = space[keys[0]] if len(keys) == 1 else spaces.Dict({key: space[key] for key in keys})
    flat = _is_flat(space)
    size = int(spaces.flatdim(space)) if flat else 0
    if not strict and not 0 < size <= LARGEST_OBSERVATION:
        return ObservationCodec(space=space, size=0, keys=keys, scale=1.0)
    if not flat:
        raise UserError(
            f"{where} has the observation space {short(space)}; known are Box, Discrete, MultiDiscrete, MultiBinary, "
            "and Dict or Tuple of those, with or without an action_mask."
        )
    if not 0 < size <= LARGEST_OBSERVATION:
        raise UserError(
            f"{where} has observations of {size} numbers; 1 to {LARGEST_OBSERVATION} are allowed "
            "(shrink images with wrappers, such as supersuit:color_reduction_v0 and supersuit:resize_v1)."
        )
    is_bytes = isinstance(space, spaces.Box) and space.dtype == np.uint8
    return ObservationCodec(space=space, size=size, keys=keys, scale=1 / 255 if is_bytes else 1.0)


def action_mask_of(observation: Any) -> Any:
    """Return the mask that an observation has, None where it has none."""
    return observation.get(_MASK) if isinstance(observation, Mapping) else None


def legal_actions(observation: Any, info: Mapping[str, Any], codec: ActionCodec, where: str) -> BoolArray | None:
    """Return the mask [count] that a game gives in its observation or its info, or None if it gives none.

    An agent without any legal action is not forbidden anything: a row of a mask must allow something.
    """
    given = action_mask_of(observation)
    if given is None:
        given = info.get(_MASK)
    if given is None:
        return None
    mask = np.asarray(given).astype(bool).ravel()
    if mask.size != codec.count:
        raise UserError(f"{where} has an action mask of {mask.size} entries for {codec.count} actions.")
    return mask if mask.any() else np.ones_like(mask)


def _is_flat(space: spaces.Space[Any]) -> bool:
    if isinstance(space, spaces.Dict):
        return bool(space.spaces) and all(_is_flat(part) for part in space.spaces.values())
    if isinstance(space, spaces.Tuple):
        return bool(space.spaces) and all(_is_flat(part) for part in space.spaces)
    return isinstance(space, _FLAT)
