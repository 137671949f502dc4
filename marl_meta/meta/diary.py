"""A diary of what the agents of one team lived through in B games: bounded, and read back episode by episode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from marl_meta.meta.lived import Lived, arranged, standardised
from marl_meta.nets.inputs import InputStorage, PolicyInputs
from marl_meta.rl.returns import turn_advantages
from marl_meta.types import BoolArray, FloatArray, IntArray, Observation, Snapshot, Step

Span = tuple[int, int]
"""Rows from the first to the last (exclusive) of an episode."""


class Diary:
    """Row t is the t-th step of all games; each game's episodes are spans of rows."""

    def __init__(
        self, inputs: PolicyInputs, games: int, agents: IntArray, room: int, kept: int, slots: tuple[int, int]
    ) -> None:
        """`room` is for so many steps at first, `kept` the most episodes; `slots` are sizes of events, 0 for none."""
        self.inputs, self.games, self.agents, self.room, self.kept = inputs, games, agents, room, kept
        self.kinds = inputs.design.kinds or inputs.layout.kinds
        self._storage: InputStorage | None = None
        self.time = 0
        self.first = np.zeros(games, np.int64)
        """[B] the row where the game's present episode began."""
        self.spans: list[list[Span]] = [[] for _ in range(games)]
        """Of each game, the ended episodes of the present trial that are kept."""
        shape = (room, games, len(agents))
        self._entries: Snapshot = {
            "action": np.zeros(shape, np.int64),
            **{name: np.zeros(shape, np.float32) for name in _NUMBERS},
            "events": np.zeros((*shape, *slots) if slots[0] else (room, 0), np.float32),
            "known": np.zeros((room, games, len(self.kinds), inputs.known_width if slots[0] else 0), np.float32),
        }

    def write(self, observation: Observation, context: FloatArray, knowledge: FloatArray | None) -> InputStorage:
        """Begin a row with what the agents see; returns the storage whose row `time` it is."""
        if self._storage is None:
            games, entities = observation.present.shape
            self._open(games, observation.private.shape[1], entities, observation.sees is None)
            assert self._storage is not None
        if self.time == self.room:
            self._make_room()
        self._storage.write(self.time, observation, context, knowledge)
        if knowledge is not None and self.inputs.knowledge is not None and self._entries["known"].shape[-1]:
            table = self.inputs.knowledge.table(knowledge[:, 0], self.kinds)
            self._entries["known"][self.time, ..., : table.shape[-1]] = table
        return self._storage

    def _open(self, games: int, slots: int, entities: int, shared: bool) -> None:
        self._sizes = (games, slots, entities, int(shared))
        sizes = (games, slots, entities)
        self._storage = InputStorage(self.inputs, self.room, sizes, self.agents, shared, actor_only=True)

    def note(self, actions: IntArray, log_prob: Tensor, value: Tensor, observation: Observation) -> None:
        """Write down what the agents do on `observation`: actions [B,n], log-probabilities and values [B*n] of them."""
        acting, there = (of_all[:, self.agents] for of_all in (observation.acting, observation.present))
        row = {"action": actions, "log_prob": log_prob, "value": value, "weight": acting, "there": there}
        for name, entry in row.items():
            self._entries[name][self.time] = np.asarray(entry).reshape(self.games, -1)

    def close(self, step: Step, events: FloatArray | None) -> None:
        """End the row with what came of it, and the episodes that ended with it."""
        agents = self.agents
        self._entries["reward"][self.time] = step.reward[:, agents]
        self._entries["dies"][self.time] = step.terminated[:, agents]
        if events is not None:
            self._entries["events"][self.time] = events.reshape(self._entries["events"].shape[1:])
        self.time += 1
        for game in np.flatnonzero(step.game_over):
            self.spans[game] = [*self.spans[game], (int(self.first[game]), self.time)][-self.kept :]
        self.first[step.game_over] = self.time

    def forget(self, games: BoolArray) -> None:
        """Let go of the trials of `games` bool [B]."""
        for game in np.flatnonzero(games):
            self.spans[game] = []

    def read(self, games: IntArray, spans: Sequence[Sequence[Span]], gamma: float, lam: float) -> Lived:
        """Return episodes of M games, those of each given as spans; a game that has fewer has empty ones besides.

        An episode that a time limit cut is worth at its end what its last step was, and one that ended nothing.
        """
        assert self._storage is not None
        places, counts = places_of(spans)
        low = int(places[counts].min())
        rows = slice(low, int(places[counts].max()) + 1)
        where = torch.from_numpy(np.where(counts, places - low, 0))
        read = self._storage.read(rows, games)

        def entry(name: str) -> Tensor:
            chosen = torch.from_numpy(self._entries[name][rows][:, games])
            found: Tensor = arranged(chosen.flatten(1, 2), len(games), where)
            return found

        counted = torch.from_numpy(counts)
        weight, there = (entry(name) * counted.unsqueeze(-1) for name in ("weight", "there"))
        reward, value = entry("reward"), entry("value")
        advantage = _advantages(reward, value, entry("dies"), counted, weight > 0, gamma, lam)
        events = known = None
        if self._entries["events"].shape[1]:
            events = arranged(_flat(self._entries["events"][rows][:, games]), len(games), where)
            each = self._entries["known"][rows][:, games]
            known = arranged(_flat(np.repeat(each[:, :, None], len(self.agents), 2)), len(games), where)
        return Lived(
            graph=arranged(read.graph, len(games), where),
            action_mask=arranged(read.action_mask, len(games), where),
            action=entry("action"), log_prob=entry("log_prob"), advantage=standardised(advantage, weight),
            target=advantage + value,
            reward=reward, weight=weight, there=there, events=events, known=known,
        )  # fmt: skip

    def numbers(self, name: str) -> FloatArray:
        """Return what was written down under a name [T,B,n], all of it."""
        array: FloatArray = self._entries[name][: self.time]
        return array

    def _make_room(self) -> None:
        """Drop what nobody needs any more; where that is little, take twice the room."""
        assert self._storage is not None
        needed = [spans[0][0] for spans in self.spans if spans]
        start = min([*needed, int(self.first.min())])
        self.room = self.room if start > self.room // 2 else 2 * self.room
        kept = slice(start, self.time)
        self._storage = self._storage.resized(self.room, kept)
        for name, array in self._entries.items():
            fresh = np.zeros((self.room, *array.shape[1:]), array.dtype)
            fresh[: self.time - start] = array[kept]
            self._entries[name] = fresh
        self.time -= start
        self.first -= start
        self.spans = [[(first - start, last - start) for first, last in spans] for spans in self.spans]

    def snapshot(self) -> Snapshot:
        """Return all of it as arrays."""
        flat = [(game, *span) for game, spans in enumerate(self.spans) for span in spans]
        state: Snapshot = {
            "time": np.array(self.time), "room": np.array(self.room), "first": self.first.copy(),
            "spans": np.array(flat, np.int64).reshape(-1, 3),
        }  # fmt: skip
        if self._storage is not None:
            state["sizes"] = np.array(self._sizes)
            state |= {f"inputs/{name}": array[: self.time].copy() for name, array in self._storage.arrays().items()}
        return state | {f"rows/{name}": array[: self.time].copy() for name, array in self._entries.items()}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        self.time, self.room, self.first = int(snapshot["time"]), int(snapshot["room"]), snapshot["first"].copy()
        self.spans = [[] for _ in range(self.games)]
        for game, first, last in snapshot["spans"]:
            self.spans[game].append((int(first), int(last)))
        self._storage = None
        if "sizes" in snapshot:
            games, slots, entities, shared = (int(size) for size in snapshot["sizes"])
            self._open(games, slots, entities, bool(shared))
            assert self._storage is not None
            if "inputs/links" in snapshot:
                self._storage.make_links(snapshot["inputs/links"].shape[1:])
            for name, array in self._storage.arrays().items():
                array[: self.time] = snapshot[f"inputs/{name}"]
        for name, array in self._entries.items():
            fresh = np.zeros((self.room, *array.shape[1:]), array.dtype)
            fresh[: self.time] = snapshot[f"rows/{name}"]
            self._entries[name] = fresh


