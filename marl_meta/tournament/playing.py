"""Playing a chunk: all of its series at once, each game under its own rules."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from marl_meta.evaluate.play import play, sides_of
from marl_meta.evaluate.threads import single_threaded
from marl_meta.games import Family, make_vec
from marl_meta.replay.record import ReplayRecord, Series
from marl_meta.replay.recorder import Recorder, Who, family_game
from marl_meta.tournament.entrants import FOREIGN, Entrant
from marl_meta.tournament.outsiders.limits import Limits
from marl_meta.tournament.plan import Plan
from marl_meta.tournament.results import ChunkResult
from marl_meta.tournament.schedule import BACKGROUND, FIRST, FOCAL, SECOND, Chunk
from marl_meta.types import IntArray, Variant, VectorGame

_PARTS = {FIRST: slice(0, None, 2), SECOND: slice(1, None, 2), FOCAL: slice(0, 1), BACKGROUND: slice(1, None)}


@dataclass(frozen=True, slots=True)
class Hall:
    """Where a tournament is played, and by whom."""

    plan: Plan
    family: Family
    variants: tuple[Variant, ...]
    entrants: Mapping[str, Entrant]
    roles: Mapping[str, str]
    """The sides of the game, and the role of each."""

    def open(self, seeds: Sequence[int]) -> VectorGame:
        """Return a batch of games, every variant with each of the seeds, which follow each other.

        A game's random stream depends on its seed and variant alone: whoever is seated, it begins alike.
        """
        rules = [variant.rules for _ in seeds for variant in self.variants]
        return make_vec(
            self.family, num_games=len(rules), rules=rules, seed=self.plan.seed, episodes_per_trial=self.plan.games,
            first_game=seeds[0] * len(self.variants),
        )  # fmt: skip


def play_chunk(hall: Hall, chunk: Chunk) -> tuple[ChunkResult, list[ReplayRecord]]:
    """Return what came of a chunk, and the replays of its first series."""
    if any(hall.entrants[name].spec.kind in FOREIGN for _, name in chunk.seating):
        return _play_guests(hall, chunk)
    plan, game = hall.plan, hall.open(chunk.seeds)
    try:
        seats = seats_of(game, chunk)
        players = {
            seat: hall.entrants[name].player.make(game, seat.partition("/")[0], chunk_seed(plan, chunk, index))
            for index, (seat, name) in enumerate(chunk.seating)
        }
        first = range(min(plan.replays, len(hall.variants))) if chunk.group == 0 else ()
        recorders = series_recorders(hall, chunk, game, first)
        with single_threaded():
            played = play(
                game, players, len(hall.variants), 1, plan.games, seats=seats, recorders=recorders
            )  # fmt: skip
    finally:
        game.close()
    returns = {seat: earned.total for seat, earned in played.earned.items()}
    series = [
        recorder.record(Series(id=chunk.id, index=index, of=len(recorders))) for index, recorder in enumerate(recorders)
    ]
    return ChunkResult(chunk.seating, chunk.group, chunk.seeds, returns), series


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


def series_recorders(hall: Hall, chunk: Chunk, game: VectorGame, rows: Sequence[int]) -> list[Recorder]:
    """Return what writes down games of a tournament, of the first seed: each is of the variant of its number.

    `game` is a batch of them all, or the only one.
    """
    who = {}
    for index, (seat, name) in enumerate(chunk.seating):
        side, _, part = seat.partition("/")
        team = hall.entrants[name].team
        learner = None if team is None else team.trained_on.get("meta")
        player = name if not part else " and ".join(dict.fromkeys(one for _, one in chunk.seating))
        weights = None if team is None or part else team.fingerprint()
        who[side] = Who(player, learner, weights, chunk_seed(hall.plan, chunk, index))
    alone = game.num_games == 1
    return [
        Recorder(
            game, family_game(hall.family, hall.variants[row].rules, seed=hall.plan.seed, first_game=row), who,
            b=0 if alone else row,
        )
        for row in rows
    ]  # fmt: skip
