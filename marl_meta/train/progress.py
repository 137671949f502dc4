"""What people see while a run goes on: a live display in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_SECONDS = 10.0
"""Between two lines where there is no terminal."""
_SMOOTHING = 0.9


class ProgressDisplay:
    """Shows steps, speed, returns and the time left, on standard error."""

    def __init__(self, title: str, total: int, done: int = 0, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._total, self._done = total, done
        self._returns: dict[str, float] = {}
        self._ratings: dict[str, float] = {}
        self._began, self._first = time.monotonic(), done
        self._last_line = self._began
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[steps]}"),
            TextColumn("[cyan]{task.fields[speed]}"),
            TextColumn("[green]{task.fields[returns]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=False,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=total, completed=done, steps="", speed="", returns="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def note(self, message: str) -> None:
        """Print a line above the display."""
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)

    def update(self, env_steps: int, metrics: Mapping[str, float | None]) -> None:
        """Show where the run is; `metrics` has the returns as `return/TEAM`, ratings as `league/rating/LEARNER`."""
        self._done = env_steps
        for name, value in metrics.items():
            if name.startswith("return/") and value is not None:
                team = name.removeprefix("return/")
                before = self._returns.get(team, value)
                self._returns[team] = _SMOOTHING * before + (1.0 - _SMOOTHING) * value
            elif name.startswith("league/rating/") and value is not None:
                self._ratings[name.removeprefix("league/rating/")] = value
        now = time.monotonic()
        speed = (env_steps - self._first) / max(now - self._began, 1e-9)
        returns = "  ".join(
            [f"return {'  '.join(f'{team} {value:.2f}' for team, value in self._returns.items())}"]
            + [f"rating {learner} {value:+.0f}" for learner, value in self._ratings.items()]
        )
        steps = f"{short(env_steps)}/{short(self._total)} env-steps"
        self._bar.update(self._task, completed=env_steps, steps=steps, speed=f"{short(speed)}/s", returns=returns)
        if not self._console.is_terminal and now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            left = (self._total - env_steps) / max(speed, 1e-9)
            self.note(f"{steps}  {short(speed)}/s  {returns}  {left:.0f} s left")


def short(number: float) -> str:
    """Return a count as people write it: 950, 12.3k, 4.56M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g}{unit}"
    return f"{number:.0f}"
