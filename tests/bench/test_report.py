from __future__ import annotations

import json
import os

import pytest

from marl_meta.bench.machine import inspect_machine
from marl_meta.bench.report import Mark, Report, Table, figure


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("ours", "ours"),
        (0.01234, "0.0123"),
        (4.5678, "4.57"),
        (32768, "32768"),
        (12345.0, "12.3k"),
        (20.34e6, "20.3M"),
        (-55.0, "-55"),
        (1.5e9, "1.5G"),
    ],
)
def test_figures(value: float | str | None, text: str) -> None:
    assert figure(value) == text


def test_marks() -> None:
    assert Mark("speed", 3.0, least=3.0).met
    assert not Mark("speed", 2.9, least=3.0).met
    assert Mark("memory", 2.0, most=2.0).met
    assert not Mark("seconds", float("inf"), most=30.0, portable=False).met
    assert Mark("both", 1.0, least=0.5, most=2.0).wanted == ">= 0.5 and <= 2"


def test_a_report_is_json() -> None:
    table = Table("speed", "How fast", ("system", "speed"), [("ours", 2.0), ("theirs", None)], ("a note",))
    report = Report("engine", inspect_machine(), [table], [Mark("fast", 2.0, least=1.0)])
    record = json.loads(json.dumps(report.record()))
    assert record["tables"] == {"speed": [{"system": "ours", "speed": 2.0}, {"system": "theirs", "speed": None}]}
    assert record["marks"] == [
        {"name": "fast", "value": 2.0, "least": 1.0, "most": None, "portable": True, "met": True}
    ]
    assert record["notes"] == ["a note"]
    assert record["machine"]["cores"] >= 1


def test_the_machine_says_whether_others_use_it() -> None:
    machine = inspect_machine()
    assert machine.cpu and machine.versions["torch"] and machine.versions["numba"]
    assert machine.used_by_others is None or 0.0 <= machine.used_by_others <= 1.0
    assert machine.cores <= (os.cpu_count() or 1)
