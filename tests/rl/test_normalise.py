"""Value normalisation: what it tracks, and that predictions stay where they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from marl_meta.rl.normalise import ValueNormaliser


def test_does_nothing_before_it_has_seen_a_target() -> None:
    normaliser = ValueNormaliser()
    values = torch.randn(5)
    assert torch.equal(normaliser.denormalise(values), values)
    assert torch.equal(normaliser.normalise(values), values)


def test_first_batch_sets_mean_and_deviation() -> None:
    normaliser = ValueNormaliser()
    normaliser.update(torch.tensor([1.0, 3.0, 99.0]), torch.tensor([1.0, 1.0, 0.0]), nn.Linear(1, 1))
    assert normaliser.centre() == pytest.approx(2.0)
    assert normaliser.scale() == pytest.approx(1.0)
    assert normaliser.normalise(torch.tensor([4.0])).item() == pytest.approx(2.0)


def test_follows_targets_that_move() -> None:
    torch.manual_seed(0)
    normaliser, head = ValueNormaliser(decay=0.9), nn.Linear(3, 1)
    for _ in range(20):
        normaliser.update(torch.randn(2000) * 2 - 5, torch.ones(2000), head)
    assert normaliser.centre() == pytest.approx(-5.0, abs=0.05)
    assert normaliser.scale() == pytest.approx(2.0, abs=0.05)
    for _ in range(100):
        normaliser.update(torch.randn(2000) * 30 + 400, torch.ones(2000), head)
    assert normaliser.centre() == pytest.approx(400.0, abs=1.0)
    assert normaliser.scale() == pytest.approx(30.0, abs=1.0)


def test_weighs_batches_by_hand() -> None:
    normaliser = ValueNormaliser(decay=0.5)
    for number in (4.0, 8.0):
        normaliser.update(torch.tensor([number, number + 2]), torch.ones(2), nn.Linear(1, 1))
    # Weights 1/4 and 1/2 of means 5 and 9 and of mean squares 26 and 82, over their sum.
    assert normaliser.centre() == pytest.approx((0.25 * 5 + 0.5 * 9) / 0.75)
    assert normaliser.scale() ** 2 == pytest.approx((0.25 * 26 + 0.5 * 82) / 0.75 - normaliser.centre() ** 2)


def test_predictions_in_the_games_units_stay() -> None:
    torch.manual_seed(0)
    normaliser, head, features = ValueNormaliser(), nn.Linear(8, 1), torch.randn(50, 8)
    before = normaliser.denormalise(head(features))
    for centre, scale in ((100.0, 5.0), (-3.0, 0.1), (0.0, 1000.0)):
        normaliser.update(torch.randn(200) * scale + centre, torch.ones(200), head)
        after = normaliser.denormalise(head(features))
        torch.testing.assert_close(after, before, atol=2e-3, rtol=1e-4)


def test_round_trip_and_constant_targets() -> None:
    normaliser = ValueNormaliser()
    normaliser.update(torch.full((10,), 7.0), torch.ones(10), nn.Linear(1, 1))
    assert 0 < normaliser.scale() < 0.1  # no division by zero
    values = torch.tensor([6.9, 7.0, 8.0])
    torch.testing.assert_close(normaliser.denormalise(normaliser.normalise(values)), values)


def test_a_batch_in_which_nobody_acted_changes_nothing() -> None:
    normaliser, head = ValueNormaliser(), nn.Linear(2, 1)
    weight = head.weight.clone()
    normaliser.update(torch.tensor([5.0]), torch.zeros(1), head)
    assert normaliser.centre() == 0.0
    assert normaliser.scale() == 1.0
    assert torch.equal(head.weight, weight)


def test_unfolded_a_head_says_what_the_game_pays() -> None:
    torch.manual_seed(0)
    normaliser, head, features = ValueNormaliser(), nn.Linear(8, 1), torch.randn(50, 8)
    normaliser.update(torch.randn(200) * 7.0 + 30.0, torch.ones(200), head)
    expected = normaliser.denormalise(head(features))
    normaliser.unfold(head)
    torch.testing.assert_close(head(features), expected)
    fresh = ValueNormaliser()
    torch.testing.assert_close(fresh.denormalise(head(features)), expected)
    fresh.update(torch.randn(200) * 3.0 - 5.0, torch.ones(200), head)  # whoever goes on from it expects the same
    torch.testing.assert_close(fresh.denormalise(head(features)), expected, atol=1e-3, rtol=1e-4)
