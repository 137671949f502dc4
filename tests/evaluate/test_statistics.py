from __future__ import annotations

import numpy as np
import pytest

from marl_meta.evaluate.statistics import bootstrap, estimate


def test_the_mean_is_over_variants_of_the_mean_over_games() -> None:
    returns = np.array([[[1.0, 0.0], [3.0, 0.0]], [[10.0, 4.0], [20.0, 8.0]]], np.float32)  # V=2, n=2, K=2
    found = estimate(returns)
    assert found.mean == (8.5, 3.0)
    assert all(low <= mean <= high for low, mean, high in zip(found.low, found.mean, found.high, strict=True))
    assert found.variants_low == (2.0, 0.0)  # of two variants one is drawn
    assert found.variants_high == (15.0, 6.0)


def test_one_variant_has_no_interval_over_variants() -> None:
    found = estimate(np.random.default_rng(0).normal(size=(1, 50, 1)).astype(np.float32))
    assert found.variants_low is None
    assert found.variants_high is None


def test_the_seed_fixes_the_interval() -> None:
    returns = np.random.default_rng(0).normal(size=(5, 6, 2)).astype(np.float32)
    assert estimate(returns, seed=3) == estimate(returns, seed=3)
    assert estimate(returns, seed=3).low != estimate(returns, seed=4).low


def test_equal_returns_have_an_interval_of_no_width() -> None:
    found = estimate(np.full((3, 4, 2), -2.5, np.float32))
    assert found.low == found.mean == found.high == (-2.5, -2.5)


def test_replicates_have_the_variance_of_the_mean() -> None:
    """Few games a variant: the usual bootstrap would be too narrow by (n - 1) / n, a half for n = 2."""
    rng = np.random.default_rng(1)
    returns = rng.normal(size=(400, 2, 1)).astype(np.float32)
    low, high = bootstrap(returns, "games", rng, replicates=4000)
    variance = returns[:, :, 0].var(axis=1, ddof=1).mean() / 2 / 400
    assert (high - low)[0] == pytest.approx(2 * 1.96 * variance**0.5, rel=0.05)


def test_intervals_over_games_cover_the_mean_of_these_variants() -> None:
    """Of 400 evaluations of the same six unlike variants, about 95 % of the intervals hold the truth."""
    rng = np.random.default_rng(2)
    means, deviations = rng.normal(0, 20, 6), rng.uniform(0.5, 8, 6)
    covered = 0
    for _ in range(400):
        noise = rng.gamma(2.0, 1.0, (6, 8)) - 2.0  # skewed, as returns are
        returns = (means[:, None] + deviations[:, None] * noise / 2**0.5)[:, :, None].astype(np.float32)
        low, high = bootstrap(returns, "games", rng, replicates=400)
        covered += bool(low[0] <= means.mean() <= high[0])
    assert 0.91 <= covered / 400 <= 0.98


def test_intervals_over_variants_cover_the_mean_of_all_variants() -> None:
    """Variants drawn anew each time: intervals over games are far too narrow then, those over variants are not."""
    rng = np.random.default_rng(3)
    covered = {"games": 0, "variants": 0}
    for _ in range(400):
        returns = (rng.normal(5, 3, (40, 1)) + rng.normal(0, 1, (40, 6)))[:, :, None].astype(np.float32)
        for over in ("games", "variants"):
            low, high = bootstrap(returns, over, rng, replicates=400)
            covered[over] += bool(low[0] <= 5.0 <= high[0])
    assert 0.91 <= covered["variants"] / 400 <= 0.98
    assert covered["games"] / 400 < 0.6


@pytest.mark.parametrize(("shape", "over"), [((3, 1, 1), "games"), ((1, 3, 1), "variants")])
def test_one_of_a_kind_is_refused(shape: tuple[int, ...], over: str) -> None:
    with pytest.raises(ValueError, match="at least two"):
        bootstrap(np.zeros(shape, np.float32), over, np.random.default_rng(0))
