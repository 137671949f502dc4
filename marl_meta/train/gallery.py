"""The gallery of a run: one page of how it went, with the games that were recorded on the way, to be watched."""

from __future__ import annotations

import html
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from marl_meta.config import Config
from marl_meta.evaluate.chart import TEAM_COLORS, ticks
from marl_meta.evaluate.figure import FAINT, GRID, Dot, Figure, Line, Mark, Point, Text, svg
from marl_meta.files import atomic_write_text
from marl_meta.replay import Replay, load_replay, watch_page
from marl_meta.replay.reading import SUFFIX
from marl_meta.train.folder import RunFolder, open_folder
from marl_meta.types import UserError

INDEX = "index.html"
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP = 620.0, 220.0, 54.0, 16.0, 34.0
_MOST_POINTS = 300
"""Of a curve: neighbours are averaged, so that one sees where it goes."""

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 12px; max-width: 1400px;
  color: light-dark(#222, #e6e4de); background: light-dark(#fff, #17171a); }
h1 { font-size: 1.5em; line-height: 1.2; margin: 0.3em 0; } h2 { font-size: 1.15em; margin: 1.4em 0 0.4em; }
p { margin: 0.3em 0; } .faint { color: light-dark(#666, #a5a29a); font-size: 14px; }
.figures { display: flex; flex-wrap: wrap; gap: 12px; }
.figures svg { max-width: 100%; height: auto; border: 1px solid #e8e6e0; border-radius: 6px; background: #fff; }
.games { display: grid; grid-template-columns: minmax(230px, 300px) 1fr; gap: 14px; align-items: start; }
.list { max-height: 86vh; overflow-y: auto; }
.list a { display: block; padding: 7px 10px; border-radius: 6px; text-decoration: none; color: inherit;
  border: 1px solid light-dark(#e8e6e0, #333338); margin-bottom: 6px; font-size: 14px; line-height: 1.35; }
.list a:hover, .list a:focus { border-color: #0072b2; }
.list small { color: light-dark(#666, #a5a29a); overflow-wrap: anywhere; }
iframe { width: 100%; height: 86vh; border: 1px solid light-dark(#e8e6e0, #333338); border-radius: 8px; }
@media (max-width: 760px) { .games { grid-template-columns: 1fr; } .list { max-height: 34vh; } }
"""


def is_run(path: Path) -> bool:
    """Return whether a folder is that of a run."""
    return (path / "config.json").is_file() and (path / "metrics.jsonl").is_file()


def write_gallery(path: Path) -> Path:
    """Write the pages of a run's gallery into its folder; returns the first one. They need no network.

    Raises UserError for what is no run, and for a recorded game that cannot be read.
    """
    folder, config = open_folder(path)
    metrics = _metrics(folder)
    games = [(file, load_replay(file)) for file in sorted(folder.replays.glob(f"*{SUFFIX}"), reverse=True)]
    folder.gallery.mkdir(exist_ok=True)
    pages = []
    for file, replay in games:
        name = file.name.removesuffix(SUFFIX) + ".html"
        atomic_write_text(folder.gallery / name, watch_page([replay]))
        pages.append((name, replay))
    index = folder.gallery / INDEX
    atomic_write_text(index, _page(config, metrics, pages))
    return index


def _metrics(folder: RunFolder) -> list[dict[str, Any]]:
    """Return what is written down by now: nothing of a run that has just begun, nor of a line that is being written."""
    if not folder.metrics.is_file():
        return []
    try:
        lines = folder.metrics.read_text(encoding="utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise UserError(f"{folder.metrics} is damaged: a line of it is not JSON.") from error


def _page(config: Config, metrics: Sequence[dict[str, Any]], pages: Sequence[tuple[str, Replay]]) -> str:
    title = html.escape(config.name)
    game = config.game.family + (f", split {config.game.split}" if config.game.split else "")
    steps = metrics[-1]["env_steps"] if metrics else 0
    about = f"{game}; meta={config.meta.name}, seed {config.seed}; {steps:,} of {config.train.steps:,} env-steps"
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>",
        f'<p class="faint">{html.escape(about)}</p>\n<div class="figures">',
        *(svg(figure) for figure in _figures(metrics)),
        "</div>\n<h2>Games</h2>",
        *_games(pages),
        "</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _games(pages: Sequence[tuple[str, Replay]]) -> Iterator[str]:
    if not pages:
        yield '<p class="faint">None were recorded: train.replays=1 keeps one at each evaluation and at the end.</p>'
        return
    yield '<div class="games"><div class="list">'
    for name, replay in pages:
        record = replay.record
        returns = ", ".join(
            f"{team.name} {' → '.join(f'{row[index]:.1f}' for row in record.returns)}"
            for index, team in enumerate(record.teams)
        )
        yield (
            f'<a href="{quote(name)}" target="watched">{html.escape(replay.title)}<br>'
            f"<small>{html.escape(record.game.variant_id or record.game.name)}<br>{html.escape(returns)}</small></a>"
        )
    yield f'</div><iframe name="watched" title="The game" src="{quote(pages[0][0])}"></iframe></div>'


def _figures(metrics: Sequence[dict[str, Any]]) -> Iterator[Figure]:
    """Yield the curves that tell most: returns in training, on the variants of evaluations, and ratings in a league."""
    names = list(dict.fromkeys(itertools.chain.from_iterable(metrics)))
    trained = [name for name in names if name.startswith("return/")]
    evaluated = [name for name in names if name.startswith("evaluate/") and "/return/" in name]
    ratings = [name for name in names if name.startswith("league/rating/")]
    scores = [name for name in names if name.startswith("league/score_against/")]
    for title, start, chosen in (
        ("Return of an agent, in training", "return/", trained),
        ("Return of an agent, evaluated", "evaluate/", evaluated),
        ("Rating in the league (points)", "league/rating/", ratings),
        ("Score against members of the league", "league/score_against/", scores),
    ):
        curves = {name.removeprefix(start).replace("return/", ""): _points(metrics, name) for name in chosen}
        curves = {name: points for name, points in curves.items() if points}
        if curves:
            yield _figure(title, curves)


def _points(metrics: Sequence[dict[str, Any]], name: str) -> list[Point]:
    found = [(float(row["env_steps"]), float(row[name])) for row in metrics if row.get(name) is not None]
    size = -(-len(found) // _MOST_POINTS)
    groups = [found[i : i + size] for i in range(0, len(found), size)] if found else []
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _figure(title: str, curves: dict[str, list[Point]]) -> Figure:
    everything = list(itertools.chain.from_iterable(curves.values()))
    most = max(x for x, _ in everything)
    low, high = min(y for _, y in everything), max(y for _, y in everything)
    margin = 0.06 * (high - low) or 1.0
    low, high = low - margin, high + margin

    def place(point: Point) -> Point:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * point[0] / most
        return x, _TOP + _HEIGHT * (high - point[1]) / (high - low)

    marks: list[Mark] = [Text((10, 16), title, 14.0)]
    for tick in ticks(low, high, 6):
        y = place((0.0, tick))[1]
        marks += [
            Line([(_LEFT, y), (_WIDTH - _RIGHT, y)], GRID), Text((_LEFT - 6, y), f"{tick:.10g}", 11.0, FAINT, "r"),
        ]  # fmt: skip
    for tick in ticks(0.0, most, 5):
        marks.append(Text((place((tick, low))[0], _TOP + _HEIGHT + 13), f"{tick / 1e6:g} M", 11.0, FAINT, "m"))
    row = _TOP + _HEIGHT + 38
    for index, (name, points) in enumerate(curves.items()):
        color = TEAM_COLORS[index % len(TEAM_COLORS)]
        marks += [Line([place(point) for point in points], color, 2.0), Dot(place(points[-1]), 3.0, color)]
        marks += [Line([(_LEFT, row), (_LEFT + 26, row)], color, 2.5), Text((_LEFT + 34, row), name, 12.0)]
        row += 18.0
    return Figure(_WIDTH, row, title, marks)
