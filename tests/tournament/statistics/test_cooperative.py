from __future__ import annotations

import numpy as np
import pytest

from marl_meta.evaluate.robust import interquartile_mean
from marl_meta.tournament.statistics.cooperative import cross_play, scores
from marl_meta.types import UserError


def games(rng: np.random.Generator, means: np.ndarray, n: int, spread: float = 1.0) -> np.ndarray:
    """Return returns [...,V,n] about `means` [...,V]."""
    return means[..., None] + rng.normal(0.0, spread, (*means.shape, n))


def exactly(means: list[list[float]]) -> np.ndarray:
    return np.repeat(np.array(means)[..., None], 3, -1)


def test_scores_by_hand() -> None:
    """Random play earns 10, 0, 4 and the best 20, 4, 6; the interquartile mean of three variants is their mean."""
    random, best = exactly([[10.0, 0.0, 4.0]])[0], exactly([[20.0, 4.0, 6.0]])[0]
    own = exactly([[20.0, 4.0, 6.0], [10.0, 0.0, 4.0], [15.0, 1.0, 5.5]])
    found = scores(own, random, best)
    np.testing.assert_allclose(found.score, [1.0, 0.0, (0.5 + 0.25 + 0.75) / 3])
    np.testing.assert_allclose(found.low, found.score)
    np.testing.assert_allclose(found.high, found.score)
    assert found.left_out == ()


def test_variants_without_a_lead_are_left_out_and_named() -> None:
    random, best = exactly([[0.0, 0.0, 0.0, 0.0]])[0], exactly([[10.0, 10.0, 0.1, 10.0]])[0]
    found = scores(exactly([[5.0, 5.0, 99.0, 5.0]]), random, best)
    assert found.left_out == (2,) and found.score == pytest.approx(0.5)
    with pytest.raises(UserError, match="nothing to score by"):
        scores(exactly([[5.0, 5.0, 99.0, 5.0]]), best, best)


def test_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([[0.2, 0.4, 0.7, 0.5, 0.9, 0.6, 0.3, 0.5]])
    aim = interquartile_mean(truth[0][:, None])[0]
    held = 0
    for _ in range(200):
        random, best = games(rng, np.zeros(8), 12, 0.2), games(rng, np.full(8, 5.0), 12, 0.2)
        found = scores(games(rng, 5.0 * truth, 12), random, best, replicates=300)
        held += bool(found.low[0] <= aim <= found.high[0])
    assert 0.9 <= held / 200 <= 0.99


def test_cross_play_by_hand() -> None:
    """Two entrants, one variant: each scores 1 with itself, and 0.2 and 0.4 together."""
    own = np.array([[1.0, 0.2], [0.4, 0.8]]).reshape(2, 2, 1, 1).repeat(4, -1) * 10.0
    found = cross_play(own, np.zeros((1, 4)), np.full((1, 4), 10.0))
    np.testing.assert_allclose(found.score, [[1.0, 0.2], [0.4, 0.8]])
    assert found.self_play.value == pytest.approx(0.9) and found.cross_play.value == pytest.approx(0.3)
    assert found.gap.value == found.gap.low == pytest.approx(0.6)
    assert [gap.value for gap in found.gaps] == pytest.approx([0.7, 0.5])


def test_the_gap_is_found_with_its_interval() -> None:
    rng = np.random.default_rng(1)
    means = np.where(np.eye(3, dtype=bool), 8.0, 4.0)[..., None] * np.ones(6)
    own = games(rng, means, 10)
    found = cross_play(own, np.zeros((6, 10)), np.full((6, 10), 10.0))
    assert found.gap.low < 0.4 < found.gap.high and found.gap.high - found.gap.low < 0.1
    assert found.gap.value == pytest.approx(found.self_play.value - found.cross_play.value)
    again = cross_play(own, np.zeros((6, 10)), np.full((6, 10), 10.0))
    assert again.gap == found.gap and (again.low == found.low).all()
    assert cross_play(own, np.zeros((6, 10)), np.full((6, 10), 10.0), seed=1).gap.low != found.gap.low


def test_names_do_not_matter() -> None:
    own = games(np.random.default_rng(2), np.arange(9.0).reshape(3, 3, 1) * np.ones(4), 5)
    order = np.array([2, 0, 1])
    found, moved = (cross_play(each, np.zeros((4, 5)), np.full((4, 5), 9.0)) for each in (own, own[order][:, order]))
    np.testing.assert_allclose(moved.score, found.score[np.ix_(order, order)])
    assert moved.gap.value == pytest.approx(found.gap.value)


def test_returns_of_other_games_are_refused() -> None:
    with pytest.raises(UserError, match="same games"):
        scores(np.zeros((2, 3, 4)), np.zeros((3, 4)), np.zeros((3, 5)))
    with pytest.raises(UserError, match="two entrants"):
        cross_play(np.zeros((1, 1, 3, 4)), np.zeros((3, 4)), np.ones((3, 4)))
