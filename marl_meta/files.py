"""Writing files so that nothing is lost: a run killed at any moment leaves whole files behind."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from marl_meta.types import UserError
from marl_meta.wording import one_line


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, which at every moment holds either its old content or all of the new.

    The bytes go to a file beside it, reach the disk, and are renamed over. The folder must exist.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def remove_torn(folder: Path) -> None:
    """Remove what writes below `folder` left beside their files when their processes were killed.

    This process has none under way. It may have the number of one that was killed, as in a container.
    """
    for beside in folder.rglob(".*.tmp"):
        writer = beside.suffixes[-2].lstrip(".") if len(beside.suffixes) > 1 else ""
        if writer.isdecimal() and (int(writer) == os.getpid() or not _alive(int(writer))):
            beside.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def atomic_write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, as `atomic_write_bytes` does."""
    atomic_write_bytes(path, text.encode())


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries (what was renamed into it) to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; raises UserError naming the file when it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {one_line(error)}.") from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise UserError(f"{path} is not a JSON file: {one_line(error)}.") from error


def claim_folder(folder: Path, advice: str) -> Path:
    """Return `folder`, newly made or empty; raises UserError, which ends in `advice`, when it is in use."""
    if folder.is_dir() and not any(folder.iterdir()):
        return folder
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise UserError(f"{folder} already exists and is not overwritten; {advice}.") from error
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {one_line(error)}.") from error
    return folder


@contextmanager
def claimed_folder(folder: Path, advice: str) -> Iterator[Path]:
    """Yield `folder` as `claim_folder` returns it; where nothing is written to it, all is as before in the end."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    yielded = claim_folder(folder, advice)
    try:
        yield yielded
    finally:
        for path in made:
            if any(path.iterdir()):
                break
            path.rmdir()


class JsonLines:
    """A file of one JSON object a line that only grows.

    `offset` counts the bytes of all lines. A checkpoint keeps it, and a resumed run opens the file at it:
    what was written after the checkpoint, torn last line included, is cut off. Each line reaches the system
    at once and survives the death of the process; `sync` brings it to the disk.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        """Open `path` and cut it to `offset` bytes; raises UserError when it is shorter than that."""
        self.path = path
        self._file = path.open("ab", buffering=0)
        size = self._file.tell()
        if size < offset:
            self._file.close()
            raise UserError(f"{path} has {size} bytes, fewer than the {offset} of the checkpoint that it belongs to.")
        self._file.truncate(offset)
        self.offset = offset

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record; JSON has no infinity and no NaN, so they are written as null."""
        line = json.dumps(finite(record), allow_nan=False, separators=(",", ":")).encode() + b"\n"
        self._file.write(line)
        self.offset += len(line)

    def sync(self) -> None:
        """Bring all lines to the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Bring all lines to the disk and close the file."""
        if not self._file.closed:
            self.sync()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def finite(value: Any) -> Any:
    """Return a value with None in the place of every number that JSON lacks: infinities, and what is no number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return value
