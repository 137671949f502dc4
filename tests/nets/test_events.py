"""Events beside a slow, obvious reference, on the games themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from marl_meta.games import make_vec
from marl_meta.mind import after
from marl_meta.nets.events import EventReader, Events
from marl_meta.types import Observation


def copied(observation: Observation) -> Observation:
    return Observation(*(None if array is None else array.copy() for array in _arrays(observation)))  # type: ignore[arg-type]


def _arrays(observation: Observation) -> list[Any]:
    return [getattr(observation, name) for name in Observation.__slots__]


def expected(reader: EventReader, before: Observation, later: Observation, actions: Any, reward: Any) -> list[Any]:
    """Return the (row, kind, features) of all events, worked out pair by pair."""
    layout = reader.layout
    kinds, found = len(layout.kinds), []
    games, agents = actions.shape
    for b in range(games):
        things = [j for j in range(len(before.kind[b])) if before.present[b, j]]
        objects = [j for j in things if before.team[b, j] < 0]
        moved = {j for j in objects if not np.array_equal(before.entities[b, j], later.entities[b, j])}
        displaced = [sum(before.kind[b, j] == k for j in moved) for k in range(kinds)]

        def gap(i: int, j: int, b: int = b) -> float:
            place = (later if before.team[b, j] >= 0 else before).entities[b, j]
            x, y = later.entities[b, i, :2]
            return math.hypot(place[0] - x, place[1] - y) - before.entities[b, i, 4] - before.entities[b, j, 4]

        for i in range(agents):
            for j in things:
                if not before.present[b, i] or (before.sees is not None and i != j and not before.sees[b, i, j]):
                    continue
                touching = [k for k in range(agents) if before.present[b, k] and k != j and gap(k, j) < 0]
                if not (reader.everything or i == j or j in moved or touching):
                    continue
                mates = [k for k in touching if k != i and before.team[b, k] == before.team[b, i]]
                rivals = [k for k in touching if k != i and before.team[b, k] != before.team[b, i]]
                kind = kinds if i == j else before.kind[b, j]
                relation = 0 if i == j else 3 if before.team[b, j] < 0 else 1 + (before.team[b, j] != before.team[b, i])
                near = [min(max(1 - gap(i, j) / 0.2, 0), 2), gap(i, j)] if i != j else [0, 0]
                alone = i in touching and not mates and not rivals
                touch = [*near, i in touching, len(mates) == 1, len(mates) > 1, alone, len(rivals) > 0, j in moved]
                own = [0.0] * (2 * before.private.shape[2] + len(layout.actions))
                if i == j:
                    change = later.private[b, i] - before.private[b, i]
                    own = [*before.private[b, i], *change, *np.eye(len(layout.actions))[actions[b, i]]]
                rows = [*np.eye(kinds + 1)[kind], *np.eye(4)[relation], *touch, reward[b, i], *displaced, *own]
                found.append((b * agents + i, kind, rows))
    return found


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize(
    ("family", "rules"),
    [
        ("harvest", {"objects_per_kind": 6, "object_size": 0.2, "gatherers": 4}),
        ("harvest", {"teams": 2, "vision_radius": 0.8, "objects_per_kind": 4, "object_size": 0.2}),
        ("tag", {"nearest_objects": 1}),
        ("spread", {"agents": 2, "obstacles": 1}),
    ],
)
def test_events_are_those_of_the_reference(family: str, rules: dict[str, Any], everything: bool) -> None:
    game = make_vec(family, num_games=6, rules={**rules, "episode_length": 7}, seed=3)
    reader = EventReader(game.layout, game.layout.kinds, everything)
    draws = np.random.default_rng(0)
    observation, touched = game.reset().observation, 0
    for _ in range(30):
        before = copied(observation)
        actions = draws.integers(len(game.layout.actions), size=(6, game.num_agents))
        step = game.step(actions)
        agents = np.arange(game.num_agents)
        events = reader(before, after(step), actions, step.reward, agents)
        reference = expected(reader, before, after(step), actions, step.reward)
        assert events.row.tolist() == [row for row, _, _ in reference]
        assert events.kind.tolist() == [kind for _, kind, _ in reference]
        np.testing.assert_allclose(events.features, np.array([row for _, _, row in reference]), atol=1e-5)
        touched += _touches(events, reader)
        observation = step.observation
    assert touched > 10


def _touches(events: Events, reader: EventReader) -> int:
    mine = reader.slots + 4 + 2
    return int(events.features[:, mine].sum())


def test_absent_agents_see_nothing() -> None:
    game = make_vec("harvest", num_games=2, rules=[{"gatherers": 2}, {"gatherers": 4}], seed=0)
    reader = EventReader(game.layout, game.layout.kinds)
    before = copied(game.reset().observation)
    step = game.step(np.zeros((2, 4), np.int64))
    events = reader(before, after(step), np.zeros((2, 4), np.int64), step.reward, np.arange(4))
    assert set(events.row[events.row < 4]) == {0, 1}
    assert set(events.row) == {0, 1, 4, 5, 6, 7}


def test_on_a_board_it_is_an_event_that_a_line_is_full() -> None:
    game = make_vec("connect", num_games=6, split="hidden_train", seed=2)
    layout, players = game.layout, np.arange(2)
    reader, draws = EventReader(layout, layout.kinds), np.random.default_rng(0)
    stones = layout.entity_features.index("stones")
    decided, ignored = 0, 0
    step = game.reset()
    for _ in range(150):
        before = copied(step.observation)
        actions = np.zeros((6, 2), np.int64)
        for b, i in np.argwhere(before.acting):
            actions[b, i] = draws.choice(np.flatnonzero(before.action_mask[b, i]))
        variants = list(game.rules)
        step = game.step(actions)
        later = after(step)
        events = reader(before, later, actions, step.reward, players)
        expected = [
            (2 * b + i, j)
            for b in range(6) for i in players for j in np.flatnonzero(before.present[b])
            if j == i or before.entities[b, j, stones] < 1.0 == later.entities[b, j, stones]
        ]  # fmt: skip
        assert events.row.tolist() == [row for row, _ in expected]
        for (row, j), kind, features in zip(expected, events.kind, events.features, strict=True):
            b, i = divmod(row, 2)
            assert kind == (len(layout.kinds) if j == i else before.kind[b, j])
            assert features[reader.pay] == step.reward[b, i]
            owner = later.team[b, j]
            assert features[reader.slots : reader.slots + 4].argmax() == (
                0 if j == i else 3 if owner < 0 else 1 + int(owner != i)
            )
            if j != i and i == owner:
                rules, name = variants[b], layout.kinds[kind]
                counts = (rules["diagonals"] or "diagonal" not in name) and (rules["wrap"] or "wrapped" not in name)
                assert bool(step.game_over[b]) >= counts
                if counts:
                    assert features[reader.pay] == (-1 if rules["misere"] else 1)
                decided, ignored = decided + counts, ignored + (not counts)
    assert decided > 10 < ignored
