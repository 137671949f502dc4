"""What one game of a batch shows and says, as plain arrays that tests can compare."""

from __future__ import annotations

import dataclasses

import numpy as np

from marl_meta.types import Observation, Step

OUTCOMES = ("reward", "terminated", "truncated", "game_over", "trial_over")
OBSERVED = tuple(field.name for field in dataclasses.fields(Observation))


def columns(observation: Observation, b: int | slice) -> dict[str, np.ndarray]:
    """Return what game b shows (or several), copied."""
    found = {name: getattr(observation, name) for name in OBSERVED}
    return {name: array[b].copy() for name, array in found.items() if array is not None}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def row(step: Step, b: int) -> dict[str, np.ndarray]:
    """Return all that a step says of game b, copied."""
    found = columns(step.observation, b) | {name: getattr(step, name)[b].copy() for name in OUTCOMES}
    if step.game_over[b]:
        assert step.final is not None
        found |= {f"final {name}": array for name, array in columns(step.final, b).items()}
    return found
