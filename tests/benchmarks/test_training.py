from __future__ import annotations

from collections.abc import Callable

from marl_meta.bench.report import Report
from marl_meta.bench.training import bench_training


def test_training_speed_and_memory(check_marks: Callable[[Report], None]) -> None:
    check_marks(bench_training(seconds=20.0, curve_seconds=60.0, say=print))
