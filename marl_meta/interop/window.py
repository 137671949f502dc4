"""A window that shows pictures, by pygame (imported only when a window opens)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.types import UserError


class Window:
    """A window on the screen; it opens with the first picture."""

    def __init__(self, title: str, frames_per_second: int) -> None:
        """Get ready to show pictures."""
        import pygame

        self._pygame = pygame
        self._title = title
        self._clock = pygame.time.Clock()
        self._frames_per_second = frames_per_second

    def show(self, picture: npt.NDArray[np.uint8]) -> None:
        """Show a picture [H,W,3], and wait until it is its time; raises UserError where there is no screen."""
        screen = self._screen((picture.shape[1], picture.shape[0]))
        screen.blit(self._pygame.surfarray.make_surface(picture.swapaxes(0, 1)), (0, 0))
        self._pygame.event.pump()  # else the system takes the window for dead
        self._pygame.display.flip()
        self._clock.tick(self._frames_per_second)

    def _screen(self, size: tuple[int, int]) -> Any:
        """Return the window's surface; it is opened when it is not there, or when another game closed all windows."""
        display = self._pygame.display
        screen = display.get_surface() if display.get_init() else None
        if screen is not None and screen.get_size() == size:
            return screen
        try:
            display.init()
            screen = display.set_mode(size)
        except self._pygame.error as error:
            raise UserError(
                f"render_mode 'human' cannot open a window ({error}); on a machine without a screen use 'rgb_array'."
            ) from error
        display.set_caption(self._title)
        return screen

    def close(self) -> None:
        """Close the window."""
        self._pygame.display.quit()
