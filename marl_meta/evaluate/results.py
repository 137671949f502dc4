"""What an evaluation found: every match-up's returns, and what they say about each team."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from marl_meta.evaluate.adapted import Adaptation
from marl_meta.evaluate.lineup import RANDOM, Matchup, Origin
from marl_meta.evaluate.play import Earned
from marl_meta.evaluate.statistics import Estimate

ITSELF = "itself"
"""How a team's record calls the opponent that is its own other side."""

INTERVALS = (
    "95 % bootstrap intervals of the mean over variants. return_low, return_high: games are resampled within each "
    "variant, for exactly these variants. variants_low, variants_high: variants are resampled, for all of their kind."
)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What one match-up came to."""

    players: dict[str, str]
    """Who played each side."""
    earned: dict[str, Earned]
    """Returns [V,n,K] by side."""
    estimates: dict[str, Estimate]
    """Of the return per agent, by side."""
    env_steps: int
    seconds: float

    @property
    def key(self) -> Matchup:
        """The match-up."""
        return tuple(self.players.items())


@dataclass(frozen=True, slots=True, eq=False)
class SplitEvaluation:
    """All match-ups on one split (or on given rules)."""

    game: str
    split: str
    """The split's name, or `rules`."""
    variant_ids: tuple[str, ...]
    games_per_variant: int
    sides: tuple[str, ...]
    origins: dict[str, Origin]
    """What each player is, in the order of the tables."""
    results: tuple[Result, ...]
    adaptation: Adaptation | None = None
    """None where there is nothing to adapt to: no hidden rules that vary, or no team that can be told them."""
    absent: dict[str, str] = field(default_factory=dict)
    """Why a team did not play here, by its name."""

    def result(self, players: Mapping[str, str]) -> Result | None:
        """Return what came of a match-up, None where it was not played."""
        wanted = tuple((side, players[side]) for side in self.sides)
        return next((result for result in self.results if result.key == wanted), None)

    def against(self, side: str, opponent: str | None) -> dict[str, Result]:
        """Return the results by who played `side`, where `opponent` played the other sides.

        `opponent` None is for games of one side. In games of three sides and more an opponent that cannot play one
        of the others has random play there.
        """
        found: dict[str, Result] = {}
        alone = set() if opponent is None else {opponent}
        for allowed in (alone, alone | {RANDOM}):
            for result in self.results:
                if {player for other, player in result.players.items() if other != side} == allowed:
                    found.setdefault(result.players[side], result)
        return found

    def players_of(self, side: str) -> list[str]:
        """Return who played a side, in the order of the tables."""
        there = {result.players[side] for result in self.results}
        return [name for name in self.origins if name in there]

    def opponents_of(self, side: str) -> list[str]:
        """Return who played the other sides, in the order of the tables; none in games of one side.

        Controls are left out: on the side that is not scored nobody needs them.
        """
        there = {name for result in self.results for other, name in result.players.items() if other != side}
        return [name for name, origin in self.origins.items() if name in there and origin != "control"]

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield what is known of every trained team on every side that it played, as plain values."""
        for side in self.sides:
            for player in self.players_of(side):
                if self.origins[player] == "team":
                    yield self._record(player, side)

    def main_opponent(self, player: str, side: str) -> str | None:
        """Return against whom a team's own figures are: itself where it plays all sides, else random play."""
        opponents = self.opponents_of(side)
        if not opponents:
            return None
        return player if player in self.against(side, player) and player in opponents else RANDOM

    def _record(self, player: str, side: str) -> dict[str, Any]:
        opponent = self.main_opponent(player, side)
        beside = self.against(side, opponent)
        own = beside[player]
        record: dict[str, Any] = {
            "team": player,
            "side": side,
            "split": self.split,
            "variants": len(self.variant_ids),
            "games_per_variant": self.games_per_variant,
            "opponent": ITSELF if opponent == player else opponent,
            **estimate_record(own.estimates[side]),
            "return_sum": _mean(own.earned[side]),
            "random": list(beside[RANDOM].estimates[side].mean),
            "scripted": {
                name: list(result.estimates[side].mean)
                for name, result in beside.items()
                if self.origins[name] == "scripted"
            },
            "env_steps": own.env_steps,
            "seconds": own.seconds,
        }
        found = self.adaptation
        if found is not None and side == found.side:
            record |= _adaptation_record(found, player, self.against(side, found.against))
        if opponent is not None:
            record["against"] = {
                name: estimate_record(self.against(side, name)[player].estimates[side])
                for name in self.opponents_of(side)
                if player in self.against(side, name)
            }
        return record


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What `evaluate` returns."""

    game: str
    splits: tuple[SplitEvaluation, ...]
    teams: dict[str, str]
    """Where each team lies, by its name."""
    episodes: int
    """K, the length of a trial."""
    seed: int
    deterministic: bool
    env_steps: int
    seconds: float

    def record(self) -> dict[str, Any]:
        """Return everything but the single games as plain values: what `marl-meta evaluate --json` prints."""
        return {
            "game": self.game,
            "episodes": self.episodes,
            "seed": self.seed,
            "deterministic": self.deterministic,
            "intervals": INTERVALS,
            "paths": self.teams,
            "teams": [record for split in self.splits for record in split.records()],
            "adaptation": [
                {"split": split.split, **split.adaptation.record()}
                for split in self.splits
                if split.adaptation is not None
            ],
            "matchups": [_matchup_record(split, result) for split in self.splits for result in split.results],
            "absent": [
                {"split": split.split, "team": name, "reason": reason}
                for split in self.splits
                for name, reason in split.absent.items()
            ],
            "env_steps": self.env_steps,
            "seconds": self.seconds,
        }


def estimate_record(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate as lists over the episodes of a trial."""
    return {
        "returns": list(estimate.mean),
        "return_low": list(estimate.low),
        "return_high": list(estimate.high),
        "variants_low": None if estimate.variants_low is None else list(estimate.variants_low),
        "variants_high": None if estimate.variants_high is None else list(estimate.variants_high),
    }


def _adaptation_record(adaptation: Adaptation, player: str, beside: Mapping[str, Result]) -> dict[str, Any]:
    """Return a team's scores, and what they are measured by: an agent's returns as elsewhere, and the team's sums."""
    side = adaptation.side
    learner = adaptation.learner(player)
    assert learner is not None
    return {
        **adaptation.scores(learner),
        "oracle": list(beside[learner.oracle].estimates[side].mean),
        "oracle_sum": _mean(beside[learner.oracle].earned[side]),
        "random_sum": _mean(beside[RANDOM].earned[side]),
        "trained": adaptation.trained[player],
    }


def _matchup_record(split: SplitEvaluation, result: Result) -> dict[str, Any]:
    return {
        "split": split.split,
        "players": result.players,
        "returns": {
            side: {**estimate_record(result.estimates[side]), "return_sum": _mean(result.earned[side])}
            for side in result.players
        },
        "env_steps": result.env_steps,
        "seconds": result.seconds,
    }


def _mean(earned: Earned) -> list[float]:
    return [float(number) for number in earned.total.astype("f8").mean((0, 1))]
