from __future__ import annotations

import numpy as np
import pytest

from marl_meta.tournament.statistics.complementary import complementary
from marl_meta.tournament.statistics.nash import nash_average, win_rates
from marl_meta.tournament.statistics.outcomes import Outcomes, payoffs
from marl_meta.types import UserError

CIRCLE = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])


def random_game(seed: int, n: int) -> np.ndarray:
    matrix = np.round(np.random.default_rng(seed).normal(size=(n, n)), 1 + seed % 3)
    return matrix - matrix.T


def entropy(p: np.ndarray) -> float:
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())


def test_a_point_inside_says_for_each_which_of_two_is_positive() -> None:
    for seed in range(20):
        game = random_game(seed, 3 + seed % 5)
        x, slack = complementary(game)
        np.testing.assert_allclose(slack, -(game / np.abs(game).max()) @ x, atol=1e-12)
        assert np.minimum(x, slack).max() < 1e-9 and np.maximum(x, slack).min() > 1e-6


def test_a_circle_is_mixed_evenly_and_one_weighted_unevenly() -> None:
    np.testing.assert_allclose(nash_average(CIRCLE).mixture, 1 / 3)
    weighted = np.array([[0.0, -2.0, 1.0], [2.0, 0.0, -3.0], [-1.0, 3.0, 0.0]])  # by hand: p = (3, 1, 2) / 6
    found = nash_average(weighted)
    np.testing.assert_allclose(found.mixture, [3 / 6, 1 / 6, 2 / 6])
    np.testing.assert_allclose(found.average, 0.0, atol=1e-12)


def test_who_is_dominated_has_no_part_and_a_negative_average() -> None:
    found = nash_average(np.array([[0.0, 1.0, 2.0], [-1.0, 0.0, 4.0], [-2.0, -4.0, 0.0]]))
    assert found.mixture.tolist() == [1.0, 0.0, 0.0]
    np.testing.assert_allclose(found.average, [0.0, -1.0, -2.0])
    assert found.support.tolist() == [True, False, False]


def test_of_many_equilibria_the_most_even_is_taken() -> None:
    np.testing.assert_allclose(nash_average(np.zeros((4, 4))).mixture, 0.25)
    # A copy of an entrant shares its part, and nobody's average changes.
    copied = CIRCLE[np.ix_([0, 0, 1, 2], [0, 0, 1, 2])]
    np.testing.assert_allclose(nash_average(copied).mixture, [1 / 6, 1 / 6, 1 / 3, 1 / 3], atol=1e-9)
    beaten = np.zeros((4, 4))
    beaten[:3, :3], beaten[3, :3], beaten[:3, 3] = CIRCLE, -5.0, 5.0
    np.testing.assert_allclose(nash_average(beaten).mixture, [1 / 3, 1 / 3, 1 / 3, 0.0], atol=1e-9)


def test_an_inequality_may_bind_in_the_most_even_equilibrium() -> None:
    """Two level entrants, and a third that beats the first by less than it loses to the second.

    (p, 1 - p, 0) is an equilibrium for p - 3 (1 - p) <= 0, so p <= 3/4: the even one is. With -1/3 for -3 it is for
    p <= 1/4, and the most even one is at that bound.
    """
    for loses, p in ((3.0, 0.5), (1 / 3, 0.25)):
        game = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, loses], [1.0, -loses, 0.0]])
        np.testing.assert_allclose(nash_average(game).mixture, [p, 1 - p, 0.0], atol=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_nobody_gains_and_no_other_equilibrium_is_more_even(seed: int) -> None:
    game = random_game(seed, 4 + seed % 6)
    found = nash_average(game)
    assert found.average.max() < 1e-9 and found.mixture.min() >= 0.0 and found.mixture.sum() == pytest.approx(1.0)
    inside = complementary(game)[0]
    assert entropy(found.mixture) >= entropy(inside / inside.sum()) - 1e-9


def test_scale_and_names_do_not_matter() -> None:
    game, order = random_game(1, 6), np.random.default_rng(2).permutation(6)
    found = nash_average(game)
    np.testing.assert_allclose(nash_average(1e4 * game).mixture, found.mixture, atol=1e-8)
    np.testing.assert_allclose(nash_average(game[np.ix_(order, order)]).mixture, found.mixture[order], atol=1e-8)


def test_a_game_of_one() -> None:
    assert nash_average(np.zeros((1, 1))).mixture.tolist() == [1.0]


def test_win_rates_of_games() -> None:
    games = Outcomes(("a", "b", "c"), [0, 0, 1, 1], [1, 1, 2, 2], [1.0, 1.0, 1.0, 0.5], [0, 1, 2, 3], [0] * 4)  # type: ignore[arg-type]
    table = payoffs(games)
    assert win_rates(table)[0, 1] == 0.5 and win_rates(table)[2, 1] == pytest.approx(-0.25)
    with pytest.raises(UserError, match="every two"):
        nash_average(win_rates(table))
    with pytest.raises(UserError, match="loses to row"):
        nash_average(table.mean[:2, :2])


@pytest.mark.parametrize("seed", range(8))
def test_openspiel_agrees(seed: int) -> None:
    peer = pytest.importorskip("open_spiel.python.algorithms.nash_averaging")
    pyspiel = pytest.importorskip("pyspiel")
    game = random_game(seed, 3 + seed)
    mixture, average = peer.nash_averaging(pyspiel.create_matrix_game(game, -game))
    found = nash_average(game)
    np.testing.assert_allclose(found.mixture, np.ravel(mixture), atol=2e-4)
    np.testing.assert_allclose(found.average, np.ravel(average), atol=2e-3)
