"""What tests of players from outside share: a series to play, and a look at what they leave behind."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from marl_meta.tournament.outsiders.player import Box, Choice, SeriesInfo

ENTRANTS = Path(__file__).parent / "entrants"

INFO = SeriesInfo(
    game="duel",
    side="red",
    games=3,
    own=("red_0", "red_1"),
    agents={"red_0": "red", "red_1": "red", "blue_0": "blue"},
    actions={"red_0": Choice(4, ("stay", "left", "right", "up")), "red_1": Box((2,), (-1.0, -0.5), (1.0, 1.0))},
    rules={"arena": 1.0},
)
OBSERVATIONS: dict[str, Any] = {"red_0": np.arange(6, dtype=np.float32).reshape(2, 3), "red_1": [0.1, 0.2]}
INFOS: dict[str, dict[str, Any]] = {"red_0": {"action_mask": np.array([False, True, True, True])}, "red_1": {}}


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def started_in(folder: Path) -> list[psutil.Process]:
    """Return the processes whose home lies in a folder, whoever their parent is; zombies are init's affair."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("HOME", "").startswith(str(folder)):
                found.append(process)
    return found


@contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """Fail when processes, zombies, open files, threads or temporary folders are left behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        ours = set(psutil.Process().children(recursive=True))
        files, threads = open_files(), threading.active_count()
        yield
        assert set(psutil.Process().children(recursive=True)) <= ours
        assert started_in(folder) == []
        assert open_files() <= files
        assert threading.active_count() <= threads
        assert list(folder.glob("marl-meta-entrant-*")) == []
