"""The functions that kernels have of their own, beside numpy's in float64."""

from __future__ import annotations

import numba
import numpy as np

from marl_meta import kernels
from marl_meta.types import FloatArray


@numba.njit
def _tanh(values: FloatArray, out: FloatArray) -> None:
    for index in range(values.size):
        out[index] = kernels.tanh(values[index])


@numba.njit
def _exp(values: FloatArray, out: FloatArray) -> None:
    for index in range(values.size):
        out[index] = kernels.exp(values[index])


def test_tanh_is_right_to_float32() -> None:
    values = np.concatenate([np.linspace(-12, 12, 200_001), [0.0, 1e-8, -1e-8, 1e30, -1e30, np.inf, -np.inf]])
    values = values.astype(np.float32)
    out = np.empty_like(values)
    _tanh(values, out)
    exact = np.tanh(values.astype(np.float64))
    assert np.abs(out - exact).max() < 4.5e-7
    assert (out[values == 0] == 0).all()


def test_exp_is_right_to_float32() -> None:
    values = np.concatenate([np.linspace(-87, 88, 200_001), [0.0, 1e-8, -1e-8]]).astype(np.float32)
    out = np.empty_like(values)
    _exp(values, out)
    exact = np.exp(values.astype(np.float64))
    assert np.abs(out / exact - 1.0).max() < 2e-7
    assert (out[values == 0] == 1).all()


def test_exp_of_what_is_far_below_zero_is_nothing() -> None:
    values = np.array([-88.0, -1e4, -1e30, -np.inf], np.float32)
    out = np.empty_like(values)
    _exp(values, out)
    assert (out < 1e-37).all()
    assert (out >= 0).all()
