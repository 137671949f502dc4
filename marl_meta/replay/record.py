"""What a replay file holds, key by key (`replays/FORMAT.md` says what each means)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, Strict, model_serializer

FORMAT: Literal["marl-meta replay"] = "marl-meta replay"
VERSION = (2, 0)

MOST_STEPS, MOST_AGENTS, MOST_ENTITIES = 1_000_000, 4_096, 65_536
"""Of what a reader believes. Whatever else a file claims must fit the texts that it holds."""

Status = Literal["ACTIVE", "DONE", "ERROR", "INVALID", "TIMEOUT", "INACTIVE"]
Api = Literal["vector", "parallel", "aec"]
EndKind = Literal["terminated", "truncated"]

Count = Annotated[int, Field(ge=0, le=MOST_STEPS)]
Size = Annotated[int, Field(ge=1, le=MOST_ENTITIES)]
Unit = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Packed = str
# JSON has lists alone, which strict validation would not take for tuples.
End = Annotated[tuple[Count, Count, EndKind], Strict(strict=False)]
Version = Annotated[tuple[int, int], Strict(strict=False)]


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
    value: Any
    default: Any
    hidden: bool
    about: str = ""


class GameRecord(Part):
    """Which game it was, and what makes it again."""

    name: str
    family: bool
    api: Api
    rules: dict[str, Any] = Field(default_factory=dict)
    variant_id: str | None = None
    card: list[CardRule] = Field(default_factory=list)
    entry_point: str | None = None
    kwargs: dict[str, Any] = Field(default_factory=dict)
    wrappers: list[dict[str, Any]] = Field(default_factory=list)
    # `schema` is a name of pydantic's own.
    observation_schema: str | None = Field(default=None, alias="schema")
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

    agents: list[Count]
    chosen: Packed | None = None
    dtype: Literal["float32", "float64", "int64"] | None = None
    shape: list[Size] | None = None
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
    radius: list[Finite] | None = None
    arena: Unit | None = None
    walls: bool | None = None
    present: Packed | None = None
    width: Size | None = None
    height: Size | None = None
    style: Literal["board", "grid"] | None = None
    cells: list[Packed] | None = None
    images: list[str | None] | None = None


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
    values: list[str]
    truth: Count | None = None


class Beliefs(Part):
    """What agents believe of hidden rules."""

    levels: Size
    rules: list[BelievedRule]
    values: Packed


class Notes(Part):
    """What the agents of a team thought."""

    agents: list[Count]
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
    actions: list[ActionGroup]
    rewards: Rewards
    ends: list[End]
    checks: str
    scene: Scene
    notes: list[Notes] | None = None


class ReplayRecord(Part):
    """The whole file."""

    format: Literal["marl-meta replay"]
    version: Version
    title: str | None = None
    made: Made
    game: GameRecord
    agents: Annotated[list[AgentRecord], Field(min_length=1, max_length=MOST_AGENTS)]
    objects: Annotated[list[str], Field(max_length=MOST_ENTITIES)]
    actions: list[str]
    teams: Annotated[list[TeamRecord], Field(min_length=1, max_length=MOST_AGENTS)]
    series: Series | None = None
    episodes: list[EpisodeRecord]
    returns: list[list[Finite]]
    status: list[Status]
    logs: dict[str, str] | None = None
    digest: str

    @property
    def num_agents(self) -> int:
        """N."""
        return len(self.agents)

    def action_name(self, number: int) -> str:
        """Return the name of an action that is chosen among few."""
        return self.actions[number] if number < len(self.actions) else str(number)

    @property
    def num_entities(self) -> int:
        """E."""
        return len(self.agents) + len(self.objects)
