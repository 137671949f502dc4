"""What joint actions pay, and that each game is one variant."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from marl_meta.games import load_family
from marl_meta.games.payoff.structures import MATRICES, canonical, payoffs

from .reference import pay

FAMILY = load_family("payoff")
SIZES = list(itertools.product((2, 3, 4), (2, 3, 4)))


def assignments(players, actions):
    """Every assignment of the hidden rules of that many players; those of empty seats are true and 3 now and then."""
    rest = {f"treasure_{i}": 3 * (i % 2) for i in range(players, 4)} | {
        f"swap_{i}": i % 2 == 0 for i in range(players, 4)
    }
    for treasure in itertools.product(range(4), repeat=players):
        yield FAMILY.complete({
            "players": players, "actions": actions, **rest, "swap_0": treasure[0] % 2 == 0,
            **{f"treasure_{i}": part for i, part in enumerate(treasure)},
        })  # fmt: skip
    for structure, swaps in itertools.product(MATRICES, itertools.product((False, True), repeat=players)):
        yield FAMILY.complete({
            "players": players, "actions": actions, **rest, "structure": structure, "treasure_0": 2,
            **{f"swap_{i}": swap for i, swap in enumerate(swaps)},
        })  # fmt: skip


@pytest.mark.parametrize(("players", "actions"), SIZES)
def test_tables_hold_what_the_rules_say(players, actions):
    rng = np.random.default_rng(0)
    for rules in rng.permutation(list(assignments(players, actions)))[:40]:
        table = payoffs(rules)
        assert table.shape == (*[actions] * players, players)
        for joint in np.ndindex(*table.shape[:-1]):
            np.testing.assert_allclose(table[joint], pay(rules, list(joint)), atol=1e-12)


@pytest.mark.parametrize(("players", "actions"), SIZES)
def test_a_game_is_one_variant_and_a_variant_one_game(players, actions):
    games: dict[bytes, set[str]] = {}
    for rules in assignments(players, actions):
        games.setdefault(payoffs(rules).tobytes(), set()).add(FAMILY.variant(rules).variant_id)
    assert {len(ids) for ids in games.values()} == {1}
    assert len(set.union(*games.values())) == len(games) == actions**players + 2**players * 3 + 2 ** (players - 1)


def test_canonical_rules_stand_for_themselves_and_keep_what_is_visible():
    for variant in FAMILY.sample(seed=0, count=200):
        assert canonical(variant.rules) == variant.rules == FAMILY.complete(variant.rules)
    chosen = FAMILY.variant({"players": 3, "actions": 2, "structure": "coordination", "swap_0": True, "treasure_1": 3})
    given = {name: value for name, value in chosen.rules.items() if value != FAMILY.rules[name].default}
    assert given == {"players": 3, "actions": 2, "structure": "coordination", "swap_1": True, "swap_2": True}


def test_no_two_variants_of_the_splits_are_the_same_game():
    seen = set()
    for split in FAMILY.splits:
        for variant in FAMILY.split(split):
            visible = tuple(variant.rules[name] for name in ("players", "actions", "episode_length"))
            game = (*visible, payoffs(variant.rules).tobytes())
            assert game not in seen
            seen.add(game)


def test_matrices_are_of_their_classes():
    """The orders of the payoffs that define the classes: reward R, sucker S, temptation T, punishment P."""
    values = {name: (*matrix[0], *matrix[1]) for name, matrix in MATRICES.items()}
    R, S, T, P = values["prisoners_dilemma"]
    assert T > R > P > S and 2 * R > T + S
    R, S, T, P = values["chicken"]
    assert T > R > S > P
    R, S, T, P = values["stag_hunt"]
    assert R > T >= P > S
    R, S, T, P = values["coordination"]
    assert R == P > S == T
    assert all(0 <= value <= 1 == max(four) for four in values.values() for value in four)


def test_two_and_three_players_hold_every_treasure():
    for split, players, rounds in (("two_players", 2, 20), ("three_players", 3, 60)):
        rules = [variant.rules for variant in FAMILY.split(split)]
        assert {(one["players"], one["actions"], one["episode_length"]) for one in rules} == {(players, 3, rounds)}
        treasures = {tuple(one[f"treasure_{i}"] for i in range(4)) for one in rules}
        assert len(rules) == len(treasures) == 3**players
        assert treasures == {(*t, *[0] * (4 - players)) for t in itertools.product(range(3), repeat=players)}


def test_every_value_is_trained_on_and_combinations_are_held_out():
    train, held_out = ([variant.rules for variant in FAMILY.split(name)] for name in ("train", "held_out"))
    for players, actions in itertools.product((2, 3), (2, 3, 4)):
        sizes = [
            [rules for rules in split if (rules["players"], rules["actions"]) == (players, actions)]
            for split in (train, held_out)
        ]
        assert len(sizes[0]) + len(sizes[1]) == actions**players and min(map(len, sizes)) > 0
        for seat in range(players):
            assert {rules[f"treasure_{seat}"] for rules in sizes[0]} == set(range(actions))
    assert {variant.rules["players"] for variant in FAMILY.split("ood")} == {4}


def test_every_class_and_swap_is_trained_on():
    train, held_out = ([variant.rules for variant in FAMILY.split(f"matrix_{name}")] for name in ("train", "held_out"))
    assert len(train) + len(held_out) == 3 * 4 + 2
    for rules in (train, held_out):
        assert {one["structure"] for one in rules} == set(MATRICES)
        assert {one["players"] for one in rules} == {one["actions"] for one in rules} == {2}
    for structure in set(MATRICES) - {"coordination"}:
        for seat in range(2):
            assert {one[f"swap_{seat}"] for one in train if one["structure"] == structure} == {False, True}
