"""Games of an evaluation to watch: on variants where a team does badly, as usual, and well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from marl_meta.evaluate.ground import Ground
from marl_meta.evaluate.lineup import RANDOM
from marl_meta.evaluate.results import Evaluation, SplitEvaluation
from marl_meta.evaluate.run import Report, unreported
from marl_meta.evaluate.watching import play
from marl_meta.files import atomic_write_text
from marl_meta.replay import Replay
from marl_meta.replay.reading import SUFFIX
from marl_meta.team import Team

FOLDER = "replays"


@dataclass(frozen=True, slots=True)
class ShownTrial:
    """A recorded trial of a team on a variant of an evaluation; it is played beside it, and counts for nothing."""

    split: str
    team: str
    side: str
    variant_id: str
    replay: Replay
    stem: str
    """Of its files."""

    @property
    def returns(self) -> list[float]:
        """What the team's side earned in each episode."""
        record = self.replay.record
        index = [team.name for team in record.teams].index(self.side)
        return [row[index] for row in record.returns]

    @property
    def page(self) -> str:
        """Where its page is, in the folder of a report."""
        return f"{FOLDER}/{self.stem}.html"


def showcase(
    evaluation: Evaluation, grounds: Sequence[Ground], teams: Mapping[str, Team], count: int,
    report: Report = unreported,
) -> list[ShownTrial]:  # fmt: skip
    """Return recorded trials of every team on `count` variants of each split, from its worst to its best.

    `grounds` are those of the splits, and `teams` are by the names that the evaluation has for them.
    """
    total = count * sum(len(teams.keys() - split.absent.keys()) for split in evaluation.splits)
    found: list[ShownTrial] = []
    for split, ground in zip(evaluation.splits, grounds, strict=True):
        for name, team in teams.items():
            if name in split.absent:
                continue
            for index in _telling(split, name, count):
                report(len(found), total, f"{name}, to be watched")
                found.append(_shown(evaluation, split, ground, name, team, index))
    return found


def write_showcase(shown: Sequence[ShownTrial], folder: Path) -> list[Path]:
    """Write replays and the pages that play them into `folder`/replays; returns the pages."""
    if not shown:
        return []
    place = folder / FOLDER
    place.mkdir(exist_ok=True)
    pages = []
    for one in shown:
        one.replay.save(place / f"{one.stem}{SUFFIX}")
        pages.append(folder / one.page)
        atomic_write_text(pages[-1], one.replay.page())
    return pages


def _telling(split: SplitEvaluation, team: str, count: int) -> list[int]:
    """Return variants on which the team earned least, most, and what lies between, by what it earned in the end."""
    side, against = _scored(split, team)
    results = split.against(side, against)
    if team not in results:
        return []
    earned = results[team].earned[side].total[:, :, -1].mean(1)
    order = np.argsort(earned, kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    return [int(order[place]) for place in places]


def _scored(split: SplitEvaluation, team: str) -> tuple[str, str | None]:
    """Return the side on which a team is watched, and who plays the others."""
    if split.adaptation is not None:
        return split.adaptation.side, split.adaptation.against
    if len(split.sides) == 1:
        return split.sides[0], None
    side = next(side for side in split.sides if team in split.players_of(side))
    scripted = [name for name, origin in split.origins.items() if origin == "scripted"]
    met = [name for name in scripted if team in split.against(side, name)]
    return side, met[-1] if met else RANDOM


def _shown(
    evaluation: Evaluation, split: SplitEvaluation, ground: Ground, name: str, team: Team, index: int
) -> ShownTrial:  # fmt: skip
    side, against = _scored(split, name)
    replay = play(
        {side: team}, against=against, game=ground.third_party or ground.family,
        rules=ground.rules[index] if ground.third_party is None else None,
        episodes=evaluation.episodes, seed=evaluation.seed, deterministic=evaluation.deterministic,
    )  # fmt: skip
    variant = split.variant_ids[index]
    stem = "-".join(_plain(part) for part in (split.split, name, variant))
    return ShownTrial(split.split, name, side, variant, replay, stem)


def _plain(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in text).strip("-.") or "team"
