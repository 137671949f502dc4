"""What a replay file holds, key by key (`replays/FORMAT.md` says what each means)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    Strict,
    model_serializer,
)

FORMAT: Literal["marl-meta replay"] = "marl-meta replay"
VERSION = (2, 0)

MOST_STEPS, MOST_AGENTS, MOST_ENTITIES, MOST_ACTIONS = 1_000_000, 4_096, 65_536, 65_536
"""Of what a reader believes. Whatever else a file claims must fit the texts that it holds."""

Status = Literal["ACTIVE", "DONE", "ERROR", "INVALID", "TIMEOUT", "INACTIVE"]
Api = Literal["vector", "parallel", "aec"]
EndKind = Literal["terminated", "truncated"]

Count = Annotated[int, Field(ge=0, le=MOST_STEPS)]
Size = Annotated[int, Field(ge=1, le=MOST_ENTITIES)]
Unit = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Radius = Annotated[float, Field(ge=0, le=1e9)]
Arena = Annotated[float, Field(ge=1e-6, le=1e9)]
Packed = str

_Entry = TypeVar("_Entry")
Listed = Annotated[list[_Entry], Field(fail_fast=True)]
"""A list in which the first entry that is wrong is complained about, not a million of them."""

# JSON has lists alone, which strict validation would not take for tuples.
End = Annotated[tuple[Count, Count, EndKind], Strict(strict=False)]
Version = Annotated[tuple[int, int], Strict(strict=False)]


def _few(value: Any) -> Any:
    # A bound of the field itself would be looked at after all of its entries, each with a complaint of its own.
    if isinstance(value, dict) and len(value) > MOST_AGENTS:
        raise ValueError(f"of more than {MOST_AGENTS} teams")
    return value


Logs = Annotated[dict[str, str], BeforeValidator(_few)]

MOST_LOG = 4_000
"""Characters that are kept of a log."""


class Part(BaseModel):
    """A part of the file; what is absent is None, and is not written."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    @model_serializer(mode="wrap")
    def _without_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


class Made(Part):
    """What made the replay."""

    toolkit: str
    python: str
    numpy: str
    platform: str


class CardRule(Part):
    """A rule, as people are shown it."""

    name: str
    value: Any = None
    default: Any = None
    hidden: bool
    about: str = ""


class GameRecord(Part):
    """Which game it was, and what makes it again."""

    name: str
    family: bool
    api: Api
    rules: dict[str, Any] = Field(default_factory=dict)
    variant_id: str | None = None
    card: Listed[CardRule] = Field(default_factory=list)
    entry_point: str | None = None
    kwargs: dict[str, Any] = Field(default_factory=dict)
    wrappers: Listed[dict[str, Any]] = Field(default_factory=list)
    # `schema` is a name of pydantic's own.
    observation_schema: str | None = Field(default=None, alias="schema")
    sides: dict[str, str] | None = None
    seed: int | None = None
    first_game: Count | None = None

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, serialize_by_alias=True)


class AgentRecord(Part):
    """An agent."""

    name: str
    team: Annotated[int, Field(ge=0, le=MOST_AGENTS)]
    kind: str


class TeamRecord(Part):
    """A team of the game, and who played it."""

    name: str
    player: str
    learner: str | None = None
    weights: str | None = None
    seed: int | None = None


class Series(Part):
    """Which of a series of replays it is."""

    id: str
    index: Count
    of: Count


class ActionGroup(Part):
    """What some agents did: `chosen`, or `acts` and `numbers`."""

    agents: Listed[Count]
    chosen: Packed | None = None
    dtype: Literal["float32", "float64", "int64"] | None = None
    shape: Listed[Size] | None = None
    acts: Packed | None = None
    numbers: str | None = None


class Rewards(Part):
    """Rewards as multiples of a unit."""

    unit: Unit
    values: Packed


class Scene(Part):
    """What to draw; which keys are there depends on the kind."""

    kind: Literal["particles", "board", "frames", "none"]
    unit: Unit | None = None
    keyframe: Size | None = None
    places: Packed | None = None
    radius: Listed[Radius] | None = None
    arena: Arena | None = None
    walls: bool | None = None
    present: Packed | None = None
    width: Size | None = None
    height: Size | None = None
    style: Literal["board", "grid"] | None = None
    cells: Listed[Packed] | None = None
    images: Listed[str | None] | None = None


class Levels(Part):
    """Shares from 0 to 1 as multiples of 1 / levels."""

    levels: Size
    values: Packed
    heads: Size | None = None


class Values(Part):
    """Numbers as multiples of a unit."""

    unit: Unit
    values: Packed


class BelievedRule(Part):
    """A number of a hidden rule, and the values that it may have."""

    rule: str
    name: str
    values: Listed[str]
    truth: Count | None = None


class Beliefs(Part):
    """What agents believe of hidden rules."""

    levels: Size
    rules: Listed[BelievedRule]
    values: Packed


class Notes(Part):
    """What the agents of a team thought."""

    agents: Listed[Count]
    attention: Levels | None = None
    influence: Levels | None = None
    probabilities: Levels | None = None
    value: Values | None = None
    beliefs: Beliefs | None = None
    updates: Packed | None = None


class EpisodeRecord(Part):
    """An episode."""

    seed: int | None = None
    steps: Count
    over: bool
    actions: Listed[ActionGroup]
    rewards: Rewards
    ends: Listed[End]
    checks: str
    scene: Scene
    notes: Listed[Notes] | None = None


class ReplayRecord(Part):
    """The whole file."""

    format: Literal["marl-meta replay"]
    version: Version
    title: str | None = None
    made: Made
    game: GameRecord
    agents: Annotated[Listed[AgentRecord], Field(min_length=1, max_length=MOST_AGENTS)]
    objects: Annotated[Listed[str], Field(max_length=MOST_ENTITIES)]
    actions: Annotated[Listed[str], Field(max_length=MOST_ACTIONS)]
    teams: Annotated[Listed[TeamRecord], Field(min_length=1, max_length=MOST_AGENTS)]
    series: Series | None = None
    episodes: Listed[EpisodeRecord]
    returns: Listed[Listed[Finite]]
    status: Listed[Status]
    logs: Logs | None = None
    digest: str

    @property
    def num_agents(self) -> int:
        """N."""
        return len(self.agents)

    def action_name(self, number: int) -> str:
        """Return the name of an action that is chosen among few."""
        return self.actions[number] if 0 <= number < len(self.actions) else str(number)

    @property
    def num_entities(self) -> int:
        """E."""
        return len(self.agents) + len(self.objects)
