"""The page of a tournament: one HTML file that needs no network and no script; recorded series are pages beside it."""

from __future__ import annotations

import html
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from marl_meta.evaluate.chart import TEAM_COLORS, ticks
from marl_meta.evaluate.figure import FAINT, GRID, INK, Area, Dot, Figure, Line, Mark, Text, svg
from marl_meta.evaluate.robust import Doubles
from marl_meta.tournament.outsiders.player import FAULTS
from marl_meta.tournament.plain import surely
from marl_meta.tournament.plan import ThirdParty
from marl_meta.tournament.schedule import Seating
from marl_meta.tournament.standing import Standing

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 0 auto; padding: 12px;
  max-width: 1020px; }
h1 { font-size: 1.5em; line-height: 1.2; } h2 { font-size: 1.2em; margin-top: 1.8em; }
.figures { display: flex; flex-wrap: wrap; gap: 12px; align-items: flex-start; }
.figures svg { max-width: 100%; height: auto; border: 1px solid #e8e6e0; border-radius: 6px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 4px 9px; white-space: nowrap; border-bottom: 1px solid #e8e6e0; }
th.left, td.left { text-align: left; }
table.heat td.cell { text-align: center; border: 2px solid #fff; min-width: 76px; }
table.heat td.cell a { color: inherit; }
.range { font-size: 11px; display: block; opacity: 0.8; }
p.note, li { color: #444; font-size: 14px; } code { font-size: 13px; overflow-wrap: anywhere; }
@media (max-width: 480px) { table { font-size: 12px; } th, td { padding: 3px 4px; }
  table.heat td.cell { min-width: 52px; } }
"""

_DIRECT = "Who earns more in a game wins it; who earns more in all games of a series wins the series."
_SWAPPED = "The sides have different roles: with sides swapped, whoever earns more on a side wins there."

_TABLES = """
At a table sit as many entrants as there are sides. They change places under the same seed, so that everybody has every
side, and where that can be every two have every two sides. Each game compares everybody at the table with everybody
else. Errors of ratings take all games of a table and seed as one.
"""

_METHOD = """
Ratings are Bradley and Terry's with draws (Davidson 1970) and, where the sides have one role, a side advantage. They
are of series, in Elo points about a mean of 1500, with a weak Gaussian prior (600 points). Their 95 % intervals are of
the difference to the mean; the two seatings of a seed are one unit.

A score is 1 for a win, 0.5 for a draw and 0 for a loss. Its 95 % intervals are bootstraps over pairs of seatings,
within each variant.

Alpha-rank (Omidshafiei et al. 2019) is the share of time that an evolving population spends on each entrant.

The Nash average (Balduzzi et al. 2018) is what each scores beyond a half against the most even equilibrium: copies of
an entrant do not change it. 0 is as good as any, less is worse.
"""

_SURELY = """
The probability that the row is stronger than the column, and below it the score that the row is expected to make of a
series against the column, both by their ratings.
"""

_WIN, _LOSS = (0, 114, 178), (213, 94, 0)


def page(found: Standing, links: Mapping[Seating, Sequence[str]]) -> str:
    """Return the page; `links` are the pages of recorded series, by seating."""
    parts = [
        *head(found.title, found.about, found.columns, found.rows, found.remarks),
        f'<div class="figures">{svg(_ratings(found))}{svg(_by_game(found)) if found.by_game else ""}</div>',
        "<h2>Who beats whom</h2>\n<p>The score of the row against the column.</p>",
        _heat_map(found, links),
        f"<h2>How surely</h2>\n<p>{' '.join(_SURELY.split())}</p>",
        _better(found),
        "<h2>By rule</h2>\n<p>The score on variants with that value of a rule.</p>",
        _by_rule(found),
        "<h2>By variant</h2>",
        _by_variant(found),
        "<h2>How this was made</h2>\n<ul>",
        *_making(found),
        "</ul>\n</body>\n</html>\n",
    ]
    return "\n".join(parts)


def head(
    title: str, about: str, columns: Sequence[str], rows: Iterable[Sequence[object]], remarks: Iterable[str]
) -> Iterator[str]:  # fmt: skip
    """Yield how a page begins: its title, and the standing."""
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>"
    yield f"<body>\n<h1>{html.escape(title)}</h1>\n<p>{html.escape(about)}.</p>\n<h2>Standing</h2>"
    yield table(columns, rows, left=1)
    yield from (f'<p class="note">{html.escape(remark)}</p>' for remark in remarks)


def _heat_map(found: Standing, links: Mapping[Seating, Sequence[str]]) -> str:
    names = [found.outcomes.names[i] for i in found.order]
    matrices = tuple(
        array[np.ix_(found.order, found.order)] for array in (found.payoffs.mean, found.payoffs.low, found.payoffs.high)
    )
    note = '<p class="note">A linked cell opens a recorded series, the row on the first side.</p>' if links else ""
    return heat_map(names, names, (matrices[0], matrices[1], matrices[2]), links) + note


def _better(found: Standing) -> str:
    """Return the table of who is stronger than whom how surely, in colors."""
    names = [found.outcomes.names[i] for i in found.order]
    better, expected = (array[np.ix_(found.order, found.order)] for array in (found.better, found.expected))
    lines = []
    for row, name in enumerate(names):
        cells = [f'<td class="left">{html.escape(name)}</td>']
        for sure, score in zip(better[row].tolist(), expected[row].tolist(), strict=True):
            said = "" if np.isnan(sure) else f'{html.escape(surely(sure))}<span class="range">{score:.2f}</span>'
            style = "" if np.isnan(sure) else f' style="background:{_shade(sure)}"'
            cells.append(f'<td class="cell"{style}>{said}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return _colored(names, lines)


def _colored(columns: Sequence[str], lines: Sequence[str]) -> str:
    heads = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    return f'<div class="wide"><table class="heat"><tr><th></th>{heads}</tr>{"".join(lines)}</table></div>'


def heat_map(
    rows: Sequence[str], columns: Sequence[str], matrices: tuple[Doubles, Doubles, Doubles],
    links: Mapping[Seating, Sequence[str]],
) -> str:  # fmt: skip
    """Return a table of scores [rows,columns] with their intervals, in colors, linked to recorded series."""
    watch: dict[tuple[str, str], str] = {}
    for seating, pages in links.items():
        (_, first), *others = seating
        for _, other in others:
            watch.setdefault((first, other), pages[0])
    lines = []
    for i, row in enumerate(rows):
        cells = [f'<td class="left">{html.escape(row)}</td>']
        for j, column in enumerate(columns):
            mean, low, high = (float(matrix[i, j]) for matrix in matrices)
            if np.isnan(mean):
                cells.append('<td class="cell"></td>')
                continue
            text = f"{mean:.2f}"
            if (row, column) in watch:
                text = f'<a href="{html.escape(watch[row, column])}">{text}</a>'
            cells.append(
                f'<td class="cell" style="background:{_shade(mean)}">{text}'
                f'<span class="range">{low:.2f} to {high:.2f}</span></td>'
            )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return _colored(columns, lines)


def _shade(score: float) -> str:
    """Return a color between white (a half) and that of winning or losing; text stays readable on it."""
    strong = _WIN if score > 0.5 else _LOSS
    share = min(abs(score - 0.5) * 2.0, 1.0) * 0.55
    mixed = [round(255 + (part - 255) * share) for part in strong]
    return f"rgb({mixed[0]},{mixed[1]},{mixed[2]})"


def _ratings(found: Standing) -> Figure:
    """Return the ratings with their intervals, the best on top."""
    rated = [i for i in found.order if not np.isnan(found.ratings.rating[i])]
    left, right, top, row = 150.0, 20.0, 40.0, 26.0
    width, height = 480.0, top + row * len(rated) + 30.0
    low, high = float(np.nanmin(found.ratings.low)), float(np.nanmax(found.ratings.high))
    margin = 0.05 * (high - low) or 1.0
    low, high = low - margin, high + margin

    def x(rating: float) -> float:
        return left + (width - left - right) * (rating - low) / (high - low)

    marks: list[Mark] = [Text((10, 18), "Rating, with 95 % intervals", 14.0)]
    for tick in ticks(low, high, 5):
        marks.append(Line([(x(tick), top - 6), (x(tick), height - 24)], GRID))
        marks.append(Text((x(tick), height - 12), f"{tick:.10g}", 11.0, FAINT, "m"))
    for place, i in enumerate(rated):
        y, color = top + row * (place + 0.5), _color(found, i)
        ends = (float(found.ratings.low[i]), float(found.ratings.high[i]))
        marks += [
            Text((left - 10, y), _short(found.outcomes.names[i]), 12.0, INK, "r"),
            Line([(x(ends[0]), y), (x(ends[1]), y)], color, 3.0),
            Dot((x(float(found.ratings.rating[i])), y), 5.0, color),
        ]
    return Figure(width, height, "Ratings of all entrants", marks)


def _by_game(found: Standing) -> Figure:
    """Return the score by number of the game, a line for each entrant."""
    shown = [i for i in found.order if found.outcomes.names[i] in found.by_game]
    count = found.plan.games
    left, right, top, height = 46.0, 20.0, 40.0, 200.0
    width = 480.0

    def at(game: int, score: float) -> tuple[float, float]:
        share = game / (count - 1) if count > 1 else 0.5
        return left + 12 + (width - left - right - 24) * share, top + height * (1.0 - score)

    marks: list[Mark] = [Text((10, 18), "Score by game of a series", 14.0)]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = at(0, tick)[1]
        marks.append(Line([(left, y), (width - right, y)], FAINT if tick == 0.5 else GRID))
        marks.append(Text((left - 6, y), f"{tick:g}", 11.0, FAINT, "r"))
    marks += [Text((at(game, 0.0)[0], top + height + 14), str(game + 1), 11.0, FAINT, "m") for game in range(count)]
    row = top + height + 40
    for i in shown:
        own, color = found.by_game[found.outcomes.names[i]].games, _color(found, i)
        highs = [at(game, one.high) for game, one in enumerate(own)]
        lows = [at(game, one.low) for game, one in enumerate(own)]
        points = [at(game, one.value) for game, one in enumerate(own)]
        marks += [Area([*highs, *reversed(lows)], color, 0.12), Line(points, color, 2.0)]
        marks += [Dot(point, 3.0, color) for point in points]
        marks += [Line([(left, row), (left + 26, row)], color, 2.5)]
        marks.append(Text((left + 34, row), _short(found.outcomes.names[i], 48), 12.0))
        row += 18.0
    return Figure(width, row, "Score by number of the game", marks)


def _color(found: Standing, i: int) -> tuple[int, int, int]:
    return TEAM_COLORS[found.order.index(i) % len(TEAM_COLORS)]


def _short(name: str, most: int = 20) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _by_rule(found: Standing) -> str:
    """Return the table of scores by value of every rule that differs between the variants."""
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for v, variant in enumerate(found.variants):
        for rule, value in variant.rules.items():
            places[rule, str(value)].append(v)
    varied = {rule for rule, _ in places if sum(1 for other, _ in places if other == rule) > 1}
    rows: list[list[str]] = []
    for (rule, value), of in sorted(places.items()):
        if rule in varied and len(of) > 1:
            scores = [_mean(found.by_variant[i, of]) for i in found.order]
            rows.append([rule, value, str(len(of)), *scores])
    if not rows:
        return '<p class="note">No rule has several values among these variants.</p>'
    names = [found.outcomes.names[i] for i in found.order]
    return table(["rule", "value", "variants", *names], rows, left=2)


def _by_variant(found: Standing) -> str:
    names = [found.outcomes.names[i] for i in found.order]
    rows = [
        [variant.variant_id, *(_mean(found.by_variant[i, [v]]) for i in found.order)]
        for v, variant in enumerate(found.variants)
    ]
    shown = table(["variant", *names], rows, left=1)
    return shown if len(rows) <= 12 else f"<details><summary>{len(rows)} variants</summary>{shown}</details>"


def _mean(values: np.ndarray) -> str:
    values = values[~np.isnan(values)]
    return f"{values.mean():.2f}" if len(values) else ""


def _making(found: Standing) -> Iterator[str]:
    plan = found.plan
    direct = len(set(found.roles.values())) == 1
    yield f"<li>A series is {plan.games} games on one variant, memory kept. {_DIRECT if direct else _SWAPPED}</li>"
    if plan.third_party is not None:
        yield f"<li>The game: {_third_party(plan.third_party)}</li>"
    if len(found.roles) > 2:
        yield f"<li>{' '.join(_TABLES.split())}</li>"
    choice = "take their likeliest action" if plan.deterministic else "sample their actions"
    yield f"<li>{plan.seeds} seeds of every variant, all seatings of each; seed {plan.seed}; teams {choice}.</li>"
    yield from (f"<li>{html.escape(' '.join(fact.split()))}</li>" for fact in _METHOD.strip().split("\n\n"))
    for kind in sorted({kind for fault in found.forfeits.values() for kind in fault.kinds}):
        yield f"<li>Forfeited by {html.escape(kind)}: {html.escape(FAULTS.get(kind, 'not known here'))}.</li>"
    for entrant in plan.entrants:
        weights = f", weights {entrant.weights[:16]}" if entrant.weights else ""
        yield f"<li>{html.escape(entrant.name)}: <code>{html.escape(entrant.spec)}</code>{weights}</li>"


def _third_party(game: ThirdParty) -> str:
    """Return what makes a game, and who is on which side of it."""
    kwargs = [f"<code>{html.escape(json.dumps(one))}</code>" for one in game.kwargs if one]
    roles = ", ".join(f"{html.escape(side)} (role {html.escape(role)})" for side, role in game.roles.items())
    given = f" with {' and with '.join(kwargs)}" if kwargs else ""
    return f"<code>{html.escape(game.entry_point)}</code>{given}; its sides are {roles}."


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], left: int) -> str:
    """Return a table; the first columns, up to number `left`, hold texts."""

    def cell(kind: str, index: int, value: object) -> str:
        side = ' class="left"' if index <= left and not isinstance(value, int) else ""
        return f"<{kind}{side}>{html.escape(str(value))}</{kind}>"

    lines = ["".join(cell("th", i, head) for i, head in enumerate(heads))]
    lines += ["".join(cell("td", i, value) for i, value in enumerate(row)) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table>\n{body}\n</table></div>'
