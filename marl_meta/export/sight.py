"""What an agent's flat observation says: which of its numbers is what, of which entity.

This file and `grid` need numpy alone: scripts that stand alone carry them with them. Shape letters as elsewhere:
N agents, E entities (agents first), F public and P private features, Q features of visible rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.export.grid import Grid, read_grid

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Eye:
    """How one agent's flat observation is read: places in the vector, -1 where it does not say."""

    slot: int
    """Of the agent, among the entities."""
    size: int
    """Length of the vector."""
    columns: Ints
    """[E,F] the place of each entity's features."""
    private: Ints
    """[P] the place of each private feature."""
    hides: Flags
    """[E] whether an entity whose place is told as 0, 0 is not seen."""
    actions: int
    """How many actions the agent has."""


@dataclass(frozen=True)
class Sight:
    """How flat observations of one variant of a game are read, for the agents that somebody may play."""

    game: str
    rules: dict[str, Any]
    """The visible rules that it is for."""
    kinds: tuple[str, ...]
    agents: tuple[str, ...]
    """N names, in the order of their slots."""
    kind: Ints
    """[E] index into `kinds`."""
    team: Ints
    """[E] number of the team, -1 of objects."""
    teams: tuple[str, ...]
    fixed: Floats
    """[E,F] features that do not change, 0 for all others."""
    rule_values: Floats
    """[R] the visible rules, scaled."""
    relative: Ints
    """[F] for features that are told relative to the observer, which of its private features they are relative to; else
    -1."""
    eyes: dict[str, Eye]
    """By agent."""
    grid: Grid | None = None
    """Of games on boards, which are read as a whole and not number by number."""

    def side(self, name: str) -> list[str]:
        """Return the agents of a team."""
        number = self.teams.index(name)
        return [agent for slot, agent in enumerate(self.agents) if self.team[slot] == number]

    def look(self, agent: str, observation: Any) -> tuple[Floats, Flags, Floats]:
        """Return entities [E,F], which of them it sees [E], and its private features [P]; of what is unseen zeros.

        Raises ValueError for an observation of another length.
        """
        eye = self.eyes[agent]
        vector = np.asarray(observation, np.float32).reshape(-1)
        if vector.size != eye.size:
            raise ValueError(
                f"{agent} is shown {vector.size} numbers, and under these rules it should be {eye.size}."
            )  # fmt: skip
        told = np.append(vector, np.float32(0.0))  # the last stands for what is not told
        private = told[eye.private]
        entities = told[eye.columns]
        seen = ~eye.hides
        if eye.hides.any():
            places = self.relative >= 0
            seen = seen | entities[:, places].any(1)
        for feature, own in enumerate(self.relative):
            if own >= 0:
                others = np.arange(len(entities)) != eye.slot
                entities[others, feature] += private[own]
        entities = np.where(eye.columns >= 0, entities, self.fixed).astype(np.float32)
        entities[~seen] = 0.0
        return entities, seen, private

    def record(self) -> dict[str, Any]:
        """Return it as plain values, for a JSON file."""
        return {
            "game": self.game, "rules": self.rules, "kinds": list(self.kinds), "agents": list(self.agents),
            "kind": self.kind.tolist(), "team": self.team.tolist(), "teams": list(self.teams),
            "fixed": self.fixed.tolist(), "rule_values": self.rule_values.tolist(),
            "relative": self.relative.tolist(),
            "eyes": {
                agent: {
                    "slot": eye.slot, "size": eye.size, "columns": eye.columns.tolist(),
                    "private": eye.private.tolist(), "hides": eye.hides.tolist(), "actions": eye.actions,
                }
                for agent, eye in self.eyes.items()
            },
            "grid": None if self.grid is None else self.grid.record(),
        }  # fmt: skip


def read_sight(record: Mapping[str, Any]) -> Sight:
    """Return what `Sight.record` wrote."""
    eyes = {
        agent: Eye(
            slot=eye["slot"], size=eye["size"], columns=np.array(eye["columns"], np.int64),
            private=np.array(eye["private"], np.int64), hides=np.array(eye["hides"], np.bool_), actions=eye["actions"],
        )
        for agent, eye in record["eyes"].items()
    }  # fmt: skip
    return Sight(
        game=record["game"], rules=dict(record["rules"]), kinds=tuple(record["kinds"]), agents=tuple(record["agents"]),
        kind=np.array(record["kind"], np.int64), team=np.array(record["team"], np.int64), teams=tuple(record["teams"]),
        fixed=np.array(record["fixed"], np.float32).reshape(len(record["kind"]), -1),
        rule_values=np.array(record["rule_values"], np.float32), relative=np.array(record["relative"], np.int64),
        eyes=eyes, grid=None if record["grid"] is None else read_grid(record["grid"]),
    )  # fmt: skip
