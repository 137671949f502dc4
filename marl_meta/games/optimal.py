"""The best possible return, for families that know it: named in family.yaml as `engine: {optimal: "module:function"}`.

The function takes the complete rules of a variant, and returns what the best possible team that does not know the
hidden ones earns in one episode before it has played any (the mean over its agents), or None where nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marl_meta.games.family import Family
from marl_meta.games.reading import Entry
from marl_meta.types import Variant


def optimal_return(family: Family, rules: Variant | Mapping[str, Any]) -> float | None:
    """Return the best possible return under a variant's visible rules, or None where it is not known.

    It is an expectation over the hidden rules, not what would be possible under those of this very variant.
    """
    if "optimal" not in family.engine:
        return None
    place = Entry(family.path, "engine.optimal", family.engine["optimal"]).text()
    variant = rules if isinstance(rules, Variant) else family.variant(rules)
    found: float | None = family.load_function("engine.optimal", place)(variant.rules)
    return found
