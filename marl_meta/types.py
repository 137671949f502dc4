"""The records that everything passes around, with their shapes.

Shape letters, used everywhere in the project: B games, T time, K episodes of a trial,
N agents, E entities (agents first), F features, H hidden, A actions, M tasks, R rules, P private features.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
SmallIntArray = npt.NDArray[np.int8]
LinkArray = npt.NDArray[np.int16]
BoolArray = npt.NDArray[np.bool_]
Snapshot = dict[str, npt.NDArray[Any]]
"""Everything a game needs to go on exactly where it was: plain arrays by name."""


RuleForm = Literal["number", "value", "one_hot", "ordering"]
"""How the numbers of a rule may be set, see `BoundRule.form`."""


@dataclass(frozen=True, slots=True)
class TeamLayout:
    """A team of a game: its name and the kind (role) that its agents have."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class BoundRule:
    """One number of a rule, and the nodes of the relation graph that carry it.

    `name` is unique (`damping`, `payoff[2]`); `feature` is the node feature that it fills, which several
    numbers share when each belongs to other kinds (`payoff` of three kinds of objects); `kinds` are the
    kinds of entity whose nodes carry it (rules of the whole game are carried by every kind of agent). The numbers of
    one rule stand next to each other; `form` and `values` say which values they take together.
    """

    name: str
    feature: str
    kinds: tuple[str, ...]
    rule: str = ""
    """Name of the rule whose number it is."""
    form: RuleForm = "number"
    """`number`: anything in [-1, 1]; `value`: one of `values`; `one_hot`: 1 in one of the rule's numbers, 0 in the
    others; `ordering`: the rule's numbers are an ordering of `values`."""
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """What the numbers of an observation mean: the part of a game that a policy is built for.

    It holds no team size and no number of objects, because a policy runs on any.
    """

    kinds: tuple[str, ...]
    """Names of the kinds of entity; `Observation.kind` indexes them."""
    teams: tuple[TeamLayout, ...]
    """`Observation.team` indexes them; objects have team -1."""
    entity_features: tuple[str, ...]
    """Columns of `Observation.entities`. Particle games: x, y, vx, vy, radius."""
    private_features: tuple[str, ...]
    """Columns of `Observation.private`."""
    actions: tuple[str, ...]
    """Names of the A actions."""
    visible_rules: tuple[BoundRule, ...] = ()
    """Columns of `Observation.rules`."""
    hidden_rules: tuple[BoundRule, ...] = ()
    """Columns of `VectorGame.hidden_rules`."""
    links: tuple[str, ...] = ()
    """What the last columns of `Observation.links` say of an entity (such as who is above it), in games whose entities
    are linked and whose actions are about entities (`Observation.targets`); the columns before are of one sort."""
    completes: str = ""
    """The public feature that is 1 of an entity that is complete, such as a full line, in games in which nothing moves:
    that one comes to be so is what rules show by."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a batch of games shows. Rows of absent entities are zero."""

    entities: FloatArray
    """[B,E,F] public features; agents come first, team by team."""
    kind: SmallIntArray
    """[B,E] index into `Layout.kinds`."""
    team: SmallIntArray
    """[B,E] index into `Layout.teams`, -1 for objects."""
    present: BoolArray
    """[B,E] games of different sizes share a batch; absent slots are False."""
    private: FloatArray
    """[B,N,P] what each agent alone knows (its own position and velocity)."""
    sees: BoolArray | None
    """[B,N,E] which entities each agent sees; None when everybody sees everything."""
    acting: BoolArray
    """[B,N] who acts now. Absent and finished agents do not."""
    action_mask: BoolArray
    """[B,N,A] legal actions; every row has at least one, those of agents that do not act too."""
    rules: FloatArray
    """[B,R] visible rules, each scaled to [-1, 1] over its range."""
    links: LinkArray | None = None
    """[B,E,L] the entities that each entity is linked with, by index, -1 for none; None in games without such.

    Which column means what is the family's to say; links do not depend on who is present.
    """
    targets: LinkArray | None = None
    """[B,A] the entity that each action is about, -1 for one that is not legal; None where actions are about none."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a batch of games.

    The games reset themselves: where `game_over`, `observation` is the first of the next game and
    `final` holds the last of the ended one, so that a time limit can be bootstrapped from it.
    Arrays of a Step stay valid until the second `step` after it; copy what is kept longer.
    """

    observation: Observation
    reward: FloatArray
    """[B,N] for the transition that led here; 0 for absent agents, and after a reset."""
    terminated: BoolArray
    """[B,N] the agent's game ended by its rules: its future is worth nothing."""
    truncated: BoolArray
    """[B,N] a time limit cut the game: its future has a value. Never True together with terminated."""
    game_over: BoolArray
    """[B] the game ended in this step, for whatever reason."""
    trial_over: BoolArray
    """[B] and it was the trial's last: the next game is under newly drawn rules."""
    final: Observation | None
    """The ended games' last observations, [B,...] rows valid where `game_over`; None if none ended."""


class VectorGame(Protocol):
    """A batch of running games, each under its own rules, with its own random stream."""

    layout: Layout
    num_games: int
    num_agents: int
    """N: agent slots, the largest number of agents over the batch's variants."""
    num_entities: int
    num_variants: int
    """V: variants that the games draw theirs from, or were given."""
    agent_names: tuple[str, ...]
    """Names of the N agent slots, such as adversary_0."""
    agent_team: SmallIntArray
    """[N] the team that each agent slot belongs to; slots of a team are adjacent."""

    @property
    def rules(self) -> list[dict[str, Any]]:
        """The rules of each game."""

    @property
    def variant_ids(self) -> list[str]:
        """The variant of each game."""

    @property
    def variant_numbers(self) -> IntArray:
        """[B] the variant of each game, as a number below `num_variants`."""

    @property
    def action_counts(self) -> IntArray:
        """[B,N] how many actions each agent has under the rules of its game; the mask says which are legal now."""

    @property
    def hidden_rules(self) -> FloatArray:
        """[B,R'] the hidden rules, scaled as visible ones are. A copy; for oracles and supervision, not for players."""

    def reset(self, seed: int | None = None) -> Step:
        """Start every game afresh; with a seed, the random streams start afresh too."""

    def deal(self, weights: npt.ArrayLike) -> None:
        """Let trials that begin from now on draw their variants in proportion to weights [V].

        Before, all are as likely; whatever its weight, each stays possible. Raises UserError where the games draw no
        variants because their rules are fixed, and for weights that are none.
        """

    def step(self, actions: npt.NDArray[np.integer[Any]]) -> Step:
        """Play `actions` int [B,N] (ignored for agents that do not act)."""

    def snapshot(self) -> Snapshot:
        """Return a copy of all state; `restore` of it continues bit for bit."""

    def restore(self, snapshot: Snapshot) -> Step:
        """Go back to a snapshot of this game; returns the observation there, with zero reward."""

    def close(self) -> None:
        """Release what the game holds."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A family and one complete assignment of its rules."""

    family: str
    rules: dict[str, Any] = field(hash=False)
    variant_id: str


class UserError(Exception):
    """Bad input. Its text is one sentence that says what, where and what is allowed; the CLI exits with 2."""
