"""What a run says of its league: how good the learners are beside its members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from marl_meta.evaluate.lineup import RANDOM
from marl_meta.train.league.ledger import Ledger, Pairing, Result, score
from marl_meta.train.league.members import PAST, Member
from marl_meta.train.league.rating import meetings, rated
from marl_meta.types import Layout

Metrics = dict[str, float | None]


class Standing:
    """The metrics of a league, `league/...`, which has the same ones in every iteration."""

    def __init__(
        self, layout: Layout, learners: Mapping[str, str], plays: Sequence[str], anchors: Sequence[Member]
    ) -> None:
        """`learners` names who learns which side, `plays` are the sides that members play."""
        self._learners, self._anchors = learners, anchors
        self._sides = {side.name: side for side in layout.teams}
        self._plays = plays
        self._alike = len({side.kind for side in layout.teams}) == 1
        self._random = any(member.name == RANDOM for member in anchors)

    def metrics(self, members: Sequence[Member], ledger: Ledger, results: Sequence[Result]) -> Metrics:
        """Return them after an iteration with these results; None where no game says anything.

        `league/return/SIDE` is of this iteration alone; all others look back, as the ledger fades.
        """
        metrics: Metrics = {"league/members": len(members)}
        for side in self._learners:
            earned = [result.earned for result in results if result.pairing.side == side]
            metrics[f"league/return/{side}"] = float(np.mean(earned)) if earned else None
        past = [member for member in members if member.born is not None]
        groups = {**{member.name: [member] for member in self._anchors}, PAST: past}
        if self._alike:
            metrics |= self._ratings(members, ledger)
            for name, group in groups.items():
                metrics[f"league/score_against/{name}"] = score(ledger.total([member.name for member in group]))
            return metrics
        for name, group in groups.items():
            for side in self._learners:
                if any(self._meet(side, member) for member in group):
                    *games, earned_sum = ledger.total([member.name for member in group], side).tolist()
                    mean = earned_sum / sum(games) if sum(games) else None
                    metrics[f"league/return_against/{name}/{side}"] = mean
        return metrics

    def _meet(self, side: str, member: Member) -> bool:
        return any(member.player.can_play(self._sides[other]) for other in self._plays if other != side)

    def _ratings(self, members: Sequence[Member], ledger: Ledger) -> Metrics:
        """Return how many points each learner is above random play, where that is an anchor, or above its start."""
        named = {member.name: member for member in members}

        def learner(side: str, born: int | None) -> str:
            return f"{self._learners[side]}@{'now' if born is None else born}"

        def member(pairing: Pairing) -> str:
            one = named[pairing.member]
            return one.policy(self._sides[pairing.plays]) + (one.name if one.born is not None else "")

        names = dict.fromkeys(self._learners.values())
        above = {f"{name}@now": RANDOM if self._random else f"{name}@0" for name in names}
        found = rated(meetings(ledger.now, ledger.then, learner, member), above)
        return {f"league/rating/{name}": found[f"{name}@now"] for name in names}
