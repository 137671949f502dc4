"""What every compiled simulator knows of the variants of a batch, beside tables of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from marl_meta.games.family import Family
from marl_meta.types import FloatArray, IntArray, Layout, SmallIntArray, Variant


@dataclass(frozen=True, slots=True)
class Catalog:
    """The V variants of a batch, and the N agent slots in which all of them have room."""

    layout: Layout
    variants: Sequence[Variant]
    visible: FloatArray
    """[V,R]"""
    hidden: FloatArray
    """[V,R']"""
    agent_names: tuple[str, ...]
    """N names."""
    agent_team: SmallIntArray
    """[N]"""
    action_counts: IntArray
    """[V] how many actions each agent has, which are the first of the layout's."""


def make_catalog(
    family: Family,
    variants: Sequence[Variant],
    layout: Layout,
    agent_names: tuple[str, ...],
    agent_team: SmallIntArray,
    action_counts: IntArray | None = None,
) -> Catalog:
    """Return the catalog of a family's variants; the columns of rules that `layout` lacks are the family's.

    `action_counts` [V] are all of the layout's actions unless a variant has fewer.
    """
    everything = np.full(len(variants), len(layout.actions), np.int64)
    return Catalog(
        layout=replace(layout, visible_rules=family.columns(hidden=False), hidden_rules=family.columns(hidden=True)),
        variants=variants,
        visible=np.stack([family.encode(variant.rules, hidden=False) for variant in variants]),
        hidden=np.stack([family.encode(variant.rules, hidden=True) for variant in variants]),
        agent_names=agent_names,
        agent_team=agent_team,
        action_counts=everything if action_counts is None else action_counts,
    )
