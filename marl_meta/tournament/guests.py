"""Series in which somebody from outside plays: one at a time, each game to its end whatever the guest does.

Who does something wrong forfeits that game. Random play takes its place until the game is over, so that everybody else
plays on; in the next game of the series it may try again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from marl_meta.games.rewards import check_rewards
from marl_meta.players import RandomPlayer
from marl_meta.replay.record import MOST_LOG, ReplayRecord, Series, Status
from marl_meta.replay.recorder import Recorder
from marl_meta.rollout import Controller
from marl_meta.tournament.arena import Portion
from marl_meta.tournament.outsiders.player import Fault, FaultKind, SeriesInfo
from marl_meta.tournament.outsiders.process import ExecPlayer, ForeignPlayer
from marl_meta.tournament.plan import SHARED
from marl_meta.tournament.playing import Hall, chunk_seed, seats_of, series_recorders
from marl_meta.tournament.results import ChunkResult, Forfeit
from marl_meta.tournament.schedule import Chunk
from marl_meta.tournament.terms import Terms, terms_of
from marl_meta.types import FloatArray, IntArray, Observation, Step, VectorGame

Visitor = ForeignPlayer | ExecPlayer

STATUS: Mapping[FaultKind, Status] = {
    "start": "ERROR", "crash": "ERROR", "memory": "ERROR", "timeout": "TIMEOUT",
    "illegal": "INVALID", "shape": "INVALID", "nan": "INVALID", "flood": "INVALID",
}  # fmt: skip
"""What replays call whoever did something wrong."""


def play_with_guests(
    hall: Hall, chunk: Chunk, guests: Mapping[str, Visitor]
) -> tuple[ChunkResult, list[ReplayRecord]]:  # fmt: skip
    """Return what came of a chunk, and the replays of its first series.

    `guests` are those of its entrants who come from outside, by seat.
    """
    variants, games = len(hall.variants), hall.plan.games
    shared = hall.plan.format in SHARED  # who shares the team has a part in what a game came to
    shape = (variants, len(chunk.seeds), games)
    returns: dict[str, FloatArray] = {seat: np.zeros(shape, np.float32) for seat, _ in chunk.seating}
    forfeits: list[Forfeit] = []
    replays: list[ReplayRecord] = []
    for s, seed in enumerate(chunk.seeds):
        for v, variant in enumerate(hall.variants):
            game = hall.arena.open(Portion((v,), (seed,)))
            try:
                wanted = chunk.group == 0 and s == 0 and v < hall.plan.replays
                recorder = series_recorders(hall, chunk, game, {v: 0})[0] if wanted else None
                table = _Table(hall, chunk, game, guests, variant.rules, seed * variants + v, recorder)
                faults: dict[str, Fault] = {}
                for k in range(games):
                    earned, faults = table.play_game(k)
                    for seat, total in earned.items():
                        returns[seat][v, s, k] = np.nan if seat in faults and not shared else total
                    forfeits += [Forfeit(seat, v, s, k, one.kind, one.sentence) for seat, one in faults.items()]
                if recorder is not None:
                    series = Series(id=chunk.id, index=v, of=min(hall.plan.replays, variants))
                    replays.append(_with_faults(recorder.record(series), faults, guests))
            finally:
                game.close()
    return ChunkResult(chunk.seating, chunk.group, chunk.seeds, returns, tuple(forfeits)), replays


def _with_faults(
    replay: ReplayRecord, faults: Mapping[str, Fault], guests: Mapping[str, Visitor]
) -> ReplayRecord:  # fmt: skip
    """Return a replay that says what guests did wrong in its last game, and what they wrote."""
    names = [team.name for team in replay.teams]
    sides = {names.index(seat.partition("/")[0]): fault for seat, fault in faults.items()}
    status = [
        STATUS[sides[agent.team].kind] if agent.team in sides else before
        for agent, before in zip(replay.agents, replay.status, strict=True)
    ]
    logs = {seat.partition("/")[0]: guest.logs[:MOST_LOG] for seat, guest in guests.items() if guest.logs}
    return replay.model_copy(update={"status": status, "logs": logs or None})


@dataclass(slots=True)
class _Guest:
    """A guest at one seat of one series, told about the game in its own terms."""

    player: Visitor
    slots: IntArray
    names: list[str]
    terms: Terms
    seed: int
    ready: bool = False
    """Whether it has been told about the series."""

    def act(self, observation: Observation, step: int) -> IntArray:
        """Return its actions [1,n]; raises Fault."""
        acting = [i for i, slot in enumerate(self.slots) if observation.acting[0, slot]]
        told = {self.names[i]: self.terms.shown(observation, int(self.slots[i])) for i in acting}
        actions = np.zeros((1, len(self.slots)), np.int64)
        if acting:
            shown, infos = ({name: one[part] for name, one in told.items()} for part in (0, 1))
            answered = self.player.act(shown, infos, step)
            for i in acting:
                actions[0, i] = self.terms.number(int(self.slots[i]), answered[self.names[i]])
        return actions

    def observe(self, step: Step) -> None:
        """Tell it what the step led to; raises Fault."""
        flags = (step.terminated, step.truncated)
        ended = [{n: bool(one[0, slot]) for n, slot in zip(self.names, self.slots, strict=True)} for one in flags]
        rewards = {n: float(step.reward[0, slot]) for n, slot in zip(self.names, self.slots, strict=True)}
        last = None
        if step.game_over[0]:
            endings = {n: self.terms.ending(step, int(slot)) for n, slot in zip(self.names, self.slots, strict=True)}
            last = {name: shown for name, shown in endings.items() if shown is not None}
        self.player.observe(rewards, ended[0], ended[1], last)


class _Table:
    """One series: its game, and who sits where."""

    def __init__(
        self, hall: Hall, chunk: Chunk, game: VectorGame, guests: Mapping[str, Visitor], rules: Mapping[str, Any],
        row: int, recorder: Recorder | None,
    ) -> None:  # fmt: skip
        self._game, self._hall, self._rules, self._recorder = game, hall, rules, recorder
        self._seats = seats_of(game, chunk)
        self._guests: dict[str, _Guest] = {}
        self._ours: dict[str, Controller] = {}
        self._substitutes: dict[str, RandomPlayer] = {}
        self._observation = game.reset().observation
        if recorder is not None:
            recorder.begin(self._observation)
        terms = terms_of(game, self._observation, rules)
        for index, (seat, name) in enumerate(chunk.seating):
            slots = self._seats[seat]
            present = slots[self._observation.present[0, slots]]
            self._seats[seat] = present
            seed = chunk_seed(hall.plan, chunk, index, row)
            if seat in guests:
                names = [game.agent_names[slot] for slot in present]
                self._guests[seat] = _Guest(guests[seat], present, names, terms, seed % 2**31)
            else:
                self._ours[seat] = hall.entrants[name].player.make(game, seat.partition("/")[0], seed)
                self._ours[seat].reset(1, present)
            self._substitutes[seat] = RandomPlayer(seed)
            self._substitutes[seat].reset(1, present)

    def play_game(self, number: int) -> tuple[dict[str, float], dict[str, Fault]]:
        """Play the next game of the series; returns what each seat earned, and what guests did wrong, by seat."""
        faults: dict[str, Fault] = {}
        earned = dict.fromkeys(self._seats, 0.0)
        for seat, guest in self._guests.items():
            _attempt(faults, seat, lambda seat=seat, guest=guest: self._welcome(seat, guest, number))  # type: ignore[misc]
        actions = np.zeros((1, self._game.num_agents), np.int64)
        for time in range(10**9):
            for seat, slots in self._seats.items():
                actions[:, slots] = self._act(seat, time, faults)
            if self._recorder is not None:
                self._recorder.choose(self._observation, actions)
            step = self._game.step(actions)
            check_rewards(self._game, step.reward)
            if self._recorder is not None:
                self._recorder.note(step)
            for seat, slots in self._seats.items():
                earned[seat] += float(step.reward[0, slots].sum())
            for player in self._ours.values():
                player.observe(step)
            for seat, guest in self._guests.items():
                if seat not in faults:
                    _attempt(faults, seat, lambda guest=guest, step=step: guest.observe(step))  # type: ignore[misc]
            self._observation = step.observation
            if step.game_over[0]:
                break
        return earned, faults

    def _act(self, seat: str, time: int, faults: dict[str, Fault]) -> IntArray:
        if seat in self._ours:
            return self._ours[seat].act(self._observation)
        if seat not in faults:
            try:
                return self._guests[seat].act(self._observation, time)
            except Fault as fault:
                faults[seat] = fault
        return self._substitutes[seat].act(self._observation)

    def _welcome(self, seat: str, guest: _Guest, number: int) -> None:
        if not guest.ready:
            guest.player.start_series(self._info(seat, guest))
            guest.ready = True
        guest.player.reset(guest.names, {"game": number}, guest.seed + number)

    def _info(self, seat: str, guest: _Guest) -> SeriesInfo:
        layout, game = self._game.layout, self._game
        there = np.flatnonzero(self._observation.present[0, : game.num_agents])
        hidden = self._hall.arena.hides(self._rules)
        return SeriesInfo(
            game=self._hall.arena.name,
            side=seat.partition("/")[0],
            games=self._hall.plan.games,
            own=tuple(guest.names),
            agents={game.agent_names[slot]: layout.teams[game.agent_team[slot]].name for slot in there},
            actions={name: guest.terms.space(int(slot)) for name, slot in zip(guest.names, guest.slots, strict=True)},
            rules={name: value for name, value in self._rules.items() if name not in hidden},
        )


def _attempt(faults: dict[str, Fault], seat: str, action: Callable[[], None]) -> None:
    """Do something that a guest may do wrong."""
    try:
        action()
    except Fault as fault:
        faults[seat] = fault
