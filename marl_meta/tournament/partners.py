"""The standing of a tournament of one side: how teams do with partners that they have not trained with.

The returns of the whole team are scored between random play (0) and the best team by itself (1), on each variant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from marl_meta.evaluate.lineup import RANDOM
from marl_meta.evaluate.robust import Doubles
from marl_meta.tournament.arena import variants_and_roles
from marl_meta.tournament.faults import Forfeited, forfeited, forfeits_record, remarks_on
from marl_meta.tournament.plain import decimal, number, numbers
from marl_meta.tournament.plan import Plan
from marl_meta.tournament.running import Played
from marl_meta.tournament.shared import Teams, returns_of, seen_by, shared_returns
from marl_meta.tournament.statistics.cooperative import CrossPlay, Scores, cross_play, scores
from marl_meta.types import UserError, Variant


@dataclass(frozen=True, slots=True, eq=False)
class Partners:
    """What a tournament of shared teams says."""

    played: Played
    variants: tuple[Variant, ...]
    names: tuple[str, ...]
    """Rows: those who are scored."""
    partners: tuple[str, ...]
    """Columns: with whom."""
    score: Doubles
    """[M,N] interquartile mean over variants; NaN where they did not play."""
    low: Doubles
    high: Doubles
    by_game: Doubles
    """[M,K] score of each, the mean over its partners other than itself (of one who had none: with itself)."""
    cross: CrossPlay | None
    """None of the format focal."""
    forfeits: dict[str, Forfeited]
    """What entrants forfeited, of those who did."""

    @property
    def plan(self) -> Plan:
        """What was to be played."""
        return self.played.plan

    @property
    def means(self) -> Doubles:
        """[M] score with others."""
        found: Doubles = self.by_game.mean(1)
        return found

    @property
    def order(self) -> list[int]:
        """Rows, the best first."""
        means = np.nan_to_num(self.means, nan=-np.inf)
        return sorted(range(len(self.names)), key=lambda i: (-means[i], self.names[i]))

    @property
    def title(self) -> str:
        """One line that says what was played."""
        return self.plan.title

    @property
    def about(self) -> str:
        """How much was played."""
        return self.played.about

    @property
    def columns(self) -> list[str]:
        """Heads of `rows`."""
        return ["", "entrant", "with itself", "with others", *(f"game {k + 1}" for k in range(self.plan.games))]

    @property
    def rows(self) -> list[list[Any]]:
        """The table, the best with others first."""
        found = []
        for place, i in enumerate(self.order, 1):
            name = self.names[i]
            own = self.score[i, self.partners.index(name)] if name in self.partners else np.nan
            games = [decimal(value) for value in self.by_game[i]]
            found.append([place, name, decimal(own), decimal(self.means[i]), *games])
        return found

    @property
    def remarks(self) -> list[str]:
        """What there is to say besides."""
        said = list(remarks_on(self.forfeits))
        if self.cross is None:
            return said
        gap = self.cross.gap
        bounds = f"({gap.low:.2f} to {gap.high:.2f})"
        alone = f"With partners that they have not trained with teams score {gap.value:.2f} less than alone {bounds}."
        return [alone, *said]

    def record(self) -> dict[str, Any]:
        """Return it as plain values: what `--json` prints."""
        return {
            "title": self.title,
            "plan": self.plan.model_dump(mode="json"),
            "entrants": [
                {
                    "name": self.names[i],
                    "score": number(self.means[i]),
                    "by_game": numbers(self.by_game[i]),
                    **forfeits_record(self.forfeits.get(self.names[i])),
                }
                for i in self.order
            ],
            "scores": {
                "names": list(self.names),
                "partners": list(self.partners),
                "score": [numbers(row) for row in self.score],
                "low": [numbers(row) for row in self.low],
                "high": [numbers(row) for row in self.high],
            },
            "gap": None if self.cross is None else self.cross.gap.record(),
            "remarks": self.remarks,
        }


def partners(played: Played) -> Partners:
    """Return what a tournament of shared teams says; raises UserError where not all of it has been played."""
    plan = played.plan
    variants = variants_and_roles(plan)[0]
    teams = shared_returns(played)
    names = [entrant.name for entrant in plan.entrants]
    random = next((one.name for one in plan.entrants if one.spec == RANDOM), None)
    if random is None:
        raise UserError(f"{played.folder}: the format {plan.format} needs random play among its entrants, as 0.")
    if plan.format == "focal":
        return _focal(played, variants, teams, names, random)
    return _cross(played, variants, teams, names, random)


def _cross(
    played: Played, variants: tuple[Variant, ...], teams: Teams, names: list[str], random: str
) -> Partners:  # fmt: skip
    own = [name for name in names if name != random] or names
    floor = returns_of(played, teams, random, random)
    alone = [returns_of(played, teams, name, name, floor) for name in own]
    best = max(alone, key=lambda returns: float(returns.mean()))
    # To each entrant its own forfeits count: of the same games the first and the second may have another view.
    first = np.stack([[seen_by(played, teams, (one, other), 0, floor) for other in own] for one in own])
    second = np.stack([[seen_by(played, teams, (one, other), 1, floor) for other in own] for one in own])
    faults = forfeited(played.results.values())
    _refuse_nothing(own, floor, best, faults)
    found = cross_play(first.mean(-1), floor.mean(-1), best.mean(-1)) if len(own) > 1 else None
    single = scores(np.stack(alone).mean(-1), floor.mean(-1), best.mean(-1))
    return Partners(
        played, variants, tuple(own), tuple(own),
        single.score[:, None] if found is None else found.score, single.low[:, None] if found is None else found.low,
        single.high[:, None] if found is None else found.high, _by_game(first, second, floor, best), found, faults,
    )  # fmt: skip


def _focal(
    played: Played, variants: tuple[Variant, ...], teams: Teams, names: list[str], random: str
) -> Partners:  # fmt: skip
    reference = played.plan.reference
    own = [name for name in names if name != random]
    columns: list[Scores] = []
    games = []
    faults = forfeited(played.results.values())
    for background in reference:
        floor = returns_of(played, teams, random, background)
        best = returns_of(played, teams, background, background, floor)
        _refuse_nothing([background], floor, best, faults)
        returns = np.stack([seen_by(played, teams, (name, background), 0, floor) for name in own])
        columns.append(scores(returns.mean(-1), floor.mean(-1), best.mean(-1)))
        games.append(_scored(returns, floor, best))
    parts = [np.stack([getattr(one, key) for one in columns], -1) for key in ("score", "low", "high")]
    by_game: Doubles = np.mean(games, 0)
    return Partners(played, variants, tuple(own), tuple(reference), parts[0], parts[1], parts[2], by_game, None, faults)


def _refuse_nothing(names: list[str], floor: Doubles, best: Doubles, faults: Mapping[str, Forfeited]) -> None:
    """Raise UserError where those who would be the best forfeited so much that they are no better than random play."""
    wrong = next((name for name in names if name in faults), None)
    if wrong is not None and not best.mean() > floor.mean():
        raise UserError(f"There is nothing to score by: {faults[wrong].remark(wrong)}")


def _by_game(first: Doubles, second: Doubles, floor: Doubles, best: Doubles) -> Doubles:
    """Return the score by number of the game [M,K], the mean over other partners and parts.

    `first` [M,M,V,n,K] are the returns of row and column as the row counts them, `second` as the column does.
    """
    M = len(first)
    if M == 1:
        return _scored(first[0], floor, best)
    mine = np.stack([_scored(first[i], floor, best) for i in range(M)])  # [M,M,K]
    theirs = np.stack([_scored(second[i], floor, best) for i in range(M)])
    others = ~np.eye(M, dtype=bool)
    return np.stack([(mine[i][others[i]].mean(0) + theirs[:, i][others[i]].mean(0)) / 2.0 for i in range(M)])


def _scored(returns: Doubles, floor: Doubles, best: Doubles) -> Doubles:
    """Return scores [M,K] of returns [M,V,n,K], by means over all variants."""
    low, high = floor.mean(), best.mean()
    found: Doubles = (returns.mean((1, 2)) - low) / (high - low)
    return found
