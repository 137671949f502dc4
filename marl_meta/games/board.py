"""Pictures of boards and grids: pieces of teams on cells, or cells in colors."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from marl_meta.games.palette import (
    BLACK,
    FLOOR,
    GREEN,
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

_FACTOR = 3
_CELL = (238, 235, 228)
_THINGS: tuple[Color, ...] = (*TEAM_COLORS, VERMILLION, STONE, GREEN, SKY, YELLOW, PURPLE, BLACK)

BLOCKED = -1


def draw_board(
    cells: npt.NDArray[np.integer], size: int, *, style: Literal["board", "grid"] = "board",
    before: npt.NDArray[np.integer] | None = None,
) -> npt.NDArray[np.uint8]:  # fmt: skip
    """Return a picture uint8 [size,size,3] of the cells [height,width].

    0 is empty, 1 + i a piece of team i (or the i-th sort of thing in a grid), -1 a blocked cell. Cells that were
    otherwise `before` are marked.
    """
    finest = -(-2 * max(cells.shape) // size)
    if finest > 1:  # cells of less than two pixels cannot be seen, and would take long to draw
        cells, before = cells[::finest, ::finest], before[::finest, ::finest] if before is not None else None
    height, width = cells.shape
    pixels = size * _FACTOR
    image = Image.new("RGB", (pixels, pixels), OUTSIDE)
    pen = ImageDraw.Draw(image)
    margin = 0.05 * pixels
    side = (pixels - 2 * margin) / max(width, height)
    left, top = (pixels - side * width) / 2, (pixels - side * height) / 2
    gap = 0.5 * side / 12
    pen.rectangle((left - gap, top - gap, left + side * width + gap, top + side * height + gap), fill=FLOOR)
    for row in range(height):
        for column in range(width):
            box = (
                left + side * column + gap, top + side * row + gap,
                left + side * (column + 1) - gap, top + side * (row + 1) - gap,
            )  # fmt: skip
            changed = before is not None and bool(before[row, column] != cells[row, column])
            _cell(pen, box, int(cells[row, column]), style, changed=changed)
    return np.asarray(image.reduce(_FACTOR), np.uint8)


def _cell(
    pen: ImageDraw.ImageDraw, box: tuple[float, float, float, float], value: int, style: str, *, changed: bool
) -> None:  # fmt: skip
    line = max(round((box[2] - box[0]) / 22), 1)
    if value == BLOCKED:
        pen.rounded_rectangle(box, 2 * line, fill=STONE)
        return
    color = _THINGS[(value - 1) % len(_THINGS)] if value > 0 else _CELL
    if style == "grid":
        pen.rounded_rectangle(box, 2 * line, fill=color, outline=BLACK if changed else None, width=line)
        return
    pen.ellipse(box, fill=color, outline=darker(color) if value > 0 else WHITE, width=line)
    if value > 0 and changed:
        inset = 0.32 * (box[2] - box[0])
        pen.ellipse((box[0] + inset, box[1] + inset, box[2] - inset, box[3] - inset), fill=WHITE)
