from __future__ import annotations

from collections.abc import Callable

from marl_meta.bench.meta import bench_meta
from marl_meta.bench.report import Report


def test_meta_step_beside_a_loop_over_tasks(check_marks: Callable[[Report], None]) -> None:
    check_marks(bench_meta(seconds=6.0, repeats=9, say=print))
