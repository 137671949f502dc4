from __future__ import annotations

import math

import numpy as np
import pytest

from marl_meta.tournament.statistics.alpharank import alpha_rank, log_fixation, log_stationary
from marl_meta.types import UserError

ROCK_PAPER_SCISSORS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])


def skew(seed: int, n: int) -> np.ndarray:
    matrix = np.random.default_rng(seed).normal(size=(n, n))
    return matrix - matrix.T


def test_a_mutant_takes_over_as_in_the_formula() -> None:
    u = np.array([0.3, -0.3, 2.0])
    np.testing.assert_allclose(np.exp(log_fixation(u, 20)), (1 - np.exp(-u)) / (1 - np.exp(-20 * u)))
    assert log_fixation(np.zeros(1), 20)[0] == pytest.approx(-math.log(20))
    assert log_fixation(np.array([-1000.0]), 50)[0] == pytest.approx(-49_000.0)  # would be 0 without logarithms
    assert log_fixation(np.array([1000.0]), 50)[0] == 0.0


def test_the_stationary_distribution_of_a_chain_stays() -> None:
    rng = np.random.default_rng(0)
    rates = rng.random((6, 6)) / 6
    np.fill_diagonal(rates, 0.0)
    chain = rates + np.diag(1 - rates.sum(1))
    masses = np.exp(log_stationary(np.log(rates + 1e-300)))
    np.testing.assert_allclose(masses @ chain, masses, atol=1e-14)
    assert masses.sum() == pytest.approx(1.0)


def test_two_strategies_by_hand() -> None:
    """One mutant against another: masses are as the chances to take over, and those are as e^((m-1)u)."""
    found = alpha_rank(np.array([[0.5, 0.6], [0.4, 0.5]]), alpha=2.0, population=10)
    u = 2.0 * (0.6 - 0.4)
    assert found.masses[0] / found.masses[1] == pytest.approx(math.exp(9 * u))
    assert found.ranks.tolist() == [1, 2] and not found.settled


def test_nobody_is_better_in_a_circle_of_equals() -> None:
    found = alpha_rank(ROCK_PAPER_SCISSORS)
    np.testing.assert_allclose(found.masses, 1 / 3)
    assert found.ranks.tolist() == [1, 1, 1] and found.settled


def test_who_beats_all_has_all_the_mass_and_the_rest_is_ranked_still() -> None:
    found = alpha_rank(np.array([[0.5, 0.6, 0.9], [0.4, 0.5, 0.7], [0.1, 0.3, 0.5]]))
    np.testing.assert_allclose(found.masses, [1.0, 0.0, 0.0], atol=1e-9)
    assert found.ranks.tolist() == [1, 2, 3] and found.settled


def test_a_circle_that_beats_the_rest_shares_the_mass() -> None:
    game = np.full((4, 4), 1.0)
    game[:3, :3] = ROCK_PAPER_SCISSORS
    game[3] = -1.0
    game[3, 3] = 0.0
    found = alpha_rank(game)
    np.testing.assert_allclose(found.masses, [1 / 3, 1 / 3, 1 / 3, 0.0], atol=1e-9)
    assert found.ranks.tolist() == [1, 1, 1, 4]


def test_all_alike_are_alike() -> None:
    assert alpha_rank(np.full((3, 3), 0.5)).masses == pytest.approx(1 / 3)
    assert alpha_rank(np.array([[0.5]])).masses.tolist() == [1.0]


def test_a_thousandth_of_a_lead_is_a_lead_and_rounding_is_none() -> None:
    level = np.array([[0.5, 0.5 + 1e-3, 1.0], [0.5 - 1e-3, 0.5, 1.0], [0.0, 0.0, 0.5]])
    assert alpha_rank(level).masses[0] == pytest.approx(1.0)
    rounded = np.array([[0.5, 0.5 + 1e-15, 1.0], [0.5 - 1e-15, 0.5, 1.0], [0.0, 0.0, 0.5]])
    assert alpha_rank(rounded).ranks.tolist() == [1, 1, 3]


def test_scale_shift_and_names_do_not_matter() -> None:
    game, order = skew(1, 6), np.random.default_rng(2).permutation(6)
    found = alpha_rank(game)
    np.testing.assert_allclose(alpha_rank(7.0 * game + 3.0).masses, found.masses, atol=1e-8)
    np.testing.assert_allclose(alpha_rank(game[np.ix_(order, order)]).masses, found.masses[order], atol=1e-10)


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(UserError, match="add up to the same"):
        alpha_rank(np.array([[3.0, 0.0], [5.0, 1.0]]))
    with pytest.raises(UserError, match="every two"):
        alpha_rank(np.array([[0.5, np.nan], [np.nan, 0.5]]))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # its exponentials overflow
@pytest.mark.parametrize("seed", range(5))
def test_openspiel_agrees(seed: int) -> None:
    peer = pytest.importorskip("open_spiel.python.egt.alpharank")
    game = skew(seed, 5)
    for alpha in (0.1, 1.0):
        masses = peer.compute([game], m=50, alpha=alpha)[2]
        np.testing.assert_allclose(alpha_rank(game, alpha).masses, masses, atol=1e-9)
    np.testing.assert_allclose(alpha_rank(game).masses, peer.sweep_pi_vs_alpha([game]), atol=1e-4)
