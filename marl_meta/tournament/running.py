"""Play a tournament: what is missing of it, by one process or several; and go on with one that was stopped."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from marl_meta.evaluate.play import sides_of
from marl_meta.files import atomic_write_text, claim_folder, remove_torn
from marl_meta.games import Family, load_family, make_vec
from marl_meta.replay.reading import SUFFIX, write
from marl_meta.replay.record import ReplayRecord
from marl_meta.tournament.entrants import check_sides, load_entrants
from marl_meta.tournament.naming import file_stem
from marl_meta.tournament.plan import FILE as PLAN
from marl_meta.tournament.plan import SHARED, Plan, read_plan
from marl_meta.tournament.playing import Hall, play_chunk
from marl_meta.tournament.results import ChunkResult, open_results, read_results
from marl_meta.tournament.schedule import Chunk, chunks, fixed_pairings, swiss_pairings, swiss_rounds
from marl_meta.tournament.scoring import order_is_settled, points
from marl_meta.types import UserError, Variant
from marl_meta.wording import listed

REPLAYS = "replays"

Report = Callable[[int, int, str], None]
"""Is told how many series of how many were played, and what is being played."""


@dataclass(frozen=True, slots=True)
class Played:
    """A tournament that has been played, as far as its plan goes."""

    folder: Path
    plan: Plan
    results: dict[str, ChunkResult]
    settled: bool = False
    """Whether it stopped early because the order was settled."""


def start(plan: Plan, folder: Path, *, workers: int = 1, report: Report = lambda *_: None) -> Played:
    """Play a tournament in a new folder; returns what came of it.

    Raises UserError on bad input, before anything is written.
    """
    hall = enter(plan)
    claim_folder(folder, f"give the tournament a folder of its own, or go on: marl-meta tournament resume {folder}")
    plan = plan.model_copy(update={"entrants": [entrant.plan for entrant in hall.entrants.values()]})
    atomic_write_text(folder / PLAN, plan.text())
    return resume(folder, workers=workers, report=report)


def resume(folder: Path, *, workers: int = 1, report: Report = lambda *_: None) -> Played:
    """Play what is missing of the tournament in a folder; returns what came of all of it.

    However often it was stopped, the results are the same, and so they are with any number of workers.
    """
    plan = read_plan(folder)
    remove_torn(folder)
    hall = enter(plan)
    results, offset = read_results(folder)
    (folder / REPLAYS).mkdir(exist_ok=True)
    total = _series(plan, hall)
    with closing(open_results(folder, offset)) as file:
        while True:
            missing = next_chunks(plan, hall.roles, results)
            if plan.stop_early and missing:
                group = min(chunk.group for chunk in missing)
                if _settled(hall, [one for one in results.values() if one.group < group]):
                    return Played(folder, plan, {k: v for k, v in results.items() if v.group < group}, settled=True)
                missing = [chunk for chunk in missing if chunk.group == group]
            if not missing:
                return Played(folder, plan, results)
            for result, replays in _play(hall, missing, workers):
                file.write(result.record())
                results[result.id] = result
                _keep(folder / REPLAYS, replays)
                done = sum(len(one.seeds) for one in results.values()) * len(plan.variants)
                report(done, max(total, done), " against ".join(name for _, name in result.seating))


def so_far(folder: Path) -> Played:
    """Return what has been played of the tournament in a folder."""
    plan = read_plan(folder)
    return Played(folder, plan, read_results(folder)[0])


def enter(plan: Plan) -> Hall:
    """Return where a tournament is played, by whom; raises UserError where that is not possible."""
    family = load_family(plan.game)
    variants = chosen_variants(family, plan.split, plan.variants)
    entrants = load_entrants(plan.entrants, family, deterministic=plan.deterministic)
    hall = Hall(plan, family, variants, entrants, roles_of(family, variants))
    game = hall.open((0,))
    try:
        sides = list(hall.roles)
        check_sides(hall.entrants, game, sides)
    finally:
        game.close()
    shared = plan.format in SHARED
    if len(sides) > 2 or (shared and len(sides) != 1) or (not shared and len(sides) != 2):
        wanted = "one side, whose agents two entrants share" if shared else "two sides"
        raise UserError(
            f"The format {plan.format} is for games of {wanted}; {family.name} has {listed(sides)} on {plan.split!r}."
        )
    return hall


def roles_of(family: Family, variants: Sequence[Variant]) -> dict[str, str]:
    """Return the sides of a game, and the role of each."""
    game = make_vec(family, num_games=1, rules=variants[0].rules)
    try:
        there = sides_of(game)
        return {team.name: team.kind for team in game.layout.teams if team.name in there}
    finally:
        game.close()


def chosen_variants(family: Family, split: str, ids: list[str]) -> tuple[Variant, ...]:
    """Return the variants of these ids; raises UserError for one that the split does not have."""
    there = {variant.variant_id: variant for variant in family.split(split)}
    for variant_id in ids:
        if variant_id not in there:
            raise UserError(f"The split {split!r} of {family.name} has no variant {variant_id!r}.")
    return tuple(there[variant_id] for variant_id in ids)


def next_chunks(plan: Plan, roles: Mapping[str, str], results: Mapping[str, ChunkResult]) -> list[Chunk]:
    """Return the chunks that can be played now: all that are missing, of a Swiss tournament those of a round."""
    if plan.format != "swiss":
        return [one for one in chunks(plan, list(roles), fixed_pairings(plan)) if one.id not in results]
    met: set[frozenset[str]] = set()
    everybody = {entrant.name for entrant in plan.entrants}
    so_far: dict[str, ChunkResult] = {}
    for _ in range(swiss_rounds(plan)):
        pairings = swiss_pairings(plan, points(plan, roles, so_far.values()), met)
        of_round = list(chunks(plan, list(roles), pairings))
        missing = [one for one in of_round if one.id not in results]
        if missing:
            return missing
        so_far |= {one.id: results[one.id] for one in of_round}
        met |= {frozenset(pairing) for pairing in pairings}
        met |= {frozenset((name,)) for name in everybody - {name for pairing in pairings for name in pairing}}
    return []


def _series(plan: Plan, hall: Hall) -> int:
    """Return how many series the whole tournament has."""
    if plan.format == "swiss":
        pairs = swiss_rounds(plan) * (len(plan.entrants) // 2)
        return pairs * 2 * plan.seeds * len(plan.variants)
    return sum(len(one.seeds) for one in chunks(plan, list(hall.roles), fixed_pairings(plan))) * len(plan.variants)


def _settled(hall: Hall, results: list[ChunkResult]) -> bool:
    """Return whether whole groups have settled the order; a group that is half played does not count."""
    return bool(results) and order_is_settled(hall.plan, hall.roles, results)


Outcome = tuple[ChunkResult, list[ReplayRecord]]


def _play(hall: Hall, missing: list[Chunk], workers: int) -> Iterator[Outcome]:
    """Yield what comes of chunks, in whatever order they are done."""
    if workers <= 1 or len(missing) == 1:
        yield from (play_chunk(hall, chunk) for chunk in missing)
        return
    spawning = multiprocessing.get_context("spawn")  # threads of numba and torch do not survive a fork
    with ProcessPoolExecutor(workers, spawning, _enter_worker, (hall.plan,)) as pool:
        waiting: set[Future[Outcome]] = {pool.submit(_play_in_worker, chunk) for chunk in missing}
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(cancel_futures=True)


_worker: list[Hall] = []
"""Of a worker: where it plays, set up once."""


def _enter_worker(plan: Plan) -> None:
    _worker[:] = [enter(plan)]


def _play_in_worker(chunk: Chunk) -> Outcome:
    return play_chunk(_worker[0], chunk)


def _keep(folder: Path, replays: list[ReplayRecord]) -> None:
    for replay in replays:
        assert replay.series is not None
        write(replay, folder / f"{file_stem(replay.series.id, replay.series.index)}{SUFFIX}")