_NUMBERS = ("log_prob", "value", "reward", "weight", "there", "dies")


def _flat(array: FloatArray) -> Tensor:
    return torch.from_numpy(array).flatten(1, 2)


def places_of(spans: Sequence[Sequence[Span]]) -> tuple[IntArray, BoolArray]:
    """Return the rows [M,K,L] of episodes, and which of them count."""
    most = max(len(of_game) for of_game in spans)
    longest = max(last - first for of_game in spans for first, last in of_game)
    first = np.zeros((len(spans), most), np.int64)
    length = np.zeros((len(spans), most), np.int64)
    for index, of_game in enumerate(spans):
        for place, (start, end) in enumerate(of_game):
            first[index, place], length[index, place] = start, end - start
    steps = np.arange(longest)
    counts: BoolArray = steps < length[..., None]
    return first[..., None] + steps, counts


def _advantages(
    reward: Tensor, value: Tensor, dies: Tensor, counts: Tensor, acting: Tensor, gamma: float, lam: float
) -> Tensor:
    """Return generalised advantages [M,K,L,n] within episodes, of the agents' own decisions."""
    inside = torch.nn.functional.pad(counts[:, :, 1:], (0, 1)).unsqueeze(-1)
    following = torch.where(inside, torch.cat([value[:, :, 1:], value[:, :, -1:]], 2), value)
    lives = 1.0 - dies
    chains = inside * lives
    paid, worth, later, goes_on, chained = (entry.movedim(2, 0) for entry in (reward, value, following, lives, chains))
    acts = torch.nn.functional.pad(acting.movedim(2, 0), (0,) * 7 + (1,))  # no episode goes on after its last step
    advantage, _ = turn_advantages(paid, worth, later, goes_on, chained, acts, gamma, lam)
    return advantage.movedim(0, 2)
