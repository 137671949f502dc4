"""Older versions of the format, brought up to date one version at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from marl_meta.replay.packing import LARGEST, pack, pack_deltas, pack_moves
from marl_meta.types import IntArray

_UNIT, _KEYFRAME = 0.001, 64


def _from_1(values: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had plain lists of numbers, and no notes."""
    agents = list(range(len(values["agents"])))
    episodes = []
    for old in values["episodes"]:
        chosen = [[0 if action is None else action + 1 for action in row] for row in old["actions"]]
        scene = dict(old["scene"])
        if scene["kind"] == "particles":
            places = _multiples(scene.pop("places")).transpose(1, 2, 0)
            scene |= {"unit": _UNIT, "keyframe": _KEYFRAME, "places": pack_moves(places, _KEYFRAME)}
        episodes.append(
            {
                **old,
                "actions": [{"agents": agents, "chosen": pack(np.asarray(chosen, np.int64))}],
                "rewards": {"unit": _UNIT, "values": pack_deltas(_multiples(old["rewards"]))},
                "scene": scene,
            }
        )
    return {**values, "version": [2, 0], "episodes": episodes}


def _multiples(numbers: Any) -> IntArray:
    """Return plain numbers as multiples of the unit; raises ValueError for what is none."""
    found = np.asarray(numbers, np.float64)
    if not (np.abs(found) < LARGEST / 8 * _UNIT).all():  # so that differences of differences can be packed too
        raise ValueError("a number is none, or too large")
    rounded: IntArray = np.rint(found / _UNIT).astype(np.int64)
    return rounded


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}
"""By the version that each of them reads; it returns the next."""
