"""Hand-written players of a family, named in its family.yaml under `engine`.

    scripted:
      cover: "package.module:function"
      chase: {function: "package.module:function", plays: [adversary]}
      sweep: {function: "package.module:function", memory: 2}

The first can play every kind of agent, the second one of them. The third keeps two integers for every agent in mind:
it is a `RememberingPolicy`, and `marl_meta.players` keeps its memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.games.family import Family, load_family
from marl_meta.games.reading import Entry
from marl_meta.resources import load_symbol
from marl_meta.types import IntArray, Observation, UserError
from marl_meta.wording import close_match, listed

ScriptedPolicy = Callable[[Observation, IntArray], IntArray]
"""A function of an observation and the agent slots [n] to play, that returns their actions [B,n]."""

RememberingPolicy = Callable[[Observation, IntArray, IntArray, npt.NDArray[np.float64]], tuple[IntArray, IntArray]]
"""The same of a player with memory: `policy(observation, agents, memory, chance)` returns actions and the new memory.

`memory` [B,n,W] is zero at the start of every trial; `chance` [B,n] are numbers drawn uniformly from [0, 1).
"""


@dataclass(frozen=True, slots=True)
class Script:
    """Where a hand-written player is found, and whom it can play."""

    place: str
    plays: tuple[str, ...]
    """Kinds of agent."""
    memory: int = 0
    """W, how many integers it remembers for each agent; 0 for a `ScriptedPolicy`."""


def scripts_of(family: Family) -> dict[str, Script]:
    """Return the family's hand-written players by name; raises UserError where the family.yaml misnames them."""
    listing = Entry(family.path, "engine.scripted", family.engine.get("scripted", {}))
    return {name: _read(listing.child(name), family) for name in listing.named()}


def scripted_policy(family: str | Family, name: str) -> ScriptedPolicy:
    """Return a family's hand-written player without memory; raises UserError for one that it does not have."""
    policy: ScriptedPolicy = load_script(family, name)[1]
    return policy


def load_script(family: str | Family, name: str) -> tuple[Script, Any]:
    """Return a family's hand-written player and its function; raises UserError for one that it does not have."""
    chosen = family if isinstance(family, Family) else load_family(family)
    scripts = scripts_of(chosen)
    if name not in scripts:
        raise UserError(
            f"Family {chosen.name!r} has no scripted player {name!r}{close_match(name, scripts)}; "
            f"it has {listed(scripts)}."
        )
    return scripts[name], load_symbol(scripts[name].place, chosen.path.parent)


def _read(entry: Entry, family: Family) -> Script:
    if isinstance(entry.value, str):
        return Script(entry.text(), family.agents)
    given = entry.mapping(("function", "plays", "memory"), required=("function",))
    plays = entry.child("plays").names() if "plays" in given else family.agents
    for kind in plays:
        if kind not in family.agents:
            raise entry.child("plays").error(f"a list of kinds of agent ({listed(family.agents)})")
    memory = entry.child("memory").integer(low=1) if "memory" in given else 0
    return Script(entry.child("function").text(), plays, memory)
