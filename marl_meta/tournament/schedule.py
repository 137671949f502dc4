"""Which series are to be played: chunks of them, each played as one batch, that do not depend on each other.

The chunk is what is played and kept whole: all series of one seating, with the same seeds. So whoever stops a
tournament and goes on, or plays chunks side by side, gets the same results.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from marl_meta.tournament.plan import Plan

Seating = tuple[tuple[str, str], ...]
"""Pairs of a seat and who has it. A seat is a side of the game, or `SIDE/PART` where two entrants share a side."""

MOST_GAMES = 512
"""Games of one chunk."""

LOOKS = 10
"""So often somebody looks whether the order is settled."""

FIRST, SECOND = "first", "second"
FOCAL, BACKGROUND = "focal", "background"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Series that are played as one batch: a seating, on every variant, with the seeds of one group."""

    seating: Seating
    group: int
    """Chunks of a group begin alike, whoever is seated: the paired unit is the same seed with sides swapped."""
    seeds: tuple[int, ...]

    @property
    def id(self) -> str:
        """Tells it apart from all others of the tournament."""
        return "|".join([*(f"{seat}={name}" for seat, name in self.seating), str(self.group)])


def chunks(plan: Plan, sides: Sequence[str], pairings: Sequence[tuple[str, str]]) -> Iterator[Chunk]:
    """Yield the chunks of pairings, both seatings of each."""
    for pairing in pairings:
        for seating in seatings(plan, sides, pairing):
            for group, seeds in enumerate(seed_groups(plan)):
                yield Chunk(seating, group, seeds)


def seed_groups(plan: Plan) -> list[tuple[int, ...]]:
    """Return the seeds of a tournament in groups, so that a chunk is no more than MOST_GAMES games.

    One that may stop early is played group by group, everybody with everybody, and has LOOKS groups at least.
    """
    size = max(MOST_GAMES // len(plan.variants), 1)
    if plan.stop_early:
        size = min(size, max(plan.seeds // LOOKS, 1))
    return [tuple(range(start, min(start + size, plan.seeds))) for start in range(0, plan.seeds, size)]


def seatings(plan: Plan, sides: Sequence[str], pairing: tuple[str, str]) -> list[Seating]:
    """Return how two entrants are seated: on either side, or sharing the only one; one seating for one with itself."""
    one, other = pairing
    if plan.format == "focal":
        return [((f"{sides[0]}/{FOCAL}", one), (f"{sides[0]}/{BACKGROUND}", other))]
    seats = tuple(sides) if len(sides) > 1 else (f"{sides[0]}/{FIRST}", f"{sides[0]}/{SECOND}")
    orders = [(one, other)] if one == other else [(one, other), (other, one)]
    return [tuple(zip(seats, order, strict=True)) for order in orders]


def fixed_pairings(plan: Plan) -> list[tuple[str, str]]:
    """Return who meets whom where that does not depend on results."""
    names = [entrant.name for entrant in plan.entrants]
    match plan.format:
        case "round_robin":
            return list(itertools.combinations(names, 2))
        case "cross_play":
            return list(itertools.combinations_with_replacement(names, 2))
        case "gauntlet":
            own = [name for name in names if name not in plan.reference] or names
            return [(name, reference) for name in own for reference in plan.reference if name != reference]
        case "focal":  # the background by itself is what the others are measured by
            return [(name, reference) for reference in plan.reference for name in names]
        case "swiss":
            raise ValueError("the pairings of a Swiss tournament depend on its results")


def swiss_rounds(plan: Plan) -> int:
    """Return how many rounds a Swiss tournament has: as asked, else as many as it takes to find the best."""
    count = len(plan.entrants)
    most = count - 1 + count % 2
    return min(plan.rounds or max(math.ceil(math.log2(count)), 1), most)


def swiss_pairings(plan: Plan, points: Mapping[str, float], met: set[frozenset[str]]) -> list[tuple[str, str]]:
    """Return who meets whom in the next round: those with about as many points who have not met yet.

    Of the pairings without a repetition it is the first in lexical order of places, which pairs neighbours where it
    can. With an odd number somebody is left out, the last in the standing who has not been yet; `met` keeps that as a
    set of one.
    """
    order = sorted((entrant.name for entrant in plan.entrants), key=lambda name: (-points.get(name, 0.0), name))

    def paired(left: list[str]) -> list[tuple[str, str]] | None:
        if not left:
            return []
        for place in range(1, len(left)):
            if frozenset((left[0], left[place])) in met:
                continue
            rest = paired(left[1:place] + left[place + 1 :])
            if rest is not None:
                return [(left[0], left[place]), *rest]
        return None

    if len(order) % 2 == 0:
        return paired(order) or _neighbours(order)
    for out in range(len(order) - 1, -1, -1):
        if frozenset((order[out],)) not in met:
            found = paired(order[:out] + order[out + 1 :])
            if found is not None:
                return found
    return _neighbours(order[:-1])


def _neighbours(order: Sequence[str]) -> list[tuple[str, str]]:
    return [(order[i], order[i + 1]) for i in range(0, len(order) - 1, 2)]
