"""What `team.json` holds: who is played, by policies of which design, trained on what; and nothing that runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from marl_meta.config.sections import DEEPEST, MOST_EXAMPLES, MOST_LATENTS, WIDEST
from marl_meta.files import read_json
from marl_meta.meta.plan import Plan
from marl_meta.nets.inputs import BeliefDesign, PolicyDesign
from marl_meta.types import BoundRule, Layout, RuleForm, TeamLayout, UserError

SCHEMA_VERSION = 1
CARD = "team.json"

_Width = Annotated[int, Field(ge=1, le=WIDEST)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Teams(_Model):
    name: str
    kind: str


class _Bound(_Model):
    name: str
    feature: str
    kinds: tuple[str, ...]
    rule: str = ""
    form: RuleForm = "number"
    values: tuple[float, ...] = ()


class _Layout(_Model):
    kinds: tuple[str, ...]
    teams: tuple[_Teams, ...]
    entity_features: tuple[str, ...]
    private_features: tuple[str, ...]
    actions: tuple[str, ...]
    visible_rules: tuple[_Bound, ...]
    hidden_rules: tuple[_Bound, ...]
    links: tuple[str, ...] = ()
    completes: str = ""


class _BeliefDesign(_Model):
    hidden: _Width
    memory: _Width
    events: Literal["contacts", "all"]
    read: Literal["head", "matching", "prototypes"] = "head"
    examples: Annotated[int, Field(ge=1, le=MOST_EXAMPLES)] = 512
    latents: Annotated[int, Field(ge=0, le=MOST_LATENTS)] = 0


class _Design(_Model):
    hidden: _Width
    heads: PositiveInt
    layers: Annotated[int, Field(ge=1, le=DEEPEST)]
    recurrent: bool
    memory: Literal["heads", "query"] = "heads"
    critic: Literal["own", "central", "told"]
    privileged: tuple[_Bound, ...] = ()
    guesses: bool = False
    kinds: tuple[str, ...]
    rules: tuple[str, ...]
    trial_inputs: bool
    clock: bool = False
    unknowns: tuple[_Bound, ...] = ()
    belief: _BeliefDesign | None = None
    adapted: Annotated[int, Field(ge=0, le=WIDEST)] = 0
    slots: tuple[Annotated[int, Field(ge=0, le=WIDEST)], ...] = ()

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden must be a multiple of heads, not {self.hidden} with {self.heads}")
        if self.slots and (len(self.slots) != len(self.kinds) or not sum(self.slots)):
            raise ValueError(f"slots must be a number for each of kinds, not {list(self.slots)}")
        return self


class Card(_Model):
    """What team.json holds."""

    schema_version: int
    name: str
    layout: _Layout
    policies: dict[str, _Design]
    plays: dict[str, str]
    trained_on: dict[str, Any]
    adapter: dict[str, Plan] | None
    adapted_to: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        kinds = self.layout.kinds
        for team, policy in self.plays.items():
            if policy not in self.policies:
                raise ValueError(f"plays.{team} names the policy {policy!r}; there are {sorted(self.policies)}")
        for policy in self.adapter or {}:
            if policy not in self.policies:
                raise ValueError(f"adapter names the policy {policy!r}; there are {sorted(self.policies)}")
        for name, design in self.policies.items():
            if design.kinds and not set(kinds) <= set(design.kinds):
                raise ValueError(f"policies.{name}.kinds must hold all of layout.kinds, {list(kinds)}")
        for bound in (*self.layout.visible_rules, *self.layout.hidden_rules):
            if not set(bound.kinds) <= set(kinds):
                raise ValueError(f"the rule {bound.name!r} of the layout is bound to other kinds than {list(kinds)}")
        return self

    def played_layout(self) -> Layout:
        """Return the layout of the game that the team was trained on."""
        return Layout(
            kinds=self.layout.kinds,
            teams=tuple(TeamLayout(team.name, team.kind) for team in self.layout.teams),
            entity_features=self.layout.entity_features,
            private_features=self.layout.private_features,
            actions=self.layout.actions,
            visible_rules=tuple(BoundRule(**bound.model_dump()) for bound in self.layout.visible_rules),
            hidden_rules=tuple(BoundRule(**bound.model_dump()) for bound in self.layout.hidden_rules),
            links=self.layout.links,
            completes=self.layout.completes,
        )

    def designs(self) -> dict[str, PolicyDesign]:
        """Return the design of each policy, by its name."""
        return {name: _read_design(design) for name, design in self.policies.items()}

    def text(self) -> str:
        """Return what is written to team.json."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"


def make_card(
    *,
    name: str,
    layout: Layout,
    designs: Mapping[str, PolicyDesign],
    plays: dict[str, str],
    trained_on: dict[str, Any],
    plans: Mapping[str, Plan],
    adapted_to: dict[str, Any] | None,
) -> Card:
    """Return the card of a team; `plans` are those of the policies that adapt by gradients."""
    return Card(
        schema_version=SCHEMA_VERSION,
        name=name,
        layout=_Layout.model_validate(asdict(layout)),
        policies={policy: _Design.model_validate(asdict(design)) for policy, design in designs.items()},
        plays=plays,
        trained_on=trained_on,
        adapter=dict(plans) or None,
        adapted_to=adapted_to,
    )


def read_card(path: Path) -> Card:
    """Return the card in a file; raises UserError where it is none, or was written by a newer version."""
    values = read_json(path)
    version = values.get("schema_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(
            f"{path} was written by a newer version of marl-meta (schema_version {version}, this one reads up to "
            f"{SCHEMA_VERSION})."
        )
    try:
        return Card.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise UserError(f"{path} is not a team card: {key}: {first['msg'].removeprefix('Value error, ')}.") from None


def _read_design(design: _Design) -> PolicyDesign:
    values = design.model_dump()
    for key in ("unknowns", "privileged"):
        values[key] = tuple(BoundRule(**bound) for bound in values[key])
    values["belief"] = BeliefDesign(**values["belief"]) if values["belief"] is not None else None
    return PolicyDesign(**values)
