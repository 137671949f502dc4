"""The records of a schema, and reading them from plain data (a dict, as YAML gives it).

The format, by the example of `mpe2.simple_tag_v3`; every key that is not marked optional is needed:

    family: tag                        # optional: the family of ours with the same features, kinds and rules
    rules: {prey: num_good}            # optional, with family: its rules, each from an argument of the entry point
    arguments: {num_good: 1, num_adversaries: 3, num_obstacles: 2, num_landmark_neighbors: null}
                                       # the arguments that the schema refers to, with the game's own defaults
    requires: {curriculum: false}      # optional: arguments that must keep these values
    origin: obstacle                   # optional, where no agent is told its own position: the first of this group
                                       # is taken to be at (0, 0)
    entities:                          # groups of entities, one kind each; agents first, in the game's own order
      adversary: {agents: "adversary_*", radius: 0.075, team: adversaries}    # team: optional, the group's name
      prey: {agents: "agent_*", radius: 0.05}
      obstacle: {count: num_obstacles, radius: 0.2}                           # a number or an argument
    observation:                       # for each group of agents ("*": all that are not named), what its flat
      "*":                             # vector holds, block after block
        - own_velocity                 # 2 numbers
        - own_position                 # 2 numbers
        - {relative_position: [obstacle], nearest: num_landmark_neighbors}
        - {relative_position: [adversary, prey]}
        - {velocity: [prey]}

A block of a list of groups has one part per entity of these groups, in order of groups and entities, the observer
itself left out. The blocks are:

    own_position, own_velocity         x and y of the observer; they also become private features x, y, vx, vy
    relative_position: [groups]        position less the observer's, 2 numbers an entity
    position: [groups]                 position, 2 numbers an entity
    velocity: [groups]                 velocity, 2 numbers an entity; entities in no such block show none
    private: [names]                   private features of these names, one number each
    ignore: number                     so many numbers that are left out; with `of: [groups]`, so many an entity

and may have

    hidden: zeros                      (relative_position) 0, 0 means that the entity is not seen
    nearest: argument                  (relative_position, velocity, ignore) the block holds only so many parts, those
                                       of the nearest entities, padded with zeros; all of them if the argument is null.
                                       Objects shown this way must not move within an episode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marl_meta.games.reading import Entry, is_number
from marl_meta.types import UserError
from marl_meta.wording import listed

SELF_BLOCKS = ("own_position", "own_velocity")
_OPTIONS = {
    "relative_position": ("hidden", "nearest"),
    "position": (),
    "velocity": ("nearest",),
    "private": (),
    "ignore": ("of", "nearest"),
}
"""The blocks that are a table, and what each may have besides."""

_REQUIRED_KEYS = ("entities", "observation")
_KEYS = (*_REQUIRED_KEYS, "family", "rules", "arguments", "requires", "origin", "actions")


@dataclass(frozen=True, slots=True)
class Group:
    """Entities of one kind. Exactly one of `agents` and `count` is given."""

    kind: str
    radius: float
    agents: str | None
    """Pattern of the agents' names, as a shell would read it."""
    team: str
    count: int | str | None
    """Number of objects, or the argument that holds it."""


