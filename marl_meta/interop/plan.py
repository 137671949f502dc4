"""What a third-party game is made of: its agents, their kinds, teams and spaces, and the slots they take in a batch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from marl_meta.interop.actions import ActionCodec, action_codec
from marl_meta.interop.entry import Environment, make_environment
from marl_meta.interop.schema_format import Schema
from marl_meta.interop.schema_maps import ENTITY_FEATURES, Reading, compile_schema, group_of, private_names
from marl_meta.interop.spaces import ObservationCodec, observation_codec
from marl_meta.interop.turn_based import TurnBased
from marl_meta.types import BoundRule, IntArray, Layout, SmallIntArray, TeamLayout, UserError
from marl_meta.wording import listed

OWN = "*"
"""What a team is called that is an agent's own."""


@dataclass(frozen=True, slots=True)
class GameSource:
    """How to make a third-party game, and what is known of it beyond PettingZoo's interface."""

    entry_point: str
    schema: Schema | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    """Kinds by pattern of agents' names; agents that no pattern fits have their name's prefix."""
    teams: Mapping[str, str] = field(default_factory=dict)
    """Teams by pattern of agents' names; a team called * is an agent's own, of its name.

    Agents that no pattern fits form the team of their kind, or, where they move in turns, are each on its own.
    """
    wrappers: Sequence[Mapping[str, Any]] = ()
    folder: Path | None = None
    strict: bool = True
    """Whether games are refused whose observations cannot become vectors. Else those are left out."""

    def make(self, kwargs: Mapping[str, Any]) -> Environment:
        """Return a new game; raises UserError if these arguments do not make one that can be trained on."""
        return make_environment(self.entry_point, kwargs, self.wrappers, self.folder)


@dataclass(frozen=True, slots=True)
class GamePlan:
    """One choice of a game's arguments: its n agents, team by team, and where they and its objects go in a batch."""

    agents: tuple[str, ...]
    kinds: tuple[str, ...]
    """[e] of every entity, agents first."""
    teams: tuple[str, ...]
    """[n]"""
    observations: tuple[ObservationCodec, ...]
    actions: tuple[ActionCodec, ...]
    reading: Reading | None
    """None without a schema; then every agent is one entity."""


@dataclass(frozen=True, slots=True)
class Slots:
    """Where one plan's entities are in the batch's arrays, and what is the same in every one of its observations."""

    entities: IntArray
    """[e]; the first n are the agents' slots."""
    kind: SmallIntArray
    """[E]"""
    team: SmallIntArray
    """[E]"""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Several plans brought to one batch: the layout that they share, its sizes, and every plan's slots."""

    layout: Layout
    agent_names: tuple[str, ...]
    agent_team: SmallIntArray
    num_entities: int
    observation_size: int
    """Length of the longest observation of any agent."""
    slots: tuple[Slots, ...]


def plan_game(source: GameSource, kwargs: Mapping[str, Any]) -> GamePlan:
    """Return the plan of the game with these arguments; raises UserError on what cannot be trained on."""
    environment = source.make(kwargs)
    try:
        names: list[str] = list(environment.possible_agents)
        if not all(isinstance(name, str) for name in names):
            raise UserError(f"Agents of {source.entry_point!r} must be named by texts, not {listed(names)}.")
        kinds = {name: _kind(source, name) for name in names}
        alone = isinstance(environment, TurnBased)
        teams = {name: _team(source, name, name if alone else kinds[name]) for name in names}
        order = [name for team in dict.fromkeys(teams.values()) for name in names if teams[name] == team]
        where = {name: f"Agent {name!r} of {source.entry_point!r}" for name in names}
        observations = tuple(
            observation_codec(environment.observation_space(name), where[name], strict=source.strict) for name in order
        )
        actions = tuple(action_codec(environment.action_space(name), where[name]) for name in order)
    finally:
        environment.close()
    reading = _read(source, order, observations, kwargs)
    return GamePlan(
        agents=tuple(order),
        kinds=reading.kinds if reading is not None else tuple(kinds[name] for name in order),
        teams=tuple(teams[name] for name in order),
        observations=observations,
        actions=actions,
        reading=reading,
    )


