from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from marl_meta.rl.surrogates import (
    categorical_kl,
    dice_objective,
    lvc_surrogate,
    magic_box,
    masked_mean,
    promp_objective,
    ratio_surrogate,
)

STEPS = 2
GAMMA = 0.9


def draws(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# A game of 2 states, 2 agents with 2 actions each, and 2 steps, small enough to list everything that can happen. What
# the team is paid and where it goes depends on the state and on both actions.
REWARD = draws(1, 2, 2, 2)
TO_SECOND = torch.sigmoid(draws(2, 2, 2, 2))
BASELINE = draws(3, STEPS, 2)


def policy(theta: Tensor) -> Tensor:
    """Return log-probabilities [state, agent, action] of a policy that is no mere table of its parameters [8]."""
    return torch.log_softmax((theta.sin() + 0.3 * theta.square()).view(2, 2, 2), -1)


def expected_return(theta: Tensor) -> Tensor:
    """Return the expected return, by dynamic programming: nothing is sampled, and no log-probability is needed."""
    joint = policy(theta).exp()
    value = torch.zeros(2, dtype=torch.float64)
    for _ in range(STEPS):
        after = (1 - TO_SECOND) * value[0] + TO_SECOND * value[1]
        value = torch.einsum("si,sj,sij->s", joint[:, 0], joint[:, 1], REWARD + GAMMA * after)
    return value[0]


def over_all_trajectories(theta: Tensor, objective: Callable[..., Tensor]) -> Tensor:
    """Return the mean of an objective of (log_prob, reward, value) over all that can happen, by its probability."""
    log_probs = policy(theta)
    total = theta.new_zeros(())
    choices = list(itertools.product(range(2), repeat=3))
    for trajectory in itertools.product(choices, repeat=STEPS):
        state, probability, rows = 0, theta.new_ones(()), []
        for step, (first, second, following) in enumerate(trajectory):
            taken = torch.stack([log_probs[state, 0, first], log_probs[state, 1, second]])
            moves = TO_SECOND[state, first, second]
            probability = probability * taken.sum().exp() * (moves if following else 1 - moves)
            rows.append((taken, REWARD[state, first, second], BASELINE[step, state]))
            state = following
        log_prob, reward, value = (torch.stack(column).unsqueeze(1) for column in zip(*rows, strict=True))
        total = total + probability.detach() * objective(log_prob, reward, value)
    return total


def dice(log_prob: Tensor, reward: Tensor, value: Tensor) -> Tensor:
    everybody, nowhere = torch.ones_like(log_prob, dtype=torch.bool), torch.zeros_like(reward, dtype=torch.bool)
    return dice_objective(log_prob, reward, value, everybody, nowhere, GAMMA)[0]


def test_dice_has_the_value_and_both_derivatives_of_the_expected_return() -> None:
    theta = draws(0, 8)

    def without_baseline(log_prob: Tensor, reward: Tensor, value: Tensor) -> Tensor:
        return dice(log_prob, reward, torch.zeros_like(value))

    wanted = [derivative(expected_return)(theta) for derivative in (torch.func.grad, torch.func.hessian)]
    for objective in (dice, without_baseline):

        def surrogate(theta: Tensor, objective: Callable[..., Tensor] = objective) -> Tensor:
            return over_all_trajectories(theta, objective)

        torch.testing.assert_close(surrogate(theta), expected_return(theta))
        torch.testing.assert_close(torch.func.grad(surrogate)(theta), wanted[0])
        torch.testing.assert_close(torch.func.hessian(surrogate)(theta), wanted[1])
    assert wanted[1].abs().max() > 0.05


def test_lvc_has_the_policy_gradient_of_the_expected_return() -> None:
    theta = draws(0, 8)

    def lvc(log_prob: Tensor, reward: Tensor, _value: Tensor) -> Tensor:
        discounted = torch.stack([reward[0] + GAMMA * reward[1], GAMMA * reward[1]])
        return lvc_surrogate(log_prob, discounted.unsqueeze(-1).expand_as(log_prob)).sum()

    ours = torch.func.grad(lambda theta: over_all_trajectories(theta, lvc))(theta)
    torch.testing.assert_close(ours, torch.func.grad(expected_return)(theta))


def test_lvc_by_hand() -> None:
    log_prob = torch.tensor([0.5, 0.25], dtype=torch.float64).log().requires_grad_()
    advantage = torch.tensor([2.0, -3.0], dtype=torch.float64)
    surrogate = lvc_surrogate(log_prob, advantage)
    torch.testing.assert_close(surrogate, advantage)
    (first,) = torch.autograd.grad(surrogate.sum(), log_prob, create_graph=True)
    torch.testing.assert_close(first, advantage)
    # The log-likelihood surrogate log pi A has no second derivative in log pi; this one keeps it.
    torch.testing.assert_close(torch.autograd.grad(first.sum(), log_prob)[0], advantage)


def test_the_ratio_corrects_for_who_played() -> None:
    log_prob, old = torch.tensor([0.5, 0.2]).log(), torch.tensor([0.25, 0.4]).log()
    torch.testing.assert_close(ratio_surrogate(log_prob, old, torch.tensor([1.0, 4.0])), torch.tensor([2.0, 2.0]))


def test_magic_box_is_one_and_remembers() -> None:
    x = torch.tensor(-0.7, dtype=torch.float64, requires_grad=True)
    assert magic_box(x).item() == 1.0
    (first,) = torch.autograd.grad(magic_box(2 * x), x, create_graph=True)
    (second,) = torch.autograd.grad(first, x)
    assert (first.item(), second.item()) == pytest.approx((2.0, 4.0))


def test_episodes_inside_a_sequence_are_apart() -> None:
    log_prob, reward, value = draws(4, 5, 3, 2), draws(5, 5, 3), draws(6, 5, 3)
    starts = torch.zeros(5, 3, dtype=torch.bool)
    starts[2, 0] = starts[0, 1] = starts[3, 1] = starts[4, 1] = True
    acted = torch.ones(5, 3, 2, dtype=torch.bool)

    def derivative(part: slice, game: int, starts: Tensor) -> Tensor:
        def objective(log_prob: Tensor) -> Tensor:
            entries = (log_prob, reward[part, game, None], value[part, game, None], acted[part, game, None], starts)
            return dice_objective(*entries, GAMMA).sum()

        return torch.func.grad(objective)(log_prob[part, game, None])[:, 0]

    whole = torch.func.grad(lambda x: dice_objective(x, reward, value, acted, starts, GAMMA).sum())(log_prob)
    for game, bounds in enumerate([(0, 2, 5), (0, 3, 4, 5), (0, 5)]):
        for begin, end in itertools.pairwise(bounds):
            alone = derivative(slice(begin, end), game, torch.zeros(end - begin, 1, dtype=torch.bool))
            torch.testing.assert_close(whole[begin:end, game], alone)
    unbroken = derivative(slice(0, 5), 0, torch.zeros(5, 1, dtype=torch.bool))
    assert not torch.allclose(whole[:, 0], unbroken)


def test_agents_that_did_not_act_have_no_part() -> None:
    log_prob, reward, value = draws(4, 4, 2, 3), draws(5, 4, 2), draws(6, 4, 2)
    acted = torch.ones(4, 2, 3, dtype=torch.bool)
    acted[:, :, 2] = False
    starts = torch.zeros(4, 2, dtype=torch.bool)
    log_prob[:, :, 2] = -torch.inf
    gradient = torch.func.grad(lambda x: dice_objective(x, reward, value, acted, starts, GAMMA).sum())(log_prob)
    two = torch.func.grad(lambda x: dice_objective(x, reward, value, acted[..., :2], starts, GAMMA).sum())
    torch.testing.assert_close(gradient[..., :2], two(log_prob[..., :2]))
    assert (gradient[..., 2] == 0).all()


def test_tasks_at_once_are_tasks_one_by_one() -> None:
    log_prob, reward, value = draws(4, 3, 5, 2, 2), draws(5, 3, 5, 2), draws(6, 3, 5, 2)
    generator = torch.Generator().manual_seed(7)
    acted = torch.rand(3, 5, 2, 2, generator=generator) < 0.7
    starts = torch.rand(3, 5, 2, generator=generator) < 0.3

    def team(*entries: Tensor) -> Tensor:
        return dice_objective(*entries, GAMMA)

    def outer(log_prob: Tensor, advantage: Tensor, acted: Tensor) -> Tensor:
        divergence = masked_mean(categorical_kl(advantage.log_softmax(-1), log_prob.log_softmax(-1)), acted[..., 0])
        return promp_objective(log_prob, advantage, advantage, acted, divergence, clip=0.2, penalty=0.1)

    for function, entries in ((team, (log_prob, reward, value, acted, starts)), (outer, (log_prob, -log_prob, acted))):
        alone = torch.stack([function(*(entry[task] for entry in entries)) for task in range(3)])
        torch.testing.assert_close(torch.func.vmap(function)(*entries), alone)


def test_promp_by_hand() -> None:
    old = torch.full((2, 2), 0.5).log()
    log_prob = torch.tensor([[0.6, 0.9], [0.1, 0.5]]).log()
    advantage = torch.tensor([[1.0, 1.0], [-1.0, 7.0]])
    acted = torch.tensor([[True, True], [True, False]])
    # min(1.2, 1.2), min(1.8, 1.3), min(-0.2, -0.7); the last one did not act.
    objective = promp_objective(log_prob, old, advantage, acted, torch.tensor(2.0), clip=0.3, penalty=0.1)
    assert objective.item() == pytest.approx((1.2 + 1.3 - 0.7) / 3 - 0.2)


def test_promp_takes_no_harm_from_what_did_not_act() -> None:
    log_prob = torch.tensor([0.5, 0.5]).log().requires_grad_()
    old, acted = torch.tensor([-0.7, -torch.inf]), torch.tensor([True, False])
    objective = promp_objective(log_prob, old, torch.ones(2), acted, torch.tensor(0.0), clip=0.3, penalty=0.0)
    (gradient,) = torch.autograd.grad(objective, log_prob)
    assert gradient.isfinite().all() and gradient[0] != 0 and gradient[1] == 0


def test_kl_is_that_of_torch_and_survives_illegal_actions() -> None:
    old, new = draws(1, 4, 3), draws(2, 4, 3)
    wanted = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=old), torch.distributions.Categorical(logits=new)
    )
    old, new = torch.log_softmax(old, -1), torch.log_softmax(new, -1)
    torch.testing.assert_close(categorical_kl(old, new), wanted)
    illegal = torch.full((4, 1), -1e9, dtype=torch.float64)
    torch.testing.assert_close(categorical_kl(torch.cat([old, illegal], 1), torch.cat([new, illegal], 1)), wanted)


def test_masked_mean() -> None:
    entries, mask = torch.tensor([1.0, 2.0, torch.nan]), torch.tensor([True, True, False])
    assert masked_mean(entries, mask).item() == 1.5
    assert masked_mean(entries, torch.zeros(3, dtype=torch.bool)).item() == 0.0


@pytest.mark.parametrize("function", [ratio_surrogate, dice_objective, promp_objective, categorical_kl])
def test_shapes_that_do_not_fit_are_refused(function: Callable[..., Tensor]) -> None:
    two, three = torch.zeros(2, 1), torch.zeros(3, 1)
    rest = {ratio_surrogate: (two,), categorical_kl: (), dice_objective: (two, two, two, 0.9)}
    with pytest.raises(ValueError, match=r"one shape|must be"):
        function(two, three, *rest.get(function, (two, two, two, 0.2, 0.1)))
