"""How flat observations of our families are read: found out by asking what writes them.

What flattens an observation puts every number of it into some place, or leaves it out. So an observation whose numbers
are all different says, flattened, where each of them goes; nothing here repeats how a family arranges them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from marl_meta.export.boards import make_grid
from marl_meta.export.sight import Eye, Sight
from marl_meta.games import Family, load_family, make_vec
from marl_meta.games.connect.planes import is_board
from marl_meta.games.flat import Flatten, flattener, is_placed
from marl_meta.types import BoolArray, FloatArray, IntArray, Layout, Observation, UserError, VectorGame

_STEPS = 4
"""So many steps are played to see who shows its velocity."""


@dataclass(frozen=True, slots=True)
class Seen:
    """How a game is seen by who plays in it: by entities, and by flat vectors."""

    layout: Layout
    sight: Sight


def visible_rules(family: Family, rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the rules that are shown; all others are at their default."""
    known = {name: value for name, value in rules.items() if name in family.rules}
    hidden = family.hides(family.complete(known))
    return {name: value for name, value in known.items() if name not in hidden}


def family_sight(family: str | Path | Family, rules: Mapping[str, Any] | None = None) -> Seen:
    """Return how one variant of a family is seen; hidden rules among `rules` make no difference.

    Raises UserError on unknown rules, and where flat observations do not say who is who.
    """
    chosen = family if isinstance(family, Family) else load_family(family)
    shown = visible_rules(chosen, chosen.variant(rules or {}).rules)
    for name in ("nearest_agents", "nearest_objects"):
        if shown.get(name):
            raise UserError(
                f"Under the rule {name}={shown[name]} flat observations of {chosen.name!r} do not say who is who; "
                "teams read them only where it is 0."
            )
    complete = chosen.variant(shown).rules
    game = make_vec(chosen, num_games=1, rules=complete)
    try:
        return _look_into(chosen, game, shown, complete)
    finally:
        game.close()


def _look_into(family: Family, game: VectorGame, shown: dict[str, Any], complete: Mapping[str, Any]) -> Seen:
    name = family.name
    layout, first = game.layout, game.reset(0).observation
    if is_board(layout):
        return _board(family, game, first, shown, complete)
    if not first.present.all():
        raise UserError(f"Games of {name!r} have no flat observations that a team could read.")
    flatten = flattener(layout, first, complete)
    relative = np.full(len(layout.entity_features), -1, np.int64)
    if is_placed(layout):
        for feature in ("x", "y"):
            relative[layout.entity_features.index(feature)] = layout.private_features.index(feature)
    counts = game.action_counts[0]
    eyes = {agent: _eye(layout, first, flatten, slot, int(counts[slot])) for slot, agent in enumerate(game.agent_names)}
    if is_placed(layout):
        for slot, shows in enumerate(_who_shows_velocity(game)):
            _see_itself(layout, eyes[game.agent_names[slot]], shows=bool(shows))
    told = np.stack([eye.columns >= 0 for eye in eyes.values()]).any(0)
    sight = Sight(
        game=name, rules=shown, kinds=layout.kinds, agents=tuple(game.agent_names),
        kind=first.kind[0].astype(np.int64), team=first.team[0].astype(np.int64),
        teams=tuple(team.name for team in layout.teams),
        fixed=np.where(told, np.float32(0.0), first.entities[0]), rule_values=first.rules[0].copy(),
        relative=relative, eyes=eyes,
    )  # fmt: skip
    return Seen(layout, sight)


def _board(
    family: Family, game: VectorGame, first: Observation, shown: dict[str, Any], complete: Mapping[str, Any]
) -> Seen:  # fmt: skip
    """Return how a board is seen: as a whole, not number by number."""
    layout, grid = game.layout, make_grid(family, complete)
    entities = first.present.shape[1]
    columns = np.full((entities, len(layout.entity_features)), -1, np.int64)
    private = np.full(len(layout.private_features), -1, np.int64)
    counts = game.action_counts[0]
    eyes = {
        agent: Eye(slot, grid.size, columns, private, np.zeros(entities, np.bool_), int(counts[slot]))
        for slot, agent in enumerate(game.agent_names)
    }
    sight = Sight(
        game=family.name, rules=shown, kinds=layout.kinds, agents=tuple(game.agent_names),
        kind=first.kind[0].astype(np.int64), team=first.team[0].astype(np.int64),
        teams=tuple(team.name for team in layout.teams),
        fixed=np.zeros(first.entities.shape[1:], np.float32), rule_values=first.rules[0].copy(),
        relative=np.full(len(layout.entity_features), -1, np.int64), eyes=eyes, grid=grid,
    )  # fmt: skip
    return Seen(layout, sight)


def _eye(layout: Layout, first: Observation, flatten: Flatten, slot: int, actions: int) -> Eye:
    """Return how one agent's vector is read, found out by observations whose numbers are all different."""
    entities, features = first.entities.shape[1:]
    codes = np.arange(1, entities * features + 1, dtype=np.float32).reshape(entities, features)
    blind = replace(first, entities=codes[None], private=np.zeros_like(first.private), sees=None)
    columns = _places(flatten(blind, 0, slot), codes)
    own = np.arange(1, len(layout.private_features) + 1, dtype=np.float32)
    private = np.zeros_like(first.private)
    private[0, slot] = own
    bare = replace(first, entities=np.zeros_like(first.entities), private=private, sees=None)
    vector = flatten(bare, 0, slot)
    vector[columns[columns >= 0]] = 0.0
    hides = np.full(entities, first.sees is not None)
    hides[slot] = False
    return Eye(slot, vector.size, columns, _places(vector, own), hides, actions)


def _places(vector: FloatArray, codes: FloatArray) -> IntArray:
    """Return where in a vector each of the codes [...] stands, -1 for nowhere."""
    found = np.full(codes.shape, -1, np.int64)
    for index in np.ndindex(codes.shape):
        places = np.flatnonzero(vector == codes[index])
        if len(places):
            found[index] = places[0]
    return found


def _see_itself(layout: Layout, eye: Eye, *, shows: bool) -> None:
    """Let an agent read its own place, and what others see of its velocity, from what it alone is told."""
    for feature in ("x", "y", *(("vx", "vy") if shows else ())):
        column, own = layout.entity_features.index(feature), layout.private_features.index(feature)
        eye.columns[eye.slot, column] = eye.private[own]


def _who_shows_velocity(game: VectorGame) -> BoolArray:
    """Return which agents [N] show others how fast they are; plays a few steps to see it."""
    column = game.layout.entity_features.index("vx")
    found = np.zeros(game.num_agents, np.bool_)
    for step in range(_STEPS):
        action = np.full((1, game.num_agents), 1 + step % (len(game.layout.actions) - 1), np.int64)
        shown = game.step(action).observation.entities[0, : game.num_agents, column : column + 2]
        found |= shown.any(-1)
    return found
