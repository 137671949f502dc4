from __future__ import annotations

import math
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest

from marl_meta.tournament.statistics.outcomes import Outcomes
from marl_meta.tournament.statistics.ratings import POINTS, above, bradley_terry, difference, expected
from marl_meta.types import UserError

NAMES = tuple("abcdefgh")


def chances(ahead: float, nu: float) -> np.ndarray:
    weights = np.array([math.exp(ahead / 2), nu, math.exp(-ahead / 2)])
    return weights / weights.sum()


def games(rows: list[tuple[int, int, float]], names: tuple[str, ...] = NAMES) -> Outcomes:
    first, second, score = (np.array(column) for column in zip(*rows, strict=True))
    number = np.arange(len(rows))
    return Outcomes(names, first, second, score.astype(float), number, np.zeros_like(number))


def played(rng: np.random.Generator, strengths: np.ndarray, units: int, side: float, nu: float) -> Outcomes:
    """Return `units` pairs of games, sides swapped, between every two entrants."""
    rows = []
    for i, j in combinations(range(len(strengths)), 2):
        for first, second in ((i, j), (j, i)):
            odds = chances(strengths[first] - strengths[second] + side, nu)
            rows += [(first, second, score) for score in rng.choice([1.0, 0.5, 0.0], units, p=odds)]
    return games(rows, NAMES[: len(strengths)])


def test_two_entrants_have_the_closed_form_of_the_mode() -> None:
    """By hand: with s = 2 t the mode solves k - n / (1 + e^-s) = t / sigma^2, as both strengths pull."""
    found = bradley_terry(games([(0, 1, 1.0)] * 7 + [(0, 1, 0.0)] * 3, ("a", "b")), prior=400.0, side=False)
    t = (found.rating[0] - found.rating[1]) / POINTS / 2
    assert 7 - 10 / (1 + math.exp(-2 * t)) == pytest.approx(t / (400.0 / POINTS) ** 2, abs=1e-9)
    # The Hessian of both strengths is w [[1,-1],[-1,1]] + 1 / sigma^2, with 2 w + 1 / sigma^2 along their difference.
    p = 1 / (1 + math.exp(-2 * t))
    variance = 0.5 / (2 * 10 * p * (1 - p) + (POINTS / 400.0) ** 2)
    assert found.error[0] == pytest.approx(POINTS * variance**0.5)
    assert found.rating.sum() == pytest.approx(3000.0)


def test_without_a_prior_to_speak_of_it_is_the_log_odds() -> None:
    found = bradley_terry(games([(0, 1, 1.0)] * 15 + [(1, 0, 1.0)] * 5, ("a", "b")), prior=1e6, side=False)
    assert difference(found, 0, 1).value == pytest.approx(400 * math.log10(3), abs=1e-4)
    half = 1.96 * POINTS * (1 / 15 + 1 / 5) ** 0.5  # the textbook's error of log-odds
    assert difference(found, 0, 1).high - difference(found, 0, 1).value == pytest.approx(half, rel=1e-4)
    assert expected(found, 0, 1) == pytest.approx(0.75) and expected(found, 1, 0) == pytest.approx(0.25)


def test_games_that_share_their_luck_count_once() -> None:
    """Every game told four times over, as by a table at which four pairs see the same, says no more."""
    rng = np.random.default_rng(0)
    once = played(rng, np.array([0.0, 0.4, 0.8]), 200, 0.0, 0.3)
    columns = [np.tile(one, 4) for one in (once.first, once.second, once.score)]
    number = np.arange(len(once.score))
    rows = [*columns, np.arange(4 * len(number)), np.zeros(4 * len(number), int)]
    again = Outcomes(once.names, *rows, luck=np.tile(number, 4))
    apart = Outcomes(once.names, *rows)
    errors = [bradley_terry(one, prior=1e6, side=False, paired=True).error for one in (once, again, apart)]
    np.testing.assert_allclose(errors[1], errors[0], rtol=1e-2)
    np.testing.assert_allclose(errors[2], errors[0] / 2, rtol=1e-2)


def test_side_and_draws_by_hand() -> None:
    """Of equals, side 0 wins 6, 3 are drawn and side 1 wins 1: e^h = 6 and nu = 3 / sqrt(6 * 1)."""
    rows = [(0, 1), (1, 0)]
    found = bradley_terry(games([(*ends, s) for ends in rows for s in [1.0] * 60 + [0.5] * 30 + [0.0] * 10]), prior=1e6)
    assert found.side.value == pytest.approx(POINTS * math.log(6), rel=1e-3)
    assert found.nu == pytest.approx(3 / 6**0.5, rel=5e-3)
    assert found.draws.value == pytest.approx(found.nu / (2 + found.nu))
    assert expected(found, 0, 1, 0) == pytest.approx(0.75, abs=2e-3) and expected(found, 0, 1) == pytest.approx(0.5)
    assert expected(found, 0, 1, 0) == pytest.approx(1 - expected(found, 1, 0, 1))


