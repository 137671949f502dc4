from __future__ import annotations

import numpy as np
import pytest

from marl_meta.evaluate.robust import improvement, interquartile_mean, interval, samples


def test_the_interquartile_mean_is_that_of_the_middle_half() -> None:
    assert interquartile_mean(np.array([9.0, 1.0, 2.0, 1000.0, 3.0, -50.0, 4.0, 2.0])) == pytest.approx(2.75)  # 2 2 3 4
    assert interquartile_mean(np.array([5.0, 1.0, 100.0, 2.0, 3.0])) == pytest.approx(10 / 3)  # of 5 one at each end
    assert interquartile_mean(np.array([1.0, 2.0, 6.0])) == pytest.approx(3.0)  # of 3 none
    columns = np.array([[0.0, 4.0], [1.0, 3.0], [2.0, 2.0], [3.0, 100.0]])
    np.testing.assert_allclose(interquartile_mean(columns), [1.5, 3.5])


def test_the_probability_of_improvement_counts_pairs() -> None:
    # Variant 1: 3 beats 1 and 2, 2 beats 1 and ties 2: (2 + 1.5) / 4. Variant 2: never better: 0.
    own, other = np.array([[3.0, 0.0], [2.0, 0.0]]), np.array([[1.0, 5.0], [2.0, 5.0]])
    assert improvement(own, other) == pytest.approx((3.5 / 4 + 0) / 2)
    assert improvement(other, own) == pytest.approx((0.5 / 4 + 1) / 2)
    assert improvement(own, own) == pytest.approx(0.5)
    batch = improvement(np.stack([own, other]), np.stack([other, own]))
    np.testing.assert_allclose(batch, [0.4375, 0.5625])


def test_samples_draw_games_within_variants_with_weights_that_sum_to_one() -> None:
    found = samples(3, 4, "games", np.random.default_rng(0), 5000)
    np.testing.assert_allclose(found.games.sum(-1), 1.0)
    np.testing.assert_allclose(found.games.mean(0), 0.25, atol=0.01)
    assert (found.variants == [0, 1, 2]).all()
    wide = samples(3, 4, "variants", np.random.default_rng(0), 5000)
    assert wide.variants.shape == (5000, 2)
    np.testing.assert_allclose(np.bincount(wide.variants.ravel()) / 10000, 1 / 3, atol=0.02)


def test_weighted_means_have_the_variance_of_the_mean() -> None:
    """Of n = 4 games the usual bootstrap would be too narrow: a quarter of the variance would be missing."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(300, 4))
    means = (samples(300, 4, "games", rng, 2000).games * values).sum(-1).mean(-1)
    assert means.var() == pytest.approx(values.var(axis=1, ddof=1).mean() / 4 / 300, rel=0.15)


def test_an_interval_holds_95_percent() -> None:
    low, high = interval(np.arange(1001.0)[:, None])
    assert (low[0], high[0]) == pytest.approx((25.0, 975.0))
