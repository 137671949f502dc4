from __future__ import annotations

import numpy as np
import pytest

from marl_meta.tournament.statistics.complementary import complementary
from marl_meta.tournament.statistics.nash import log_odds, nash_average, nash_average_two, win_rates
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
    np.testing.assert_allclose(nash_average(CIRCLE).rows, 1 / 3)
    weighted = np.array([[0.0, -2.0, 1.0], [2.0, 0.0, -3.0], [-1.0, 3.0, 0.0]])  # by hand: p = (3, 1, 2) / 6
    found = nash_average(weighted)
    np.testing.assert_allclose(found.rows, [3 / 6, 1 / 6, 2 / 6])
    np.testing.assert_allclose(found.row_average, 0.0, atol=1e-12)


def test_who_is_dominated_has_no_part_and_a_negative_average() -> None:
    found = nash_average(np.array([[0.0, 1.0, 2.0], [-1.0, 0.0, 4.0], [-2.0, -4.0, 0.0]]))
    assert found.rows.tolist() == [1.0, 0.0, 0.0]
    np.testing.assert_allclose(found.row_average, [0.0, -1.0, -2.0])
    assert found.row_support.tolist() == [True, False, False]


def test_of_many_equilibria_the_most_even_is_taken() -> None:
    np.testing.assert_allclose(nash_average(np.zeros((4, 4))).rows, 0.25)
    # A copy of an entrant shares its part, and nobody's average changes.
    copied = CIRCLE[np.ix_([0, 0, 1, 2], [0, 0, 1, 2])]
    np.testing.assert_allclose(nash_average(copied).rows, [1 / 6, 1 / 6, 1 / 3, 1 / 3], atol=1e-9)
    beaten = np.zeros((4, 4))
    beaten[:3, :3], beaten[3, :3], beaten[:3, 3] = CIRCLE, -5.0, 5.0
    np.testing.assert_allclose(nash_average(beaten).rows, [1 / 3, 1 / 3, 1 / 3, 0.0], atol=1e-9)


def test_an_inequality_may_bind_in_the_most_even_equilibrium() -> None:
    """Two level entrants, and a third that beats the first by less than it loses to the second.

    (p, 1 - p, 0) is an equilibrium for p - 3 (1 - p) <= 0, so p <= 3/4: the even one is. With -1/3 for -3 it is for
    p <= 1/4, and the most even one is at that bound.
    """
    for loses, p in ((3.0, 0.5), (1 / 3, 0.25)):
        game = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, loses], [1.0, -loses, 0.0]])
        np.testing.assert_allclose(nash_average(game).rows, [p, 1 - p, 0.0], atol=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_nobody_gains_and_no_other_equilibrium_is_more_even(seed: int) -> None:
    game = random_game(seed, 4 + seed % 6)
    found = nash_average(game)
    assert found.row_average.max() < 1e-9 and found.rows.min() >= 0.0 and found.rows.sum() == pytest.approx(1.0)
    both = nash_average_two(game)
    np.testing.assert_allclose(both.rows, found.rows, atol=1e-7)
    np.testing.assert_allclose(both.columns, found.rows, atol=1e-7)
    inside = complementary(game)[0]
    assert entropy(found.rows) >= entropy(inside / inside.sum()) - 1e-9


def test_agents_against_tasks() -> None:
    # By hand: 3 p + 2 (1 - p) = p + 4 (1 - p) gives p = 1/2, and q = 3/4 makes both rows earn 2.5; row 3 is dominated.
    found = nash_average_two(np.array([[3.0, 1.0], [2.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found.rows, [0.5, 0.5, 0.0], atol=1e-9)
    np.testing.assert_allclose(found.columns, [0.75, 0.25], atol=1e-9)
    assert found.value == pytest.approx(2.5)
    np.testing.assert_allclose(found.row_average, [2.5, 2.5, 0.0], atol=1e-9)
    np.testing.assert_allclose(found.column_average, -2.5, atol=1e-9)


def test_a_task_twice_changes_no_average() -> None:
    tasks = np.random.default_rng(0).normal(size=(5, 4))
    once, twice = nash_average_two(tasks), nash_average_two(tasks[:, [0, 1, 2, 3, 3]])
    np.testing.assert_allclose(twice.row_average, once.row_average, atol=1e-8)


def test_scale_shift_and_names_do_not_matter() -> None:
    tasks = np.random.default_rng(1).normal(size=(6, 5))
    found, other = nash_average_two(tasks), nash_average_two(1e4 * tasks - 50.0)
    np.testing.assert_allclose(other.rows, found.rows, atol=1e-8)
    assert other.value == pytest.approx(1e4 * found.value - 50.0)
    order = np.random.default_rng(2).permutation(6)
    np.testing.assert_allclose(nash_average_two(tasks[order]).rows, found.rows[order], atol=1e-8)


def test_games_of_one_or_none_to_choose_from() -> None:
    assert nash_average(np.zeros((1, 1))).rows.tolist() == [1.0]
    assert nash_average_two(np.full((1, 3), 2.0)).columns == pytest.approx(1 / 3)


def test_log_odds_and_win_rates_of_games() -> None:
    games = Outcomes(("a", "b", "c"), [0, 0, 1, 1], [1, 1, 2, 2], [1.0, 1.0, 1.0, 0.5], [0, 1, 2, 3], [0] * 4)  # type: ignore[arg-type]
    table = payoffs(games)
    assert win_rates(table)[0, 1] == 0.5 and win_rates(table)[2, 1] == pytest.approx(-0.25)
    assert log_odds(table)[0, 1] == pytest.approx(np.log(2.5 / 0.5))
    assert log_odds(table)[2, 1] == pytest.approx(-np.log(2.0 / 1.0))
    with pytest.raises(UserError, match="every two"):
        nash_average(log_odds(table))
    with pytest.raises(UserError, match="loses to row"):
        nash_average(table.mean[:2, :2])


@pytest.mark.parametrize("seed", range(8))
def test_openspiel_agrees(seed: int) -> None:
    peer = pytest.importorskip("open_spiel.python.algorithms.nash_averaging")
    pyspiel = pytest.importorskip("pyspiel")
    game = random_game(seed, 3 + seed)
    mixture, average = peer.nash_averaging(pyspiel.create_matrix_game(game, -game))
    found = nash_average(game)
    np.testing.assert_allclose(found.rows, np.ravel(mixture), atol=2e-4)
    np.testing.assert_allclose(found.row_average, np.ravel(average), atol=2e-3)


@pytest.mark.parametrize("seed", range(4))
def test_openspiel_agrees_on_agents_against_tasks(seed: int) -> None:
    peer = pytest.importorskip("open_spiel.python.algorithms.nash_averaging")
    tasks = np.random.default_rng(seed).random((4 + seed, 5))
    tasks = (tasks - tasks.min(0)) / np.ptp(tasks, axis=0)  # as it does itself
    (agents, mixture), (average, _) = peer.nash_averaging_avt_matrix(tasks)
    found = nash_average_two(tasks)
    np.testing.assert_allclose(found.rows, np.ravel(agents), atol=2e-4)
    np.testing.assert_allclose(found.columns, np.ravel(mixture), atol=2e-4)
    np.testing.assert_allclose(found.row_average, np.ravel(average), atol=2e-4)