def test_known_strengths_sides_and_draws_are_found() -> None:
    truth = np.linspace(-1.0, 1.0, 6)
    found = bradley_terry(played(np.random.default_rng(0), truth, 4000, 0.3, 0.8), prior=1e4)
    np.testing.assert_allclose(found.rating, 1500 + POINTS * truth, atol=8.0)
    assert found.side.value == pytest.approx(0.3 * POINTS, abs=6.0)
    assert found.draws.value == pytest.approx(0.8 / 2.8, abs=0.01)
    assert found.low.mean() < 1500 < found.high.mean() and found.notes == ()


def test_intervals_cover_the_truth() -> None:
    """Of 400 tournaments of 120 games about 95 % of each kind of interval hold the truth, not more."""
    rng = np.random.default_rng(1)
    truth = np.array([-0.8, -0.1, 0.2, 0.7])
    held, gaps, sides, draws = [], [], [], []
    for _ in range(400):
        found = bradley_terry(played(rng, truth, 10, 0.4, 0.7))
        aim = 1500 + POINTS * truth
        held.append((found.low <= aim) & (aim <= found.high))
        gap = difference(found, 3, 1)
        gaps.append(gap.low <= 0.8 * POINTS <= gap.high)
        sides.append(found.side.low <= 0.4 * POINTS <= found.side.high)
        draws.append(found.draws.low <= 0.7 / 2.7 <= found.draws.high)
    for kind, share in (
        ("rating", np.mean(held)),
        ("gap", np.mean(gaps)),
        ("side", np.mean(sides)),
        ("draws", np.mean(draws)),
    ):
        assert 0.925 <= share <= 0.98, (kind, share)


