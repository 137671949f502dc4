"""The deck: an even one changes nothing, weights become cards, games of every kind draw what was dealt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marl_meta.games import make_vec
from marl_meta.games.deck import CARDS, apportion, deal, new_deck
from marl_meta.types import UserError, VectorGame

from .particles.reference import Game

RECALL = Path(__file__).parents[1] / "recall"
GAMES: list[tuple[str | Path, str]] = [("tag", "train"), ("payoff", "three_players"), (RECALL, "train")]


def drawing(family: str | Path, split: str, num_games: int = 64, **settings: Any) -> VectorGame:
    return make_vec(family, num_games=num_games, split=split, seed=4, **settings)


# weights to cards


@pytest.mark.parametrize(
    ("weights", "cards", "expected"),
    [
        ([1, 1, 1], 24, [8, 8, 8]),
        ([0.5, 0.3, 0.2], 10, [5, 3, 2]),
        ([5, 3, 2], 16, [8, 5, 3]),  # quotas 8, 4.8, 3.2
        ([1, 1, 1], 10, [4, 3, 3]),  # of equal fractions the first
        ([1, 0, 0], 24, [22, 1, 1]),
        ([90, 9, 1], 24, [21, 2, 1]),  # 21.6, 2.16, 0.24: one is kept, and 23 cards are 20.91 and 2.09
        ([1e-300, 2e-300], 16, [5, 11]),
        ([1e308, 1e308], 16, [8, 8]),
        ([0.0, 1e-9, 1.0, 1e9], 32, [1, 1, 1, 29]),
    ],
)
def test_weights_to_cards(weights: list[float], cards: int, expected: list[int]) -> None:
    assert apportion(np.array(weights), cards).tolist() == expected


def test_every_variant_keeps_a_card_and_none_is_a_card_off_its_due() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        variants = int(rng.integers(1, 60))
        weights = rng.exponential(size=variants) ** rng.integers(0, 6) * (rng.random(variants) < 0.9) + 1e-12
        deck = new_deck(variants)
        deal(deck, weights)
        counts = np.bincount(deck, minlength=variants)
        assert counts.sum() == len(deck) == CARDS * variants
        assert counts.min() >= 1
        heavy = counts > 1
        if heavy.any():
            due = weights[heavy] * counts[heavy].sum() / weights[heavy].sum()
            assert (abs(due - counts[heavy]) <= 1.0 + variants / counts[heavy].sum() + 1e-6).all()


@pytest.mark.parametrize("weights", [[1, 1], [1, 1, -1], [0, 0, 0], [1, 1, np.nan], [1, 1, np.inf], [[1, 1, 1]], 1])
def test_weights_that_are_none_are_refused_and_change_nothing(weights: Any) -> None:
    deck = new_deck(3)
    with pytest.raises(UserError, match="Weights must be 3 finite numbers, one for each variant"):
        deal(deck, weights)
    np.testing.assert_array_equal(deck, new_deck(3))


# games that draw from it


@pytest.mark.parametrize(("family", "split"), GAMES[:2])
def test_from_an_even_deck_a_trial_draws_what_it_would_among_the_variants(family: str, split: str) -> None:
    game = drawing(family, split, num_games=500)
    keys = game.snapshot()["key"]
    game.reset()
    for key, variant in zip(keys, game.variant_numbers, strict=True):
        stream = Game("", {}, [], int(key), 0)
        assert variant == int(stream.draw() * game.num_variants)


@pytest.mark.parametrize(("family", "split"), GAMES)
def test_to_deal_evenly_changes_nothing(family: str | Path, split: str) -> None:
    games = [drawing(family, split) for _ in range(2)]
    games[1].deal(np.ones(games[1].num_variants))
    for _ in range(20):
        for game in games:
            game.reset()
        np.testing.assert_array_equal(games[0].variant_numbers, games[1].variant_numbers)
        assert games[0].variant_ids == games[1].variant_ids


@pytest.mark.parametrize(("family", "split"), GAMES)
def test_new_trials_draw_what_was_dealt_and_running_ones_go_on(family: str | Path, split: str) -> None:
    game = drawing(family, split, num_games=2000)
    game.reset()
    before = game.variant_numbers
    weights = np.zeros(game.num_variants)
    weights[:2] = 3, 1
    game.deal(weights)
    np.testing.assert_array_equal(game.variant_numbers, before)
    share = apportion(weights, CARDS * game.num_variants) / (CARDS * game.num_variants)
    game.reset()
    counts = np.bincount(game.variant_numbers, minlength=game.num_variants)
    assert (abs(counts - 2000 * share) < 5 * np.sqrt(2000 * share)).all()


@pytest.mark.parametrize(("family", "split"), GAMES)
def test_the_deck_is_part_of_a_snapshot(family: str | Path, split: str) -> None:
    game, other = drawing(family, split), drawing(family, split)
    game.deal(np.arange(game.num_variants))
    game.reset()
    other.restore(game.snapshot())
    for _ in range(5):
        game.reset()
        other.reset()
        np.testing.assert_array_equal(game.variant_numbers, other.variant_numbers)


@pytest.mark.parametrize("family", ["tag", "payoff"])
def test_a_deck_of_other_variants_is_refused(family: str) -> None:
    split = dict(GAMES)[family]
    game = drawing(family, split)
    game.reset()
    snapshot = game.snapshot()
    snapshot["deck"][0] = game.num_variants
    with pytest.raises(UserError, match="must hold a deck of numbers below"):
        game.restore(snapshot)
    with pytest.raises(UserError, match="must hold 'deck' of shape"):
        game.restore({**snapshot, "deck": snapshot["deck"][1:]})


@pytest.mark.parametrize("family", ["tag", "payoff", RECALL])
def test_games_of_fixed_rules_have_nothing_to_deal(family: str | Path) -> None:
    game = make_vec(family, num_games=3, rules=[{}, {}, {}])
    with pytest.raises(UserError, match="there are no variants to deal"):
        game.deal([1.0, 1.0, 1.0])
    assert game.num_variants == 3
    assert game.variant_numbers.tolist() == [0, 1, 2]
