"""What a tournament is: who plays whom in which game, and how often. It is kept as plan.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from marl_meta.config.complaints import validated
from marl_meta.evaluate.lineup import RANDOM
from marl_meta.files import read_json
from marl_meta.tournament.outsiders.limits import Limits
from marl_meta.types import UserError

FILE = "plan.json"

Format = Literal["round_robin", "gauntlet", "swiss", "cross_play", "focal"]

FORMATS: dict[str, str] = {
    "round_robin": "everybody meets everybody on both sides; with two entrants a match",
    "gauntlet": "each entrant meets all of a reference set, and nobody else",
    "swiss": "in each round those meet who have done about as well so far",
    "cross_play": "two entrants share a team of a game of one side: partners that never trained together",
    "focal": "each entrant plays one agent of a team, a background entrant all others",
}

SHARED = ("cross_play", "focal")
"""Formats of games of one side, which two entrants share."""


class EntrantPlan(BaseModel):
    """Who takes part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    spec: str
    """What it was given as: a team's folder, zoo:NAME, random, builtin:NAME, file.py:Symbol, exec:COMMAND, ..."""
    weights: str | None = None
    """SHA-256 of a team's weights: who goes on with a tournament must find the same team."""


class ThirdParty(BaseModel):
    """A third-party PettingZoo game."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)

    entry_point: str
    """`package.module:callable` or `file.py:callable`."""
    kwargs: Annotated[list[dict[str, Any]], Field(min_length=1)]
    """Its arguments: each choice is a variant."""
    observation_schema: str | None = Field(default=None, alias="schema")
    """What its flat observations mean."""
    sides: dict[str, str] = {}
    """Sides by pattern of agents' names."""
    roles: dict[str, str] = {}
    """The sides that it then has, and the role of each."""


class Plan(BaseModel):
    """All that decides what is played."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    game: str
    """A family, by name or by the path of its family.yaml; or what a third-party game is called."""
    third_party: ThirdParty | None = None
    split: str | None
    variants: Annotated[list[str], Field(min_length=1)]
    """Ids of the variants that are played."""
    format: Format
    entrants: Annotated[list[EntrantPlan], Field(min_length=1)]
    reference: list[str] = []
    """Names of those whom a gauntlet is run against, or who are the background."""
    games: Annotated[int, Field(ge=1)]
    """K: games of a series, on one variant, memory kept."""
    seeds: Annotated[int, Field(ge=1)]
    """Series of each pairing, seating and variant."""
    rounds: Annotated[int, Field(ge=0)] = 0
    """Of a Swiss tournament; 0 is as many as it takes to find the best."""
    seed: Annotated[int, Field(ge=0)] = 0
    deterministic: bool = False
    replays: Annotated[int, Field(ge=0)] = 1
    """Series that are recorded of every pairing and seating."""
    stop_early: bool = False
    """Whether to stop once the order is settled (SPRT)."""
    limits: dict[str, Any] = {}
    """Of entrants from outside."""

    @model_validator(mode="after")
    def _consistent(self) -> Plan:
        if (self.split is None) == (self.third_party is None):
            raise ValueError("variants are those of a family's split or of a third_party game")
        names = [entrant.name for entrant in self.entrants]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two entrants are called {name!r}; give them names of their own (NAME=SPEC)")
        for name in self.reference:
            if name not in names:
                raise ValueError(f"the reference {name!r} is no entrant; they are {names}")
        if self.format in ("gauntlet", "focal") and not self.reference:
            raise ValueError(f"the format {self.format} needs a reference: whom the others are measured by")
        if self.format in ("round_robin", "swiss") and len(names) < 2:
            raise ValueError("at least two entrants are needed to meet")
        return self

    @model_validator(mode="after")
    def _fits_the_format(self) -> Plan:
        if self.reference and self.format not in ("gauntlet", "focal"):
            raise ValueError(f"a reference is of the formats gauntlet and focal, not of {self.format}")
        if self.rounds and self.format != "swiss":
            raise ValueError(f"rounds are of the format swiss, not of {self.format}")
        others = [one.name for one in self.entrants if one.name not in self.reference]
        if self.format == "gauntlet" and not others and len(self.reference) < 2:
            raise ValueError("a gauntlet needs somebody who meets the reference, and there is nobody else")
        if self.format == "focal" and all(one.spec == RANDOM for one in self.entrants):
            raise ValueError("the format focal needs an entrant beside random play, which is the 0 of its scores")
        if len(set(self.variants)) < len(self.variants):
            raise ValueError("a variant is named twice")
        try:
            Limits.of(self.limits)
        except UserError as error:
            raise ValueError(str(error).removesuffix(".")) from error
        return self

    @property
    def title(self) -> str:
        """One line that says what is played."""
        return f"{self.game}, {self.format.replace('_', ' ')}{f' on {self.split}' if self.split else ''}"

    def text(self) -> str:
        """Return what plan.json holds."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"


def read_plan(folder: Path) -> Plan:
    """Return the plan of the tournament in a folder; raises UserError where there is none."""
    return validated(Plan, read_json(folder / FILE), f"{folder / FILE}: key ")
