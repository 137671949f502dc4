"""A chart of returns as a picture: bars that start at what random play earns, with whiskers for the intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from marl_meta.games.palette import BLUE, BROWN, GREEN, MAROON, OLIVE, ORANGE, PURPLE, SKY, VERMILLION, VIOLET, Color

WIDTH = 960
_FACTOR = 3
"""Everything is drawn so many times too large and then shrunk, so that all edges are smooth."""

_INK, _FAINT, _GRID, _PAPER = (34, 34, 34), (112, 112, 112), (232, 230, 224), (255, 255, 255)
_SCRIPTED, _RANDOM, _CONTROL = (138, 138, 138), (200, 198, 192), (168, 176, 196)
TEAM_COLORS: tuple[Color, ...] = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, VIOLET, BROWN, MAROON, OLIVE)

_MARGIN, _VALUE_WIDTH, _ROW_GAP, _GROUP_GAP, _PANEL_GAP = 28, 72, 8, 14, 26


@dataclass(frozen=True, slots=True)
class Bar:
    """One player: returns with intervals, for each of the K episodes of a trial."""

    label: str
    color: Color
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True, slots=True)
class Group:
    """Bars that are to be compared, and where they start (one number an episode)."""

    label: str
    start: Sequence[float]
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Panel:
    """Groups over one axis."""

    title: str
    groups: Sequence[Group]


def player_color(origin: str, index: int) -> Color:
    """Return the color of a player; `index` counts the trained teams."""
    if origin == "team":
        return TEAM_COLORS[index % len(TEAM_COLORS)]
    return {"scripted": _SCRIPTED, "control": _CONTROL}.get(origin, _RANDOM)


def draw_chart(title: str, subtitle: str, panels: Sequence[Panel]) -> Image.Image:
    """Return the picture, WIDTH wide and as high as it takes."""
    height = 88 + sum(_panel_height(panel) + _PANEL_GAP for panel in panels)
    sheet = _Sheet(height)
    sheet.text((_MARGIN, 24), title, 20, _INK)
    sheet.text((_MARGIN, 52), subtitle, 12.5, _FAINT)
    top = 88.0
    for panel in panels:
        _draw_panel(sheet, panel, top)
        top += _panel_height(panel) + _PANEL_GAP
    return sheet.picture()


def ticks(low: float, high: float, most: int = 9) -> list[float]:
    """Return round numbers within [low, high], at most `most` of them, one of 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _draw_panel(sheet: _Sheet, panel: Panel, top: float) -> None:
    left = _MARGIN + max(sheet.width_of(bar.label, 13) for group in panel.groups for bar in group.bars) + 16
    axis = _Axis(panel, left, WIDTH - _MARGIN - _VALUE_WIDTH)
    sheet.text((_MARGIN, top), panel.title, 14.5, _INK)
    bottom = top + _panel_height(panel) - 22
    for tick in ticks(axis.low, axis.high):
        x = axis.at(tick)
        sheet.line((x, top + 28), (x, bottom), _GRID, 1)
        sheet.text((x, bottom + 5), f"{tick:.10g}", 11.5, _FAINT, "mt")
    y = top + 30.0
    for group in panel.groups:
        if group.label:
            sheet.text((_MARGIN, y), group.label, 12.5, _FAINT)
            y += 22
        first = y
        for bar in group.bars:
            _draw_bar(sheet, axis, group, bar, y, left)
            y += _bar_height(bar) + _ROW_GAP
        x = axis.at(group.start[0])
        sheet.line((x, first - 3), (x, y - _ROW_GAP + 3), _FAINT, 1.2)
        y += _GROUP_GAP


def _draw_bar(sheet: _Sheet, axis: _Axis, group: Group, bar: Bar, top: float, left: float) -> None:
    height = _bar_height(bar)
    sheet.text((left - 12, top + height / 2), bar.label, 13, _INK, "rm")
    thick = height / len(bar.mean)
    edge = axis.at(group.start[0])
    for episode, (mean, low, high) in enumerate(zip(bar.mean, bar.low, bar.high, strict=True)):
        y = top + (episode + 0.5) * thick
        half = thick / 2 if len(bar.mean) == 1 else thick / 2 - 1
        x = sorted((axis.at(group.start[episode]), axis.at(mean)))
        sheet.box((x[0], y - half), (x[1], y + half), bar.color)
        ends = axis.at(low), axis.at(high)
        sheet.line((ends[0], y), (ends[1], y), _INK, 1.3)
        for end in ends:
            sheet.line((end, y - min(half, 4)), (end, y + min(half, 4)), _INK, 1.3)
        edge = max(edge, *ends, *x)
    text = f"{bar.mean[0]:.2f}" if len(bar.mean) == 1 else f"{bar.mean[0]:.2f} to {bar.mean[-1]:.2f}"
    sheet.text((edge + 8, top + height / 2), text, 12.5, _INK, "lm")


def _bar_height(bar: Bar) -> float:
    return 22.0 if len(bar.mean) == 1 else 9.0 * len(bar.mean)


def _panel_height(panel: Panel) -> float:
    rows = sum(_bar_height(bar) + _ROW_GAP for group in panel.groups for bar in group.bars)
    labels = sum(22 for group in panel.groups if group.label)
    return 30 + rows + labels + _GROUP_GAP * len(panel.groups) + 22


class _Axis:
    """From returns to places across the picture."""

    def __init__(self, panel: Panel, left: float, right: float) -> None:
        values = [value for group in panel.groups for value in group.start]
        values += [value for group in panel.groups for bar in group.bars for value in (*bar.low, *bar.high)]
        span = (max(values) - min(values)) or 1.0
        self.low, self.high = min(values) - 0.04 * span, max(values) + 0.04 * span
        self._left, self._right = left, right

    def at(self, value: float) -> float:
        """Return the place of a return."""
        return self._left + (value - self.low) / (self.high - self.low) * (self._right - self._left)


class _Sheet:
    """Paper to draw on, in units of the finished picture's pixels."""

    def __init__(self, height: float) -> None:
        self._image = Image.new("RGB", (WIDTH * _FACTOR, math.ceil(height) * _FACTOR), _PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def picture(self) -> Image.Image:
        """Return the finished picture."""
        return self._image.reduce(_FACTOR)

    def text(self, place: tuple[float, float], text: str, size: float, color: Color, anchor: str = "lt") -> None:
        """Write a text."""
        self._draw.text(_scaled(place), text, color, ImageFont.load_default(size * _FACTOR), anchor=anchor)

    def width_of(self, text: str, size: float) -> float:
        """Return how wide a text is."""
        return self._draw.textlength(text, ImageFont.load_default(size * _FACTOR)) / _FACTOR

    def line(self, start: tuple[float, float], end: tuple[float, float], color: Color, width: float) -> None:
        """Draw a line."""
        self._draw.line((_scaled(start), _scaled(end)), color, round(width * _FACTOR))

    def box(self, start: tuple[float, float], end: tuple[float, float], color: Color) -> None:
        """Fill a rectangle."""
        self._draw.rectangle((_scaled(start), _scaled(end)), color)


def _scaled(place: tuple[float, float]) -> tuple[float, float]:
    return place[0] * _FACTOR, place[1] * _FACTOR
