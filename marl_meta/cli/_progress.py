"""What a command shows on standard error while it plays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marl_meta.evaluate.run import Report

LINE_SECONDS = 10.0
"""Between two lines of progress where there is no terminal."""


@contextmanager
def progress_bar(unit: str = "episodes") -> Iterator[Report]:
    """Show what is being played on standard error: a bar in a terminal, a line now and then elsewhere.

    `unit` is what is counted.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("playing {task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task("", total=None)
    last_line = time.monotonic()

    def advance(done: int, total: int, name: str) -> None:
        nonlocal last_line
        bar.update(task, completed=done, total=total, description=name)
        if not console.is_terminal and time.monotonic() - last_line > LINE_SECONDS:
            last_line = time.monotonic()
            console.print(f"playing {name}: {done} of {total} {unit}", highlight=False)

    with bar:
        yield advance
