"""The figures of a report on adaptation: scores by episode, and whether beliefs are what they claim."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from marl_meta.evaluate.adaptation import Curve
from marl_meta.evaluate.adapted import Adaptation
from marl_meta.evaluate.calibration import BINS, Reliability
from marl_meta.evaluate.chart import TEAM_COLORS, ticks
from marl_meta.evaluate.figure import FAINT, GRID, INK, Area, Dot, Figure, Line, Mark, Point, Text
from marl_meta.games.palette import Color

WIDTH, PLOT_HEIGHT = 460.0, 270.0
_LEFT, _RIGHT, _TOP, _ROW = 42.0, 14.0, 40.0, 18.0

_ORACLE, _RANDOM = (90, 90, 90), (176, 172, 164)


def curves(adaptation: Adaptation, title: str) -> Figure:
    """Return the scores of every learner by episode: interquartile means, and bands for their intervals."""
    found = [(learner, learner.curve) for learner in adaptation.learners if learner.curve is not None]
    colors = line_colors(adaptation)
    lines = [
        _Plotted(
            learner.name, own, colors[learner.name],
            dashed=learner.role in ("control", "oracle"), band=learner.role in ("team", "group"),
        )
        for learner, own in found
    ]  # fmt: skip
    axis = _Axis(lines)
    marks: list[Mark] = [Text((10, 16), title, 14.0)]
    for tick in ticks(axis.low, axis.high, 8):
        y = axis.y(tick)
        marks.append(Line([(_LEFT, y), (WIDTH - _RIGHT, y)], FAINT if tick in (0.0, 1.0) else GRID))
        marks.append(Text((_LEFT - 6, y), f"{tick:.10g}", 11.0, FAINT, "r"))
    bottom = _TOP + PLOT_HEIGHT
    marks += [Text((axis.x(k), bottom + 13), str(k + 1), 11.0, FAINT, "m") for k in range(axis.episodes)]
    marks.append(Text((WIDTH - _RIGHT, bottom + 30), "episode of the trial", 11.0, FAINT, "r"))
    for line in lines:
        marks += _curve(line, axis)
    row = bottom + 48
    for line in lines:
        marks.append(Line([(_LEFT, row), (_LEFT + 26, row)], line.color, 2.5, line.dashed))
        marks.append(Text((_LEFT + 34, row), line.label, 12.0))
        row += _ROW
    return Figure(WIDTH, row, f"{title}: scores by episode of the trial", marks)


def line_colors(adaptation: Adaptation) -> dict[str, Color]:
    """Return the color of every learner; a control has that of the team that it is made of, an oracle none."""
    own = [learner.name for learner in adaptation.learners if learner.role in ("team", "group")]
    found = {name: TEAM_COLORS[index % len(TEAM_COLORS)] for index, name in enumerate(own)}
    colors: dict[str, Color] = {}
    for learner in adaptation.learners:
        base = learner.name.removesuffix(" (reset)")
        fallback = _RANDOM if learner.role == "random" else _ORACLE
        colors[learner.name] = found.get(learner.name) or found.get(base, fallback)
    return colors


def reliability(title: str, found: Reliability, color: Color) -> Figure:
    """Return a reliability diagram: dots on the diagonal where beliefs are right as often as they claim."""
    side, left, top = 230.0, 46.0, 66.0

    def at(x: float, y: float) -> Point:
        return left + x * side, top + (1.0 - y) * side

    marks: list[Mark] = [Text((10, 16), title, 13.0), Text((10, 36), _error_text(found), 12.0, FAINT)]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        marks += [Line([at(0, tick), at(1, tick)], GRID), Line([at(tick, 0), at(tick, 1)], GRID)]
        marks.append(Text((left - 6, at(0, tick)[1]), f"{tick:g}", 11.0, FAINT, "r"))
        marks.append(Text((at(tick, 0)[0], top + side + 12), f"{tick:g}", 11.0, FAINT, "m"))
    most = max(found.count.max(), 1.0)
    for index in range(BINS):
        height = 0.25 * found.count[index] / most
        corners = [(index, 0.0), (index + 0.9, 0.0), (index + 0.9, height), (index, height)]
        marks.append(Area([at((x + 0.05) / BINS, y) for x, y in corners], color, 0.18))
    marks.append(Line([at(0, 0), at(1, 1)], FAINT, 1.2, dashed=True))
    filled = [index for index in range(BINS) if found.count[index] > 0]
    points = [at(float(found.predicted[index]), float(found.observed[index])) for index in filled]
    marks.append(Line(points, color, 2.0))
    marks += [Dot(point, 3.5, color) for point in points]
    marks.append(Text((left + side, top + side + 30), "probability that was given", 11.0, FAINT, "r"))
    marks.append(Text((left + 4, top - 8), "share that was true", 11.0, FAINT))
    return Figure(left + side + 16, top + side + 44, f"{title}: {_error_text(found)}", marks)


@dataclass(frozen=True, slots=True)
class _Plotted:
    label: str
    curve: Curve
    color: Color
    dashed: bool
    band: bool


class _Axis:
    """From episodes and scores to places on the figure; 0 and 1 are always there."""

    def __init__(self, lines: Sequence[_Plotted]) -> None:
        shown = [number for line in lines for number in line.curve.iqm]
        shown += [number for line in lines if line.band for number in (*line.curve.low, *line.curve.high)]
        self.low = min(0.0, math.floor(10 * max(min(shown, default=0.0), -1.0)) / 10)
        self.high = max(1.1, math.ceil(10 * min(max(shown, default=1.0), 2.0)) / 10)
        self.episodes = max((len(line.curve.iqm) for line in lines), default=1)

    def x(self, episode: float) -> float:
        """Return where an episode (from 0) is."""
        margin = 18.0
        span = WIDTH - _RIGHT - _LEFT - 2 * margin
        share = episode / (self.episodes - 1) if self.episodes > 1 else 0.5
        return _LEFT + margin + span * share

    def y(self, score: float) -> float:
        """Return where a score is; what lies outside is drawn at the edge."""
        inside = min(max(score, self.low), self.high)
        return _TOP + PLOT_HEIGHT * (self.high - inside) / (self.high - self.low)


def _curve(line: _Plotted, axis: _Axis) -> list[Mark]:
    curve, marks = line.curve, list[Mark]()
    if line.band and len(curve.iqm) > 1:
        upper = [(axis.x(k), axis.y(high)) for k, high in enumerate(curve.high)]
        lower = [(axis.x(k), axis.y(low)) for k, low in enumerate(curve.low)]
        marks.append(Area([*upper, *reversed(lower)], line.color, 0.18))
    points = [(axis.x(k), axis.y(score)) for k, score in enumerate(curve.iqm)]
    marks.append(Line(points, line.color, 2.2 if line.band else 1.6, line.dashed))
    for k, point in enumerate(points):
        marks.append(Dot(point, 3.2 if line.band else 2.2, line.color))
        if line.band and len(points) == 1:
            marks.append(Line([(point[0], axis.y(curve.low[k])), (point[0], axis.y(curve.high[k]))], INK, 1.3))
    return marks


def _error_text(found: Reliability) -> str:
    return "nothing was believed" if math.isnan(found.error) else f"expected calibration error {found.error:.3f}"


def figures(adaptation: Adaptation, label: str) -> Mapping[str, Figure]:
    """Return the figures of a split by the stem of their file's name."""
    found = {f"adaptation-{label}": curves(adaptation, f"Adaptation on {label}")}
    colors = line_colors(adaptation)
    for name, calibration in adaptation.calibrations.items():
        stem = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
        found[f"reliability-{label}-{stem}"] = reliability(
            f"Beliefs of {name} on {label}", calibration.reliability(), colors[name]
        )
    return found
