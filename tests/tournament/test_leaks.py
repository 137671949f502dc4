from __future__ import annotations

from pathlib import Path

import pytest

from .leaks import play_many


@pytest.mark.slow
def test_forty_games_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a third-party game and of ours, with people who crash, hang, flood and are killed (`make bench`: 1,000)."""
    left = play_many(tmp_path, monkeypatch, seeds=1)
    assert left.games == 40
    assert set(left.forfeits) == {"crash", "timeout", "flood"}
    assert (left.processes, left.open_files, left.threads, left.temporary) == (0, 0, 0, 0)
    assert left.mebibytes < 32
