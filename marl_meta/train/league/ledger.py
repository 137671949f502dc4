"""What came of the games against a league's members: wins, draws, losses and returns, of which old ones fade.

Between sides of one role, who earns more wins. Between different roles that says nothing: there a side has won if it
earned more than it does against all its opponents, on average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FORGETTING = 0.98
"""What stays of all counts after an iteration: half of them after 34."""

Record = npt.NDArray[np.float64]
"""[4] wins, draws, losses, and the sum of what an agent earned."""


class Pairing(NamedTuple):
    """A side that learns, and who plays against it."""

    side: str
    member: str
    plays: str
    """The side that the member plays."""


class Result(NamedTuple):
    """An episode against a member."""

    pairing: Pairing
    earned: float
    """Mean return of an agent of the side."""
    member_earned: float
    """Of the member's."""


class Ledger:
    """The records of the learners as they are now, and as they were when each snapshot was taken."""

    def __init__(self, roles: Mapping[str, str]) -> None:
        self._roles = roles
        """By side."""
        self.now: dict[Pairing, Record] = {}
        self.then: dict[int, dict[Pairing, Record]] = {}
        """By the iteration of the snapshot."""
        self._usual: dict[str, list[float]] = {}
        """Of each side what it earned, summed, and in how many episodes."""

    def note(self, results: Sequence[Result]) -> None:
        """Take note of an iteration's results, in order; what was before fades."""
        for record in self.now.values():
            np.multiply(record, FORGETTING, out=record)
        self._usual = {side: [FORGETTING * each for each in sums] for side, sums in self._usual.items()}
        for result in results:
            sums = self._usual.setdefault(result.pairing.side, [0.0, 0.0])
            sums[0] += result.earned
            sums[1] += 1.0
        for result in results:
            record = self.now.setdefault(result.pairing, np.zeros(4))
            record[self._outcome(result)] += 1.0
            record[3] += result.earned

    def _outcome(self, result: Result) -> int:
        """Return 0 for a win, 1 for a draw, 2 for a loss."""
        pairing, other = result.pairing, result.member_earned
        if self._roles[pairing.side] != self._roles[pairing.plays]:
            total, episodes = self._usual[pairing.side]
            other = total / episodes
        return 1 - int(np.sign(result.earned - other))

    def chance(self, member: str, plays: str) -> float:
        """Return how likely the learners are to win against a member on a side: a half before there are games."""
        records = [record for pairing, record in self.now.items() if pairing[1:] == (member, plays)]
        wins, draws, losses, _ = np.sum([np.zeros(4), *records], 0)
        return float((wins + draws / 2.0 + 1.0) / (wins + draws + losses + 2.0))

    def total(self, members: Sequence[str], side: str | None = None) -> Record:
        """Return the learners' record against some members, of all sides or of one."""
        chosen = [
            record for pairing, record in self.now.items() if pairing.member in members and side in (None, pairing.side)
        ]
        total: Record = np.sum([np.zeros(4), *chosen], 0)
        return total

    def freeze(self, born: int) -> None:
        """Keep the records as they are as those of the snapshot of an iteration."""
        self.then[born] = {pairing: record.copy() for pairing, record in self.now.items()}

    def drop(self, born: int, member: str) -> None:
        """Forget a snapshot that left: what it played, and who played against it."""
        self.then.pop(born, None)
        for records in (self.now, *self.then.values()):
            for pairing in [one for one in records if one.member == member]:
                del records[pairing]

    def values(self) -> dict[str, Any]:
        """Return all of it as JSON takes it."""
        return {
            "now": _listed(self.now),
            "then": [[born, _listed(records)] for born, records in self.then.items()],
            "usual": [[side, *sums] for side, sums in self._usual.items()],
        }

    def restore(self, values: Mapping[str, Any]) -> None:
        """Go back to what `values` returned."""
        self.now = _read(values["now"])
        self.then = {born: _read(records) for born, records in values["then"]}
        self._usual = {side: list(sums) for side, *sums in values["usual"]}


def score(record: Record) -> float | None:
    """Return the share of its games that a record won, draws as half; None where there is none."""
    games = float(record[:3].sum())
    return (float(record[0]) + float(record[1]) / 2.0) / games if games else None


def _listed(records: Mapping[Pairing, Record]) -> list[list[Any]]:
    return [[*pairing, *record.tolist()] for pairing, record in records.items()]


def _read(rows: Sequence[Sequence[Any]]) -> dict[Pairing, Record]:
    return {Pairing(*row[:3]): np.array(row[3:], np.float64) for row in rows}
