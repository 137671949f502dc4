"""What happened in an episode, as arrays -> the packed parts of its record."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.replay.packing import pack, pack_deltas, pack_moves
from marl_meta.replay.record import ActionGroup, End, Levels, Rewards, Scene, Values
from marl_meta.types import BoolArray, FloatArray, IntArray, UserError

KEYFRAME = 64
PLACE_UNIT = 0.002
"""Of the arena's half width: half a pixel of the largest picture."""

_REWARD_UNITS = (1.0, 0.5, 0.1, 0.05, 0.01, 0.001)
_EXACT = 1e-6
_DIGITS = 4
"""Of rewards that are multiples of none of those units."""


def encode_rewards(rewards: npt.NDArray[np.floating]) -> Rewards:
    """Return rewards [N,T] as multiples of the largest unit that says them all, or of one small enough."""
    if not np.isfinite(rewards).all():
        raise UserError("The game paid a reward that is not a number; that cannot be written down.")
    unit = unit_of(rewards)
    return Rewards(unit=unit, values=pack_deltas(np.rint(rewards.astype(np.float64) / unit)))


def encode_numbers(
    agents: Sequence[int], rows: Sequence[Sequence[Any]], dtype: str, shape: Sequence[int]
) -> ActionGroup:  # fmt: skip
    """Return the group of actions that are lists of numbers: `rows` [n][T], None where an agent does not act."""
    acts = np.array([[action is not None for action in row] for row in rows], np.int64)
    kept = dtype if dtype in ("float32", "float64") else "int64"
    numbers = [np.asarray(action, kept).reshape(-1) for row in rows for action in row if action is not None]
    data = np.concatenate(numbers).astype(np.dtype(kept).newbyteorder("<")).tobytes() if numbers else b""
    return ActionGroup.model_validate(
        {
            "agents": list(agents), "dtype": kept, "shape": list(shape), "acts": pack(acts),
            "numbers": base64.b64encode(data).decode(),
        }
    )  # fmt: skip


def unit_of(numbers: npt.NDArray[np.floating]) -> float:
    """Return the largest of some round units of which all numbers are multiples, else a small one."""
    numbers = numbers.astype(np.float64)
    largest = float(np.abs(numbers).max(initial=0.0))
    for unit in _REWARD_UNITS:
        if np.abs(numbers - np.rint(numbers / unit) * unit).max(initial=0.0) <= _EXACT * max(largest, 1e-3):
            return unit
    return small_unit(largest)


def small_unit(largest: float) -> float:
    """Return a power of ten in which numbers up to `largest` have four digits."""
    return float(10.0 ** (np.ceil(np.log10(max(largest, 1e-6))) - _DIGITS))


def encode_values(values: npt.NDArray[np.floating]) -> Values:
    """Return values [n,T], to three digits of the largest."""
    unit = 10.0 * small_unit(float(np.abs(values).max(initial=0.0)))
    return Values(unit=unit, values=pack_deltas(np.rint(values.astype(np.float64) / unit)))


def encode_shares(shares: npt.NDArray[np.floating], levels: int, heads: int | None = None) -> Levels:
    """Return numbers from 0 to 1 [...,T] as so many levels."""
    return Levels(levels=levels, heads=heads, values=pack_deltas(np.rint(np.clip(shares, 0.0, 1.0) * levels)))


def encode_particles(
    places: FloatArray, radius: FloatArray, present: BoolArray, *, arena: float, walls: bool
) -> Scene:  # fmt: skip
    """Return the scene of entities at `places` [E,2,T+1], of a `radius` [E], that are `present` [E,T+1].

    An entity that is not there stays where it was, for that costs nothing.
    """
    unit = PLACE_UNIT * arena
    steps = np.rint(places.astype(np.float64) / unit).astype(np.int64)
    everybody = bool(present.all())
    if not everybody:
        last = np.maximum.accumulate(np.where(present, np.arange(present.shape[1]), 0), axis=1)
        steps = np.take_along_axis(steps, last[:, None], axis=2)
    return Scene(
        kind="particles", unit=unit, keyframe=KEYFRAME, places=pack_moves(steps, KEYFRAME),
        radius=[round(float(one), 4) for one in radius], arena=arena, walls=walls,
        present=None if everybody else pack(present),
    )  # fmt: skip


def encode_board(cells: npt.NDArray[np.integer], style: str) -> Scene:
    """Return the scene of a board whose cells [T+1,height,width] hold numbers."""
    moments, height, width = cells.shape
    flat = cells.reshape(moments, -1).astype(np.int64)
    texts = []
    for time, now in enumerate(flat):
        if time % KEYFRAME == 0:
            texts.append(pack(now))
        else:
            changed = np.flatnonzero(now != flat[time - 1])
            texts.append(pack(np.stack([changed, now[changed]], -1)))
    return Scene.model_validate(
        {"kind": "board", "width": width, "height": height, "keyframe": KEYFRAME, "style": style, "cells": texts}
    )


def ends_of(terminated: BoolArray, truncated: BoolArray) -> list[End]:
    """Return when the game of each agent ended, of [N,T] flags."""
    ended = terminated | truncated
    first = ended.argmax(-1) if ended.shape[-1] else np.zeros(len(ended), np.int64)
    return [
        (agent, int(first[agent]) + 1, "terminated" if terminated[agent, first[agent]] else "truncated")
        for agent in np.flatnonzero(ended.any(1)).tolist()
    ]


def team_returns(rewards: npt.NDArray[np.floating], team: Sequence[int] | IntArray, teams: int) -> list[float]:
    """Return the sum over each team's agents of rewards [N,T], to six digits after the point."""
    sums = np.bincount(np.asarray(team, np.int64), rewards.astype(np.float64).sum(-1), minlength=teams)
    return [round(float(one), 6) + 0.0 for one in sums]
