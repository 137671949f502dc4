from __future__ import annotations

import math

import numpy as np
import pytest

from marl_meta.evaluate.adaptation import Trials, better, curve


def noisy(rng: np.random.Generator, means: np.ndarray, games: int, deviation: float = 1.0) -> np.ndarray:
    """Returns [S,V,n,K] around means [S,V,K]."""
    return means[:, :, None] + deviation * rng.normal(size=(*means.shape[:2], games, means.shape[2]))


def trials(seed: int = 0, variants: int = 30, games: int = 8, own: tuple[float, ...] = (0.5, 1.0, 0.9)) -> Trials:
    """A team that scores `own` in the episodes of a trial, on variants in which 5 to 15 can be earned."""
    rng = np.random.default_rng(seed)
    best, worst = rng.uniform(5, 15, variants), rng.uniform(-3, 3, variants)
    flat = np.ones(len(own))
    scale = (worst + (best - worst) * np.array(own)[:, None]).T[None]
    return Trials(
        own=noisy(rng, scale, games),
        oracle=noisy(rng, np.outer(best, flat)[None], games),
        random=noisy(rng, np.outer(worst, flat)[None], games)[0],
    )


def test_scores_are_worked_out_by_hand() -> None:
    random = np.array([[[1.0, 3.0], [1.0, 3.0]]])  # mean 2 over games and episodes
    oracle = np.array([[[[6.0, 8.0], [4.0, 6.0]]]])  # mean 6
    own = np.array([[[[2.0, 7.0], [4.0, 9.0]]]])  # means 3, 8
    found = Trials(own, oracle, random).scores()
    np.testing.assert_allclose(found, [[[0.25, 1.5]]])
    only_first = Trials(own, oracle, random).scores(np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(only_first, [[[0.0, 1.0]]])  # (2 - 2) / (7 - 2), (7 - 2) / (7 - 2)


def test_games_in_which_the_oracle_is_no_better_do_not_make_scores_infinite() -> None:
    random = np.array([[[0.0], [4.0]]])
    oracle = np.array([[[[8.0], [4.0]]]])  # leads by 4 on average, by 8 in the first game, by nothing in the second
    own = np.array([[[[4.0], [5.0]]]])
    found = Trials(own, oracle, random).scores(np.array([[[0.5, 0.5]], [[1.0, 0.0]], [[0.0, 1.0]]]))
    np.testing.assert_allclose(found[:, 0, 0, 0], [2.5 / 4.0, 4.0 / 8.0, 1.0 / 0.4])


def test_the_oracle_scores_one_by_construction() -> None:
    given = trials()
    found = curve(Trials(given.oracle, given.oracle, given.random))
    for number in (found.area.value, found.area.low, found.area.high):
        assert number == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(found.iqm, 1.0, atol=0.06)  # in each single episode, but for chance


def test_random_play_scores_about_nothing() -> None:
    given = trials()
    rng = np.random.default_rng(9)
    again = noisy(rng, given.random.mean((1, 2))[None, :, None] * np.ones(3), 8)
    found = curve(Trials(again, given.oracle, given.random))
    assert all(low < 0.0 < high for low, high in zip(found.low, found.high, strict=True))
    assert max(abs(score) for score in found.iqm) < 0.03
    assert found.area.low < 0.0 < found.area.high


def test_a_curve_says_when_it_is_enough_and_what_a_trial_gains() -> None:
    found = curve(trials(own=(0.5, 0.7, 0.95, 1.0)))
    np.testing.assert_allclose(found.iqm, (0.5, 0.7, 0.95, 1.0), atol=0.05)
    assert found.episodes_to_enough == 3
    assert found.area.value == pytest.approx(0.7875, abs=0.04)
    assert found.gain.low < 0.5 < found.gain.high
    assert found.gain.low > 0.4
    assert all(lowest < middle for lowest, middle in zip(found.lowest, found.iqm, strict=True))
    never = curve(trials(own=(0.1, 0.2)))
    assert math.isinf(never.episodes_to_enough)


def test_intervals_cover_the_score() -> None:
    """Scores on other games of the same variants: 95 % of the intervals hold the one of ever so many games."""
    covered = 0
    truth = trials(seed=0, games=20_000)
    exact = curve(truth.of(truth.clear()), replicates=2).iqm[0]
    rng = np.random.default_rng(5)
    for _ in range(200):
        games = rng.integers(20_000, size=10)
        part = Trials(truth.own[:, :, games], truth.oracle[:, :, games], truth.random[:, games])
        found = curve(part, replicates=300)
        covered += found.low[0] <= exact <= found.high[0]
    assert 0.9 <= covered / 200 <= 0.99


def test_seeds_that_differ_make_wide_intervals() -> None:
    """Two good teams and a bad one: whoever trains another cannot know which it will be."""
    one = trials(own=(0.9, 0.9))
    low = trials(own=(0.2, 0.2))
    three = Trials(np.concatenate([one.own, one.own, low.own]), np.repeat(one.oracle, 3, 0), one.random)
    alone, together = curve(one), curve(three)
    assert together.high[0] - together.low[0] > 5 * (alone.high[0] - alone.low[0])
    assert together.low[0] < 0.3
    assert together.iqm[0] == pytest.approx(0.75, abs=0.1)


def test_variants_on_which_there_is_nothing_to_win_are_left_out() -> None:
    given = trials(variants=12)
    oracle = given.oracle.copy()
    oracle[:, 4] = given.random[4]
    oracle[:, 7] = given.random[7] - 3.0
    kept = Trials(given.own, oracle, given.random).clear()
    assert np.flatnonzero(~kept).tolist() == [4, 7]
    whole = Trials(given.own, oracle, given.random).of(kept)
    assert whole.own.shape[1] == whole.oracle.shape[1] == len(whole.random) == 10
    assert np.isfinite(curve(whole).iqm).all()


def test_an_oracle_that_is_no_better_than_chance_measures_nothing() -> None:
    rng = np.random.default_rng(3)
    same = rng.normal(size=(20, 8, 3))
    assert not Trials(same[None], rng.normal(size=(1, 20, 8, 3)), same).clear().any()
    assert not Trials(same[None], same[None], same).clear().any()


def test_who_is_better_is_sure_where_it_is_clear() -> None:
    high, low = trials(seed=1, own=(0.5, 1.0)), trials(seed=1, own=(0.5, 0.6))
    first, last = better(high.own, low.own)
    assert first.low <= 0.5 <= first.high
    assert last.low > 0.9
    assert last.high <= 1.0
    (back,) = better(low.own[..., 1:], high.own[..., 1:])
    assert back.value == pytest.approx(1.0 - last.value)


def test_the_order_of_variants_changes_nothing_and_the_seed_fixes_all() -> None:
    given = trials()
    order = np.random.default_rng(0).permutation(30)
    other = Trials(given.own[:, order], given.oracle[:, order], given.random[order])
    np.testing.assert_array_equal(other.scores(), given.scores()[:, order])
    np.testing.assert_allclose(curve(other).iqm, curve(given).iqm, rtol=1e-12)
    assert curve(given, seed=2) == curve(given, seed=2)
    assert curve(given, seed=2).low != curve(given, seed=3).low
