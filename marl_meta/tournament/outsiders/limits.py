"""What an entrant from outside may use up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from marl_meta.types import UserError
from marl_meta.wording import close_match, listed, shorten

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What an entrant from outside may use up; whoever takes more forfeits the game. Raises UserError on bad values."""

    start_seconds: float = 30.0
    """To start its process and import what it needs; and again to get ready for a series."""
    reset_seconds: float = 5.0
    """To get ready for a game, and to take note of a step's rewards."""
    act_seconds: float = 1.0
    """For a move. What it takes longer comes out of its bank."""
    bank_seconds: float = 10.0
    """Of a whole series, filled up when the next one begins."""
    close_seconds: float = 1.0
    """To end by itself when it is told to."""
    grace_seconds: float = 0.2
    """Between the signal to end and the one that cannot be ignored."""
    memory_mib: int = 4096
    """Of the address space of each of its processes, and of what all of them together hold in memory."""
    processes: int = 64
    """That it may have at once."""
    message_bytes: int = MIB
    """Of an answer."""
    log_bytes: int = 1 << 16
    """Of its output that are kept: the beginning and the end."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if field.type == "int" and not (whole and value >= 1):
                raise UserError(f"The limit {field.name} is a whole number of at least 1, not {shorten(value)}.")
            if field.type == "float" and not (
                (whole or isinstance(value, float)) and math.isfinite(value) and value >= 0
            ):
                raise UserError(f"The limit {field.name} is a number of seconds, not {shorten(value)}.")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the usual limits but for these values; raises UserError for one that there is not."""
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise UserError(f"There is no limit {name!r}{close_match(name, known)}; there are {listed(known)}.")
        return cls(**values)

    def record(self) -> dict[str, float]:
        """Return the limits as plain values."""
        return asdict(self)