def _read(
    source: GameSource, agents: list[str], observations: Sequence[ObservationCodec], kwargs: Mapping[str, Any]
) -> Reading | None:
    if source.schema is None:
        return None
    reading = compile_schema(source.schema, agents, kwargs)
    for agent, codec, size in zip(agents, observations, reading.sizes, strict=True):
        if codec.size != size:
            raise UserError(
                f"Schema {source.schema.name!r} describes {size} numbers for agent {agent!r} of "
                f"{source.entry_point!r}, whose observation has {codec.size}."
            )
    return reading


def _kind(source: GameSource, agent: str) -> str:
    if source.schema is not None:
        return group_of(source.schema, agent).kind
    return _fitting(source.kinds, agent) or re.sub(r"[_-]?\d+$", "", agent) or agent


def _team(source: GameSource, agent: str, usual: str) -> str:
    if source.schema is not None:
        return group_of(source.schema, agent).team
    found = _fitting(source.teams, agent) or usual
    return agent if found == OWN else found


def _fitting(patterns: Mapping[str, str], agent: str) -> str | None:
    return next((value for pattern, value in patterns.items() if fnmatchcase(agent, pattern)), None)


def arrange(
    source: GameSource,
    plans: Sequence[GamePlan],
    *,
    kinds: tuple[str, ...] = (),
    layout: Layout | None = None,
    visible_rules: tuple[BoundRule, ...] = (),
    hidden_rules: tuple[BoundRule, ...] = (),
) -> Arrangement:
    """Return the arrangement of `plans` in one batch.

    `layout` is that of a family of ours, which the game must fit, with a team for each kind of agent; else one is
    made, whose kinds start with `kinds`.
    """
    if layout is None:
        layout = _layout(source, plans, kinds, visible_rules, hidden_rules)
    else:
        named = {team.kind: team.name for team in layout.teams}
        plans = [
            replace(plan, teams=tuple(named.get(kind, kind) for kind in plan.kinds[: len(plan.agents)]))
            for plan in plans
        ]
        _check_fits(source, plans, layout)
    teams = [team.name for team in layout.teams]
    width = {team: max(plan.teams.count(team) for plan in plans) for team in teams}
    names = []
    for team in teams:
        largest = max(plans, key=lambda plan, team=team: plan.teams.count(team))  # type: ignore[misc]  # bound per team
        names += [name for name, its_team in zip(largest.agents, largest.teams, strict=True) if its_team == team]
    agent_team = np.repeat(np.arange(len(teams), dtype=np.int8), [width[team] for team in teams])
    objects = [kind for kind in layout.kinds if any(kind in plan.kinds[len(plan.agents) :] for plan in plans)]
    room = {kind: max(plan.kinds[len(plan.agents) :].count(kind) for plan in plans) for kind in objects}
    first, start = {}, len(names)
    for kind in objects:
        first[kind] = start
        start += room[kind]
    return Arrangement(
        layout=layout,
        agent_names=tuple(names),
        agent_team=agent_team,
        num_entities=start,
        observation_size=max(codec.size for plan in plans for codec in plan.observations),
        slots=tuple(_slots(plan, layout, agent_team, first, start) for plan in plans),
    )


def _default_kinds(layout: Layout, agent_team: SmallIntArray, first: Mapping[str, int], size: int) -> SmallIntArray:
    """Return the kinds [E] of slots that nothing is in: those of their teams and of the objects they are for."""
    kinds = np.zeros(size, np.int8)
    kinds[: len(agent_team)] = [layout.kinds.index(layout.teams[team].kind) for team in agent_team]
    for kind, start in first.items():
        kinds[start:] = layout.kinds.index(kind)
    return kinds


