"""`marl-meta bench engine`: env-steps a second with actions passed in, by batch size, beside other simulators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from marl_meta.bench.machine import inspect_machine
from marl_meta.bench.report import Mark, Report, Row, Say, Table
from marl_meta.bench.timing import Case, Timing, interleave, slower
from marl_meta.games import Family, load_family, make_vec
from marl_meta.games.splits import Domain
from marl_meta.interop.peers import (
    EPISODE,
    Episodes,
    connect_four_episodes,
    installed,
    jaxmarl_episodes,
    mpe2_episodes,
    vmas_episodes,
)
from marl_meta.players import RandomPlayer
from marl_meta.types import UserError, VectorGame
from marl_meta.wording import listed

GAMES = ("spread", "tag", "harvest", "connect")
IN_TURNS = ("connect",)
"""Games in which what is legal changes with every move."""
BATCHES = (64, 512, 4096, 32768)
MARK_BATCH = 4096
"""The batch size of the marks. Batched peers are measured at the largest of ours up to this one."""

STEPS_PER_SECOND = {"spread": 20e6, "tag": 10e6, "connect": 2e6}
"""Marks with per-game rules (absolute, 2 cores)."""
TIMES = {"mpe2": 4000.0, "VMAS": 20.0, "JaxMARL": 20.0}
"""Marks: how many times as fast as mpe2's parallel_env, and as VMAS and JaxMARL."""
MOST_GROWTH = 1.5
"""Cost is called linear in B while an env-step of the largest batch costs at most so much more than of the cheapest."""

DEFAULT, NUMBERS, SIZES = "default", "per game", "per game, sizes too"
"""What the rules of the games are: all the family's default; each game its own of the split train, but for the counts
(of agents, of obstacles), which are the default ones as in the peers' games; each game its own, counts included."""

_DIFFERENT_ACTIONS = 8
_MOVES = 200
"""Steps of games in turns that are played from the start at every call, several games each."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """What was measured of one game."""

    game: str
    sizes: list[int]
    ours: dict[tuple[str, int], Timing]
    """By rules and batch size."""
    peers: dict[str, tuple[int, Timing]]
    """Number of games and timing by system."""

    @property
    def at(self) -> int:
        """The batch size that is compared with peers."""
        return _compared(self.sizes)

    def ratios(self) -> Iterator[tuple[str, int, float]]:
        """Yield each peer, its number of games, and how many times as fast ours is with per-game rules."""
        ours = self.ours[NUMBERS, self.at]
        for system, (num_games, timing) in self.peers.items():
            yield system, num_games, slower(timing, ours)

    def growth(self, rules: str) -> tuple[float, float]:
        """Return the exponent p of cost ~ B^p, and the cost of an env-step at the largest B to that at the cheapest."""
        timings = [self.ours[rules, size] for size in self.sizes]
        each = np.array([timing.seconds / timing.work for timing in timings])
        exponent = 1.0
        if len(self.sizes) > 1:
            exponent += np.polyfit(np.log(self.sizes), np.log(each), 1)[0]
        return float(exponent), float(each[-1] / each.min())


def bench_engine(
    games: Sequence[str] = GAMES,
    batches: Sequence[int] = BATCHES,
    *,
    seconds: float = 1.0,
    repeats: int = 7,
    say: Say,
) -> Report:
    """Return env-steps a second of each game and batch size, the ratios to peers, and whether cost is linear in B."""
    for game in games:
        if "train" not in load_family(game).splits:
            raise UserError(f"The family {game} has no split train, whose rules the benchmark plays.")
    machine = inspect_machine()
    sizes = sorted(set(batches))
    found = []
    for game in games:
        say(f"{game}: batches of {listed(map(str, sizes))}, and peers")
        found.append(_measure(game, sizes, seconds, repeats))
    tables = [_speed_table(found), _ratio_table(found), _growth_table(found)]
    return Report("engine", machine, tables, [mark for one in found for mark in _marks(one)])


def _compared(sizes: Sequence[int]) -> int:
    return max((size for size in sizes if size <= MARK_BATCH), default=min(sizes))


def _measure(game: str, sizes: list[int], seconds: float, repeats: int) -> _Measured:
    at = _compared(sizes)
    made = (
        mpe2_episodes(game), vmas_episodes(game, at), jaxmarl_episodes(game, at), connect_four_episodes(game)
    )  # fmt: skip
    peers: list[Episodes] = [peer for peer in made if peer is not None]
    families = _families(load_family(game))
    ours = {(rules, size): _case(families[rules], size) for rules in families for size in sizes}
    cases = {f"ours {key}": case for key, case in ours.items()}
    cases |= {peer.system: Case(peer.play, work=peer.env_steps) for peer in peers}
    timings = interleave(cases, seconds=seconds, repeats=repeats)
    return _Measured(
        game,
        sizes,
        {key: timings[f"ours {key}"] for key in ours},
        {peer.system: (peer.num_games, timings[peer.system]) for peer in peers},
    )


def _families(family: Family) -> dict[str, Family]:
    """Return the family with its split train as it is (for `SIZES`), with default counts, and with default rules."""
    train = family.splits["train"]
    counts = {name: (rule.default,) for name, rule in family.rules.items() if rule.kind == "int"}
    counted = {name: Domain(values=counts[name]) for name in train.domains if name in counts}
    same_size = replace(train, domains={**train.domains, **counted}, digest=None)
    return {
        DEFAULT: replace(family, splits={}),
        NUMBERS: replace(family, splits={"train": same_size}),
        SIZES: family,
    }


def _case(family: Family, num_games: int) -> Case:
    """Return an episode's length of steps of a batch, actions passed in."""
    split = "train" if family.splits else None
    batch = make_vec(family, num_games=num_games, split=split, seed=0)
    if family.name in IN_TURNS:
        return _case_in_turns(batch)
    batch.reset()
    shape = (_DIFFERENT_ACTIONS, num_games, batch.num_agents)
    drawn = np.random.default_rng(0).integers(_actions_of_all(family, split), size=shape)
    actions = [drawn[step % len(drawn)] for step in range(EPISODE)]

    def play() -> None:
        for row in actions:
            batch.step(row)

    return Case(play, work=EPISODE * num_games)


