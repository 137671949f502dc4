from __future__ import annotations

import numpy as np
import pytest

from marl_meta.evaluate.calibration import BINS, Calibration
from marl_meta.evaluate.figure import picture, svg
from marl_meta.evaluate.plots import reliability


def test_bins_and_error_by_hand() -> None:
    found = Calibration(episodes=2)
    probabilities = np.array([[0.75, 0.25], [0.75, 0.25], [1.0, 0.0]], np.float32)
    found.note("rule", np.array([0, 0, 1]), probabilities, np.array([0, 1, 0]))
    whole = found.reliability()
    assert whole.count.tolist() == [1, 0, 2, 0, 0, 0, 0, 2, 0, 1]
    assert whole.predicted[[0, 2, 7, 9]].tolist() == [0.0, 0.25, 0.75, 1.0]
    assert whole.observed[[0, 2, 7, 9]].tolist() == [0.0, 0.5, 0.5, 1.0]
    assert whole.error == pytest.approx((2 * 0.25 + 2 * 0.25) / 6)
    assert found.reliability(episode=1).error == 0.0
    assert found.reliability(episode=0).error == pytest.approx(0.25)


def test_rules_are_told_apart_and_empty_bins_are_nothing() -> None:
    found = Calibration(episodes=1)
    assert np.isnan(found.reliability().error)
    found.note("sure", np.zeros(4, int), np.tile([1.0, 0.0], (4, 1)), np.zeros(4, int))
    found.note("wrong", np.zeros(4, int), np.tile([1.0, 0.0], (4, 1)), np.ones(4, int))
    assert found.rules == ("sure", "wrong")
    assert (found.reliability("sure").error, found.reliability("wrong").error) == (0.0, 1.0)
    record = found.record()
    assert record["error"] == 0.5
    assert record["observed"][1:-1] == [None] * (BINS - 2)
    assert record["error_by_rule"] == {"sure": 0.0, "wrong": 1.0}


def test_honest_beliefs_have_no_error() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.5, 0.5, 0.5], 50_000)
    truth = (probabilities.cumsum(1) < rng.random((50_000, 1))).sum(1)
    found = Calibration(episodes=1)
    found.note("rule", np.zeros(50_000, int), probabilities, np.minimum(truth, 2))
    assert found.reliability().error < 0.005
    bold = Calibration(episodes=1)
    bold.note("rule", np.zeros(50_000, int), np.eye(3)[probabilities.argmax(1)], np.minimum(truth, 2))
    assert bold.reliability().error > 0.1


def test_a_number_is_claimed_to_lie_below_its_quantiles() -> None:
    rng = np.random.default_rng(0)
    mean, deviation = rng.normal(size=50_000), rng.uniform(0.1, 2.0, 50_000)
    truth, nowhere = mean + deviation * rng.normal(size=50_000), np.zeros(50_000, int)
    errors = {}
    for name, scale in (("honest", 1.0), ("bold", 0.3), ("shy", 3.0)):
        found = Calibration(episodes=1)
        found.note_number("wind", nowhere, np.stack([mean, scale * deviation], 1), truth)
        errors[name] = found.reliability("wind").error
    assert errors["honest"] < 0.005
    assert min(errors["bold"], errors["shy"]) > 0.1
    by_hand = Calibration(episodes=2)
    by_hand.note_number("wind", np.array([1, 1]), np.array([[0.0, 1.0], [2.0, 0.5]]), np.array([0.5, 1.9]))
    # 0.5 is the quantile at 0.69 of the first belief, 1.9 that at 0.42 of the second.
    assert by_hand.reliability(episode=1).observed.tolist() == [0, 0, 0, 0, 0.5, 0.5, 0.5, 1, 1, 1]
    assert np.isnan(by_hand.reliability(episode=0).error)


def test_beliefs_about_nothing_are_drawn_too() -> None:
    figure = reliability("Beliefs", Calibration(episodes=1).reliability(), (0, 0, 0))
    assert "nothing was believed" in svg(figure)
    assert picture(figure).size[0] > 0
