"""What one game shows: the kernel side of `types.Observation`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from marl_meta.games.kernel import inner, rare
from marl_meta.types import BoolArray, FloatArray


class View(NamedTuple):
    """The arrays of an Observation that a kernel fills; which variant each row was described for."""

    entities: FloatArray
    """[B,N,S] which seat it is."""
    present: BoolArray
    """[B,N]"""
    private: FloatArray
    """[B,N,A+1] last action, last reward."""
    acting: BoolArray
    """[B,N]"""
    mask: BoolArray
    """[B,N,A]"""
    rules: FloatArray
    """[B,R]"""
    written: npt.NDArray[np.int64]
    """[B] the variant that all but `private` was written for."""


@inner
def show(view: Any, rule: Any, v: Any, features: Any, actions: Any, rewards: Any, b: Any, first: Any) -> None:
    """Write what game b, which plays variant v, shows to row b of the view: nothing private in the `first` round."""
    if view.written[b] != v:
        describe(view, rule, v, features, b)
        view.written[b] = v
    width = np.uint64(view.private.shape[2] - 1)
    for i in range(rule.players):
        for action in range(width):
            view.private[b, i, action] = 0.0
        view.private[b, i, width] = 0.0
        if not first:
            view.private[b, i, np.uint64(actions[b, i])] = 1.0
            view.private[b, i, width] = rewards[b, i]


@rare
def describe(view: Any, rule: Any, v: Any, features: Any, b: Any) -> None:
    """Write the columns that depend on the variant alone, zeros in the seats that it leaves empty."""
    view.entities[b] = 0.0
    view.private[b] = 0.0
    view.present[b] = False
    view.acting[b] = False
    view.mask[b] = True  # every row has a legal action, those of empty seats too
    for column in range(features.shape[1]):
        view.rules[b, column] = features[v, column]
    for i in range(rule.players):
        view.present[b, i] = True
        view.acting[b, i] = True
        view.entities[b, i, i] = 1.0
        for action in range(rule.actions, view.mask.shape[2]):
            view.mask[b, i, action] = False