@dataclass(frozen=True, slots=True)
class Block:
    """A run of numbers in an agent's flat observation."""

    what: str
    groups: tuple[str, ...] = ()
    width: int = 2
    """Numbers per entity (or in all, where there are no groups)."""
    names: tuple[str, ...] = ()
    hidden: bool = False
    nearest: str | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """How a game's flat observations are entities. The module's text explains the fields."""

    name: str
    groups: tuple[Group, ...]
    observation: Mapping[str, tuple[Block, ...]]
    family: str | None
    rules: Mapping[str, str]
    arguments: Mapping[str, Any]
    requires: Mapping[str, Any]
    origin: str | None
    actions: tuple[str, ...]
    """Names of the actions; empty for the game's numbers."""

    def settings(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the schema's arguments as this call sets them; raise UserError where `requires` is not met."""
        for name, needed in self.requires.items():
            if arguments.get(name, needed) != needed:
                raise UserError(
                    f"Schema {self.name!r} describes the game only with {name}={needed!r}, not {arguments[name]!r}."
                )
        return {name: arguments.get(name, default) for name, default in self.arguments.items()}

    def family_rules(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the rules of `family` that these arguments stand for; an argument of None leaves the default."""
        settings = self.settings(arguments)
        return {rule: settings[name] for rule, name in self.rules.items() if settings[name] is not None}


def parse_schema(file: Path, name: str, data: Any) -> Schema:
    """Return the schema that `data` describes; raise UserError naming `file`, the key and what is allowed."""
    entry = Entry(file, "", data)
    given = entry.mapping(_KEYS, required=_REQUIRED_KEYS)
    arguments = _table(entry, "arguments")
    rules = entry.child("rules").named() if "rules" in given else {}
    for rule in rules:
        entry.child("rules").child(rule).one_of(tuple(arguments))
    entities = entry.child("entities")
    groups = tuple(_group(entities.child(kind), kind, arguments) for kind in entities.named())
    agents = tuple(group.kind for group in groups if group.agents is not None)
    if not agents or tuple(group.kind for group in groups[: len(agents)]) != agents:
        raise entities.error("groups of entities, at least one of agents, agents before objects")
    observation = {}
    for kind in _table(entry, "observation"):
        if kind not in ("*", *agents):
            raise UserError(f"{file}: observation.{kind} is no group of agents; allowed are {listed(('*', *agents))}.")
        blocks = entry.child("observation").child(kind)
        observation[kind] = tuple(
            _block(blocks.item(i), tuple(group.kind for group in groups), arguments)
            for i in range(len(blocks.items("a list of blocks")))
        )
    objects = tuple(group.kind for group in groups if group.agents is None)
    actions = entry.child("actions")
    return Schema(
        name=name,
        groups=groups,
        observation=observation,
        family=entry.child("family").text() if "family" in given else None,
        rules=rules,
        arguments=arguments,
        requires=_table(entry, "requires"),
        origin=entry.child("origin").one_of(objects) if "origin" in given else None,
        actions=tuple(str(action) for action in actions.items("a list of names")) if "actions" in given else (),
    )


def _group(entry: Entry, kind: str, arguments: Mapping[str, Any]) -> Group:
    given = entry.mapping(("agents", "count", "radius", "team"), required=("radius",))
    if ("agents" in given) == ("count" in given):
        raise entry.error("a table with either 'agents', a pattern of names, or 'count', how many there are")
    radius, count = given["radius"], entry.child("count")
    if not is_number(radius) or radius < 0:
        raise entry.child("radius").error("a number that is not negative")
    return Group(
        kind=kind,
        radius=float(radius),
        agents=entry.child("agents").text() if "agents" in given else None,
        team=entry.child("team").name() if "team" in given else kind,
        count=None if "count" not in given else count.value if count.value in arguments else count.integer(low=0),
    )


def _block(entry: Entry, kinds: tuple[str, ...], arguments: Mapping[str, Any]) -> Block:
    if entry.value in SELF_BLOCKS:
        return Block(what=entry.value)
    named = [what for what in _OPTIONS if isinstance(entry.value, dict) and what in entry.value]
    if len(named) != 1:
        raise entry.error(f"{listed(SELF_BLOCKS)}, or a table with one of {listed(_OPTIONS)}")
    what = named[0]
    given = entry.mapping((what, *_OPTIONS[what]))
    if what == "private":
        return Block(what=what, names=entry.child(what).names(), width=len(given[what]))
    over = entry.child("of" if what == "ignore" else what)
    if "hidden" in given:
        entry.child("hidden").one_of(("zeros",))
    count = len(over.items("a list of groups")) if what != "ignore" or "of" in given else 0
    return Block(
        what=what,
        groups=tuple(over.item(i).one_of(kinds) for i in range(count)),
        width=entry.child(what).integer(low=1) if what == "ignore" else 2,
        hidden="hidden" in given,
        nearest=entry.child("nearest").one_of(tuple(arguments)) if "nearest" in given else None,
    )


def _table(entry: Entry, key: str) -> dict[str, Any]:
    """Return the table under `key`, whose keys are the game's own names and so may be of any form."""
    table = entry.value.get(key, {})
    if not isinstance(table, dict):
        raise entry.child(key).error("a mapping of keys to values")
    return table