def test_units_that_share_their_luck_need_the_errors_of_units() -> None:
    """Both games of a unit end alike: the error is that of half as many games, larger by the root of 2."""
    rng = np.random.default_rng(2)
    rows, pairs = [], []
    for i, j in combinations(range(4), 2):
        for _ in range(100):
            won = float(rng.random() < 0.5)
            rows += [(i, j, won), (j, i, 1.0 - won)]
            pairs += [len(pairs) // 2] * 2
    plain = games(rows, NAMES[:4])
    shared = Outcomes(plain.names, plain.first, plain.second, plain.score, np.array(pairs), plain.variant)
    ratio = bradley_terry(shared, paired=True).error / bradley_terry(shared).error
    np.testing.assert_allclose(ratio, 2**0.5, rtol=0.1)


def test_how_surely_one_is_stronger_is_the_normal_tail_of_the_difference() -> None:
    rows = [(0, 1, 1.0)] * 9 + [(0, 1, 0.0)] * 3 + [(1, 0, 0.0)] * 9 + [(1, 0, 1.0)] * 3
    rows += [(1, 2, 1.0)] * 9 + [(2, 1, 1.0)] * 9
    found = bradley_terry(games(rows, NAMES[:4]))
    gap = difference(found, 0, 1)
    error = (gap.high - gap.value) / 1.959964
    assert above(found, 0, 1) == pytest.approx(NormalDist(0.0, error).cdf(gap.value), abs=1e-6)
    assert above(found, 0, 1) + above(found, 1, 0) == pytest.approx(1.0)
    assert above(found, 0, 1) > 0.8
    assert 0.3 < above(found, 1, 2) < 0.7
    assert np.isnan(above(found, 0, 3))  # who never played is not compared


def test_who_has_won_everything_stays_finite_and_above() -> None:
    rows = [(0, 1, 1.0), (2, 0, 0.0), (1, 2, 1.0), (2, 1, 1.0)] * 10
    found = bradley_terry(games(rows, NAMES[:3]))
    assert found.rating[0] > found.rating[1] + 200 and np.isfinite(found.high).all()
    assert found.rating[0] < 1500 + 3 * 600
    assert found.notes == ("a won all that was rated: only the prior keeps the rating finite",)
    weaker = bradley_terry(games(rows, NAMES[:3]), prior=2000.0)
    assert weaker.rating[0] > found.rating[0] and weaker.error[0] > found.error[0]


def test_groups_that_never_met_are_named_and_not_compared() -> None:
    found = bradley_terry(games([(0, 1, 1.0), (1, 0, 1.0), (0, 1, 1.0), (2, 3, 1.0), (3, 2, 0.5)], NAMES[:5]))
    assert found.groups == (("a", "b"), ("c", "d"), ("e",))
    assert "cannot be compared: a, b; c, d; e" in found.notes[0]
    assert found.rating[:2].mean() == pytest.approx(1500) and found.rating[2:4].mean() == pytest.approx(1500)
    assert math.isnan(found.rating[4]) and math.isnan(found.covariance[0, 2])
    assert math.isnan(difference(found, 0, 2).value) and math.isnan(expected(found, 0, 4))
    alone = bradley_terry(games([(0, 1, 1.0), (1, 0, 1.0), (0, 1, 1.0)], NAMES[:2]), side=False)
    both = bradley_terry(games([(0, 1, 1.0), (1, 0, 1.0), (0, 1, 1.0), (2, 3, 1.0)], NAMES[:4]), side=False)
    np.testing.assert_allclose(both.rating[:2], alone.rating)
    np.testing.assert_allclose(both.error[:2], alone.error)


def test_no_draws_leave_an_upper_bound() -> None:
    found = bradley_terry(games([(0, 1, 1.0), (0, 1, 0.0)] * 50, NAMES[:2]), side=False)
    assert found.nu == found.draws.value == found.draws.low == 0.0
    assert found.draws.high == pytest.approx(1 - 0.025 ** (1 / 100), rel=1e-3)  # of equals: the rule of three, nearly


def test_all_draws_are_all_draws() -> None:
    found = bradley_terry(games([(0, 1, 0.5), (1, 0, 0.5)] * 20, NAMES[:2]))
    np.testing.assert_allclose(found.rating, 1500.0)
    assert 0.8 < found.draws.low < found.draws.value < found.draws.high <= 1.0


def test_no_games_say_nothing() -> None:
    none = Outcomes(NAMES, *(np.zeros(0, kind) for kind in (int, int, float, int, int)))
    found = bradley_terry(none)
    assert np.isnan(found.rating).all() and len(found.groups) == 8 and found.draws.high == pytest.approx(1.0)


def test_a_graded_score_is_part_draw() -> None:
    whole = games([(0, 1, 1.0), (0, 1, 0.5)] * 10, NAMES[:2])
    graded = games([(0, 1, 0.75)] * 20, NAMES[:2])
    np.testing.assert_allclose(bradley_terry(graded).rating, bradley_terry(whole).rating)


def test_order_and_names_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    plain = played(rng, rng.normal(size=5), 4, 0.2, 0.5)
    shuffled, renamed = rng.permutation(len(plain.score)), rng.permutation(5)
    keys = ("first", "second", "score", "pair", "variant")
    other = Outcomes(plain.names, *(getattr(plain, key)[shuffled] for key in keys))
    np.testing.assert_allclose(bradley_terry(other).rating, bradley_terry(plain).rating, atol=1e-8)
    names = tuple(plain.names[i] for i in np.argsort(renamed))
    moved = Outcomes(names, renamed[plain.first], renamed[plain.second], plain.score, plain.pair, plain.variant)
    np.testing.assert_allclose(bradley_terry(moved).rating[renamed], bradley_terry(plain).rating, atol=1e-8)
    np.testing.assert_allclose(bradley_terry(moved).error[renamed], bradley_terry(plain).error, atol=1e-8)


def test_far_apart_entrants_and_a_flat_prior_are_no_trouble() -> None:
    found = bradley_terry(games([(i, i + 1, 1.0) for i in range(7)] * 30), prior=1e5)
    assert (np.diff(found.rating) < 0).all() and np.isfinite(found.error).all()
    with pytest.raises(UserError, match="more than 0 points"):
        bradley_terry(games([(0, 1, 1.0)]), prior=0.0)


def test_choix_agrees() -> None:
    peer = pytest.importorskip("choix")
    rng = np.random.default_rng(4)
    plain = played(rng, rng.normal(size=6), 10, 0.0, 0.0)
    pairs = [(i, j) if s else (j, i) for i, j, s in zip(plain.first, plain.second, plain.score, strict=True)]
    for prior in (300.0, 600.0):
        alpha = 0.5 * (POINTS / prior) ** 2  # it takes off alpha times the squares, without a half
        theirs = peer.opt_pairwise(6, pairs, alpha=alpha, tol=1e-10)
        ours = bradley_terry(plain, prior=prior, side=False).rating
        np.testing.assert_allclose(ours, 1500 + POINTS * (theirs - theirs.mean()), atol=1e-4)
    theirs = peer.ilsr_pairwise(6, pairs, alpha=0.0)
    np.testing.assert_allclose(bradley_terry(plain, 1e7, side=False).rating, 1500 + POINTS * theirs, atol=1e-3)
