"""The report of a tournament: an HTML page, the same as Markdown, CSV and JSON, and a page for each recorded series."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from marl_meta.files import atomic_write_text
from marl_meta.replay import load_replay, watch_page
from marl_meta.replay.reading import SUFFIX
from marl_meta.tournament.naming import file_stem
from marl_meta.tournament.page import page
from marl_meta.tournament.partners import Partners, partners
from marl_meta.tournament.partners_page import partners_page
from marl_meta.tournament.plan import SHARED
from marl_meta.tournament.results import ChunkResult
from marl_meta.tournament.running import REPLAYS, Played
from marl_meta.tournament.schedule import Seating
from marl_meta.tournament.standing import Standing, standing

PAGE, MARKDOWN, STANDING, SERIES, JSON_FILE = "report.html", "report.md", "standing.csv", "series.csv", "standing.json"


def conclude(played: Played) -> Standing | Partners:
    """Return what a tournament says so far, whatever its format."""
    return partners(played) if played.plan.format in SHARED else standing(played)


def write_report(found: Standing | Partners, folder: Path) -> list[Path]:
    """Write the report into the tournament's folder; returns the files, the page first."""
    links = watchable(found, folder)
    files = {
        PAGE: page(found, links) if isinstance(found, Standing) else partners_page(found, links),
        MARKDOWN: markdown(found),
        STANDING: _csv([found.columns, *found.rows]),
        SERIES: _csv([_SERIES_COLUMNS, *_series_rows(found)]),
        JSON_FILE: json.dumps(found.record(), indent=2) + "\n",
    }
    for name, text in files.items():
        atomic_write_text(folder / name, text)
    return [folder / name for name in files]


def watchable(found: Standing | Partners, folder: Path) -> dict[Seating, list[str]]:
    """Return where the pages of recorded series are, by seating; pages that are missing are written."""
    links: dict[Seating, list[str]] = {}
    for result in sorted(found.played.results.values(), key=lambda one: one.id):
        for index in range(found.plan.replays):
            stem = file_stem(result.id, index)
            replay = folder / REPLAYS / f"{stem}{SUFFIX}"
            if not replay.is_file():
                continue
            path = folder / REPLAYS / f"{stem}.html"
            if not path.is_file():
                atomic_write_text(path, watch_page([load_replay(replay)]))
            links.setdefault(result.seating, []).append(f"{REPLAYS}/{stem}.html")
    return links


def markdown(found: Standing | Partners) -> str:
    """Return the standing as a Markdown page."""
    heads = [head or "place" for head in found.columns]
    lines = [f"# {found.title}", "", found.about + ".", "", _row(heads), _row(["---"] * len(heads))]
    lines += [_row([str(value) for value in row]) for row in found.rows]
    lines += ["", *(f"- {remark}" for remark in found.remarks), ""]
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


_SERIES_COLUMNS = ["seat", "entrant", "against", "variant_id", "seed", "game", "return", "forfeit", "reason"]


def _series_rows(found: Standing | Partners) -> Iterator[list[object]]:
    for result in sorted(found.played.results.values(), key=lambda one: one.id):
        faults = {(one.seat, one.variant, one.seed, one.game): (one.kind, one.reason) for one in result.forfeits}
        for seat, name in result.seating:
            others = " and ".join(one for other, one in result.seating if other != seat)
            yield from _seat_rows(found, result, seat, (name, others), faults)


def _seat_rows(
    found: Standing | Partners,
    result: ChunkResult,
    seat: str,
    names: tuple[str, str],
    faults: dict[tuple[str, int, int, int], tuple[str, str]],
) -> Iterator[list[object]]:
    earned = result.returns[seat]
    for v, variant in enumerate(found.variants):
        for s, seed in enumerate(result.seeds):
            for game in range(earned.shape[-1]):
                value = earned[v, s, game]
                shown = "" if value != value else round(float(value), 6)  # noqa: PLR0124 (NaN is not itself)
                yield [
                    seat, *names, variant.variant_id, seed, game + 1, shown, *faults.get((seat, v, s, game), ("", "")),
                ]  # fmt: skip


def _csv(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
