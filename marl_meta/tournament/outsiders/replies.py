"""Reading what an entrant's process writes, of which nothing can be trusted."""

from __future__ import annotations

import json
from typing import Any

from marl_meta.tournament.outsiders.player import Fault, FaultKind

_OWN: dict[str, FaultKind] = {"crash": "crash", "memory": "memory", "shape": "shape", "start": "start"}
"""Faults that our host reports of the code that it runs."""
_LONGEST = 300


def read_reply(name: str, line: bytes, number: int, method: str) -> dict[str, Any]:
    """Return a host's answer to request `number`; raises the Fault that it reports, or that it is."""
    reply = _read(name, line)
    if not isinstance(reply, dict) or type(reply.get("id")) is not int or reply["id"] != number:
        raise Fault("shape", f"{name} wrote a line that answers nothing that it was asked.")
    if "fault" in reply:
        kind = _OWN.get(reply["fault"], "crash") if isinstance(reply["fault"], str) else "crash"
        where = "at its start" if method == "start" else f"in {method}"
        text = reply["text"] if isinstance(reply.get("text"), str) else "it does not say why"
        raise Fault(kind, f"{name} failed {where}: {_cleaned(text)}.")
    return reply


def read_actions(name: str, line: bytes, acting: list[str]) -> object:
    """Return the actions by agent in a program's line `{"action": ...}`, which may be the one that acts alone."""
    reply = _read(name, line)
    if not isinstance(reply, dict) or "action" not in reply:
        raise Fault("shape", f'{name} wrote a line that is no object with an "action".')
    action = reply["action"]
    return {acting[0]: action} if len(acting) == 1 and not isinstance(action, dict) else action


def _read(name: str, line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise Fault("shape", f"{name} wrote a line that cannot be read as JSON: {_cleaned(line[:40])}.") from None


def _cleaned(text: str | bytes) -> str:
    """Return text from outside on one line, without anything that a terminal would obey."""
    whole = text.decode(errors="replace") if isinstance(text, bytes) else text[: 4 * _LONGEST]
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in whole).split()).rstrip(".")
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 3]}..."