def _case_in_turns(batch: VectorGame) -> Case:
    """Return so many steps of a batch from its start, with the legal actions that were drawn for just these games."""
    player = RandomPlayer(0)
    player.reset(batch.num_games, np.arange(batch.num_agents))
    actions, observation = [], batch.reset(0).observation
    for _ in range(_MOVES):
        actions.append(player.act(observation))
        observation = batch.step(actions[-1]).observation

    def play() -> None:
        batch.reset(0)
        for row in actions:
            batch.step(row)

    return Case(play, work=_MOVES * batch.num_games)


def _actions_of_all(family: Family, split: str | None) -> int:
    """Return how many actions every variant has."""
    rules = [variant.rules for variant in (family.split(split) if split is not None else [family.variant()])]
    mask = make_vec(family, num_games=len(rules), rules=rules).reset().observation.action_mask
    return int(mask.all(axis=(0, 1)).sum())


def _marks(found: _Measured) -> Iterator[Mark]:
    game, at = found.game, found.at
    setting = f"{game}, per-game rules, B = {at}"
    if at == MARK_BATCH:
        if game in STEPS_PER_SECOND:
            speed = found.ours[NUMBERS, at].speed
            yield Mark(f"{setting}: env-steps/s", speed, STEPS_PER_SECOND[game], portable=False)
        for system, _, ratio in found.ratios():
            if system in TIMES:
                yield Mark(f"{setting}: times {system}", ratio, TIMES[system])
    if len(found.sizes) > 1:
        name = f"{game}, per-game rules: cost of an env-step at B = {found.sizes[-1]} to the cheapest"
        yield Mark(name, found.growth(NUMBERS)[1], most=MOST_GROWTH)


def _speed_table(found: list[_Measured]) -> Table:
    rows: list[Row] = []
    for one in found:
        rows += [(one.game, "ours", rules, size, *_cells(timing)) for (rules, size), timing in one.ours.items()]
        rows += [(one.game, name, "default", size, *_cells(timing)) for name, (size, timing) in one.peers.items()]
    missing = [name for name in ("VMAS", "JaxMARL") if not installed(name.lower())]
    notes = [f"Not installed here, so not measured: {listed(missing)}."] if missing else []
    notes.append(
        "cpu ns: of all threads together, waiting ones too. spread: half the range between quartiles, to the median."
    )
    columns = ("game", "system", "rules", "B", "env_steps_per_second", "ns_per_env_step", "cpu_ns", "spread")
    return Table("speed", "Stepping with random actions passed in (medians)", columns, rows, tuple(notes))


def _cells(timing: Timing) -> tuple[float, ...]:
    step, cpu = timing.seconds / timing.work, timing.cpu_seconds / timing.work
    return timing.speed, step * 1e9, cpu * 1e9, timing.spread


def _ratio_table(found: list[_Measured]) -> Table:
    rows: list[Row] = [(one.game, system, size, one.at, ratio) for one in found for system, size, ratio in one.ratios()]
    columns = ("game", "system", "their_B", "our_B", "times")
    return Table("ratio", "Ours with per-game rules, times as fast as (median over rounds)", columns, rows)


def _growth_table(found: list[_Measured]) -> Table:
    rows: list[Row] = [(one.game, rules, *one.growth(rules)) for one in found for rules in (DEFAULT, NUMBERS, SIZES)]
    title = "Is cost linear in B? The exponent p of cost ~ B^p; an env-step at the largest B to the cheapest"
    return Table("linear", title, ("game", "rules", "exponent", "largest_to_cheapest"), rows)
