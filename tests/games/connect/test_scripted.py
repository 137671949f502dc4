"""Hand-written players look ahead as a plain minimax does, and the further the better."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from marl_meta.games import load_family, make_vec
from marl_meta.games.connect import search
from marl_meta.players import RandomPlayer, scripted_player

from .reference import EMPTY, STONES, Reference

FAMILY = load_family("connect")
WIN = search.WIN


def counted(board: Reference) -> list[frozenset[tuple[int, int]]]:
    """Return the lines that players think count."""
    if board.rules["told"]:
        return [line for line, kind in board.lines().items() if board.counts(kind)]
    return [line for line, kind in board.lines().items() if not kind.startswith("wrapped")]


def score(board: Reference, lines: list[frozenset[tuple[int, int]]], player: int) -> int:
    """Return what a position is worth to a player."""
    total = 0
    for line in lines:
        stones = [board.board[cell] for cell in line if board.board[cell] != EMPTY]
        if len(set(stones)) == 1 and stones[0] in STONES:
            total += 2 ** (len(stones) - 1) * (1 if stones[0] == STONES[player] else -1)
    return total


def completes(board: Reference, lines: list[frozenset[tuple[int, int]]], cell: tuple[int, int], player: int) -> bool:
    return any(
        cell in line and all(one == cell or board.board[one] == STONES[player] for one in line) for line in lines
    )


def plain(board: Reference, lines: list[frozenset[tuple[int, int]]], player: int, depth: int, before: int) -> int:
    """Return what a position is worth to a player who is to move, more than `before`: all moves are tried."""
    sign = -1 if board.rules["misere"] and board.rules["told"] else 1
    values = []
    for cell in board.playable().values():
        if completes(board, lines, cell, player):
            values.append(sign * (WIN + 1000 * depth))
            continue
        board.board[cell] = STONES[player]
        if depth == 1:
            values.append(sign * score(board, lines, player) - before)
        else:
            values.append(-plain(board, lines, 1 - player, depth - 1, -before))
        board.board[cell] = EMPTY
    return max(values, default=0)


def best_moves(board: Reference, depth: int) -> set[int]:
    """Return the actions that are nearly as good as the best."""
    lines, player, values = counted(board), board.turn, {}
    sign = -1 if board.rules["misere"] and board.rules["told"] else 1
    before = sign * score(board, lines, player)
    for action, cell in board.playable().items():
        if completes(board, lines, cell, player):
            values[action] = sign * (WIN + 1000 * depth)
            continue
        board.board[cell] = STONES[player]
        value = sign * score(board, lines, player) - before
        values[action] = value if depth == 1 else -plain(board, lines, 1 - player, depth - 1, -before)
        board.board[cell] = EMPTY
    return {action for action, value in values.items() if value >= max(values.values()) - 1}


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize(
    "rules",
    [
        {"width": 5, "height": 4, "in_a_row": 3},
        {"width": 4, "height": 4, "in_a_row": 4, "wrap": True, "blocked": 2},
        {"width": 4, "height": 4, "in_a_row": 3, "misere": True, "diagonals": False},
        {"width": 4, "height": 3, "in_a_row": 3, "gravity": False},
        {"width": 5, "height": 4, "told": False, "wrap": True, "misere": True},
    ],
)
def test_the_search_finds_what_a_plain_minimax_finds(rules: dict[str, Any], depth: int) -> None:
    rules, rng = FAMILY.variant(rules).rules, np.random.default_rng(depth)
    game = make_vec("connect", num_games=1, rules=rules, seed=1)
    step = game.reset()
    compared, chosen = 0, set()
    for _ in range(25 if depth == 4 else 60):
        board = board_from(step.observation, rules)
        found = {
            int(search.look_ahead(step.observation, np.array([board.turn]), np.array([[chance]]), depth)[0, 0])
            for chance in np.linspace(0, 0.999, 25)
        }
        assert found == best_moves(board, depth)
        compared, chosen = compared + 1, chosen | found
        mover = board.turn
        actions = np.zeros((1, 2), np.int64)
        actions[0, mover] = rng.choice(np.flatnonzero(step.observation.action_mask[0, mover]))
        step = game.step(actions)
    assert compared and len(chosen) > 2


def board_from(observation: Any, rules: dict[str, Any]) -> Reference:
    """Return the board that an observation shows."""
    board = Reference(rules, set())
    board.turn = int(observation.acting[0].argmax())
    for entity, cell in enumerate(board.board, 2):
        if observation.team[0, entity] >= 0:
            board.board[cell] = STONES[observation.team[0, entity]]
        if observation.entities[0, entity, 3]:
            board.board[cell] = "#"
    return board


def play_out(first: Any, second: Any, rules: dict[str, Any], games: int) -> np.ndarray:
    """Return what the first player earned in each game, and the lengths."""
    game = make_vec("connect", num_games=games, rules=rules, seed=0)
    players = (first, second)
    for agent, player in enumerate(players):
        player.reset(games, np.array([agent]))
    step, earned = game.reset(), np.full(games, np.nan)
    while np.isnan(earned).any():
        step = game.step(np.concatenate([player.act(step.observation) for player in players], axis=1))
        for player in players:
            player.observe(step)
        ended = step.game_over & np.isnan(earned)
        earned[ended] = step.reward[ended, 0]
    return earned


@pytest.mark.parametrize("rules", [{}, {"misere": True}, {"gravity": False, "width": 5, "height": 5}, {"wrap": True}])
def test_who_looks_further_wins_more(rules: dict[str, Any]) -> None:
    ladder = [RandomPlayer(1), *(scripted_player(FAMILY, name, 2) for name in ("one_ply", "minimax_2", "minimax_4"))]
    for weak, strong, least in zip(ladder, ladder[1:], (0.5, 0.3, 0.02), strict=False):
        lead = play_out(strong, weak, rules, 200).mean() - play_out(weak, strong, rules, 200).mean()
        assert lead / 2 > least


def position(rules: dict[str, Any], *actions: int) -> Any:
    """Return what is shown after some actions."""
    game = make_vec("connect", num_games=1, rules=rules)
    step = game.reset()
    for action in actions:
        step = game.step(np.full((1, 2), action))
    return step.observation


@pytest.mark.parametrize("name", ["one_ply", "minimax_2", "minimax_4"])
@pytest.mark.parametrize(
    ("rules", "actions", "wanted"),
    [
        ({}, (0, 1, 0, 1, 0, 1), {0}),  # completes its column
        ({}, (0, 1, 0, 1, 0), {0}),  # keeps the other from its column
        ({"wrap": True}, (5, 5, 6, 6, 0, 0), {1, 4}),  # a line across the seam
        ({"misere": True}, (0, 1, 0, 1, 0, 1), {1, 2, 3, 4, 5, 6}),  # does not complete it
        ({"gravity": False}, (0, 41, 8, 40, 16, 30), {24}),  # a diagonal
    ],
)
def test_players_see_what_completes_a_line(name: str, rules: Any, actions: Any, wanted: set[int]) -> None:
    observation = position(rules, *actions)
    agent = len(actions) % 2
    for seed in range(20):
        player = scripted_player(FAMILY, name, seed)
        player.reset(1, np.array([agent]))
        assert int(player.act(observation)[0, 0]) in wanted


def test_who_is_not_told_plays_by_the_default_rules() -> None:
    across = (5, 5, 6, 6, 0)  # a line across the seam could be completed
    player = scripted_player(FAMILY, "one_ply", 0)
    player.reset(1, np.array([1]))
    found = {int(player.act(position({"told": False, "wrap": True, "misere": True}, *across))[0, 0]) for _ in range(60)}
    assert len(found) == 7
    assert int(player.act(position({"told": False, "misere": True}, 2, 0, 1, 0, 1, 0, 2))[0, 0]) == 0


def test_players_of_both_sides_at_once_and_games_that_vary() -> None:
    player = scripted_player(FAMILY, "minimax_2", 3)
    game = make_vec("connect", num_games=30)
    player.reset(30, np.array([0, 1]))
    step, played = game.reset(), []
    for _ in range(12):
        actions = player.act(step.observation)
        legal = np.take_along_axis(step.observation.action_mask, actions[..., None], 2)
        assert actions.shape == (30, 2) and legal.all()
        played.append(actions[np.arange(30), step.observation.acting.argmax(1)])
        step = game.step(actions)
    assert len(np.unique(np.stack(played), axis=1).T) > 20


def test_four_moves_ahead_take_milliseconds() -> None:
    player = scripted_player(FAMILY, "minimax_4", 0)
    for rules, most in (({}, 0.005), ({"width": 10, "height": 10, "gravity": False, "told": False}, 0.05)):
        game = make_vec("connect", num_games=20, rules=rules)
        player.reset(20, np.array([0, 1]))
        step, spent = game.reset(), []
        for _ in range(15):
            start = time.process_time()
            actions = player.act(step.observation)
            spent.append(time.process_time() - start)
            step = game.step(actions)
        assert np.median(spent) / 20 < most
