"""Writing down one game of a `VectorGame` as it is played: its trial, episode by episode."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from marl_meta.games.connect.planes import board_of, is_board
from marl_meta.games.family import Family
from marl_meta.replay.digest import Chain, shown
from marl_meta.replay.encoding import (
    encode_board,
    encode_numbers,
    encode_particles,
    encode_rewards,
    ends_of,
    team_returns,
)
from marl_meta.replay.packing import pack
from marl_meta.replay.record import (
    FORMAT,
    VERSION,
    ActionGroup,
    AgentRecord,
    CardRule,
    EpisodeRecord,
    GameRecord,
    Made,
    ReplayRecord,
    Scene,
    Series,
    Status,
    TeamRecord,
)
from marl_meta.replay.thoughts import NoteBook, Thinker
from marl_meta.types import BoolArray, FloatArray, IntArray, Layout, Observation, SmallIntArray, Step, VectorGame

PARTICLES = ("x", "y", "radius")


@dataclass(slots=True)
class Who:
    """Who played a team, and whom to ask for thoughts."""

    player: str
    learner: str | None = None
    weights: str | None = None
    seed: int | None = None
    thinker: Thinker | None = None


def made_here() -> Made:
    """Return what makes replays here."""
    return Made(
        toolkit=version("marl-meta"),
        python=platform.python_version(),
        numpy=np.__version__,
        platform=f"{platform.system()}-{platform.machine()}",
    )


def family_game(family: Family, rules: Mapping[str, Any], *, seed: int, first_game: int = 0) -> GameRecord:
    """Return what makes game number `first_game` of a family's batch again."""
    variant = family.variant(rules)
    return GameRecord(
        name=family.name,
        family=True,
        api="vector",
        rules=changed_rules(family, variant.rules),
        variant_id=variant.variant_id,
        card=rules_card(family, variant.rules),
        seed=seed,
        first_game=first_game,
    )


