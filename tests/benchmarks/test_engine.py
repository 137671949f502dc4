from __future__ import annotations

from collections.abc import Callable

import pytest

from marl_meta.bench.engine import GAMES, bench_engine
from marl_meta.bench.report import Report


@pytest.mark.parametrize("game", GAMES)
def test_engine_beside_other_simulators(game: str, check_marks: Callable[[Report], None]) -> None:
    check_marks(bench_engine([game], seconds=2.0, repeats=9, say=print))
