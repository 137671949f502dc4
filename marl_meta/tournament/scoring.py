"""From what was earned to who won: games scored 1, 1/2 or 0, series by what was earned in all of their games.

Where all sides have the same role, who earned more in a game won it; of more than two, everybody meets everybody else
at the table. Where roles differ (hunters and prey), returns of different sides say nothing about each other; then the
same seed is played with sides swapped, and on each side whoever earned more there won. Who forfeited a game lost it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from marl_meta.tournament.plan import Plan
from marl_meta.tournament.results import ChunkResult
from marl_meta.tournament.schedule import Table
from marl_meta.tournament.statistics.outcomes import Outcomes
from marl_meta.tournament.statistics.sprt import settled
from marl_meta.types import FloatArray

_SAME = 1e-4
"""Returns that differ by less are equal."""

Roles = Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Meeting:
    """Two entrants on the sides of the same games, or on one side of the same games begun alike."""

    first: str
    second: str
    group: int
    seeds: tuple[int, ...]
    earned: tuple[FloatArray, FloatArray]
    """[V,S,K] of the first and of the second; NaN where one forfeited."""
    table: Table = ()
    """All who sat there, in the order of their names."""


def meetings(roles: Roles, results: Iterable[ChunkResult]) -> Iterator[Meeting]:
    """Yield who met whom, and what they earned, in an order that does not depend on when it was played."""
    ordered = sorted(results, key=lambda one: one.id)
    if len(set(roles.values())) == 1:
        for one in ordered:
            for (seat, _), (other, _) in combinations(one.seating, 2):
                yield from _compared((one, seat), (one, other))
        return
    tables: dict[tuple[Table, int], list[ChunkResult]] = {}
    for one in ordered:
        tables.setdefault((_table(one), one.group), []).append(one)
    for seatings in tables.values():
        for one, swapped in combinations(seatings, 2):
            for seat, _ in one.seating:
                yield from _compared((one, seat), (swapped, seat))


def _compared(mine: tuple[ChunkResult, str], theirs: tuple[ChunkResult, str]) -> Iterator[Meeting]:
    """Yield the meeting of who had these seats, unless it is the same entrant."""
    (one, seat), (other, other_seat) = mine, theirs
    first, second = dict(one.seating)[seat], dict(other.seating)[other_seat]
    if first != second:
        earned = (one.returns[seat], other.returns[other_seat])
        yield Meeting(first, second, one.group, one.seeds, earned, _table(one))


def _table(result: ChunkResult) -> Table:
    return tuple(sorted(name for _, name in result.seating))


def scores(mine: FloatArray, theirs: FloatArray) -> FloatArray:
    """Return the scores of the first: 1 where it earned more, 1/2 for as much, 0 for less. NaN is a forfeit."""
    score = 0.5 + 0.5 * np.sign(np.where(np.abs(mine - theirs) < _SAME, 0.0, mine - theirs))
    score = np.where(np.isnan(mine), 0.0, score)
    score = np.where(np.isnan(theirs), 1.0, score)
    found: FloatArray = np.where(np.isnan(mine) & np.isnan(theirs), 0.5, score).astype(np.float32)
    return found


def outcomes(plan: Plan, roles: Roles, results: Iterable[ChunkResult], only: int | None = None) -> Outcomes:
    """Return the outcomes of all series, by what was earned in all their games or `only` in one (from 0) of them.

    A forfeited game counts as earned by neither; whoever forfeited more games of a series lost it.
    """
    names = tuple(entrant.name for entrant in plan.entrants)
    rows: list[tuple[int, int, float, int, int, int]] = []
    tables: dict[Table, int] = {}
    for meeting in meetings(roles, results):
        table = tables.setdefault(meeting.table, len(tables))
        series = _series_scores(meeting) if only is None else scores(*meeting.earned)[..., only]
        one, other = names.index(meeting.first), names.index(meeting.second)
        variants, seeds = series.shape
        low, high = sorted((one, other))
        for variant in range(variants):
            for index in range(seeds):
                # The same seed, variant and entrants with sides swapped are one unit.
                game = variant * plan.seeds + meeting.seeds[index]
                games = variants * plan.seeds
                pair, luck = (low * len(names) + high) * games + game, table * games + game
                rows.append((one, other, float(series[variant, index]), pair, variant, luck))
    columns = list(zip(*rows, strict=True)) if rows else [()] * 6
    return Outcomes(
        names=names,
        first=np.array(columns[0], np.int64),
        second=np.array(columns[1], np.int64),
        score=np.array(columns[2], np.float64),
        pair=np.array(columns[3], np.int64),
        variant=np.array(columns[4], np.int64),
        luck=np.array(columns[5], np.int64),
    )


def _series_scores(meeting: Meeting) -> FloatArray:
    mine, theirs = meeting.earned
    lost, won = np.isnan(mine).sum(-1), np.isnan(theirs).sum(-1)
    valid = ~(np.isnan(mine) | np.isnan(theirs))
    found = scores(np.where(valid, mine, 0.0).sum(-1), np.where(valid, theirs, 0.0).sum(-1))
    return np.where(lost > won, 0.0, np.where(won > lost, 1.0, found)).astype(np.float32)


def points(plan: Plan, roles: Roles, results: Iterable[ChunkResult]) -> dict[str, float]:
    """Return the share of its series that each entrant won, draws as halves: what a Swiss tournament goes by."""
    found = outcomes(plan, roles, results)
    names = found.names
    won = np.bincount(found.first, found.score, len(names)) + np.bincount(found.second, 1.0 - found.score, len(names))
    played = np.bincount(found.first, minlength=len(names)) + np.bincount(found.second, minlength=len(names))
    return {name: float(won[i] / played[i]) if played[i] else 0.0 for i, name in enumerate(names)}


def order_is_settled(plan: Plan, roles: Roles, results: Iterable[ChunkResult]) -> bool:
    """Return whether it is settled who is better than whom, of every two who meet."""
    return settled(outcomes(plan, roles, results))
