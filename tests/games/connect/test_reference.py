"""Games play and show what a slow, obvious board says, under rules of every sort."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from marl_meta.games import load_family
from marl_meta.types import Layout, Observation

from .boards import cells_of, features, lines_of
from .reference import BLOCKED, EMPTY, STONES, Reference

FAMILY = load_family("connect")
CHOSEN: list[dict[str, Any]] = [
    {},
    {"width": 3, "height": 3, "in_a_row": 3, "gravity": False},
    {"wrap": True},
    {"diagonals": False, "told": False},
    {"misere": True, "width": 5, "height": 4, "in_a_row": 3},
    {"misere": True, "wrap": True, "told": False, "width": 4, "height": 5, "blocked": 3},
    {"width": 10, "height": 10, "gravity": False, "blocked": 8, "in_a_row": 5},
    {"width": 2, "height": 2, "in_a_row": 2, "blocked": 8},
    {"width": 6, "height": 1, "in_a_row": 3, "wrap": True},
    {"width": 4, "height": 4, "in_a_row": 4, "blocked": 8},
    {"width": 3, "height": 6, "in_a_row": 4, "wrap": True},
]
VARIANTS = [FAMILY.variant(rules) for rules in CHOSEN] + FAMILY.sample(seed=3, count=25)


def test_lines_are_those_that_can_be_walked():
    for variant in VARIANTS:
        rules = variant.rules
        game = FAMILY.load_entry_point()(FAMILY, [variant], num_games=1)
        shown = lines_of(game.reset().observation, game.layout, 0, rules["width"])
        board = Reference(rules, set())
        expected = {line: kind for line, kind in board.lines().items() if board.counts(kind) or not rules["told"]}
        if rules["blocked"] == 0:
            assert {line: one["kind"] for line, one in shown.items()} == expected
        assert shown.items() and set(shown) <= set(expected)


def blocked_cells(observation: Observation, layout: Layout, b: int, width: int) -> set[tuple[int, int]]:
    cells = cells_of(observation, layout, b, width)
    return {place for e, place in cells.items() if features(observation, layout, b, e)["blocked"]}


def check(observation: Observation, layout: Layout, b: int, board: Reference, acting: int, *, over: bool) -> None:
    """Assert that game b shows the board."""
    playable = board.playable()
    cells = cells_of(observation, layout, b, board.width)
    assert list(cells.values()) == list(board.board)
    for entity, (x, y) in cells.items():
        stone, shown = board.board[x, y], features(observation, layout, b, entity)
        assert observation.team[b, entity] == (STONES.index(stone) if stone in STONES else -1)
        level = board.height - 1 - y
        expected = {
            "row": np.float32(level / max(board.height - 1, 1)),
            "parity": level % 2,
            "playable": (x, y) in playable.values(),
            "blocked": stone == BLOCKED,
            "last": (x, y) == board.last,
        }
        assert shown == {name: float(expected.get(name, 0)) for name in shown}
    found, expected_lines = lines_of(observation, layout, b, board.width), board.open_lines()
    assert found.keys() == expected_lines.keys()
    for line, one in found.items():
        assert one == pytest.approx(expected_lines[line])
    np.testing.assert_array_equal(observation.acting[b], [acting == 0, acting == 1])
    np.testing.assert_array_equal(observation.private[b, :, 0], [acting == 0, acting == 1])
    np.testing.assert_array_equal(observation.team[b, :2], [0, 1])
    assert observation.present[b, :2].all() and not observation.entities[b, :2].any()
    assert not observation.entities[b][~observation.present[b]].any()
    legal = sorted(playable) or sorted(range(board.width if board.rules["gravity"] else len(board.board)))
    for agent in range(2):
        assert np.flatnonzero(observation.action_mask[b, agent]).tolist() == legal
    assert over or playable
    targets = {action: cells[int(e)] for action, e in enumerate(observation.targets[b]) if e >= 0}
    assert targets == playable


def test_games_play_and_show_as_the_rules_say():
    variants = VARIANTS
    game = FAMILY.load_entry_point()(FAMILY, variants, num_games=len(variants), seed=1, fixed=True)
    rng, step = np.random.default_rng(1), game.reset()
    boards: list[Reference] = []
    for b, variant in enumerate(variants):
        there = blocked_cells(step.observation, game.layout, b, variant.rules["width"])
        boards.append(Reference(variant.rules, there))
    endings: set[tuple[float, ...]] = set()
    for _ in range(70):
        actions = np.full((len(variants), 2), -5)  # those of who does not act may be anything
        for b, board in enumerate(boards):
            check(step.observation, game.layout, b, board, board.turn, over=False)
            actions[b, board.turn] = rng.choice(sorted(board.playable()))
        step = game.step(actions)
        for b, board in enumerate(boards):
            mover = board.turn
            rewards, over = board.step(int(actions[b, mover]))
            assert step.reward[b].tolist() == rewards and step.game_over[b] == over
            assert step.terminated[b].tolist() == [over, over] and not step.truncated[b].any()
            if over:
                endings.add(tuple(rewards))
                check(step.final, game.layout, b, board, mover, over=True)
                there = blocked_cells(step.observation, game.layout, b, board.width)
                boards[b] = Reference(board.rules, there)
    assert endings == {(1.0, -1.0), (-1.0, 1.0), (0.0, 0.0)}


def test_blocked_cells_leave_a_line_and_with_gravity_lie_at_the_bottom():
    places: dict[int, set[frozenset[tuple[int, int]]]] = {}
    for v, variant in enumerate(VARIANTS):
        rules = variant.rules
        game = FAMILY.load_entry_point()(FAMILY, [variant], num_games=40, seed=v)
        observation = game.reset().observation
        for b in range(40):
            blocked = blocked_cells(observation, game.layout, b, rules["width"])
            board = Reference(rules, blocked)
            assert len(blocked) <= rules["blocked"]
            straight = [line for line, kind in board.lines().items() if kind in ("row", "column")]
            assert any(not line & blocked for line in straight)
            if len(blocked) < rules["blocked"]:  # because of that alone
                assert sum(not line & blocked for line in straight) <= rules["in_a_row"]
            if rules["gravity"]:
                assert all(board.board.get((x, y + 1)) in (BLOCKED, None) for x, y in blocked)
            assert any(stone == EMPTY for stone in board.board.values())
            places.setdefault(v, set()).add(frozenset(blocked))
    assert all(len(found) > 3 for v, found in places.items() if VARIANTS[v].rules["blocked"] > 2)
    assert sum(VARIANTS[v].rules["blocked"] > 2 for v in places) > 10


def test_neighbours_are_linked_in_a_fixed_order():
    for wrap, told, joined in ((False, True, False), (True, True, True), (True, False, False)):
        variant = FAMILY.variant({"wrap": wrap, "told": told})
        game = FAMILY.load_entry_point()(FAMILY, [variant], num_games=1)
        observation = game.reset().observation
        cells = cells_of(observation, game.layout, 0, 7)
        steps = [(0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1)]
        for entity, (x, y) in cells.items():
            for linked, (dx, dy) in zip(observation.links[0, entity, -8:], steps, strict=True):
                there = ((x + dx) % 7, y + dy) if joined else (x + dx, y + dy)
                assert cells.get(int(linked)) == (there if there in cells.values() else None)
            lines = [int(e) for e in observation.links[0, entity, :-8] if e >= 0]
            assert lines == sorted(lines)
            through = [e for e, linked in enumerate(observation.links[0]) if e not in cells and entity in linked]
            assert lines == through
