from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from marl_meta.bench.report import Report, figure


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in this folder: `make test` leaves it out, `make bench` runs it."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.benchmark)
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture
def check_marks() -> Callable[[Report], None]:
    """Print what was measured, and fail where a mark that holds on any machine was missed."""

    def check(report: Report) -> None:
        print()
        for table in report.tables:
            print(f"{table.title}\n  {'  '.join(table.columns)}")
            for row in table.rows:
                print("  " + "  ".join(figure(cell) for cell in row))
        missed = []
        for mark in report.marks:
            print(f"{'met' if mark.met else 'MISSED':6} {mark.name}: {figure(mark.value)}, wanted {mark.wanted}")
            if mark.portable and not mark.met:
                missed.append(f"{mark.name}: {figure(mark.value)}, wanted {mark.wanted}")
        print(report.machine.warning or "The machine was quiet.")
        assert not missed, "; ".join(missed)

    return check
