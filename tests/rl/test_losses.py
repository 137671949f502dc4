"""The losses against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from marl_meta.rl.losses import approximate_kl, clipped_surrogate, clipped_value_loss, entropy


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.0, 2.0, -2.0, -2.0),
        (1.1, 2.0, -2.2, -2.2),  # inside the range: d(-ratio A)/d log pi = -ratio A
        (1.5, 2.0, -2.4, 0.0),  # beyond it there is nothing more to win
        (0.5, 2.0, -1.0, -1.0),  # on the wrong side it is pulled back
        (1.5, -2.0, 3.0, 3.0),
        (0.5, -2.0, 1.6, 0.0),
    ],
)
def test_clipped_surrogate(ratio: float, advantage: float, loss: float, slope: float) -> None:
    log_prob = torch.tensor([math.log(ratio) - 1.0], requires_grad=True)
    found = clipped_surrogate(log_prob, torch.tensor([-1.0]), torch.tensor([advantage]), clip=0.2)
    assert found.item() == pytest.approx(loss)
    assert torch.autograd.grad(found.sum(), log_prob)[0].item() == pytest.approx(slope)


@pytest.mark.parametrize(
    ("value", "clip", "loss", "slope"),
    [
        (3.0, None, 0.5 * 4.0, -2.0),
        (3.0, 0.5, 0.5 * 2.5**2, 0.0),  # from 2 it may go to 2.5, which is 2.5 away from 5
        (2.25, 0.5, 0.5 * 2.75**2, -2.75),
        (9.0, 0.5, 0.5 * 16.0, 4.0),  # it overshot: the larger loss is its own
    ],
)
def test_clipped_value_loss(value: float, clip: float | None, loss: float, slope: float) -> None:
    estimate = torch.tensor([value], requires_grad=True)
    found = clipped_value_loss(estimate, torch.tensor([2.0]), torch.tensor([5.0]), clip)
    assert found.item() == pytest.approx(loss)
    assert torch.autograd.grad(found.sum(), estimate)[0].item() == pytest.approx(slope)


def test_entropy() -> None:
    assert entropy(torch.log(torch.tensor([0.25] * 4))).item() == pytest.approx(math.log(4.0))
    expected = -(0.2 * math.log(0.2) + 0.8 * math.log(0.8))
    assert entropy(torch.log(torch.tensor([[0.2, 0.8]]))).tolist() == pytest.approx([expected])


def test_entropy_of_masked_actions_is_finite_and_so_is_its_gradient() -> None:
    logits = torch.tensor([0.0, 0.0, -1e9], requires_grad=True)
    found = entropy(torch.log_softmax(logits, -1))
    assert found.item() == pytest.approx(math.log(2.0))
    assert torch.isfinite(torch.autograd.grad(found, logits)[0]).all()


def test_approximate_kl_is_right_on_average_and_never_negative() -> None:
    old, new = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.4, 0.2, 0.4])
    estimates = approximate_kl(new.log(), old.log())
    assert (estimates >= 0).all()
    exact = (old * (old / new).log()).sum().item()
    assert (old * estimates).sum().item() == pytest.approx(exact)  # samples come from the old policy


def test_shapes_must_agree() -> None:
    one, two = torch.zeros(3), torch.zeros(3, 1)
    with pytest.raises(ValueError, match="one shape"):
        clipped_surrogate(one, one, two, 0.2)
    with pytest.raises(ValueError, match="one shape"):
        clipped_value_loss(one, two, one, None)
