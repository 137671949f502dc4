"""An evaluation as files: `evaluation.json`, `evaluation.csv` (every variant of every match-up), `returns.png`.

Where there is something to adapt to, also `report.html` (one page with everything), `adaptation.csv` (every variant's
scores) and the page's figures as PNG and SVG.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from marl_meta.evaluate.adapted import Adaptation
from marl_meta.evaluate.chart import Bar, Group, Panel, draw_chart, player_color
from marl_meta.evaluate.figure import picture, svg
from marl_meta.evaluate.lineup import RANDOM
from marl_meta.evaluate.page import page
from marl_meta.evaluate.plots import figures
from marl_meta.evaluate.results import Evaluation, Result, SplitEvaluation
from marl_meta.evaluate.showcase import ShownTrial, write_showcase
from marl_meta.files import atomic_write_bytes, finite

JSON_FILE, CSV_FILE, CHART_FILE = "evaluation.json", "evaluation.csv", "returns.png"
PAGE_FILE, SCORES_FILE = "report.html", "adaptation.csv"

CSV_COLUMNS = (
    "split", "variant_id", "side", "player", "against", "episode", "games", "return", "deviation", "return_sum",
)  # fmt: skip

SCORE_COLUMNS = ("split", "learner", "player", "variant_id", "episode", "score")


def write_report(evaluation: Evaluation, folder: Path, shown: Sequence[ShownTrial] = ()) -> list[Path]:
    """Write the files into `folder`, which exists; returns their paths. `shown` are recorded trials to watch."""
    files: dict[str, bytes] = {
        JSON_FILE: (json.dumps(finite(evaluation.record()), indent=2, allow_nan=False) + "\n").encode(),
        CSV_FILE: _csv(CSV_COLUMNS, _all_rows(evaluation)),
        CHART_FILE: _png(chart(evaluation)),
    }
    adapting = [(split.split, split.adaptation) for split in evaluation.splits if split.adaptation is not None]
    if adapting:
        files[PAGE_FILE] = page(evaluation, shown).encode()
        files[SCORES_FILE] = _csv(
            SCORE_COLUMNS, (row for label, adaptation in adapting for row in score_rows(label, adaptation))
        )
    for label, adaptation in adapting:
        for stem, figure in figures(adaptation, label).items():
            files[f"{stem}.svg"] = svg(figure).encode()
            files[f"{stem}.png"] = _png(picture(figure))
    for name, content in files.items():
        atomic_write_bytes(folder / name, content)
    return [*(folder / name for name in files), *write_showcase(shown, folder)]


def score_rows(split: str, adaptation: Adaptation) -> Iterator[dict[str, Any]]:
    """Yield the scores of every learner on every variant that counts, by SCORE_COLUMNS."""
    for learner in adaptation.learners:
        kept = [name for name, counts in zip(adaptation.variant_ids, learner.variants, strict=True) if counts]
        for member, own in zip(learner.members, learner.scores, strict=True):
            for variant_id, scores in zip(kept, own, strict=True):
                for episode, score in enumerate(scores):
                    yield {
                        "split": split,
                        "learner": learner.name,
                        "player": member,
                        "variant_id": variant_id,
                        "episode": episode + 1,
                        "score": f"{score:.6g}",
                    }


def _all_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    return (row for split in evaluation.splits for result in split.results for row in _rows(split, result))


def _csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> bytes:
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue().encode()


def _png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def chart(evaluation: Evaluation) -> Image.Image:
    """Return the chart of an evaluation: a panel for each side, a group for each split and opponent."""
    panels = []
    for side in dict.fromkeys(side for split in evaluation.splits for side in split.sides):
        groups = [group for split in evaluation.splits if side in split.sides for group in _groups(split, side)]
        panels.append(Panel(f"Return of each {side}", groups))
    first = evaluation.splits[0]
    counts = f"{len(first.variant_ids)} variants" if len(first.variant_ids) > 1 else "one variant"
    length = f", {evaluation.episodes} episodes each" if evaluation.episodes > 1 else ""
    subtitle = (
        f"{counts}, {first.games_per_variant} games of each{length}. Bars start at random play; "
        "whiskers are 95 % intervals."
    )
    return draw_chart(f"{evaluation.game}: what the teams earn", subtitle, panels)


def _groups(split: SplitEvaluation, side: str) -> Iterator[Group]:
    opponents: list[str | None] = [*split.opponents_of(side)] or [None]
    for opponent in opponents:
        against = split.against(side, opponent)
        if RANDOM not in against:
            continue
        trained = [name for name, origin in split.origins.items() if origin == "team"]
        bars = [
            Bar(
                name,
                player_color(split.origins[name], trained.index(name) if name in trained else 0),
                against[name].estimates[side].mean,
                against[name].estimates[side].low,
                against[name].estimates[side].high,
            )
            for name in split.players_of(side)
            if name in against
        ]
        label = split.split if opponent is None else f"{split.split}, against {opponent}"
        yield Group(label, against[RANDOM].estimates[side].mean, bars)


def _rows(split: SplitEvaluation, result: Result) -> Iterator[dict[str, Any]]:
    for side, earned in result.earned.items():
        others = [name for other, name in result.players.items() if other != side]
        for v, variant_id in enumerate(split.variant_ids):
            for episode in range(earned.per_agent.shape[2]):
                returns = earned.per_agent[v, :, episode].astype(float)
                yield {
                    "split": split.split,
                    "variant_id": variant_id,
                    "side": side,
                    "player": result.players[side],
                    "against": " ".join(others),
                    "episode": episode + 1,
                    "games": len(returns),
                    "return": f"{returns.mean():.6g}",
                    "return_sum": f"{earned.total[v, :, episode].astype(float).mean():.6g}",
                    "deviation": f"{returns.std(ddof=1):.6g}",
                }
