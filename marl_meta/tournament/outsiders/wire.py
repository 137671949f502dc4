"""How the tournament and an entrant's process talk: a JSON object a line, in which arrays are bytes.

What a third-party game shows arrives as it was: arrays with their types, numbers, texts, and dicts, tuples and lists of
them. Programs in other languages get lists for arrays and tuples.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np

ARRAY = "~"
"""The one key of an object that is an array: [type, shape, bytes in base64]."""

TUPLE = "~tuple"
"""The one key of an object that is a tuple."""

REQUESTS, ANSWERS = 3, 4
"""File descriptors of an entrant's process. Standard input and output belong to the entrant's own code."""


def _array(value: object) -> object:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        data = b64encode(value.tobytes()).decode("ascii")
        return {ARRAY: [value.dtype.str, value.shape, data]}
    return _plain(value)


def _plain(value: object) -> object:
    converted = np.asarray(value)
    if converted.dtype.kind not in "biuf":
        raise TypeError(f"a {type(value).__name__} cannot be written as JSON")
    return converted.tolist()


def _read(value: dict[str, Any]) -> Any:
    if len(value) == 1 and TUPLE in value:
        return tuple(value[TUPLE])
    if len(value) != 1 or ARRAY not in value:
        return value
    kind, shape, data = value[ARRAY]
    return np.frombuffer(bytearray(b64decode(data)), dtype=np.dtype(kind)).reshape(shape)


_compact = json.JSONEncoder(separators=(",", ":"), default=_array)
_lists = json.JSONEncoder(separators=(",", ":"), default=_plain)
_strict = json.JSONEncoder(separators=(",", ":"), default=_plain, allow_nan=False)
_decoder = json.JSONDecoder(object_hook=_read)


def portable(value: object) -> bool:
    """Return whether a value can be told to an entrant."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and portable(part) for key, part in value.items())
    if isinstance(value, tuple | list):
        return all(map(portable, value))
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind in "biuf"
    return value is None or isinstance(value, bool | int | float | str)


def with_tuples(value: object) -> object:
    """Return a value in which tuples are marked, so that `decode` returns tuples."""
    if isinstance(value, Mapping):
        return {str(key): with_tuples(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return {TUPLE: [with_tuples(part) for part in value]}
    return [with_tuples(part) for part in value] if isinstance(value, list) else value


def encode(message: dict[str, Any]) -> bytes:
    """Return a message to our own host as a line; its arrays (of numbers) arrive as arrays."""
    return _compact.encode(message).encode("ascii") + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Return what `encode` wrote."""
    message: dict[str, Any] = _decoder.decode(line.decode("ascii"))
    return message


def encode_lists(message: dict[str, Any]) -> bytes:
    """Return a message as a line in which arrays and tensors are lists; raises what json does."""
    return _lists.encode(message).encode("ascii") + b"\n"


def encode_strict(message: dict[str, Any]) -> bytes:
    """Return a message as a line for programs in any language: arrays are lists, what is not finite is null."""
    try:
        return _strict.encode(message).encode("ascii") + b"\n"
    except ValueError:
        return _strict.encode(_finite(json.loads(_lists.encode(message)))).encode("ascii") + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
