"""Checkpoints: one file each of named arrays, from which a run goes on bit for bit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from marl_meta.files import atomic_write_bytes
from marl_meta.types import UserError

VERSION = 1
_NAME = re.compile(r"^(\d+)\.safetensors$")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a run after an iteration: arrays by name, and everything else as JSON."""

    arrays: dict[str, npt.NDArray[Any]]
    values: dict[str, Any]


def write_checkpoint(folder: Path, iteration: int, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint whole or not at all, then remove all but the newest `keep`; returns its path."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{iteration:08d}.safetensors"
    arrays = {name: np.asarray(array, order="C") for name, array in checkpoint.arrays.items()}
    metadata = {"version": str(VERSION), "values": json.dumps(checkpoint.values)}
    atomic_write_bytes(path, save(arrays, metadata))
    for old in _found(folder)[:-keep]:
        old.unlink()
    return path


def newest_kept(folder: Path) -> int | None:
    """Return the iteration of the newest checkpoint in a folder, None where there is none."""
    found = _found(folder)
    return int(found[-1].stem) if found else None


def oldest_kept(folder: Path) -> int:
    """Return the iteration of the oldest checkpoint in a folder that has some."""
    return int(_found(folder)[0].stem)


def read_newest(folder: Path) -> Checkpoint | None:
    """Return the newest checkpoint that is whole, None where none was ever written.

    Raises UserError where none of those written can be read, and for one that a newer version of marl-meta wrote.
    """
    damaged = []
    for path in reversed(_found(folder)):
        try:
            return _read(path)
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            damaged.append(f"{path.name}: {str(error).splitlines()[0]}")
    if damaged:
        raise UserError(f"No checkpoint in {folder} can be read ({'; '.join(damaged)}); the run must start afresh.")
    return None


def _read(path: Path) -> Checkpoint:
    with safe_open(path, framework="numpy") as file:
        metadata: Mapping[str, str] = file.metadata() or {}
        version = int(metadata["version"])
        if version > VERSION:
            raise UserError(
                f"{path} was written by a newer version of marl-meta (checkpoint version {version}, this one reads "
                f"up to {VERSION})."
            )
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        return Checkpoint(arrays, json.loads(metadata["values"]))


def _found(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.match(path.name))
