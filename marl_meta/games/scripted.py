"""Hand-written players of a family, named in its family.yaml under `engine`.

    scripted:
      cover: "package.module:function"
      chase: {function: "package.module:function", plays: [adversary]}

The first can play every kind of agent, the second one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from marl_meta.games.family import Family, load_family
from marl_meta.games.reading import Entry
from marl_meta.resources import load_symbol
from marl_meta.types import IntArray, Observation, UserError
from marl_meta.wording import close_match, listed

ScriptedPolicy = Callable[[Observation, IntArray], IntArray]
"""A function of an observation and the agent slots [n] to play, that returns their actions [B,n]."""


@dataclass(frozen=True, slots=True)
class Script:
    """Where a hand-written player is found, and whom it can play."""

    place: str
    plays: tuple[str, ...]
    """Kinds of agent."""


def scripts_of(family: Family) -> dict[str, Script]:
    """Return the family's hand-written players by name; raises UserError where the family.yaml misnames them."""
    listing = Entry(family.path, "engine.scripted", family.engine.get("scripted", {}))
    return {name: _read(listing.child(name), family) for name in listing.named()}


def scripted_policy(family: str | Family, name: str) -> ScriptedPolicy:
    """Return a family's hand-written player; raises UserError for one that it does not have."""
    chosen = family if isinstance(family, Family) else load_family(family)
    scripts = scripts_of(chosen)
    if name not in scripts:
        raise UserError(
            f"Family {chosen.name!r} has no scripted player {name!r}{close_match(name, scripts)}; "
            f"it has {listed(scripts)}."
        )
    policy: ScriptedPolicy = load_symbol(scripts[name].place, chosen.path.parent)
    return policy


def _read(entry: Entry, family: Family) -> Script:
    if isinstance(entry.value, str):
        return Script(entry.text(), family.agents)
    entry.mapping(("function", "plays"), required=("function", "plays"))
    plays = entry.child("plays").names()
    for kind in plays:
        if kind not in family.agents:
            raise entry.child("plays").error(f"a list of kinds of agent ({listed(family.agents)})")
    return Script(entry.child("function").text(), plays)
