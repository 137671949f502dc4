"""Reading a data file strictly: every complaint names the file, the key and what is allowed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marl_meta.types import UserError
from marl_meta.wording import close_match, listed, shorten

__all__ = ["NAME_PATTERN", "Entry", "is_number", "listed"]

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a data file together with where it stands, so that it can complain in one sentence."""

    file: Path
    key: str
    """Dotted path inside the file; empty for the file as a whole."""
    value: Any

    def error(self, allowed: str) -> UserError:
        """Return the complaint that this value is not what is `allowed`."""
        place = f"{self.file}: {self.key}" if self.key else f"{self.file}: the file"
        return UserError(f"{place} must be {allowed}, not {shorten(self.value)}.")

    def child(self, key: str) -> Entry:
        """Return the entry under `key` of this mapping (None when it is not given)."""
        value = self.value.get(key) if isinstance(self.value, dict) else None
        return Entry(self.file, f"{self.key}.{key}" if self.key else key, value)

    def mapping(self, allowed: Iterable[str], required: Iterable[str] = ()) -> dict[str, Any]:
        """Return this mapping; raises on keys that are not `allowed` and on `required` ones that lack."""
        known = tuple(allowed)
        values = self.named()
        for key in values:
            if key not in known:
                raise UserError(
                    f"{self.child(key).place} is not a known key{close_match(key, known)}; allowed are {listed(known)}."
                )
        for key in required:
            if key not in values:
                raise UserError(f"{self.child(key).place} is missing; required are {listed(required)}.")
        return values

    def named(self) -> dict[str, Any]:
        """Return this mapping, whose keys are names (lower-case words joined by underscores)."""
        if not isinstance(self.value, dict):
            raise self.error("a mapping of keys to values")
        for key in self.value:
            if not isinstance(key, str) or not NAME_PATTERN.fullmatch(key):
                place = f"{self.file}: {self.key or 'the file'}"
                raise UserError(
                    f"{place} has the key {key!r}; allowed are lower-case letters, digits and underscores, "
                    "a letter first."
                )
        return self.value

    @property
    def place(self) -> str:
        """The file and key, as complaints begin."""
        return f"{self.file}: {self.key}"

    def text(self) -> str:
        """Return this text, without white space around it."""
        if not isinstance(self.value, str) or not self.value.strip():
            raise self.error("a text")
        return self.value.strip()

    def name(self) -> str:
        """Return this name."""
        if not isinstance(self.value, str) or not NAME_PATTERN.fullmatch(self.value):
            raise self.error("a name of lower-case letters, digits and underscores, a letter first")
        return self.value

    def names(self) -> tuple[str, ...]:
        """Return this list of distinct names."""
        if not isinstance(self.value, list):
            raise self.error("a list of names")
        names = tuple(self.item(i).name() for i in range(len(self.value)))
        if len(set(names)) < len(names):
            raise self.error("a list of distinct names")
        return names

    def item(self, index: int) -> Entry:
        """Return the entry at `index` of this list."""
        return Entry(self.file, f"{self.key}[{index}]", self.value[index])

    def items(self, allowed: str) -> list[Any]:
        """Return this list, which has at least one item."""
        if not isinstance(self.value, list) or not self.value:
            raise self.error(allowed)
        return self.value

    def one_of(self, options: Sequence[str]) -> str:
        """Return this word, one of `options`."""
        if not isinstance(self.value, str) or self.value not in options:
            raise self.error(f"one of {listed(options)}")
        return self.value

    def integer(self, low: int) -> int:
        """Return this integer, at least `low`."""
        if not isinstance(self.value, int) or isinstance(self.value, bool) or self.value < low:
            raise self.error(f"an integer of at least {low}")
        return self.value

    def flag(self) -> bool:
        """Return this flag."""
        if not isinstance(self.value, bool):
            raise self.error("true or false")
        return self.value

    def interval(self, *, integers: bool = False) -> tuple[float, float]:
        """Return this pair of finite numbers, low before high; of integers where asked for."""
        allowed = f"two {'integers' if integers else 'numbers'} [low, high] with low < high"
        if not isinstance(self.value, list) or len(self.value) != 2:
            raise self.error(allowed)
        low, high = self.value
        if not (is_number(low) and is_number(high)) or low >= high:
            raise self.error(allowed)
        if integers and not (isinstance(low, int) and isinstance(high, int)):
            raise self.error(allowed)
        return low, high


def is_number(value: object) -> bool:
    """Return whether `value` is a finite int or float; True and False are not numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
