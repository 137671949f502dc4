"""The operators that the relational policy is made of, in two sets of equal functions.

`FUSED`: kernels for float32 on the CPU, differentiable once. `PLAIN`: tensor code, for any device, for functional
transforms and for derivatives of any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from marl_meta.nets.attention import relational_attention, relational_attention_reference
from marl_meta.nets.fold import Maps, Weights, fold, fold_reference
from marl_meta.nets.gru import GruWeights, gru, gru_reference
from marl_meta.nets.heads import legal_logits, legal_logits_reference, value, value_reference
from marl_meta.nets.rectified import rectified, rectified_reference
from marl_meta.nets.residual import residual, residual_reference


@dataclass(frozen=True, slots=True)
class Operators:
    """One function for each operator; each is described where it is defined."""

    rectified: Callable[[Tensor, Tensor, Tensor], Tensor]
    fold: Callable[[Weights, int, int], Maps]
    attend: Callable[[Tensor, Tensor, Tensor, Maps, Tensor | None], tuple[Tensor, Tensor]]
    residual: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
    gru: Callable[[Tensor, Tensor, Tensor, GruWeights], Tensor]
    legal_logits: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    value: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


FUSED = Operators(rectified, fold, relational_attention, residual, gru, legal_logits, value)
PLAIN = Operators(
    rectified_reference,
    fold_reference,
    relational_attention_reference,
    residual_reference,
    gru_reference,
    legal_logits_reference,
    value_reference,
)


def operators_of(path: str) -> Operators:
    """Return the set for a path of the policy: all but `fused` are made of tensor code."""
    return FUSED if path == "fused" else PLAIN
