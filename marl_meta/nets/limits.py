"""Holding numbers between limits, without losing those that are beyond."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def within(values: Tensor, least: float, most: float) -> Tensor:
    """Return `values` held between two limits, as `clamp` does.

    Unlike there, who is at a limit or beyond feels what would move him back; and he does not feel what would move him
    further beyond. Values that ran away so had gradients next to which, once clipped by their norm, those of all other
    parameters vanished.
    """
    if not torch.is_grad_enabled():  # what is exported holds nothing of gradients
        return values.clamp(least, most)
    return _Within.apply(values, least, most)  # type: ignore[no-any-return, no-untyped-call]


class _Within(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, least: float, most: float) -> Tensor:
        return values.clamp(least, most)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float, float], _output: Tensor) -> None:
        values, least, most = inputs
        ctx.save_for_backward(values <= least, values >= most)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        below, above = ctx.saved_tensors
        return slope.masked_fill(torch.where(slope > 0, below, above), 0.0), None, None
