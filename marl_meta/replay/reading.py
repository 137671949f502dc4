"""Reading and writing replay files: whole or not at all, within bounds, and older versions too."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from marl_meta.config.complaints import validated
from marl_meta.files import atomic_write_bytes
from marl_meta.replay.checking import check
from marl_meta.replay.migrating import MIGRATIONS
from marl_meta.replay.record import FORMAT, VERSION, ReplayRecord
from marl_meta.types import UserError
from marl_meta.wording import one_line, shorten

SUFFIX = ".replay.json.gz"

MOST_BYTES = 32 * 2**20
"""Of a file, and of what it unpacks to: a reader needs no more than a small multiple of it."""

MOST_PARTS = 2**20
"""Of the lists, objects and entries in a file: short texts may say very many of them, and each needs much memory."""

_LEVEL = 9
_GZIP = 31
"""What zlib calls a gzip file."""


def encode(record: ReplayRecord) -> bytes:
    """Return the bytes of a replay's file, the same for the same replay; raises UserError where it is too large."""
    text = json.dumps(record.model_dump(mode="json"), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    plain = text.encode()
    if len(plain) > MOST_BYTES:
        raise UserError(
            f"A replay of {len(plain) / 2**20:.0f} MiB is more than can be read again ({MOST_BYTES / 2**20:.0f} MiB); "
            "record fewer episodes in a file."
        )
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(plain) + packer.flush()


def target(path: Path) -> Path:
    """Return where a replay is written: its name gets the usual ending where it has none.

    Raises UserError where the folder is not there.
    """
    path = path if path.name.endswith(SUFFIX) else path.with_name(path.name + SUFFIX)
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent} to write the replay {path.name} to.")
    return path


def write(record: ReplayRecord, path: Path) -> Path:
    """Write a replay to `target(path)`; returns where it is."""
    path = target(path)
    try:
        atomic_write_bytes(path, encode(record))
    except OSError as error:
        raise UserError(f"The replay {path} cannot be written: {one_line(error)}.") from error
    return path


def read(path: Path) -> ReplayRecord:
    """Return the replay in a file; raises UserError where there is none that can be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise UserError(f"There is no replay {path}.") from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise UserError(f"{path} cannot be read: {one_line(error)}.") from error
    if len(data) > MOST_BYTES:
        raise UserError(f"{path} is larger than replays are ({MOST_BYTES / 2**20:.0f} MiB).")
    return decode(data, str(path))


def decode(data: bytes, name: str = "The replay") -> ReplayRecord:
    """Return the replay that the bytes of a file hold, whoever made them; `name` is what complaints call it.

    Raises UserError for whatever is not a replay, is damaged, or is of a newer major version. Nothing in it is run.
    """
    values = _values(_unpacked(data, name), name)
    major = _major(values, name)
    for version in range(major, VERSION[0]):
        migrate: Callable[[dict[str, Any]], dict[str, Any]] = MIGRATIONS[version]
        try:
            values = migrate(values)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise UserError(f"{name} is damaged: it is no replay of version {version} ({one_line(error)}).") from error
    record = validated(ReplayRecord, values, f"{name} is damaged: key ")
    try:
        check(record)
    except UserError as error:
        raise UserError(f"{name} is damaged: {error}") from error
    return record


def _unpacked(data: bytes, name: str) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        plain = unpacker.decompress(data, MOST_BYTES + 1)
    except zlib.error as error:
        raise UserError(f"{name} is not a replay: it is not packed by gzip ({one_line(error)}).") from error
    if len(plain) > MOST_BYTES:
        raise UserError(f"{name} unpacks to more than replays hold ({MOST_BYTES / 2**20:.0f} MiB).")
    if not unpacker.eof:
        raise UserError(f"{name} is damaged: it ends too early.")
    return plain


def _values(plain: bytes, name: str) -> dict[str, Any]:
    if sum(plain.count(mark) for mark in (b",", b"[", b"{")) > MOST_PARTS:
        raise UserError(f"{name} is not a replay: it holds more lists and entries than replays do ({MOST_PARTS}).")
    try:
        values = json.loads(plain, parse_constant=_refuse, parse_float=_finite)
        if b"\\u" in plain:  # a text may then hold half a character, which no file can hold otherwise
            json.dumps(values, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number of too many digits, nested too deep
        raise UserError(f"{name} is not a replay: it is not JSON ({one_line(error)}).") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise UserError(f"{name} is not a replay: its key 'format' must be {FORMAT!r}.")
    return values


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _major(values: Mapping[str, Any], name: str) -> int:
    version = values.get("version")
    if not (isinstance(version, list) and len(version) == 2 and all(type(part) is int for part in version)):
        raise UserError(f"{name} is damaged: key version must be two whole numbers, not {shorten(version)}.")
    major: int = version[0]
    if major > VERSION[0]:
        raise UserError(
            f"{name} was written by a newer version of marl-meta (format {major}.{version[1]}; this one reads up to "
            f"{VERSION[0]}.x); update marl-meta to read it."
        )
    if major < min(MIGRATIONS):
        raise UserError(f"{name} is damaged: there is no version {major} of the format.")
    return major
