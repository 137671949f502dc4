"""How complaints about bad input are worded, so that all of them read alike."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def listed(names: Iterable[object]) -> str:
    """Return names separated by commas, `none` if there are none."""
    return ", ".join(str(name) for name in names) or "none"


def close_match(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` when one of the `known` names is close to `name`, else nothing."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def shorten(value: object, length: int = 60) -> str:
    """Return a value as a complaint shows it: `nothing` for None, long values cut."""
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= length else f"{text[: length - 3]}..."


def one_line(error: BaseException, length: int = 300) -> str:
    """Return an exception's message on one line, without a final full stop; its type's name if it has none."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return text if len(text) <= length else f"{text[: length - 3]}..."


def printable(text: str) -> str:
    """Return a text of somebody else as a terminal may show it: without characters that would command the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
