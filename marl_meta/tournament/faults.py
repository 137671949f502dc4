"""What entrants forfeited, and why, as reports say it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from marl_meta.tournament.results import ChunkResult


@dataclass(frozen=True, slots=True)
class Forfeited:
    """The games that an entrant forfeited."""

    kinds: Counter[str]
    """How many by each kind of fault."""
    reason: str
    """What happened in most of them, one sentence; of several as frequent, the first."""

    @property
    def games(self) -> int:
        """How many they are."""
        return sum(self.kinds.values())

    def remark(self, name: str) -> str:
        """Return the sentence about the entrant of that name."""
        said = ", ".join(f"{count} by {kind}" for kind, count in sorted(self.kinds.items()))
        return f"{name} forfeited {self.games} games: {said}. Most often: {self.reason}"


def forfeited(results: Iterable[ChunkResult]) -> dict[str, Forfeited]:
    """Return what each entrant forfeited, of those who did, in an order that does not depend on when it was played."""
    kinds: dict[str, Counter[str]] = {}
    reasons: dict[str, Counter[str]] = {}
    for result in sorted(results, key=lambda one: one.id):
        seated = dict(result.seating)
        for fault in result.forfeits:
            name = seated[fault.seat]
            kinds.setdefault(name, Counter())[fault.kind] += 1
            reasons.setdefault(name, Counter())[fault.reason] += 1
    return {name: Forfeited(found, reasons[name].most_common(1)[0][0]) for name, found in sorted(kinds.items())}


def remarks_on(faults: Mapping[str, Forfeited]) -> Iterator[str]:
    """Yield a sentence about each entrant that forfeited games."""
    for name, found in faults.items():
        yield found.remark(name)


def forfeits_record(found: Forfeited | None) -> dict[str, Any]:
    """Return what JSON says of an entrant's forfeits, `found` None of one without any."""
    if found is None:
        return {"forfeits": {}, "forfeit_reason": None}
    return {"forfeits": dict(found.kinds), "forfeit_reason": found.reason}
