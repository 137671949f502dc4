from __future__ import annotations

from collections.abc import Callable

from marl_meta.bench.policy import bench_policy
from marl_meta.bench.report import Report


def test_layer_beside_torch_geometric_and_update_beside_its_products(check_marks: Callable[[Report], None]) -> None:
    check_marks(bench_policy(seconds=3.0, repeats=9, say=print))
