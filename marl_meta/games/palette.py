"""The colors of pictures and charts: Okabe and Ito's, which people with any color vision tell apart."""

from __future__ import annotations

Color = tuple[int, int, int]

BLACK, ORANGE, SKY, GREEN = (34, 34, 34), (230, 159, 0), (86, 180, 233), (0, 158, 115)
YELLOW, BLUE, VERMILLION, PURPLE = (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)
VIOLET, BROWN, MAROON, OLIVE = (96, 74, 196), (140, 86, 36), (136, 34, 85), (122, 132, 36)
"""Beyond Okabe and Ito's, as dark as a line has to be: for charts with more lines than those serve."""
GREY, STONE, WHITE = (112, 112, 112), (133, 128, 120), (255, 255, 255)
OUTSIDE, FLOOR = (233, 230, 223), (251, 250, 247)

TEAM_COLORS: tuple[Color, ...] = (BLUE, ORANGE, PURPLE, GREEN, SKY, YELLOW)
HUNTER_COLOR = VERMILLION


def darker(color: Color) -> Color:
    """Return a color for the outline of something of this color."""
    return (round(color[0] * 0.62), round(color[1] * 0.62), round(color[2] * 0.62))
