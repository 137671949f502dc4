"""What has been played: one line of JSON a chunk, in a file that only grows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from marl_meta.files import JsonLines
from marl_meta.tournament.plan import Plan
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
    """[V,S,K] by seat: the sum over its agents of their returns. NaN where it forfeited the game, unless it shares its
    team with somebody: then it is what came of the game, random play in its place."""
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


def read_results(folder: Path, plan: Plan) -> tuple[dict[str, ChunkResult], int]:
    """Return the chunks of a plan that were played, by id, and how many bytes of the file they take.

    What was being written when somebody pulled the plug is left out, and cut off by whoever goes on at that byte.
    Raises UserError for a line that is no result of this plan.
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
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}, line {number}: this is no result of a tournament.") from error
        if (wrong := _misfit(result, plan)) is not None:
            raise UserError(f"{path}, line {number}: this is no result of the plan beside it, {wrong}.")
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
        seeds=tuple(int(seed) for seed in record["seeds"]),
        returns=returns,
        forfeits=tuple(Forfeit(*one) for one in record["forfeits"]),
    )


def _misfit(result: ChunkResult, plan: Plan) -> str | None:
    """Return what of a result does not fit a plan; None where all does."""
    seats = [seat for seat, _ in result.seating]
    entrants = [entrant.name for entrant in plan.entrants]
    stranger = next((name for _, name in result.seating if name not in entrants), None)
    if stranger is not None:
        return f"which has no entrant {stranger!r}"
    if len(seats) < 2 or len(set(seats)) < len(seats) or set(result.returns) != set(seats):
        return "for its seats and its returns are not of the same sides"
    if not all(0 <= seed < plan.seeds for seed in result.seeds):
        return f"which has seeds below {plan.seeds}"
    shape = (len(plan.variants), len(result.seeds), plan.games)
    if any(values.shape != shape for values in result.returns.values()):
        return f"by which it has {shape[0]} variants, {shape[1]} seeds and {shape[2]} games"
    for one in result.forfeits:
        places = zip((one.variant, one.seed, one.game), shape, strict=True)
        told = isinstance(one.kind, str) and isinstance(one.reason, str)
        if one.seat not in seats or not told or not all(isinstance(at, int) and 0 <= at < most for at, most in places):
            return "for one of its forfeits is of no game that was played"
    return None


def open_results(folder: Path, offset: int) -> JsonLines:
    """Return the file to write further results to, cut to `offset` bytes."""
    return JsonLines(folder / FILE, offset)