def changed_rules(family: Family, rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of complete rules that differ from the family's defaults."""
    defaults = family.complete({})
    return {name: value for name, value in rules.items() if value != defaults[name]}


def rules_card(family: Family, rules: Mapping[str, Any]) -> list[CardRule]:
    """Return the rules that people are shown: hidden ones first, then those that differ from the default."""
    defaults, hides = family.complete({}), family.hides(rules)
    listed = [
        CardRule(name=name, value=rules[name], default=defaults[name], hidden=name in hides, about=rule.about)
        for name, rule in family.rules.items()
        if rule.hidden or rules[name] != defaults[name]
    ]
    return sorted(listed, key=lambda rule: not rule.hidden)


class Sight(Protocol):
    """Keeps what there is to draw of one game of a batch, where that is not in its observations."""

    def look(self, *, over: bool) -> None:
        """Keep the moment: that which the game shows now, or the last of the episode that is over."""

    def scene(self) -> Scene:
        """Return what was kept of an episode."""


class Continuous(Protocol):
    """How the numbers of continuous actions are to be understood (`interop.actions.ContinuousActions`)."""

    @property
    def count(self) -> int:
        """How many have names; from here on, numbers are of actions anywhere between the bounds."""

    def decode(self, number: int) -> npt.NDArray[Any]:
        """Return the action of a number."""

    def encode(self, action: Any) -> int:
        """Return the number of an action."""


@runtime_checkable
class HasContinuous(Protocol):
    """A game whose actions may be continuous."""

    def continuous(self, b: int, slot: int) -> Continuous | None:
        """Return how an agent's are to be understood, None where it has others."""


class Recorder:
    """Writes down game `b` of a batch. Call `begin`; then `think` and `choose` before and `note` after every step.

    With a `sight` that draws what there is to draw.
    """

    def __init__(
        self, game: VectorGame, played: GameRecord, who: Mapping[str, Who], b: int = 0, title: str | None = None,
        sight: Sight | None = None,
    ) -> None:  # fmt: skip
        self._sight = sight
        self._layout: Layout = game.layout
        self._game, self._played, self._who, self._b, self._title = game, played, who, b, title
        self._chain: Chain | None = None
        self._episodes: list[EpisodeRecord] = []
        self._returns: list[list[float]] = []
        self._diary: _Diary | None = None
        self._first: Observation | None = None
        """What the next episode shows at first; it is written down when somebody plays on."""

    @property
    def b(self) -> int:
        """Which game of the batch it writes down."""
        return self._b

    def begin(self, observation: Observation) -> None:
        """Take note of what the game shows after its reset. Who is there now is who the replay is about."""
        slots = self._game.num_agents
        there = np.flatnonzero(observation.present[self._b])
        self._entities: IntArray = there
        self._agents: IntArray = there[there < slots]
        self._team = self._game.agent_team[self._agents].astype(np.int64)
        self._kinds = [self._layout.kinds[kind] for kind in observation.kind[self._b, there]]
        self._names = [self._game.agent_names[slot] for slot in self._agents]
        identity = self._played.variant_id or self._played.entry_point
        self._chain = Chain(self._played.name, identity, self._names)
        self._open(observation)

    def choose(self, observation: Observation, actions: npt.NDArray[np.integer[Any]]) -> None:
        """Take note of what is about to be played: `actions` [B,N]."""
        diary = self._writing()
        acting = observation.acting[self._b, self._agents]
        diary.chosen.append(np.where(acting, actions[self._b, self._agents], -1))

    def think(self, observation: Observation) -> None:
        """Ask the players what they think of the moment, before they act."""
        diary = self._writing()
        for name, book in diary.books.items():
            thinker = self._who[name].thinker
            assert thinker is not None
            book.thoughts.append(thinker.think(observation))

    def note(self, step: Step) -> None:
        """Take note of what came of it."""
        diary, b = self._writing(), self._b
        over = bool(step.game_over[b])
        now = step.final if over and step.final is not None else step.observation
        diary.rewards.append(step.reward[b, self._agents].copy())
        diary.terminated.append(step.terminated[b, self._agents].copy())
        diary.truncated.append(step.truncated[b, self._agents].copy())
        outcome = (step.reward, step.terminated, step.truncated)
        self._see(now, [array[b, self._agents].tobytes() for array in outcome], over=over)
        if over:
            self._close(over=True)
            self._first = step.observation

    def record(self, series: Series | None = None) -> ReplayRecord:
        """Return the replay of all that was written down; an episode that is under way is part of it."""
        if self._diary is not None:
            self._close(over=False)
        assert self._chain is not None
        over = self._episodes[-1].over
        ended: Status = "DONE" if over else "ACTIVE"
        return ReplayRecord(
            format=FORMAT,
            version=VERSION,
            title=self._title,
            made=made_here(),
            game=self._played,
            agents=[
                AgentRecord(name=name, team=int(team), kind=kind)
                for name, team, kind in zip(self._names, self._team, self._kinds, strict=False)
            ],
            objects=self._kinds[len(self._agents) :],
            actions=list(self._layout.actions),
            teams=[self._team_record(team.name) for team in self._layout.teams],
            series=series,
            episodes=list(self._episodes),
            returns=list(self._returns),
            status=[ended] * len(self._agents),
            digest=self._chain.digest(),
        )

    def _team_record(self, name: str) -> TeamRecord:
        who = self._who.get(name, Who("nobody"))
        return TeamRecord(name=name, player=who.player, learner=who.learner, weights=who.weights, seed=who.seed)

    def _writing(self) -> _Diary:
        if self._first is not None:
            self._open(self._first)
        if self._diary is None:
            raise RuntimeError("begin a recording before anything else, and record nothing after its end")
        return self._diary

    def _open(self, observation: Observation) -> None:
        books = {}
        for index, team in enumerate(self._layout.teams):
            thinker = self._who[team.name].thinker if team.name in self._who else None
            members = np.flatnonzero(self._team == index)
            if thinker is not None and len(members):
                books[team.name] = NoteBook(members, self._entities, thinker.believed())
        self._diary, self._first = _Diary(books), None
        self._see(observation, [])

    def _see(self, observation: Observation, outcome: list[bytes], *, over: bool = False) -> None:
        diary, b = self._writing(), self._b
        if self._sight is not None:
            self._sight.look(over=over)
        assert self._chain is not None
        self._chain.add([*shown(observation, b, self._agents, self._entities), *outcome])
        diary.present.append(observation.present[b, self._entities].copy())
        if set(PARTICLES) <= set(self._layout.entity_features):
            columns = np.array([self._layout.entity_features.index(name) for name in PARTICLES])
            diary.places.append(observation.entities[b][np.ix_(self._entities, columns)])
        if is_board(self._layout):
            diary.boards.append(board_of(observation, self._layout, b))

    def _close(self, *, over: bool) -> None:
        diary, self._diary = self._writing(), None
        assert self._chain is not None
        # What was chosen or thought last may have come to nothing.
        shape = (len(self._agents), len(diary.rewards))
        chosen = _over_time(diary.chosen[: shape[1]], shape, np.int64)
        for book in diary.books.values():
            del book.thoughts[shape[1] :]
        rewards = _over_time(diary.rewards, shape, np.float32)
        notes = [found for found in (book.notes() for book in diary.books.values()) if found is not None]
        self._returns.append(team_returns(rewards, self._team, len(self._layout.teams)))
        self._episodes.append(
            EpisodeRecord(
                steps=shape[1],
                over=over,
                actions=self._groups(chosen),
                rewards=encode_rewards(rewards),
                ends=ends_of(_over_time(diary.terminated, shape, bool), _over_time(diary.truncated, shape, bool)),
                checks=self._chain.checks(),
                scene=self._scene(diary),
                notes=notes or None,
            )
        )

    def _groups(self, chosen: IntArray) -> list[ActionGroup]:
        """Return what was done [n,T]; by the numbers themselves where somebody did what has no name."""
        named, groups, game = [], [], self._game
        for agent, row in enumerate(chosen):
            codec = game.continuous(self._b, int(self._agents[agent])) if isinstance(game, HasContinuous) else None
            if codec is None or row.max(initial=-1) < codec.count:
                named.append(agent)
                continue
            acts = [None if number < 0 else codec.decode(int(number)) for number in row]
            first = next(act for act in acts if act is not None)
            groups.append(encode_numbers([agent], [acts], str(first.dtype), first.shape))
        listed = [ActionGroup(agents=named, chosen=pack(chosen[named] + 1))] if named else []
        return [*listed, *groups]

    def _scene(self, diary: _Diary) -> Scene:
        if diary.boards:
            return encode_board(np.stack(diary.boards), "board")
        if self._sight is not None:
            return self._sight.scene()
        if not diary.places:
            return Scene(kind="none")
        stacked: FloatArray = np.stack(diary.places, -1)
        rules = self._game.rules[self._b]
        present: BoolArray = np.stack(diary.present, -1)
        return encode_particles(
            stacked[:, :2], stacked[:, 2].max(-1), present,
            arena=float(rules.get("arena", 1.0)), walls=bool(rules.get("walls", False)),
        )  # fmt: skip


@dataclass(slots=True)
class _Diary:
    """What is written down of one episode."""

    books: dict[str, NoteBook]
    """By team, for those who say what they think."""
    chosen: list[IntArray] = field(default_factory=list)
    rewards: list[FloatArray] = field(default_factory=list)
    terminated: list[BoolArray] = field(default_factory=list)
    truncated: list[BoolArray] = field(default_factory=list)
    places: list[FloatArray] = field(default_factory=list)
    """[E,3] x, y and radius of every moment."""
    boards: list[SmallIntArray] = field(default_factory=list)
    """[height,width] what is on the cells, of every moment."""
    present: list[BoolArray] = field(default_factory=list)


def _over_time(rows: Sequence[npt.NDArray[Any]], shape: tuple[int, int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return rows [n] of T times as [n,T]."""
    return np.stack(rows, -1).astype(dtype) if rows else np.zeros(shape, dtype)
