"""The kernel of PPO's slopes beside torch's own differentiation of the plain objective."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from marl_meta.rl.objective import Coefficients, Slopes, Targets, slopes, slopes_reference

STEPS, ROWS, ACTIONS = 7, 30, 5
BY = Coefficients(clip=0.2, value_clip=0.2, value_weight=0.7, entropy=0.03)


def make(illegal: float = 0.0) -> tuple[Tensor, Tensor, Targets]:
    """Return logits, values and targets, half of which are beyond the clips."""
    torch.manual_seed(0)
    shape = (STEPS, ROWS)
    logits, value = torch.randn(*shape, ACTIONS), torch.randn(shape)
    forbidden = torch.rand(*shape, ACTIONS) < illegal
    forbidden[..., 0] = False
    logits = logits.masked_fill(forbidden, -1e9)
    action = torch.distributions.Categorical(logits=logits).sample()
    log_prob = torch.log_softmax(logits, -1).gather(-1, action[..., None])[..., 0]
    targets = Targets(
        action=action,
        old_log_prob=log_prob + 0.3 * torch.randn(shape),
        old_value=value + 0.3 * torch.randn(shape),
        advantage=torch.randn(shape),
        target=torch.randn(shape),
        weight=(torch.rand(shape) < 0.8).float(),
    )
    return logits, value, targets


def close(found: Slopes, expected: Slopes) -> None:
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.value, expected.value, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.sums, expected.sums, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("illegal", [0.0, 0.5])
@pytest.mark.parametrize("value_clip", [None, 0.2])
def test_kernel_equals_reference(value_clip: float | None, illegal: float) -> None:
    logits, value, targets = make(illegal)
    by = replace(BY, value_clip=value_clip)
    found, expected = slopes(logits, value, targets, by), slopes_reference(logits, value, targets, by)
    close(found, expected)
    entries = float(targets.weight.sum())
    assert 0.2 * entries < found.sums[4] < 0.8 * entries  # both sides of the clip
    assert (found.logits[targets.weight == 0] == 0).all()
    if value_clip is not None:
        assert (found.value[targets.weight == 1] == 0).any()


def test_reference_has_the_slopes_of_finite_differences() -> None:
    logits, value, targets = make()
    wide = Targets(*(entry.double() if entry.is_floating_point() else entry for entry in _fields(targets)))
    logits, value = logits.double(), value.double()
    found = slopes(logits, value, wide, BY)
    step = torch.randn_like(logits) * 1e-7, torch.randn_like(value) * 1e-7

    def total(sign: float) -> Tensor:
        sums = slopes(logits + sign * step[0], value + sign * step[1], wide, BY).sums
        return sums[0] + BY.value_weight * sums[1] - BY.entropy * sums[2]

    expected = (found.logits * step[0]).sum() + (found.value * step[1]).sum()
    torch.testing.assert_close(total(0.5) - total(-0.5), expected, rtol=1e-4, atol=0.0)


def test_certain_policies_keep_finite_slopes() -> None:
    _, value, targets = make()
    certain = 1e4 * torch.nn.functional.one_hot(targets.action, ACTIONS).float()
    aim = replace(targets, old_log_prob=torch.zeros(STEPS, ROWS))
    found = slopes(certain, value, aim, BY)
    close(found, slopes_reference(certain, value, aim, BY))
    assert torch.isfinite(found.logits).all()


def test_a_policy_that_is_not_finite_is_not_made_so() -> None:
    logits, value, targets = make()
    logits[0, 0, 0], value[0, 0] = torch.nan, torch.nan
    found = slopes(logits, value, replace(targets, weight=torch.ones(STEPS, ROWS)), BY)
    assert not torch.isfinite(found.logits).all()
    assert not torch.isfinite(found.value).all()


def test_shapes_must_fit() -> None:
    logits, value, targets = make()
    with pytest.raises(ValueError, match="differ"):
        slopes(logits, value[:-1], targets, BY)


def _fields(targets: Targets) -> tuple[Tensor, ...]:
    return (
        targets.action, targets.old_log_prob, targets.old_value, targets.advantage, targets.target, targets.weight
    )  # fmt: skip
