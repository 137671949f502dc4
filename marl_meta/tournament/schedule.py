"""Which series are to be played: chunks of them, each played as one batch, that do not depend on each other.

The chunk is what is played and kept whole: all series of one seating, with the same seeds. So whoever stops a
tournament and goes on, or plays chunks side by side, gets the same results.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from marl_meta.tournament.plan import SHARED, Plan

Seating = tuple[tuple[str, str], ...]
"""Pairs of a seat and who has it. A seat is a side of the game, or `SIDE/PART` where two entrants share a side."""

Table = tuple[str, ...]
"""Who meets: as many as there are sides, or two who share one. With few entrants, the same one more than once."""

Meetings = set[frozenset[str]]
"""Pairs of those who have met; who was left out of a round is a set of one."""

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


def chunks(plan: Plan, sides: Sequence[str], tables: Sequence[Table]) -> Iterator[Chunk]:
    """Yield the chunks of tables, all seatings of each."""
    for table in tables:
        for seating in seatings(plan, sides, table):
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


def seatings(plan: Plan, sides: Sequence[str], table: Table) -> list[Seating]:
    """Return how a table is seated, one after the other, so that nobody has an advantage of sides (see `orders`).

    Where the game has one side, two share it, in either part; there is one seating for one with itself.
    """
    if plan.format == "focal":
        return [tuple(zip((f"{sides[0]}/{FOCAL}", f"{sides[0]}/{BACKGROUND}"), table, strict=True))]
    seats = tuple(sides) if len(sides) > 1 else (f"{sides[0]}/{FIRST}", f"{sides[0]}/{SECOND}")
    seated = dict.fromkeys(tuple(table[place] for place in order) for order in orders(len(table)))
    return [tuple(zip(seats, names, strict=True)) for names in seated]


def orders(size: int) -> list[tuple[int, ...]]:
    """Return in which orders so many sit at a table: each has every side as often.

    What somebody earns may depend on who moves before him, too. So with 2, 3, 4, 5 or 7, every two have every two sides
    once each way: the maps i -> k i + b modulo a prime, or the even orders of four, move every pair of places to every
    other once. With other numbers k is what has no divisor in common with them, and nobody sits next to all others.
    """
    if size == 4:
        return [order for order in itertools.permutations(range(4)) if _inversions(order) % 2 == 0]
    factors = [k for k in range(1, size) if math.gcd(k, size) == 1]
    return [tuple((k * i + b) % size for i in range(size)) for k in factors for b in range(size)]


def _inversions(order: Sequence[int]) -> int:
    return sum(one > other for one, other in itertools.combinations(order, 2))


def places(plan: Plan, sides: Sequence[str]) -> int:
    """Return how many sit at a table: as many as there are sides, or two who share the only one."""
    return 2 if plan.format in SHARED else len(sides)


def fixed_tables(plan: Plan, sides: Sequence[str]) -> list[Table]:
    """Return who meets whom where that does not depend on results."""
    names, size = [entrant.name for entrant in plan.entrants], places(plan, sides)
    match plan.format:
        case "round_robin":
            return parties(names, size)
        case "cross_play":
            return list(itertools.combinations_with_replacement(names, 2))
        case "gauntlet":
            own = [name for name in names if name not in plan.reference] or names
            return [
                (name, *others)
                for name in own
                for others in parties([other for other in plan.reference if other != name], size - 1)
            ]
        case "focal":  # the background by itself is what the others are measured by
            return [(name, reference) for reference in plan.reference for name in names]
        case "swiss":
            raise ValueError("the tables of a Swiss tournament depend on its results")


def parties(names: Sequence[str], size: int) -> list[Table]:
    """Return all choices of so many of the names.

    Where there are fewer names, everybody has as many places as can be given to all, and the rest goes round.
    """
    if not names:
        return []
    whole, rest = divmod(size, len(names))
    return [(*tuple(names) * whole, *chosen) for chosen in itertools.combinations(names, rest)]


def swiss_rounds(plan: Plan, size: int = 2) -> int:
    """Return how many rounds a Swiss tournament has: as asked, else as many as it takes to find the best.

    At most so many that nobody has to meet anybody again.
    """
    count = len(plan.entrants)
    most = count - 1 + count % 2 if size == 2 else max((count - 1) // (size - 1), 1)
    return min(plan.rounds or max(math.ceil(math.log(count) / math.log(size) - 1e-9), 1), most)


def swiss_tables(plan: Plan, points: Mapping[str, float], met: Meetings, size: int) -> list[Table]:
    """Return who meets whom in the next round: those with about as many points, who have not met if that can be.

    Whoever makes no full table is left out, the last in the standing who have not been yet.
    """
    if size == 2:
        return list(swiss_pairings(plan, points, met))
    left = _order(plan, points)
    for _ in range(len(left) % size):
        left.remove(next((name for name in reversed(left) if frozenset((name,)) not in met), left[-1]))
    found = []
    while left:
        table = [left.pop(0)]
        while len(table) < size:
            strangers = (name for name in left if not any(frozenset((name, other)) in met for other in table))
            table.append(next(strangers, left[0]))
            left.remove(table[-1])
        found.append(tuple(table))
    return found


def meetings_of(plan: Plan, tables: Sequence[Table]) -> Meetings:
    """Return who has met whom in a round; who was left out is a set of one."""
    playing = {name for table in tables for name in table}
    out = {frozenset((entrant.name,)) for entrant in plan.entrants if entrant.name not in playing}
    return out | {frozenset(pair) for table in tables for pair in itertools.combinations(table, 2)}


def swiss_pairings(plan: Plan, points: Mapping[str, float], met: Meetings) -> list[tuple[str, str]]:
    """Return who meets whom in the next round: those with about as many points who have not met yet.

    Of the pairings without a repetition it is the first in lexical order of places, which pairs neighbours where it
    can. With an odd number somebody is left out, the last in the standing who has not been yet; `met` keeps that as a
    set of one.
    """
    order = _order(plan, points)

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


def _order(plan: Plan, points: Mapping[str, float]) -> list[str]:
    return sorted((entrant.name for entrant in plan.entrants), key=lambda name: (-points.get(name, 0.0), name))


def _neighbours(order: Sequence[str]) -> list[tuple[str, str]]:
    return [(order[i], order[i + 1]) for i in range(0, len(order) - 1, 2)]
