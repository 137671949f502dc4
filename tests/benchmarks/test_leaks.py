"""A thousand games with people from outside, of a third-party game and of ours, leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from marl_meta.bench.machine import inspect_machine
from marl_meta.bench.report import Mark, Report, Table

from ..tournament.leaks import play_many  # noqa: TID252 (tests are no package that has a name)


def test_a_thousand_games_leave_nothing_behind(
    check_marks: Callable[[Report], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = inspect_machine()
    left = play_many(tmp_path, monkeypatch, seeds=25)
    assert left.games == 1000
    rows = [(left.games, left.seconds, sum(left.forfeits.values()), *left.forfeits.values())]
    columns = ("games", "seconds", "forfeited", *left.forfeits)
    marks = [
        Mark("processes that are left", left.processes, most=0.0),
        Mark("files that are open", left.open_files, most=0.0),
        Mark("threads that are left", left.threads, most=0.0),
        Mark("temporary files that are left", left.temporary, most=0.0),
        Mark("memory that is held, MiB more", left.mebibytes, most=64.0),
    ]
    check_marks(Report("leaks", machine, [Table("leaks", "Games with people from outside", columns, rows)], marks))
