"""A figure as a list of marks, which is drawn twice: as SVG for pages, as a picture for everything else."""

from __future__ import annotations

import html
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from marl_meta.games.palette import Color

Point = tuple[float, float]

INK, FAINT, GRID, PAPER = (34, 34, 34), (112, 112, 112), (232, 230, 224), (255, 255, 255)

_FACTOR = 3
"""Pictures are drawn so many times too large and then halved, so that all edges are smooth and pages stay sharp."""

_SHRUNK = 2
_FONT = "system-ui, sans-serif"
_ANCHORS = {"l": "start", "m": "middle", "r": "end"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points, of which there may be none."""

    points: Sequence[Point]
    color: Color
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Area:
    """A filled polygon."""

    points: Sequence[Point]
    color: Color
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Dot:
    """A filled circle."""

    center: Point
    radius: float
    color: Color


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text, whose place is at its left end, middle or right end, at half its height."""

    place: Point
    text: str
    size: float = 12.0
    color: Color = INK
    anchor: Literal["l", "m", "r"] = "l"


Mark = Line | Area | Dot | Text


@dataclass(frozen=True, slots=True)
class Figure:
    """Marks on white paper; later ones lie on top."""

    width: float
    height: float
    title: str
    """For those who cannot see it."""
    marks: Sequence[Mark]


def svg(figure: Figure) -> str:
    """Return a figure as an SVG element."""
    size = f'viewBox="0 0 {figure.width:g} {figure.height:g}" width="{figure.width:g}" height="{figure.height:g}"'
    title = html.escape(figure.title)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="{_FONT}">'
    paper = f'<rect width="100%" height="100%" fill="{_hex(PAPER)}"/>'
    return "\n".join([head, f"<title>{title}</title>", paper, *(_element(mark) for mark in figure.marks), "</svg>"])


def picture(figure: Figure) -> Image.Image:
    """Return a figure as a picture, one and a half times its size."""
    image = Image.new("RGB", (round(figure.width * _FACTOR), round(figure.height * _FACTOR)), PAPER)
    for mark in figure.marks:
        _paint(image, mark)
    return image.reduce(_SHRUNK)


def mixed(color: Color, opacity: float) -> Color:
    """Return what a color looks like on paper, thinned."""
    red, green, blue = (round(opacity * c + (1 - opacity) * p) for c, p in zip(color, PAPER, strict=True))
    return red, green, blue


def _element(mark: Mark) -> str:
    match mark:
        case Line(points, color, width, dashed):
            dash = ' stroke-dasharray="5 4"' if dashed else ""
            stroke = f'fill="none" stroke="{_hex(color)}" stroke-width="{width:g}"'
            return f'<polyline points="{_points(points)}" {stroke} stroke-linejoin="round"{dash}/>'
        case Area(points, color, opacity):
            return f'<polygon points="{_points(points)}" fill="{_hex(color)}" fill-opacity="{opacity:g}"/>'
        case Dot((x, y), radius, color):
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{_hex(color)}"/>'
        case Text((x, y), text, size, color, anchor):
            place = f'x="{x:.1f}" y="{y:.1f}" dy="0.35em" font-size="{size:g}"'
            return f'<text {place} fill="{_hex(color)}" text-anchor="{_ANCHORS[anchor]}">{html.escape(text)}</text>'


def _paint(image: Image.Image, mark: Mark) -> None:
    draw = ImageDraw.Draw(image)
    match mark:
        case Line(points, color, width, dashed):
            for piece in filter(None, _dashes(points) if dashed else [points]):
                draw.line([_scaled(point) for point in piece], color, round(width * _FACTOR), joint="curve")
        case Area(points, color, opacity):
            mask = Image.new("L", image.size, 0)
            ImageDraw.Draw(mask).polygon([_scaled(point) for point in points], fill=round(255 * opacity))
            image.paste(Image.new("RGB", image.size, color), (0, 0), mask)
        case Dot((x, y), radius, color):
            draw.ellipse((*_scaled((x - radius, y - radius)), *_scaled((x + radius, y + radius))), color)
        case Text(place, text, size, color, anchor):
            draw.text(_scaled(place), text, color, ImageFont.load_default(size * _FACTOR), anchor=f"{anchor}m")


def _dashes(points: Sequence[Point]) -> list[list[Point]]:
    """Return the pieces of a dashed line, 5 long and 4 apart."""
    pieces = []
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-9)
        start = 0.0
        while start < length:
            ends = start / length, min(start + 5.0, length) / length
            pieces.append([(x0 + share * (x1 - x0), y0 + share * (y1 - y0)) for share in ends])
            start += 9.0
    return pieces


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _scaled(point: Point) -> Point:
    return point[0] * _FACTOR, point[1] * _FACTOR
