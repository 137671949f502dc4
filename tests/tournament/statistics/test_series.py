from __future__ import annotations

import numpy as np
import pytest

from marl_meta.tournament.statistics.series import lead, series
from marl_meta.types import UserError


def test_statistics_by_hand() -> None:
    found = series(np.array([[[0.0, 1.0, 2.0, 1.0], [2.0, 3.0, 4.0, 3.0]]]))
    assert [game.value for game in found.games] == [1.0, 2.0, 3.0, 2.0]
    # The slope of 1, 2, 3, 2 about the middle: -1.5 - 1 + 1.5 + 3 over 2 (2.25 + 0.25).
    assert found.slope.value == pytest.approx(2.0 / 5.0)
    assert found.area.value == pytest.approx(2.0) and found.gain.value == pytest.approx(1.0)
    assert (found.games[0].low, found.games[0].high) == (0.0, 2.0)
    # Both series rise alike: the rise is certain, though the level is not.
    assert found.slope.low == pytest.approx(found.slope.high) and found.gain.low == pytest.approx(1.0)


def test_one_game_has_no_slope() -> None:
    found = series(np.array([[[1.0], [0.0], [1.0]]]))
    assert len(found.games) == 1 and found.slope.value == found.gain.value == 0.0
    assert found.area == found.games[0]


def test_intervals_cover_a_known_slope() -> None:
    rng = np.random.default_rng(0)
    held, areas = 0, 0
    for _ in range(300):
        level = rng.normal(0.0, 3.0, (4, 10, 1))  # of a series: paired, so not in the slope
        found = series(0.2 * np.arange(5) + level + rng.normal(0.0, 1.0, (4, 10, 5)), replicates=400)
        held += found.slope.low <= 0.2 <= found.slope.high
        areas += found.area.low <= 0.4 <= found.area.high
        assert found.slope.high - found.slope.low < 0.4
    assert 0.9 <= held / 300 <= 0.985 and 0.9 <= areas / 300 <= 0.985


def test_a_lead_over_another_leaves_out_what_both_share() -> None:
    rng = np.random.default_rng(1)
    luck = rng.normal(0.0, 5.0, (3, 8, 4))
    own, other = (luck + rise * np.arange(4) + rng.normal(0.0, 0.1, (3, 8, 4)) for rise in (0.5, 0.0))
    found = lead(own, other)
    assert found.slope.low < 0.5 < found.slope.high and found.slope.high - found.slope.low < 0.1
    assert series(own).slope.high - series(own).slope.low > 0.5


def test_single_series_of_variants_draw_variants() -> None:
    found = series(np.random.default_rng(2).normal(size=(6, 1, 3)))
    assert found.area.low < found.area.value < found.area.high


def test_the_seed_fixes_the_intervals() -> None:
    scores = np.random.default_rng(3).normal(size=(3, 5, 4))
    assert series(scores, 1) == series(scores, 1) and series(scores, 1) != series(scores, 2)


def test_what_is_no_series_is_refused() -> None:
    for bad in (np.zeros((2, 3)), np.full((1, 2, 3), np.nan), np.zeros((1, 1, 3))):
        with pytest.raises(UserError, match="series"):
            series(bad)
    with pytest.raises(UserError, match="same series"):
        lead(np.zeros((1, 2, 3)), np.zeros((1, 2, 4)))
