"""What has been played: one line of JSON a chunk, in a file that only grows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from marl_meta.files import JsonLines
from marl_meta.tournament.schedule import Chunk, Seating
from marl_meta.types import FloatArray, UserError

FILE = "results.jsonl"


@dataclass(frozen=True, slots=True, eq=False)
class ChunkResult:
    """What came of a chunk: V variants, S seeds, K games."""

    seating: Seating
    group: int
    seeds: tuple[int, ...]
    returns: dict[str, FloatArray]
    """[V,S,K] by seat: the sum over its agents of their returns. NaN where somebody forfeited the game."""
    forfeits: tuple[Forfeit, ...] = ()

    @property
    def id(self) -> str:
        """That of the chunk."""
        return Chunk(self.seating, self.group, self.seeds).id

    def record(self) -> dict[str, Any]:
        """Return it as plain values: a line of the file."""
        return {
            "id": self.id,
            "seating": [list(pair) for pair in self.seating],
            "group": self.group,
            "seeds": list(self.seeds),
            "returns": {seat: _plain(values) for seat, values in self.returns.items()},
            "forfeits": [[one.seat, one.variant, one.seed, one.game, one.kind, one.reason] for one in self.forfeits],
        }


@dataclass(frozen=True, slots=True)
class Forfeit:
    """Why an entrant forfeited a game."""

    seat: str
    variant: int
    seed: int
    """Which of the chunk's seeds."""
    game: int
    kind: str
    reason: str


def _plain(values: FloatArray) -> Any:
    rounded = np.round(values.astype(np.float64), 6)
    return np.where(np.isnan(rounded), None, rounded).tolist()  # type: ignore[call-overload]  # objects, for JSON's null


def read_results(folder: Path) -> tuple[dict[str, ChunkResult], int]:
    """Return the chunks that were played, by id, and how many bytes of the file they take.

    What was being written when somebody pulled the plug is left out, and cut off by whoever goes on at that byte.
    """
    path = folder / FILE
    if not path.is_file():
        return {}, 0
    found: dict[str, ChunkResult] = {}
    offset = 0
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            break
        try:
            result = _read(json.loads(line))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}, line {number}: this is no result of a tournament.") from error
        found[result.id] = result
        offset += len(line)
    return found, offset


def _read(record: dict[str, Any]) -> ChunkResult:
    returns = {
        seat: np.array(values, np.float64).astype(np.float32)  # null becomes NaN
        for seat, values in record["returns"].items()
    }
    return ChunkResult(
        seating=tuple((seat, name) for seat, name in record["seating"]),
        group=int(record["group"]),
        seeds=tuple(record["seeds"]),
        returns=returns,
        forfeits=tuple(Forfeit(*one) for one in record["forfeits"]),
    )


def open_results(folder: Path, offset: int) -> JsonLines:
    """Return the file to write further results to, cut to `offset` bytes."""
    return JsonLines(folder / FILE, offset)
