"""Ratings of the learners over a training, in the Elo points of the Bradley-Terry model that tournaments use.

Who plays are the learners now, as they were at each snapshot, and the anchors. A learner meets members only, but what
it had come to when a snapshot was taken is that snapshot's record; so games connect the learner of today with the start
of the run, also when it meets no one from there any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from marl_meta.tournament.statistics.posterior import Games, mode
from marl_meta.tournament.statistics.ratings import POINTS, PRIOR
from marl_meta.train.league.ledger import Pairing, Record

Meetings = list[tuple[str, str, Record]]
"""Two who met and the record of the first: its wins, its draws, its losses, and what does not matter here."""


def meetings(
    now: Mapping[Pairing, Record], then: Mapping[int, Mapping[Pairing, Record]],
    learner: Callable[[str, int | None], str], member: Callable[[Pairing], str],
) -> Meetings:  # fmt: skip
    """Return who met whom. `learner(side, born)` names who played a side, now or at a snapshot; `member` the other."""
    found = [(learner(one.side, None), member(one), record) for one, record in now.items()]
    for born, records in then.items():
        found += [(learner(one.side, born), member(one), record) for one, record in records.items()]
    return found


def rated(met: Meetings, above: Mapping[str, str]) -> dict[str, float | None]:
    """Return how many points each key of `above` is above its value; None where games do not connect the two.

    A draw is half a win and half a loss: one probability of draws for all would not do, where beginners hardly ever
    draw and masters of a game always do.
    """
    names = sorted({name for first, second, _ in met for name in (first, second)})
    index = {name: place for place, name in enumerate(names)}
    wins, losses = np.zeros((2, len(names), len(names)))
    for first, second, (won, drawn, lost, _) in met:
        wins[index[first], index[second]] += won + drawn / 2.0
        losses[index[first], index[second]] += lost + drawn / 2.0
    found: dict[str, float | None] = dict.fromkeys(above)
    if not met:
        return found
    games = Games(wins, np.zeros_like(wins), losses)
    strengths = POINTS * mode(games, PRIOR / POINTS, side=False).strengths
    for group in games.groups():
        for name, reference in above.items():
            one, other = index.get(name, -1), index.get(reference, -1)
            if one in group and other in group:
                found[name] = float(strengths[one] - strengths[other])
    return found
