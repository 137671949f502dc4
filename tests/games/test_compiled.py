"""What all compiled simulators share, around a simulator that is none: every agent earns the number that it says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

from marl_meta.games import load_family
from marl_meta.games.batch import STATE_FIELDS
from marl_meta.games.buffers import Buffer, make_buffer
from marl_meta.games.catalog import Catalog, make_catalog
from marl_meta.games.compiled import CompiledGame, entry_point
from marl_meta.games.trials import Trials
from marl_meta.types import Layout, Observation, Snapshot, TeamLayout, UserError

RECORD = np.dtype(STATE_FIELDS)
AGENTS, ACTIONS, LENGTH = 2, 5, 3


@dataclass(frozen=True)
class Tables:
    catalog: Catalog


def compile_tables(family: Any, variants: Any) -> Tables:
    layout = Layout(("player",), (TeamLayout("all", "player"),), (), ("sum",), tuple("abcde"))
    return Tables(make_catalog(family, variants, layout, ("player_0", "player_1"), np.zeros(AGENTS, np.int8)))


def observe(view: tuple[Any, ...]) -> Observation:
    games = len(view[0])
    everybody, nothing = np.ones((games, AGENTS), np.bool_), np.zeros((games, AGENTS), np.int8)
    mask, rules = np.ones((games, AGENTS, ACTIONS), np.bool_), np.zeros((games, 0), np.float32)
    entities = np.zeros((games, AGENTS, 0), np.float32)
    return Observation(entities, nothing, nothing, everybody, view[0], None, everybody, mask, rules)


class Saying:
    threaded_games = 10**9

    def __init__(self, _tables: Tables, trials: Trials) -> None:
        self.trials = trials
        games = len(trials.games)
        self.said = np.zeros((games, AGENTS), np.int64)
        self.sums = np.zeros((games, AGENTS), np.int64)
        self.buffers = tuple(
            make_buffer(lambda: (np.zeros((games, AGENTS, 1), np.float32),), observe) for _ in range(2)
        )
        self.plays = tuple((partial(self.play, turn), partial(self.play, turn)) for turn in range(2))

    def begin(self) -> None:
        self.sums[:] = 0
        self.trials.games["step"] = 0

    def take(self, actions: Any, shown: Buffer) -> None:
        if (actions >= ACTIONS).any():
            raise UserError(f"Somebody who sees {shown.view[0].ravel()} says too much.")
        self.said[:] = actions

    def play(self, turn: int) -> int:
        buffer = self.buffers[turn]
        self.sums += self.said
        self.trials.games["step"] += 1
        over = self.trials.games["step"] >= LENGTH
        buffer.step.reward[:] = self.said
        buffer.step.game_over[:] = over
        buffer.final[0][..., 0] = self.sums
        self.sums[over] = 0
        self.trials.games["step"][over] = 0
        self.show(turn)
        return int(over.sum())

    def show(self, turn: int) -> None:
        self.buffers[turn].view[0][..., 0] = self.sums

    def snapshot(self) -> Snapshot:
        return {"sums": self.sums.copy()}

    def restore(self, snapshot: Snapshot) -> None:
        if (snapshot["sums"] < 0).any():
            raise UserError("A sum is never negative.")
        self.sums[:] = snapshot["sums"]


@pytest.fixture
def game() -> CompiledGame:
    family = load_family("spread")
    return entry_point(compile_tables, Saying, RECORD)(family, family.split("train"), num_games=3, seed=4)


def say(*numbers: int) -> Any:
    return np.array([[number, 0] for number in numbers])


def test_it_is_described_by_its_catalog(game: CompiledGame) -> None:
    family = load_family("spread")
    variants = family.split("train")
    assert (game.num_games, game.num_agents, game.num_entities) == (3, AGENTS, AGENTS)
    assert game.num_variants == len(variants)
    assert game.variant_ids == [variant.variant_id for variant in variants[:3]]
    assert game.rules == [variant.rules for variant in variants[:3]]
    assert game.layout.visible_rules == family.columns(hidden=False)
    np.testing.assert_array_equal(game.hidden_rules[2], family.encode(variants[2].rules, hidden=True))


def test_buffers_take_turns_and_the_last_observation_comes_where_a_game_ends(game: CompiledGame) -> None:
    with pytest.raises(UserError, match="call reset before step"):
        game.step(say(1, 1, 1))
    first = game.reset()
    second = game.step(say(1, 2, 3))
    third = game.step(say(4, 4, 4))
    assert second.observation is not third.observation
    assert third.observation is first.observation
    np.testing.assert_array_equal(second.observation.private[:, 0, 0], [1, 2, 3])
    np.testing.assert_array_equal(third.reward[:, 0], [4, 4, 4])
    assert third.final is None
    last = game.step(say(0, 1, 0))
    assert last.final is not None
    assert last.game_over.all()
    np.testing.assert_array_equal(last.final.private[:, 0, 0], [5, 7, 7])
    np.testing.assert_array_equal(last.observation.private[:, 0, 0], [0, 0, 0])


def test_what_is_said_answers_to_what_is_shown(game: CompiledGame) -> None:
    game.reset()
    game.step(say(1, 2, 3))
    with pytest.raises(UserError, match=r"sees \[1\. 0\. 2\. 0\. 3\. 0\.\]"):
        game.step(say(9, 0, 0))


def test_a_snapshot_holds_the_trials_and_the_simulators_own(game: CompiledGame) -> None:
    game.reset()
    game.step(say(1, 2, 3))
    snapshot = game.snapshot()
    assert list(snapshot) == [*(name for name, _ in STATE_FIELDS), "deck", "sums"]
    game.step(say(1, 1, 1))
    game.reset(seed=9)
    shown = game.restore(snapshot)
    np.testing.assert_array_equal(shown.observation.private[:, 0, 0], [1, 2, 3])
    assert not shown.reward.any()
    for name, array in game.snapshot().items():
        np.testing.assert_array_equal(array, snapshot[name])


def test_a_snapshot_that_the_simulator_refuses_changes_nothing(game: CompiledGame) -> None:
    game.reset()
    before = game.snapshot()
    wrong = {**before, "key": before["key"] + np.uint64(1), "sums": before["sums"] - 1}
    with pytest.raises(UserError, match="never negative"):
        game.restore(wrong)
    for name, array in game.snapshot().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_seed_starts_the_streams_afresh(game: CompiledGame) -> None:
    game.reset()
    keys = game.snapshot()["key"]
    game.reset(seed=5)
    assert (game.snapshot()["key"] != keys).all()
    game.reset(seed=4)
    np.testing.assert_array_equal(game.snapshot()["key"], keys)
