"""Pictures of games: one game of an Observation as an image, without a screen.

Kinds differ by shape as well as by colour. Agents are round, as their bodies are, with their kind's mark in the middle
and a tick that shows where they are going. Objects are as large as what counts as touching them. Nothing that is drawn
depends on a hidden rule. Games without places, whose agents know their last action and reward, are drawn as a table,
and those of cells as a board.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from marl_meta.games.board import draw_board
from marl_meta.games.connect.planes import board_of, is_board
from marl_meta.games.palette import (
    BLACK,
    FLOOR,
    GREEN,
    HUNTER_COLOR,
    ORANGE,
    OUTSIDE,
    PURPLE,
    SKY,
    STONE,
    TEAM_COLORS,
    VERMILLION,
    WHITE,
    YELLOW,
    Color,
    darker,
)
from marl_meta.games.table import draw_table, is_table
from marl_meta.types import FloatArray, Layout, Observation

_GRID, _BORDER = (238, 235, 228), (126, 121, 112)

Point = tuple[float, float]
Shape = Literal["disc", "target", "rock", "grove", "diamond", "triangle", "square", "pentagon", "star"]

_MARKS: tuple[Shape, ...] = ("disc", "triangle", "square", "diamond", "star")
"""The marks in the middle of agents, by kind."""


@dataclass(frozen=True, slots=True)
class Look:
    """How objects of a kind are drawn."""

    shape: Shape
    color: Color


LOOKS: Mapping[str, Look] = {
    "obstacle": Look("rock", STONE),
    "landmark": Look("target", BLACK),
    "forest": Look("grove", GREEN),
    "food": Look("star", PURPLE),
    "red": Look("diamond", VERMILLION),
    "green": Look("triangle", GREEN),
    "blue": Look("square", SKY),
}
"""Kinds of objects that are drawn in a way of their own; others take turns."""

_OTHER_LOOKS = (Look("pentagon", PURPLE), Look("star", YELLOW), Look("diamond", GREEN), Look("square", ORANGE))
_LAYERS: tuple[Shape, ...] = ("grove", "target")
"""Shapes that lie on the ground, drawn first."""

_SIDES = {"triangle": (3, 0.25), "square": (4, 0.125), "diamond": (4, 0.25), "pentagon": (5, 0.25)}
"""Polygons: corners, and the turn of the first, in full turns."""


def draw(
    observation: Observation,
    layout: Layout,
    b: int,
    size: int = 400,
    *,
    arena: float = 1.0,
    walls: bool = False,
    labels: Sequence[str] | None = None,
) -> npt.NDArray[np.uint8]:
    """Return a picture uint8 [size,size,3] of game `b`.

    `arena` is half the width of the square in which the game starts, and `walls` says whether it is closed; both are
    rules of the particle games. The camera does not move: an entity beyond it is an arrowhead at the picture's edge.
    `labels` are N short texts, drawn beside the agents. Games that are drawn as a table heed the size and the labels
    alone, boards the size. Raises ValueError for other games whose entities have no place.
    """
    if is_board(layout):
        board, before = (board_of(observation, layout, b, last=last) for last in (True, False))
        return draw_board(board, size, before=before)
    if is_table(layout):
        return draw_table(observation, layout, b, size, labels=labels)
    if not {"x", "y", "radius"} <= set(layout.entity_features):
        raise ValueError(f"only entities with x, y and radius can be drawn, these have {layout.entity_features}")
    canvas = _Canvas(size, arena)
    canvas.ground(walls=walls)
    agents = observation.acting.shape[1]
    entities = observation.entities[b]
    x, y, radius = (entities[:, layout.entity_features.index(name)] for name in ("x", "y", "radius"))
    looks = _object_looks(layout)
    objects = [e for e in range(agents, len(entities)) if observation.present[b, e]]
    for e in sorted(objects, key=lambda e: looks[layout.kinds[observation.kind[b, e]]].shape not in _LAYERS):
        look = looks[layout.kinds[observation.kind[b, e]]]
        if not canvas.beyond((x[e], y[e]), radius[e], look.color):
            canvas.thing((x[e], y[e]), radius[e], look)
    velocity = _velocities(observation, layout, b)
    marks, colors = _agent_marks(layout), _team_colors(layout)
    for e in np.flatnonzero(observation.present[b, :agents]).tolist():
        kind = layout.kinds[observation.kind[b, e]]
        color = colors[observation.team[b, e]]
        if canvas.beyond((x[e], y[e]), radius[e], color):
            continue
        canvas.agent((x[e], y[e]), radius[e], velocity[e], color, marks[kind])
        if labels is not None:
            canvas.label((x[e], y[e]), radius[e], labels[e])
    return canvas.picture()


def _velocities(observation: Observation, layout: Layout, b: int) -> FloatArray:
    """Return the agents' velocities [N,2]: their own knowledge of it, else what others see, else none."""
    velocities: FloatArray = np.zeros((observation.acting.shape[1], 2), np.float32)
    own, public = (layout.private_features, observation.private), (layout.entity_features, observation.entities)
    for names, values in (public, own):
        if {"vx", "vy"} <= set(names):
            velocities = values[b, : len(velocities), [names.index("vx"), names.index("vy")]].T
    return velocities


