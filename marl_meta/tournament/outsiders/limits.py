"""What an entrant from outside may use up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from marl_meta.types import UserError
from marl_meta.wording import close_match, listed, shorten

MIB = 1 << 20
MOST_SECONDS = 86400.0
"""A day: clocks and polls of the system take no wait of any length."""
MOST = {"memory_mib": 1 << 24, "processes": 1 << 20, "message_bytes": 1 << 30, "log_bytes": 1 << 30}
"""Of the limits that are whole numbers."""


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
            if field.type == "int" and not (whole and 1 <= value <= MOST[field.name]):
                raise UserError(
                    f"The limit {field.name} is a whole number from 1 to {MOST[field.name]}, not {shorten(value)}."
                )
            if field.type == "float" and not ((whole or isinstance(value, float)) and 0 <= value <= MOST_SECONDS):
                raise UserError(
                    f"The limit {field.name} is a number of seconds from 0 to {MOST_SECONDS:.0f}, not {shorten(value)}."
                )

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
