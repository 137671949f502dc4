"""Pictures of games without places: a row of agents, what each of them did last, and what it was paid for that.

Above is the agent; then its actions, the last one filled; at the bottom its last reward, as a number and as a bar.
Everything is taken from the agents' private features, `last_<action>` for each action and `last_reward`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from marl_meta.games.palette import BLACK, FLOOR, GREEN, OUTSIDE, STONE, TEAM_COLORS, VERMILLION, WHITE, Color, darker
from marl_meta.types import Layout, Observation

_FACTOR = 3
"""Drawn so many times too large and then shrunk, so that all edges are smooth."""
_FAINT = (214, 209, 199)


def is_table(layout: Layout) -> bool:
    """Return whether games of this layout can be drawn: agents know their last action and reward, and have no place."""
    needed = {*_columns(layout), "last_reward"}
    return needed <= set(layout.private_features) and not {"x", "y"} <= set(layout.entity_features)


def draw_table(
    observation: Observation, layout: Layout, b: int, size: int, *, labels: Sequence[str] | None = None
) -> npt.NDArray[np.uint8]:
    """Return a picture uint8 [size,size,3] of game `b`; `labels` are N short texts, drawn below the agents."""
    pixels = size * _FACTOR
    image = Image.new("RGB", (pixels, pixels), OUTSIDE)
    pen = ImageDraw.Draw(image)
    margin = 0.05 * pixels
    pen.rectangle((margin, margin, pixels - margin, pixels - margin), fill=FLOOR)
    agents = np.flatnonzero(observation.present[b, : observation.acting.shape[1]]).tolist()
    legal = observation.action_mask[b][agents].any(0)
    names = layout.private_features
    for place, agent in enumerate(agents):
        private = dict(zip(names, observation.private[b, agent].tolist(), strict=True))
        last = [private[column] > 0 for column, allowed in zip(_columns(layout), legal, strict=True) if allowed]
        center = margin + (pixels - 2 * margin) * (place + 0.5) / len(agents)
        color = TEAM_COLORS[int(observation.team[b, agent]) % len(TEAM_COLORS)]
        column = _Column(pen, pixels, center, color)
        column.agent("" if labels is None else labels[agent])
        column.actions(last)
        if any(last):
            column.reward(private["last_reward"])
    return np.asarray(image.reduce(_FACTOR), np.uint8)


def _columns(layout: Layout) -> tuple[str, ...]:
    return tuple(f"last_{action}" for action in layout.actions)


class _Column:
    """One agent's part of the picture, around a vertical line at `center`."""

    def __init__(self, pen: ImageDraw.ImageDraw, pixels: int, center: float, color: Color) -> None:
        self._pen, self._pixels, self._center, self._color = pen, pixels, center, color
        self._line = max(round(pixels / 300), 1)

    def agent(self, label: str) -> None:
        """Draw the agent and its label."""
        y, r = 0.17 * self._pixels, 0.06 * self._pixels
        box = (self._center - r, y - r, self._center + r, y + r)
        self._pen.ellipse(box, fill=self._color, outline=darker(self._color), width=self._line)
        small = 0.3 * r
        self._pen.ellipse((self._center - small, y - small, self._center + small, y + small), fill=WHITE)
        self._text(y + 1.5 * r, label, BLACK, 0.035)

    def actions(self, last: Sequence[bool]) -> None:
        """Draw a box for every action, that of the last one filled."""
        top, bottom, half = 0.3 * self._pixels, 0.74 * self._pixels, 0.055 * self._pixels
        for number, chosen in enumerate(last):
            y = top + (bottom - top) * (number + 0.5) / len(last)
            r = min(half, 0.42 * (bottom - top) / len(last))
            box = (self._center - half, y - r, self._center + half, y + r)
            fill, ink = (self._color, WHITE) if chosen else (WHITE, STONE)
            outline = darker(self._color) if chosen else _FAINT
            self._pen.rounded_rectangle(box, 0.3 * r, fill=fill, outline=outline, width=2 * self._line)
            self._text(y, str(number), ink, 0.05)

    def reward(self, reward: float) -> None:
        """Draw the last reward: a bar, full for a reward of 1 (red for a cost), and the number."""
        y, half, r = 0.81 * self._pixels, 0.07 * self._pixels, 0.012 * self._pixels
        left, right = self._center - half, self._center + half
        self._pen.rectangle((left, y - r, right, y + r), fill=_FAINT)
        color = GREEN if reward >= 0 else VERMILLION
        if reward:
            self._pen.rectangle((left, y - r, left + (right - left) * min(abs(reward), 1.0), y + r), fill=color)
        self._text(y + 0.06 * self._pixels, f"{reward:.2g}", color if reward else STONE, 0.05)

    def _text(self, y: float, text: str, ink: Color, height: float) -> None:
        font = ImageFont.load_default(height * self._pixels)
        self._pen.text((self._center, y), text, ink, font, anchor="mm")