def _object_looks(layout: Layout) -> dict[str, Look]:
    others = [kind for kind in layout.kinds if kind not in LOOKS]
    return {**LOOKS, **{kind: _OTHER_LOOKS[i % len(_OTHER_LOOKS)] for i, kind in enumerate(others)}}


def _agent_marks(layout: Layout) -> dict[str, Shape]:
    return {kind: _MARKS[i % len(_MARKS)] for i, kind in enumerate(layout.kinds)}


def _team_colors(layout: Layout) -> list[Color]:
    """Return a color for each team; hunters are red, as wherever people know these games from."""
    others = itertools.cycle(TEAM_COLORS)
    return [HUNTER_COLOR if team.kind == "adversary" else next(others) for team in layout.teams]


class _Canvas:
    """A square image, drawn several times too large and then shrunk, so that all edges are smooth."""

    def __init__(self, size: int, arena: float) -> None:
        self._factor = 4 if size <= 400 else 3
        self._pixels = size * self._factor
        self._arena = arena
        self._scale = self._pixels / (2.6 * arena)  # with a margin, since most games do not close the arena
        self._line = max(self._pixels / 400, 1.6 * self._factor / 2)
        self._image = Image.new("RGB", (self._pixels, self._pixels), OUTSIDE)
        self._draw = ImageDraw.Draw(self._image, "RGBA")

    def picture(self) -> npt.NDArray[np.uint8]:
        """Return the finished picture uint8 [size,size,3]."""
        return np.asarray(self._image.reduce(self._factor), np.uint8)

    def ground(self, *, walls: bool) -> None:
        """Draw the arena: its floor, a faint grid, and its border, heavy where nobody can pass it."""
        low, high = self._at((-self._arena, self._arena)), self._at((self._arena, -self._arena))
        self._draw.rectangle((*low, *high), fill=FLOOR)
        for step in range(-1, 2):
            place = step * self._arena / 2
            self._draw.line((self._at((place, self._arena)), self._at((place, -self._arena))), _GRID, round(self._line))
            self._draw.line((self._at((-self._arena, place)), self._at((self._arena, place))), _GRID, round(self._line))
        if walls:
            margin = 2.5 * self._line
            outer = (low[0] - margin, low[1] - margin, high[0] + margin, high[1] + margin)
            self._draw.rectangle(outer, outline=_BORDER, width=round(2.5 * self._line))
            return
        corners = [low, (high[0], low[1]), high, (low[0], high[1]), low]
        for start, end in itertools.pairwise(corners):
            for dash in range(0, 40, 2):
                ends = [_between(start, end, (dash + 0.5 + part) / 40) for part in (0, 1)]
                self._draw.line(ends, _BORDER, round(1.2 * self._line))

    def thing(self, place: Point, radius: float, look: Look) -> None:
        """Draw an object."""
        center, r = self._at(place), max(radius * self._scale, 4 * self._line)
        if look.shape == "grove":
            self._circle(center, r, (*look.color, 70), (*look.color, 130), 1.5)
        elif look.shape == "target":
            self._circle(center, r, (*look.color, 22), look.color, 1.6)
            for angle in range(4):
                ends = [_polar(center, share * r, angle / 4) for share in (0.45, 1.5)]
                self._draw.line(ends, look.color, round(1.6 * self._line))
            self._circle(center, 0.18 * r, look.color, None, 0)
        elif look.shape == "rock":
            self._shadow(center, r)
            self._circle(center, r, look.color, darker(look.color), 1.8)
            self._circle(_polar(center, 0.12 * r, 0.375), 0.72 * r, (*WHITE, 26), None, 0)
        else:
            self._circle(center, r, (*look.color, 40), None, 0)  # what counts as touching it
            self._polygon(center, 0.98 * r, look.shape, look.color, darker(look.color))

    def agent(self, place: Point, radius: float, velocity: Sequence[float], color: Color, mark: Shape) -> None:
        """Draw an agent and where it is going: its tick ends where it would be after three steps (at most so far)."""
        center, r = self._at(place), max(radius * self._scale, 5 * self._line)
        self._shadow(center, r)
        speed = math.hypot(velocity[0], velocity[1])
        if speed > 0.05:
            turn = math.atan2(velocity[1], velocity[0]) / math.tau
            tip = r + 0.3 * min(speed, 1.2) * self._scale
            width = min(max(0.22 * r, 1.5 * self._line), 4 * self._line)
            flanks = [_polar(_polar(center, 0.8 * r, turn), width, turn + side) for side in (0.25, -0.25)]
            self._draw.polygon([flanks[0], _polar(center, tip, turn), flanks[1]], fill=darker(color))
        self._circle(center, r, color, WHITE, 1.4)
        self._circle(center, r + 0.7 * self._line, None, darker(color), 1.2)
        if mark == "disc":
            self._circle(center, 0.3 * r, (*WHITE, 235), None, 0)
        else:
            self._polygon(center, 0.46 * r, mark, WHITE, None)

    def label(self, place: Point, radius: float, text: str) -> None:
        """Write a text below an agent."""
        x, y = self._at(place)
        font = ImageFont.load_default(11 * self._line)
        below = (x, y + max(radius * self._scale, 5 * self._line) + 3 * self._line)
        self._draw.text(below, text, BLACK, font, anchor="mt", stroke_width=2 * self._line, stroke_fill=FLOOR)

    def beyond(self, place: Point, radius: float, color: Color) -> bool:
        """Return whether an entity is outside the picture; if so, an arrowhead at the edge points to it."""
        limit = self._pixels / (2 * self._scale)
        if max(abs(place[0]), abs(place[1])) - radius < limit:
            return False
        shrink = (limit - 10 * self._line / self._scale) / max(abs(place[0]), abs(place[1]))
        center = self._at((place[0] * shrink, place[1] * shrink))
        turn = math.atan2(place[1], place[0]) / math.tau
        corners = [_polar(center, share * self._line, turn + angle) for share, angle in ((9, 0), (8, 0.38), (8, -0.38))]
        self._draw.polygon(corners, fill=color, outline=darker(color), width=round(self._line))
        return True

    def _at(self, place: Point) -> Point:
        half = self._pixels / 2
        return (half + place[0] * self._scale, half - place[1] * self._scale)

    def _shadow(self, center: Point, r: float) -> None:
        self._circle(
            (center[0] + 1.2 * self._line, center[1] + 2.2 * self._line), r + self._line, (60, 50, 40, 46), None, 0
        )

    def _circle(
        self, center: Point, r: float, fill: tuple[int, ...] | None, outline: tuple[int, ...] | None, lines: float
    ) -> None:
        box = (center[0] - r, center[1] - r, center[0] + r, center[1] + r)
        self._draw.ellipse(box, fill=fill, outline=outline, width=max(round(lines * self._line), 1))

    def _polygon(self, center: Point, r: float, shape: Shape, fill: Color, outline: Color | None) -> None:
        if shape == "star":
            corners = [_polar(center, r * (1.05 if i % 2 == 0 else 0.5), 0.25 + i / 10) for i in range(10)]
        else:
            sides, first = _SIDES[shape]
            corners = [_polar(center, r, first + i / sides) for i in range(sides)]
        self._draw.polygon(corners, fill=fill, outline=outline, width=round(1.3 * self._line))


def _polar(center: Point, r: float, turn: float) -> Point:
    """Return the point at distance `r` in direction `turn` (full turns anticlockwise from the right)."""
    return (center[0] + r * math.cos(math.tau * turn), center[1] - r * math.sin(math.tau * turn))


def _between(start: Point, end: Point, share: float) -> Point:
    return (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]))
