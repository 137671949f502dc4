"""Playing a chunk: all of its series at once, each game under its own rules."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from marl_meta.evaluate.play import play, sides_of
from marl_meta.evaluate.threads import single_threaded
from marl_meta.interop.board_sight import sight_of
from marl_meta.replay.record import ReplayRecord, Series
from marl_meta.replay.recorder import Recorder, Who
from marl_meta.tournament.arena import Arena, Portion
from marl_meta.tournament.entrants import FOREIGN, Entrant
from marl_meta.tournament.outsiders.limits import Limits
from marl_meta.tournament.plan import Plan
from marl_meta.tournament.results import ChunkResult
from marl_meta.tournament.schedule import BACKGROUND, FIRST, FOCAL, SECOND, Chunk
from marl_meta.types import FloatArray, IntArray, Variant, VectorGame

_PARTS = {FIRST: slice(0, None, 2), SECOND: slice(1, None, 2), FOCAL: slice(0, 1), BACKGROUND: slice(1, None)}


@dataclass(frozen=True, slots=True)
class Hall:
    """Where a tournament is played, and by whom."""

    plan: Plan
    arena: Arena
    entrants: Mapping[str, Entrant]

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Of the game."""
        return self.arena.variants

    @property
    def roles(self) -> Mapping[str, str]:
        """The sides of the game, and the role of each."""
        return self.arena.roles


def play_chunk(hall: Hall, chunk: Chunk) -> tuple[ChunkResult, list[ReplayRecord]]:
    """Return what came of a chunk, and the replays of its first series."""
    if any(hall.entrants[name].spec.kind in FOREIGN for _, name in chunk.seating):
        return _play_guests(hall, chunk)
    shape = (len(hall.variants), len(chunk.seeds), hall.plan.games)
    returns: dict[str, FloatArray] = {seat: np.zeros(shape, np.float32) for seat, _ in chunk.seating}
    replays: list[ReplayRecord] = []
    for number, portion in enumerate(hall.arena.portions(chunk.seeds)):
        earned, recorded = _play_portion(hall, chunk, portion, number)
        where = np.ix_(portion.variants, [chunk.seeds.index(seed) for seed in portion.seeds])
        for seat, values in earned.items():
            returns[seat][where] = values
        replays += recorded
    return ChunkResult(chunk.seating, chunk.group, chunk.seeds, returns), replays


def _play_portion(
    hall: Hall, chunk: Chunk, portion: Portion, number: int
) -> tuple[dict[str, FloatArray], list[ReplayRecord]]:
    """Return what each seat earned in a portion of a chunk [v,s,K], and the replays of the chunk's first series."""
    plan, game = hall.plan, hall.arena.open(portion)
    try:
        seats = seats_of(game, chunk)
        players = {
            seat: hall.entrants[name].player.make(game, seat.partition("/")[0], chunk_seed(plan, chunk, index, number))
            for index, (seat, name) in enumerate(chunk.seating)
        }
        first = {v: b for b, v in enumerate(portion.variants) if v < plan.replays and portion.seeds[0] == 0}
        recorders = series_recorders(hall, chunk, game, first)
        with single_threaded():
            played = play(
                game, players, len(portion.variants), 1, plan.games, seats=seats, recorders=recorders
            )  # fmt: skip
    finally:
        game.close()
    of = min(plan.replays, len(hall.variants))
    replays = [
        recorder.record(Series(id=chunk.id, index=v, of=of)) for v, recorder in zip(first, recorders, strict=True)
    ]
    return {seat: earned.total for seat, earned in played.earned.items()}, replays


def seats_of(game: VectorGame, chunk: Chunk) -> dict[str, IntArray]:
    """Return the agent slots of each seat."""
    sides = sides_of(game)
    found = {}
    for seat, _ in chunk.seating:
        side, _, part = seat.partition("/")
        found[seat] = sides[side][_PARTS[part]] if part else sides[side]
    return found


def _play_guests(hall: Hall, chunk: Chunk) -> tuple[ChunkResult, list[ReplayRecord]]:
    from marl_meta.tournament.guests import play_with_guests

    with ExitStack() as stack:
        players = {}
        for index, (seat, name) in enumerate(chunk.seating):
            if hall.entrants[name].spec.kind in FOREIGN:
                seed = chunk_seed(hall.plan, chunk, 50 + index)
                players[seat] = hall.entrants[name].outsider(Limits.of(hall.plan.limits), seed)
                stack.callback(players[seat].close)
        with single_threaded():
            return play_with_guests(hall, chunk, players)


def chunk_seed(plan: Plan, chunk: Chunk, seat: int, row: int = 0) -> int:
    """Return the seed of an entrant's draws in a chunk (or in one series of it), far from those of others."""
    mixed = np.random.SeedSequence([plan.seed, 7000 + seat, zlib.crc32(chunk.id.encode()), row])
    return int(mixed.generate_state(1, np.uint64)[0] >> 1)


def series_recorders(hall: Hall, chunk: Chunk, game: VectorGame, rows: Mapping[int, int]) -> list[Recorder]:
    """Return what writes down games of the first seed: `rows` has the row of a batch by its variant."""
    who = {}
    for index, (seat, name) in enumerate(chunk.seating):
        side, _, part = seat.partition("/")
        team = hall.entrants[name].team
        learner = None if team is None else team.trained_on.get("meta")
        player = name if not part else " and ".join(dict.fromkeys(one for _, one in chunk.seating))
        weights = None if team is None or part else team.fingerprint()
        who[side] = Who(player, learner, weights, chunk_seed(hall.plan, chunk, index))
    return [
        Recorder(game, hall.arena.record(variant, 0), who, b=row, sight=sight_of(game, row))
        for variant, row in rows.items()
    ]
