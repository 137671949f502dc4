"""The standing of a tournament of two sides: who is how good, how surely, and who learnt during the series."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from marl_meta.evaluate.adaptation import Interval
from marl_meta.evaluate.robust import Doubles
from marl_meta.tournament.arena import variants_and_roles
from marl_meta.tournament.faults import Forfeited, forfeited, forfeits_record, remarks_on
from marl_meta.tournament.plain import decimal, number, numbers, percent, whole
from marl_meta.tournament.plan import Plan
from marl_meta.tournament.running import Played
from marl_meta.tournament.scoring import Meeting, meetings, outcomes, scores
from marl_meta.tournament.statistics.alpharank import alpha_rank
from marl_meta.tournament.statistics.cycles import Cycles, Parts, cycles, parts, score_errors
from marl_meta.tournament.statistics.nash import nash_average, win_rates
from marl_meta.tournament.statistics.outcomes import Outcomes, PayoffMatrix, payoffs
from marl_meta.tournament.statistics.ratings import Ratings, above, bradley_terry, expected
from marl_meta.tournament.statistics.series import Series, series
from marl_meta.types import UserError, Variant


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """What a tournament says."""

    played: Played
    roles: dict[str, str]
    variants: tuple[Variant, ...]
    outcomes: Outcomes
    """Of series."""
    ratings: Ratings
    payoffs: PayoffMatrix
    alpha: Doubles
    """[M] masses of alpha-rank; NaN where not everybody met everybody."""
    nash: Doubles
    """[M] Nash averages; NaN likewise."""
    cycles: Cycles
    circular: Parts
    """Which share of the differences in scores goes round in circles, so that no rating can say it."""
    by_game: dict[str, Series]
    """Scores by number of the game, of entrants with more than one series."""
    by_variant: Doubles
    """[M,V] mean score of each entrant on each variant."""
    forfeits: dict[str, Forfeited]
    """What entrants forfeited, of those who did."""

    @property
    def plan(self) -> Plan:
        """What was to be played."""
        return self.played.plan

    @property
    def order(self) -> list[int]:
        """Entrants, the best first."""
        rating = np.nan_to_num(self.ratings.rating, nan=-np.inf)
        return sorted(range(len(rating)), key=lambda i: (-rating[i], self.outcomes.names[i]))

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
        games = [f"game {k + 1}" for k in range(self.plan.games)]
        return ["", "entrant", "rating", "±", "score", *games, "alpha-rank", "Nash"]

    @property
    def rows(self) -> list[list[Any]]:
        """The table, the best first."""
        found = []
        for place, i in enumerate(self.order, 1):
            name = self.outcomes.names[i]
            own = self.by_game.get(name)
            games = [decimal(one.value) for one in own.games] if own is not None else [""] * self.plan.games
            found.append(
                [
                    place, name, whole(self.ratings.rating[i]), whole(1.96 * self.ratings.error[i]),
                    decimal(self.score(i)), *games, decimal(self.alpha[i]), decimal(self.nash[i]),
                ]
            )  # fmt: skip
        return found

    @property
    def remarks(self) -> list[str]:
        """What there is to say besides."""
        return list(self._remarks())

    @property
    def expected(self) -> Doubles:
        """[M,M] score in [0,1] that the row is expected to make of a series against the column, by their ratings."""
        return self._of_pairs(expected)

    @property
    def better(self) -> Doubles:
        """[M,M] probability that the row's strength is above the column's, by the errors of their ratings."""
        return self._of_pairs(above)

    def _of_pairs(self, function: Callable[[Ratings, int, int], float]) -> Doubles:
        """Return [M,M] of all pairs, NaN of an entrant and itself."""
        count = len(self.outcomes.names)
        return np.array(
            [[np.nan if i == j else function(self.ratings, i, j) for j in range(count)] for i in range(count)]
        )

    def score(self, i: int) -> float:
        """Return the mean score of an entrant in all of its series."""
        one, other = self.outcomes.first == i, self.outcomes.second == i
        earned = np.concatenate([self.outcomes.score[one], 1.0 - self.outcomes.score[other]])
        return float(earned.mean()) if len(earned) else float("nan")

    def _remarks(self) -> Iterator[str]:
        side, names = self.ratings.side, list(self.roles)
        if side.low > 0 or side.high < 0:
            better = names[0] if side.value > 0 else names[1]
            low, high = sorted((abs(side.low), abs(side.high)))
            yield f"Playing {better} is worth {abs(side.value):.0f} points ({low:.0f} to {high:.0f})."
        yield from self.ratings.notes
        for triple in self.cycles.triples[:5]:
            yield f"A cycle: {triple[0]} beats {triple[1]} beats {triple[2]} beats {triple[0]}."
        circular = self.circular
        if not np.isnan(circular.cyclic) and len(self.outcomes.names) > 2:
            chance = "" if np.isnan(circular.noise) else f" (by chance alone it would be {percent(circular.noise)})"
            yield f"{percent(circular.cyclic)} of the differences in scores go round in circles{chance}."
        for name, own in sorted(self.by_game.items()):
            if own.gain.low > 0:
                yield f"{name} learns during a series: {_gain(own.gain)} from the first game to the last."
        yield from remarks_on(self.forfeits)
        if self.played.settled:
            yield "The order was settled before all series were played; the rest was left out."

    def record(self) -> dict[str, Any]:
        """Return it as plain values: what `--json` prints."""
        return {
            "title": self.title,
            "plan": self.plan.model_dump(mode="json"),
            "series": self.played.series,
            "entrants": [self._entrant(i) for i in self.order],
            "payoffs": {
                "names": list(self.payoffs.names),
                "mean": numbers(self.payoffs.mean),
                "low": numbers(self.payoffs.low),
                "high": numbers(self.payoffs.high),
                "series": self.payoffs.games.tolist(),
            },
            "expected": numbers(self.expected),
            "better": numbers(self.better),
            "side_advantage": self.ratings.side.record(),
            "draws": self.ratings.draws.record(),
            "cyclic_share": number(self.circular.cyclic),
            "cyclic_share_by_chance": number(self.circular.noise),
            "cycles": [list(one) for one in self.cycles.triples],
            "variants": [
                {"variant_id": variant.variant_id, "score": dict(zip(self.outcomes.names, numbers(row), strict=True))}
                for variant, row in zip(self.variants, self.by_variant.T, strict=True)
            ],
            "remarks": self.remarks,
        }

    def _entrant(self, i: int) -> dict[str, Any]:
        name, ratings = self.outcomes.names[i], self.ratings
        own = self.by_game.get(name)
        return {
            "name": name,
            "spec": self.plan.entrants[i].spec,
            "rating": number(ratings.rating[i]),
            "low": number(ratings.low[i]),
            "high": number(ratings.high[i]),
            "score": number(self.score(i)),
            "by_game": None if own is None else [one.record() for one in own.games],
            "gain": None if own is None else own.gain.record(),
            "slope": None if own is None else own.slope.record(),
            "area": None if own is None else own.area.record(),
            "alpha_rank": number(self.alpha[i]),
            "nash": number(self.nash[i]),
            **forfeits_record(self.forfeits.get(name)),
        }  # fmt: skip


def standing(played: Played) -> Standing:
    """Return what a tournament says so far; raises UserError where nothing has been played."""
    plan, results = played.plan, list(played.results.values())
    if not results:
        raise UserError(f"Nothing has been played yet in {played.folder}; marl-meta tournament resume goes on.")
    variants, roles = variants_and_roles(plan)
    swappable = len(roles) == 2 and len(set(roles.values())) == 1
    found = outcomes(plan, roles, results)
    matrix = payoffs(found)
    met = bool(np.isfinite(matrix.mean).all())
    nothing = np.full(len(found.names), np.nan)
    return Standing(
        played=played,
        roles=dict(roles),
        variants=variants,
        outcomes=found,
        ratings=bradley_terry(found, side=swappable, paired=True),
        payoffs=matrix,
        alpha=alpha_rank(matrix.mean).masses if met else nothing,
        nash=nash_average(win_rates(matrix)).average if met else nothing,
        cycles=cycles(matrix),
        circular=parts(matrix.mean - 0.5, score_errors(matrix)),
        by_game=dict(_by_game(found.names, list(meetings(roles, results)))),
        by_variant=_by_variant(found, len(variants)),
        forfeits=forfeited(results),
    )


def _by_game(names: tuple[str, ...], met: list[Meeting]) -> Iterator[tuple[str, Series]]:
    """Yield the scores of every entrant by number of the game, of all of its series."""
    for name in names:
        own = [scores(*one.earned) for one in met if one.first == name]
        own += [1.0 - scores(*one.earned) for one in met if one.second == name]
        if own:
            together = np.concatenate(own, axis=1).astype(np.float64)
            if together.shape[0] * together.shape[1] > 1:
                yield name, series(together)


def _by_variant(found: Outcomes, variants: int) -> Doubles:
    sums, counts = np.zeros((2, len(found.names), variants))
    for who, score in ((found.first, found.score), (found.second, 1.0 - found.score)):
        np.add.at(sums, (who, found.variant), score)
        np.add.at(counts, (who, found.variant), 1.0)
    mean: Doubles = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return mean


def _gain(one: Interval) -> str:
    return f"+{one.value:.2f} ({one.low:.2f} to {one.high:.2f})"
