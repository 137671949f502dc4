"""Who is too small for a game: teams whose networks have a place for each entity, and no more."""

from __future__ import annotations

from collections.abc import Mapping

from marl_meta.evaluate.ground import Ground
from marl_meta.nets.inputs import PolicyInputs
from marl_meta.team import Team
from marl_meta.types import UserError, VectorGame


def without_room(ground: Ground, teams: Mapping[str, Team]) -> dict[str, str]:
    """Return why teams cannot play on a ground that is too large for their flat encoders, by the teams' names."""
    flat = {name: team for name, team in teams.items() if any(design.slots for design in team.designs.values())}
    if not flat:
        return {}
    game = ground.open(1, 1, 0)
    try:
        reasons = {name: _reason(team, game) for name, team in flat.items()}
    finally:
        game.close()
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _reason(team: Team, game: VectorGame) -> str | None:
    kind = game.reset().observation.kind
    for design in team.designs.values():
        # What else it may not be able to read of the game is said where it is asked to play.
        if design.slots and set(game.layout.kinds) <= set(design.kinds):
            places = PolicyInputs(game.layout, design).places
            assert places is not None
            try:
                places.of(kind)
            except UserError as error:
                return str(error)
    return None
