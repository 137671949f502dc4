"""Which of two ways to play the same step is faster now: with one thread or with all of them.

Two threads halve the time of a step on an idle machine. On a busy one a step waits for whichever thread other programs
keep from running, and takes up to fifty times as long. Both ways play to the same bits, so that every step may choose.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numba

_ROUNDS = 5
"""How often each way is timed in a contest."""
_FIRST_INTERVAL, _LAST_INTERVAL = 64, 16384
"""Steps between contests: twice as many whenever the winner has won again."""


class Pace:
    """Times both ways in short contests and says which to take."""

    def __init__(self) -> None:
        """Begin with a contest."""
        self._seconds: tuple[list[float], list[float]] = ([], [])
        self._interval = _FIRST_INTERVAL
        self._steps_left = 0
        self._threaded = False

    def play(self, alone: Callable[[], int], together: Callable[[], int], *, large: bool) -> int:
        """Play a step with one thread, or where the batch is `large` with all of them if that is faster; its result."""
        # A caller that is one of several threads has said that it wants no more (and some of numba's threading layers
        # abort when two callers ask for more at once).
        if not large or numba.get_num_threads() == 1:
            return alone()
        start = time.perf_counter()
        ended = together() if self.threaded() else alone()
        self.note(time.perf_counter() - start)
        return ended

    def threaded(self) -> bool:
        """Return whether the next step is to be played by all threads."""
        if self._steps_left > 0:
            return self._threaded
        one, all_of_them = self._seconds
        return len(all_of_them) < len(one)

    def note(self, seconds: float) -> None:
        """Learn how long the step took that `threaded` was asked about."""
        if self._steps_left > 0:
            self._steps_left -= 1
            return
        one, all_of_them = self._seconds
        (all_of_them if len(all_of_them) < len(one) else one).append(seconds)
        if len(all_of_them) == _ROUNDS:
            winner = median(all_of_them) < median(one)
            again = winner == self._threaded
            self._interval = min(2 * self._interval, _LAST_INTERVAL) if again else _FIRST_INTERVAL
            self._steps_left, self._threaded = self._interval, winner
            self._seconds = ([], [])
