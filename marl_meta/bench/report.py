"""What a benchmark found: tables and marks, for people and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from marl_meta.bench.machine import Machine

Cell = str | float | int | None
Row = tuple[Cell, ...]
Say = Callable[[str], None]
"""Where a benchmark says what it is doing."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something the project wants to reach."""

    name: str
    value: float
    least: float | None = None
    most: float | None = None
    portable: bool = True
    """Holds on any machine: a ratio of two things measured in one run, or memory. A speed is also the machine's."""

    @property
    def met(self) -> bool:
        """Whether the value lies within the bounds."""
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def wanted(self) -> str:
        """The bounds in words."""
        bounds = ((">=", self.least), ("<=", self.most))
        return " and ".join(f"{sign} {figure(bound)}" for sign, bound in bounds if bound is not None)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of figures under names; `title` says what they are, `notes` what a reader must know of them."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[Row]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one benchmark."""

    benchmark: str
    machine: Machine
    tables: list[Table]
    marks: list[Mark] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Return the report as plain values: `benchmark`, `machine`, `marks`, and each table as a list of rows."""
        return {
            "benchmark": self.benchmark,
            "machine": asdict(self.machine),
            "tables": {
                table.name: [dict(zip(table.columns, row, strict=True)) for row in table.rows] for table in self.tables
            },
            "notes": [note for table in self.tables for note in table.notes],
            "marks": [{**asdict(mark), "met": mark.met} for mark in self.marks],
        }


def figure(value: Cell) -> str:
    """Return a figure as people write it: 0.0123, 4.56, 950, 12.3k, 4.56M; whole numbers below a million whole."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, int) and abs(value) < 1e6:
        return str(value)
    for limit, size, unit in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= limit:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
