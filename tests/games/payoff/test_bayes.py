"""The best possible returns: published numbers, a closed form against dynamic programming, a search of all policies."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from marl_meta.games import load_family
from marl_meta.games.optimal import optimal_return
from marl_meta.games.payoff import bayes
from marl_meta.games.payoff.structures import payoffs
from marl_meta.types import UserError

FAMILY = load_family("payoff")


def treasures(players, actions, rounds):
    size = {"players": players, "actions": actions, "episode_length": rounds}
    for treasure in itertools.product(range(actions), repeat=players):
        yield FAMILY.variant({**size, **{f"treasure_{i}": part for i, part in enumerate(treasure)}}).rules


def test_published_numbers():
    assert bayes.treasure_value(9, 20) == pytest.approx(16.0)
    assert bayes.treasure_value(27, 60) == pytest.approx(47.0)
    assert bayes.forgetful_value(9, 20) == pytest.approx(12.8, abs=0.05)
    assert bayes.forgetful_value(27, 60) == pytest.approx(36.7, abs=0.05)
    for split in ("two_players", "three_players"):
        for variant in FAMILY.split(split):
            assert bayes.random_value(variant.rules) == pytest.approx(20 / 9)


@pytest.mark.parametrize(
    ("players", "actions", "rounds"),
    [(2, 2, 1), (2, 2, 3), (2, 2, 20), (2, 3, 5), (2, 3, 20), (3, 2, 6), (3, 2, 40)],
)
def test_the_closed_form_is_what_dynamic_programming_finds(players, actions, rounds):
    found = bayes.belief_value(list(treasures(players, actions, rounds)))
    assert found == pytest.approx(bayes.treasure_value(actions**players, rounds))


@pytest.mark.parametrize("count", [1, 3, 6])
def test_it_is_so_where_only_some_treasures_are_possible(count):
    some = list(treasures(2, 3, 7))[:count]
    assert bayes.belief_value(some) == pytest.approx(bayes.treasure_value(count, 7)) == bayes.team_value(some)


def searched(games, rounds):
    """Return the best value over all centralised strategies, by trying them all on lists of games: no sets of bits."""
    if rounds == 0:
        return 0.0
    best = -np.inf
    for joint in np.ndindex(*payoffs(games[0]).shape[:-1]):
        outcomes: dict[tuple[float, ...], list] = {}
        for rules in games:
            outcomes.setdefault(tuple(payoffs(rules)[joint]), []).append(rules)
        value = sum(
            len(part) / len(games) * (np.mean(reward) + searched(part, rounds - 1)) for reward, part in outcomes.items()
        )
        best = max(best, value)
    return best


@pytest.mark.parametrize("split", ["matrix_train", "matrix_held_out"])
@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_matrix_games_against_a_search_of_all_strategies(split, rounds):
    games = [{**variant.rules, "episode_length": rounds} for variant in FAMILY.split(split)]
    assert bayes.belief_value(games) == pytest.approx(searched(games, rounds))


def test_a_known_matrix_game_pays_its_best_joint_action():
    for structure, best in (("stag_hunt", 1), ("prisoners_dilemma", 0.6), ("coordination", 1), ("chicken", 0.7)):
        rules = FAMILY.variant({"actions": 2, "structure": structure, "swap_1": True, "episode_length": 7}).rules
        assert bayes.belief_value([rules]) == pytest.approx(7 * best)


def test_values_of_splits_lie_between_random_play_and_knowing():
    for split in FAMILY.splits:
        rules = [variant.rules for variant in FAMILY.split(split)]
        value = bayes.split_value(rules)
        random = np.mean([bayes.random_value(one) for one in rules])
        known = np.mean([one["episode_length"] * payoffs(one).mean(-1).max() for one in rules])
        assert random < value < known
    assert bayes.split_value([v.rules for v in FAMILY.split("two_players")]) == pytest.approx(16.0)
    assert bayes.split_value([v.rules for v in FAMILY.split("three_players")]) == pytest.approx(47.0)
    two = list(treasures(2, 2, 4)) + list(treasures(2, 3, 4))
    expected = (4 * bayes.treasure_value(4, 4) + 9 * bayes.treasure_value(9, 4)) / 13
    assert bayes.split_value(two) == pytest.approx(expected)


def test_games_of_several_sizes_have_no_common_value():
    with pytest.raises(ValueError, match="same visible rules"):
        bayes.belief_value([*treasures(2, 2, 3), *treasures(2, 3, 3)])
    with pytest.raises(ValueError, match="1 to 16 games"):
        bayes.belief_value(list(treasures(3, 3, 3)))


def test_a_family_tells_its_best_possible_return():
    assert optimal_return(FAMILY, {}) == pytest.approx(16.0)
    assert optimal_return(FAMILY, FAMILY.split("three_players")[5]) == pytest.approx(47.0)
    assert optimal_return(FAMILY, {"players": 4, "actions": 4, "episode_length": 1}) == pytest.approx(1 / 256)
    # A matrix game may be any of 14, as the treasure may be anywhere: which it is makes no difference.
    chicken, stag_hunt = ({"structure": one, "actions": 2, "swap_1": True} for one in ("chicken", "stag_hunt"))
    found = optimal_return(FAMILY, chicken)
    assert found == optimal_return(FAMILY, stag_hunt) and 9 < found < 20
    assert len(bayes.matrix_games(FAMILY.variant(chicken).rules)) == 14
    assert optimal_return(FAMILY, {**chicken, "players": 3}) is None
    assert optimal_return(load_family("tag"), {}) is None


def test_a_family_that_names_no_function_is_told_so(tmp_path):
    text = FAMILY.path.read_text().replace("payoff.bayes:optimal_return", "payoff.bayes:optimum")
    (tmp_path / "family.yaml").write_text(text)
    with pytest.raises(UserError, match=r"engine\.optimal: .* has no 'optimum'"):
        optimal_return(load_family(tmp_path), {})
