"""What entrants earned that share a team, to each of the two.

A game that an entrant forfeited counts as random play's for that entrant. For its partner it counts as it was played,
with random play in the place of who forfeited.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from marl_meta.evaluate.robust import Doubles
from marl_meta.tournament.results import ChunkResult
from marl_meta.tournament.running import Played
from marl_meta.types import UserError

Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """What two entrants that shared a team earned."""

    returns: Doubles
    """[V,n,K] of the whole team, the seeds in order."""
    forfeits: tuple[Booleans, Booleans]
    """[V,n,K] whether who had the first part, and who had the second, forfeited the game."""


Teams = Mapping[tuple[str, str], Shared]
"""By who had the first and who the second part of a team."""


def shared_returns(played: Played) -> dict[tuple[str, str], Shared]:
    """Return what all teams earned."""
    found: dict[tuple[str, str], list[ChunkResult]] = {}
    for one in sorted(played.results.values(), key=lambda one: one.group):
        (_, name), (_, other) = one.seating
        found.setdefault((name, other), []).append(one)
    return {who: _joined(parts) for who, parts in found.items()}


def _joined(parts: list[ChunkResult]) -> Shared:
    """Return the results of the same two entrants in the same parts as one."""
    returns, first, second = [], [], []
    for one in parts:
        seats = [seat for seat, _ in one.seating]
        returns.append(one.returns[seats[0]].astype(np.float64) + one.returns[seats[1]])
        marks = [np.zeros(returns[-1].shape, np.bool_) for _ in seats]
        for fault in one.forfeits:
            marks[seats.index(fault.seat)][fault.variant, fault.seed, fault.game] = True
        first.append(marks[0])
        second.append(marks[1])
    marked = (np.concatenate(first, axis=1), np.concatenate(second, axis=1))
    return Shared(np.concatenate(returns, axis=1), marked)


def returns_of(played: Played, teams: Teams, one: str, other: str, floor: Doubles | None = None) -> Doubles:
    """Return [V,n,K] what two earned; where `floor` is given, games that either forfeited count as random play's."""
    if (one, other) not in teams or teams[one, other].returns.shape[1] < played.plan.seeds:
        raise UserError(
            f"{one!r} and {other!r} have not played all of their games; go on: marl-meta tournament resume "
            f"{played.folder}"
        )
    found = teams[one, other]
    return found.returns if floor is None else _without(found, found.forfeits[0] | found.forfeits[1], floor)


def seen_by(played: Played, teams: Teams, who: tuple[str, str], part: int, floor: Doubles) -> Doubles:
    """Return [V,n,K] what two earned to one of them (0 the first, 1 the second): what it forfeited is random play's."""
    one, other = who
    if one == other:
        return returns_of(played, teams, one, other, floor)
    returns_of(played, teams, one, other)  # that all is there
    found = teams[who]
    return _without(found, found.forfeits[part], floor)


def _without(found: Shared, forfeits: Booleans, floor: Doubles) -> Doubles:
    """Return the returns, those of forfeited games replaced by random play's mean on the same variant."""
    mean = floor.mean((1, 2), keepdims=True)
    forfeits = forfeits | np.isnan(found.returns)  # as results of before have them, without what came of the game
    replaced: Doubles = np.where(forfeits, np.broadcast_to(mean, found.returns.shape), found.returns)
    return replaced
