"""Play a tournament: what is missing of it, by one process or several; and go on with one that was stopped."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from marl_meta.files import atomic_write_text, claim_folder, remove_torn
from marl_meta.replay.reading import SUFFIX, write
from marl_meta.replay.record import ReplayRecord
from marl_meta.tournament.arena import arena_of
from marl_meta.tournament.entrants import check_sides, load_entrants
from marl_meta.tournament.naming import file_stem
from marl_meta.tournament.plan import FILE as PLAN
from marl_meta.tournament.plan import SHARED, Plan, read_plan
from marl_meta.tournament.playing import Hall, play_chunk
from marl_meta.tournament.results import ChunkResult, open_results, read_results
from marl_meta.tournament.schedule import (
    Chunk,
    Meetings,
    chunks,
    fixed_tables,
    meetings_of,
    orders,
    swiss_rounds,
    swiss_tables,
)
from marl_meta.tournament.scoring import order_is_settled, points
from marl_meta.tournament.trust import check_trusted
from marl_meta.types import UserError
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

    @property
    def series(self) -> int:
        """How many series were played."""
        return sum(len(one.seeds) for one in self.results.values()) * len(self.plan.variants)

    @property
    def about(self) -> str:
        """One line that says how much was played."""
        plan, variants = self.plan, len(self.plan.variants)
        counted = f"{variants} variants" if variants > 1 else "one variant"
        games = f"{plan.games} games" if plan.games > 1 else "one game"
        return f"{len(plan.entrants)} entrants, {counted}, {self.series} series of {games}"


def start(plan: Plan, folder: Path, *, workers: int = 1, report: Report = lambda *_: None) -> Played:
    """Play a tournament in a new folder; returns what came of it.

    Raises UserError on bad input, before anything is written.
    """
    hall = enter(plan)
    claim_folder(folder, f"give the tournament a folder of its own, or go on: marl-meta tournament resume {folder}")
    plan = plan.model_copy(update={"entrants": [entrant.plan for entrant in hall.entrants.values()]})
    atomic_write_text(folder / PLAN, plan.text())
    return resume(folder, workers=workers, trust=True, report=report)


def resume(folder: Path, *, workers: int = 1, trust: bool = False, report: Report = lambda *_: None) -> Played:
    """Play what is missing of the tournament in a folder; returns what came of all of it.

    However often it was stopped, the results are the same, and so they are with any number of workers. With `trust` the
    plan may name any code, as games and as entrants, which is then run; else only that of well-known collections.
    """
    plan = read_plan(folder)
    if not trust:
        check_trusted(plan, folder)
    remove_torn(folder)
    hall = enter(plan)
    results, offset = read_results(folder, plan)
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


def so_far(folder: Path, *, trust: bool = False) -> Played:
    """Return what has been played of the tournament in a folder; no code is run that the plan names, see `resume`."""
    plan = read_plan(folder)
    if not trust:
        check_trusted(plan, folder, plays=False)
    return Played(folder, plan, read_results(folder, plan)[0])


def enter(plan: Plan) -> Hall:
    """Return where a tournament is played, by whom; raises UserError where that is not possible."""
    arena = arena_of(plan)
    sides, shared = list(arena.roles), plan.format in SHARED
    if shared != (len(sides) == 1):
        wanted = "one side, whose agents two entrants share" if shared else "two sides or more"
        on = f" on {plan.split!r}" if plan.split else "; who is on which side can be said (--sides)"
        raise UserError(f"The format {plan.format} is for games of {wanted}; {arena.name} has {listed(sides)}{on}.")
    if plan.format == "swiss" and len(plan.entrants) < len(sides):
        raise UserError(
            f"A Swiss tournament of a game of {len(sides)} sides needs as many entrants at least, not "
            f"{len(plan.entrants)}; round_robin gives some of them several sides."
        )
    entrants = load_entrants(plan.entrants, arena.family, deterministic=plan.deterministic)
    for portion in arena.portions((0,)):
        game = arena.open(portion)
        try:
            check_sides(entrants, game, sides)
        finally:
            game.close()
    return Hall(plan, arena, entrants)


def next_chunks(plan: Plan, roles: Mapping[str, str], results: Mapping[str, ChunkResult]) -> list[Chunk]:
    """Return the chunks that can be played now: all that are missing, of a Swiss tournament those of a round."""
    sides = list(roles)
    if plan.format != "swiss":
        return [one for one in chunks(plan, sides, fixed_tables(plan, sides)) if one.id not in results]
    met: Meetings = set()
    so_far: dict[str, ChunkResult] = {}
    for _ in range(swiss_rounds(plan, len(sides))):
        tables = swiss_tables(plan, points(plan, roles, so_far.values()), met, len(sides))
        of_round = list(chunks(plan, sides, tables))
        missing = [one for one in of_round if one.id not in results]
        if missing:
            return missing
        so_far |= {one.id: results[one.id] for one in of_round}
        met |= meetings_of(plan, tables)
    return []


def _series(plan: Plan, hall: Hall) -> int:
    """Return how many series the whole tournament has."""
    sides = list(hall.roles)
    if plan.format == "swiss":
        tables = swiss_rounds(plan, len(sides)) * (len(plan.entrants) // len(sides))
        return tables * len(orders(len(sides))) * plan.seeds * len(plan.variants)
    return sum(len(one.seeds) for one in chunks(plan, sides, fixed_tables(plan, sides))) * len(plan.variants)


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
