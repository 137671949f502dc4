"""The league of a run: who is in it, who plays which games, and how the learners do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from marl_meta.config import LeagueConfig
from marl_meta.rollout import Collector, EpisodeTotals
from marl_meta.team import Team
from marl_meta.train.league.drawing import likelihoods
from marl_meta.train.league.ledger import Ledger, Pairing, Result
from marl_meta.train.league.members import Member, read_snapshot, snapshot_path, superfluous, take_snapshot
from marl_meta.train.league.standing import Standing
from marl_meta.train.seeds import mixed_seed
from marl_meta.types import FloatArray, IntArray, Layout, UserError
from marl_meta.visitors import Visitor

Label = tuple[str, str]
"""A member, and the side that it plays."""

Seating = list[tuple[list[Label], list[Label]]]


class League:
    """The league of one run; the same iterations lead to the same members, opponents and numbers."""

    def __init__(
        self, settings: LeagueConfig, layout: Layout, learners: Mapping[str, str], sides: Sequence[str],
        collectors: Sequence[Collector], anchors: Sequence[Member], seed: int, *, told: bool,
    ) -> None:  # fmt: skip
        """`learners` names who learns which side, `sides` are those that members play, in turn.

        `told` says whether the learners are told the hidden rules all along.
        """
        self.settings, self._layout, self._learners, self._collectors = settings, layout, learners, collectors
        self._anchors, self._seed, self._told = anchors, seed, told
        self._sides = {side.name: side for side in layout.teams}
        self._open = sides
        self.members = list(anchors)
        self.ledger = Ledger({side.name: side.kind for side in layout.teams})
        self._standing = Standing(layout, learners, self._open, anchors)
        self._due = [False] * len(collectors)
        """Which shares' visitors are to be exchanged, as soon as all have come that were drawn before."""
        self._turns = [0] * len(collectors)
        """How often visitors were drawn."""
        self._left: dict[int, int] = {}
        """Snapshots that left and are still on the disk, and before which iteration that was."""

    def begin(self, iteration: int, team: Callable[[], Team], folder: Path) -> None:
        """Get ready for the iteration after so many; `team` returns the learners as they are, for the first member."""
        if iteration == 0:
            self._grow(0, team(), folder)
        if iteration % self.settings.rotate == 0:
            self._thin_out(iteration)
            self._due = [True] * len(self._collectors)
        for share, collector in enumerate(self._collectors):
            if self._due[share] and collector.visitors.settled:  # else when the last trial with who left is over
                collector.invite(self._visitors(share, self._draw(share, iteration), iteration))
                self._due[share] = False
                self._turns[share] += 1

    def end(
        self, iteration: int, totals: Sequence[EpisodeTotals], team: Callable[[], Team], folder: Path
    ) -> dict[str, float | None]:
        """Take note of an iteration, by its number from 1; returns the league's metrics."""
        results = list(self._results(totals))
        self.ledger.note(results)
        metrics = self._standing.metrics(self.members, self.ledger, results)
        metrics["league/episodes"] = sum(len(part.meetings) for part in totals)
        if iteration % self.settings.every == 0:
            self._grow(iteration, team(), folder)
        return metrics

    def _grow(self, born: int, team: Team, folder: Path) -> None:
        self.members.append(take_snapshot(team, folder, born, told=self._told))
        self.ledger.freeze(born)

    def _thin_out(self, iteration: int) -> None:
        """Let snapshots go that are too many, but for those that play."""
        past = {member.born: member for member in self.members if member.born is not None}
        playing = {name for before, now in self.seating() for name, _ in (*before, *now)}
        for born in superfluous(list(past), self.settings.size):
            if past[born].name not in playing:
                self.members.remove(past[born])
                self.ledger.drop(born, past[born].name)
                self._left[born] = iteration

    def tidy(self, folder: Path, oldest: int) -> None:
        """Remove snapshots that left before the checkpoint of the iteration `oldest`, and that no later one needs."""
        for born in [born for born, left in self._left.items() if left < oldest]:
            shutil.rmtree(snapshot_path(folder, born), ignore_errors=True)
            del self._left[born]

    def seating(self) -> Seating:
        """Return who plays in the blocks of each share: those who leave, where there are any, and those who came."""
        found = [(collector.visitors.before, collector.visitors.now) for collector in self._collectors]
        return [([one.label for one in before], [one.label for one in now]) for before, now in found]

    def _draw(self, share: int, iteration: int) -> list[Label]:
        """Return who plays in a share's blocks from now on: the sides take turns, between blocks and between draws."""
        draws = np.random.default_rng(mixed_seed(self._seed, 5000, share, iteration))
        turn = self._turns[share] + share
        row: list[Label] = []
        for block in range(len(self._blocks(share))):
            side = self._open[(turn + block) % len(self._open)]
            row.append((self._drawn(side, {name for name, _ in row}, draws), side))
        return row

    def _drawn(self, side: str, playing: set[str], draws: np.random.Generator) -> str:
        able = [member.name for member in self.members if member.player.can_play(self._sides[side])]
        others = [name for name in able if name not in playing] or able
        chances = [self.ledger.chance(name, side) for name in others]
        return others[draws.choice(len(others), p=likelihoods(chances, self.settings.name))]

    def _visitors(self, share: int, row: Sequence[Label], iteration: int) -> list[Visitor]:
        named = {member.name: member for member in self.members}
        game, found = self._collectors[share].game, []
        for block, (games, (name, side)) in enumerate(zip(self._blocks(share), row, strict=True)):
            seed = mixed_seed(self._seed, 5001, share, block, iteration)
            player = named[name].controller(game, side, games, seed)
            found.append(Visitor((name, side), games, self._agents(side), player))
        return found

    def _blocks(self, share: int) -> list[slice]:
        return blocks(self._collectors[share].game.num_games, self.settings.share, self.settings.opponents)

    def _agents(self, side: str) -> IntArray:
        number = list(self._sides).index(side)
        return np.flatnonzero(self._collectors[0].game.agent_team == number)

    def _results(self, totals: Sequence[EpisodeTotals]) -> Iterator[Result]:
        """Yield what each side that learns earned against whom; games in which one of the two has no agent are none."""
        for part in totals:
            for (member, plays), returns in part.meetings:
                theirs = _mean(returns[self._agents(plays)])
                for side in self._learners:
                    own = _mean(returns[self._agents(side)])
                    if side != plays and own is not None and theirs is not None:
                        yield Result(Pairing(side, member, plays), own, theirs)

    def values(self) -> dict[str, Any]:
        """Return the whole state, but for what the collectors keep of their visitors, as JSON takes it."""
        return {
            "anchors": [[member.name, member.weights] for member in self._anchors],
            "past": [[member.born, member.weights] for member in self.members if member.born is not None],
            "left": [*self._left.items()],
            "seating": self.seating(),
            "due": self._due,
            "turns": self._turns,
            "ledger": self.ledger.values(),
        }

    def restore(self, values: Mapping[str, Any], folder: Path) -> None:
        """Go back to what `values` returned, with the snapshots from the disk, before collectors are restored.

        Raises UserError where a member is not there any more, or is another one.
        """
        for member, (name, weights) in zip(self._anchors, values["anchors"], strict=True):
            if (member.name, member.weights) != (name, weights):
                raise UserError(f"The run cannot go on: the anchor {name} of its league has other weights than before.")
        past = [read_snapshot(folder, born, weights, told=self._told) for born, weights in values["past"]]
        self.members = [*self._anchors, *past]
        self._left = dict(values["left"])
        self.ledger.restore(values["ledger"])
        self._due, self._turns = list(values["due"]), list(values["turns"])
        for share, rows in enumerate(values["seating"]):
            labels = [[(name, side) for name, side in row] for row in rows]
            before, now = (self._visitors(share, row, 0) if row else [] for row in labels)
            self._collectors[share].visitors.seat(before, now)


def sides_of_members(layout: Layout, learners: Mapping[str, str]) -> list[str]:
    """Return the sides that members may play: those against which somebody learns."""
    return [side.name for side in layout.teams if set(learners) - {side.name}]


def blocks(games: int, share: float, opponents: int) -> list[slice]:
    """Return the last `share` of a batch's games, one at least, in equal blocks, one for each opponent."""
    count = max(1, round(share * games))
    parts = np.array_split(np.arange(games - count, games), min(opponents, count))
    return [slice(int(part[0]), int(part[-1]) + 1) for part in parts]


def _mean(returns: FloatArray) -> float | None:
    """Return the mean over the agents that took part; None where none did."""
    there = returns[~np.isnan(returns)]
    return float(there.mean(dtype=np.float64)) if len(there) else None