def _slots(plan: GamePlan, layout: Layout, agent_team: SmallIntArray, first: Mapping[str, int], size: int) -> Slots:
    teams = [team.name for team in layout.teams]
    taken: dict[str, int] = {}
    slots = []
    for index, kind in enumerate(plan.kinds):
        if index < len(plan.agents):
            team = plan.teams[index]
            group, base = f"team {team}", int(np.argmax(agent_team == teams.index(team)))
        else:
            group, base = kind, first[kind]
        slots.append(base + taken.get(group, 0))
        taken[group] = taken.get(group, 0) + 1
    entities = np.array(slots, np.int64)
    kinds = _default_kinds(layout, agent_team, first, size)
    kinds[entities] = [layout.kinds.index(kind) for kind in plan.kinds]
    members = np.full(size, -1, np.int8)
    members[: len(agent_team)] = agent_team
    return Slots(entities=entities, kind=kinds, team=members)


def _layout(
    source: GameSource,
    plans: Sequence[GamePlan],
    kinds: tuple[str, ...],
    visible_rules: tuple[BoundRule, ...],
    hidden_rules: tuple[BoundRule, ...],
) -> Layout:
    roles: dict[str, str] = {}
    for plan in plans:
        for team in dict.fromkeys(plan.teams):
            members = [kind for kind, its_team in zip(plan.kinds, plan.teams, strict=False) if its_team == team]
            roles.setdefault(team, max(dict.fromkeys(members), key=members.count))
    found = [kind for plan in plans for kind in plan.kinds[: len(plan.agents)]]
    found += [kind for plan in plans for kind in plan.kinds[len(plan.agents) :]]
    if kinds and not set(found) <= set(kinds):
        strange = next(kind for kind in found if kind not in kinds)
        raise UserError(
            f"{source.entry_point!r} has entities of kind {strange!r}; the family's kinds are {listed(kinds)}."
        )
    widest = max((codec for plan in plans for codec in plan.actions), key=lambda codec: codec.count)
    named = source.schema.actions if source.schema is not None else ()
    size = max(codec.size for plan in plans for codec in plan.observations)
    return Layout(
        kinds=tuple(dict.fromkeys((*kinds, *found))),
        teams=tuple(TeamLayout(name=team, kind=kind) for team, kind in roles.items()),
        entity_features=ENTITY_FEATURES if source.schema is not None else (),
        private_features=private_names(source.schema) if source.schema else tuple(f"obs_{i}" for i in range(size)),
        actions=named if len(named) == widest.count else widest.names,
        visible_rules=visible_rules,
        hidden_rules=hidden_rules,
    )


def _check_fits(source: GameSource, plans: Sequence[GamePlan], layout: Layout) -> None:
    """Raise UserError unless the game's schema has the columns, kinds, teams and actions of a family of ours."""
    schema = source.schema
    if schema is None or schema.family is None:
        raise ValueError("only a schema that names a family can share its layout")
    teams = tuple(dict.fromkeys(team for plan in plans for team in plan.teams))
    pairs = (
        ("entity features", ENTITY_FEATURES, layout.entity_features),
        ("private features", private_names(schema), layout.private_features),
        ("teams", teams, tuple(team.name for team in layout.teams)),
    )
    for what, ours, theirs in pairs:
        if ours != theirs:
            raise UserError(
                f"Schema {schema.name!r} does not fit family {schema.family!r}: its {what} are {listed(ours)}, "
                f"the family's {listed(theirs)}."
            )
    strange = [kind for plan in plans for kind in plan.kinds if kind not in layout.kinds]
    if strange:
        raise UserError(
            f"Schema {schema.name!r} does not fit family {schema.family!r}: it has no kind {strange[0]!r}, "
            f"only {listed(layout.kinds)}."
        )
    counts = {codec.count for plan in plans for codec in plan.actions}
    if counts != {len(layout.actions)}:
        raise UserError(
            f"Schema {schema.name!r} does not fit family {schema.family!r}: its agents have {listed(sorted(counts))} "
            f"actions, the family's {len(layout.actions)}."
        )
