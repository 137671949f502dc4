"""How PettingZoo environments are seen: of our families, and of anybody's games."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from marl_meta.export.boards import PLACES
from marl_meta.export.sight import Eye, Sight
from marl_meta.export.sights import Seen, family_sight
from marl_meta.types import IntArray, UserError

if TYPE_CHECKING:
    from marl_meta.interop.plan import GamePlan
    from marl_meta.interop.schema_maps import Reading
    from marl_meta.interop.vector import PettingZooVector

Reads = Callable[[str, Any], Any]
"""Turns an agent's observation into a vector, or `{observation, action_mask}` of one."""
Says = Callable[[str, int], Any]
"""Turns the number of an agent's action into the action."""


@dataclass(frozen=True, slots=True)
class Place:
    """A game that a team plays in, as its environment has it: how it is seen, and how its spaces are translated."""

    seen: Seen
    reads: Reads = lambda _, observation: observation
    says: Says = lambda _, action: action


def place_of(env: Any, schema: str | None = None) -> Place:
    """Return how a PettingZoo environment is seen, parallel or in turns; `schema` says what observations mean.

    Nothing is asked of the environment but what it is: another copy is made to look into. Raises UserError where it
    cannot be found out what would make one, and for games whose observations a team cannot read.
    """
    from marl_meta.interop.origin import origin
    from marl_meta.interop.turn_game import our_game

    game = our_game(env)
    if game is not None:
        return Place(family_sight(game.family, game.rules))
    found = origin(env, schema=schema)
    if found.name in PLACES and type(env.unwrapped).__module__.startswith("pettingzoo."):
        return _board_place(found.name, list(env.possible_agents))
    if found.entry_point is None:
        raise UserError(
            f"It cannot be found out what makes the environment {found.name!r}: name its module's env or parallel_env "
            "(as_policy(game='package.module:parallel_env', kwargs=...))."
        )
    return third_party_place(found.entry_point, found.kwargs, schema or found.observation_schema)


def _board_place(name: str, agents: list[str]) -> Place:
    """Return how a game of PettingZoo is seen that is a variant of ours, whose players it calls `agents`."""
    seen = family_sight("connect", PLACES[name])
    eyes = dict(zip(agents, seen.sight.eyes.values(), strict=True))
    return Place(replace(seen, sight=replace(seen.sight, agents=tuple(agents), eyes=eyes)))


def third_party_place(entry_point: str, kwargs: Mapping[str, Any] | None = None, schema: str | None = None) -> Place:
    """Return how a game of somebody else's is seen; errors are those of `PettingZooVector`, and `place_of`'s."""
    from marl_meta.interop.spaces import action_mask_of
    from marl_meta.interop.vector import PettingZooVector

    game = PettingZooVector(entry_point, kwargs, num_games=1, schema=schema)
    try:
        plan = game.plan
        seen = Seen(game.layout, _third_party_sight(entry_point, dict(kwargs or {}), game))
    finally:
        game.close()
    codecs = dict(zip(plan.agents, zip(plan.observations, plan.actions, strict=True), strict=True))

    def reads(agent: str, observation: Any) -> Any:
        mask = action_mask_of(observation)
        vector = codecs[agent][0].encode(observation)
        return vector if mask is None else {"observation": vector, "action_mask": mask}

    return Place(seen, reads, lambda agent, action: codecs[agent][1].decode(action))


def _third_party_sight(entry_point: str, kwargs: dict[str, Any], game: PettingZooVector) -> Sight:
    layout, plan, slots = game.layout, game.plan, game.slots
    order = np.argsort(slots.entities)  # slots may leave none empty: there is one variant
    kinds = [layout.kinds.index(plan.kinds[j]) for j in order]
    teams = [team.name for team in layout.teams]
    reading = plan.reading
    if reading is not None and (reading.nearest or reading.own_position.min() < 0):
        raise UserError(
            f"Observations of {entry_point!r} do not say which entity is which, or where their agent is; a team reads "
            "them only where they do."
        )
    relative = np.full(len(layout.entity_features), -1, np.int64)
    fixed = np.zeros((len(order), len(layout.entity_features)), np.float32)
    if reading is not None:
        for feature in ("x", "y"):
            relative[layout.entity_features.index(feature)] = layout.private_features.index(feature)
        fixed[:, layout.entity_features.index("radius")] = reading.radius[order]
    place = {int(j): slot for slot, j in enumerate(order)}
    return Sight(
        game=entry_point, rules=kwargs, kinds=layout.kinds,
        agents=tuple(plan.agents[j] for j in order[: len(plan.agents)]),
        kind=np.array(kinds, np.int64), team=slots.team[slots.entities[order]].astype(np.int64), teams=tuple(teams),
        fixed=fixed, rule_values=game.visible_rules[0].copy(),
        relative=relative,
        eyes={
            name: _eye(plan, i, place[i], order, len(layout.private_features), len(layout.entity_features), reading)
            for i, name in enumerate(plan.agents)
        },
    )  # fmt: skip


def _eye(
    plan: GamePlan, i: int, slot: int, order: IntArray, private: int, features: int, reading: Reading | None
) -> Eye:  # fmt: skip
    """Return how agent i's vector is read, by what the schema says of it, or as it is."""
    size, actions = plan.observations[i].size, plan.actions[i].count
    columns, hides = np.full((len(order), features), -1, np.int64), np.zeros(len(order), np.bool_)
    if reading is None:
        own = np.where(np.arange(private) < size, np.arange(private), -1)
        return Eye(slot, size, columns, own, hides, actions)
    for pair, first in ((reading.relative[i], 0), (reading.velocity[i], 2)):
        for offset in range(2):
            columns[:, first + offset] = np.where(pair[order] >= 0, pair[order] + offset, -1)
    for offset in range(2):
        columns[slot, offset] = reading.own_position[i] + offset
        if reading.shows_velocity[i] and reading.own_velocity[i] >= 0:
            columns[slot, 2 + offset] = reading.own_velocity[i] + offset
    hides = (reading.can_hide[i] | (reading.relative[i] < 0))[order]
    hides[slot] = False
    return Eye(slot, size, columns, reading.private[i].copy(), hides, actions)
