from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from marl_meta.meta.inner import Loss, adapt, each_task, reptile
from marl_meta.meta.parameters import Parameters, detached, for_tasks, of_task, parameters_of, split, uniform_rates
from marl_meta.types import UserError

from .tasks import graphs, mlp, mlp_loss, of_one, relational, relational_loss, reorder, samples

TASKS, SIZE = 5, 3


def bowls(seed: int) -> dict[str, Tensor]:
    """Return quadratic games of M tasks: L = 1/2 (theta - c)^T A (theta - c)."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(TASKS, SIZE, SIZE, generator=generator, dtype=torch.float64)
    return {"A": root @ root.mT + 0.1, "c": torch.randn(TASKS, SIZE, generator=generator, dtype=torch.float64)}


def bowl_loss(parameters: Parameters, bowl: dict[str, Tensor]) -> Tensor:
    away = parameters["theta"] - bowl["c"]
    return 0.5 * away @ bowl["A"] @ away


THETA = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
OUTER = bowls(99)


def meta_gradient(theta: Tensor, rates: Any, steps: Sequence[dict[str, Tensor]], order: Any) -> tuple[Tensor, ...]:
    """Return the derivatives of the mean loss after adapting, with respect to theta and to the rates where tensors."""
    theta = theta.clone().requires_grad_()
    adapted = adapt(bowl_loss, for_tasks({"theta": theta}, TASKS), steps, rates=rates, order=order)
    loss = each_task(bowl_loss, adapted, {}, OUTER).mean()
    return torch.autograd.grad(loss, [theta, *(rates.values() if isinstance(rates, dict) else ())])


def moved(theta: Tensor, steps: Sequence[dict[str, Tensor]], alpha: Tensor) -> list[Tensor]:
    """Return where theta is before and after each step [M,D], by the closed form."""
    path = [theta.expand(TASKS, -1)]
    for bowl in steps:
        shrink = torch.eye(SIZE, dtype=torch.float64) - alpha[:, None] * bowl["A"]
        path.append(bowl["c"] + torch.einsum("mij,mj->mi", shrink, path[-1] - bowl["c"]))
    return path


def slope(at: Tensor, bowl: dict[str, Tensor]) -> Tensor:
    return torch.einsum("mij,mj->mi", bowl["A"], at - bowl["c"])


@pytest.mark.parametrize("count", [1, 2, 4])
def test_meta_gradient_of_quadratic_games_is_the_closed_form(count: int) -> None:
    steps, alpha = [bowls(seed) for seed in range(count)], torch.tensor([0.05, 0.1, 0.02], dtype=torch.float64)
    path = moved(THETA, steps, alpha)
    adapted = adapt(bowl_loss, for_tasks({"theta": THETA}, TASKS), steps, rates={"theta": alpha})
    torch.testing.assert_close(adapted["theta"], path[-1])
    # dL/dtheta = prod_s (I - A_s alpha) B (theta_S - d), from the last step to the first.
    back, of_alpha = slope(path[-1], OUTER) / TASKS, torch.zeros(SIZE, dtype=torch.float64)
    for bowl, (before, _) in zip(reversed(steps), reversed(list(pairwise(path))), strict=True):
        of_alpha -= (back * slope(before, bowl)).sum(0)
        back = back - torch.einsum("mij,mj->mi", bowl["A"], alpha * back)
    rates = {"theta": alpha.requires_grad_()}
    of_theta, of_rates = meta_gradient(THETA, rates, steps, "second")
    torch.testing.assert_close(of_theta, back.sum(0))
    torch.testing.assert_close(of_rates, of_alpha)


def test_first_order_leaves_out_the_curvature_and_nothing_else() -> None:
    steps = [bowls(0), bowls(1)]
    (second,) = meta_gradient(THETA, 0.1, steps, "second")
    (first,) = meta_gradient(THETA, 0.1, steps, "first")
    end = moved(THETA, steps, torch.full((SIZE,), 0.1, dtype=torch.float64))[-1]
    torch.testing.assert_close(first, slope(end, OUTER).mean(0))
    assert (first - second).abs().max() > 0.1 * second.abs().max()


def test_first_order_still_learns_its_step_sizes() -> None:
    alpha = torch.full((SIZE,), 0.1, dtype=torch.float64, requires_grad=True)
    _, of_rates = meta_gradient(THETA, {"theta": alpha}, [bowls(0)], "first")
    before, end = moved(THETA, [bowls(0)], alpha.detach())
    torch.testing.assert_close(of_rates, -(slope(end, OUTER) * slope(before, bowls(0))).mean(0))


def test_meta_gradient_of_a_policy_is_that_of_finite_differences() -> None:
    module, inner, outer = mlp(), [samples(3, seed=1), samples(3, seed=2)], samples(3, seed=3)
    loss = log_likelihood(module)
    names = list(parameters_of(module))

    def after(*values: Tensor) -> Tensor:
        adapted = adapt(loss, for_tasks(dict(zip(names, values, strict=True)), 3), inner, rates=0.5)
        return each_task(loss, adapted, {}, outer).mean()

    assert torch.autograd.gradcheck(after, [value.detach().requires_grad_() for value in module.parameters()])


def log_likelihood(module: torch.nn.Module) -> Loss:
    """Return a loss without stopped gradients: finite differences know of none."""

    def loss(parameters: Parameters, lived: dict[str, Tensor]) -> Tensor:
        logits = torch.func.functional_call(module, parameters, (lived["inputs"],))
        log_prob = torch.log_softmax(logits, -1).gather(-1, lived["action"].unsqueeze(-1)).squeeze(-1)
        return -(log_prob * lived["advantage"]).mean()

    return loss


def one_by_one(
    loss: Loss, parameters: Parameters, steps: Sequence[Any], outer: Any, rate: float
) -> tuple[list[Parameters], list[Tensor]]:
    """Return each task's adapted parameters and the meta-gradients, by a loop over tasks that shares no code."""
    leaves = {name: value.detach().clone().requires_grad_() for name, value in parameters.items()}
    adapted, total, tasks = [], torch.zeros(()), len(outer["advantage"])
    for task in range(tasks):
        own = leaves
        for lived in steps:
            value = loss(own, of_one(lived, task))
            slopes = torch.autograd.grad(value, list(own.values()), create_graph=True, materialize_grads=True)
            own = {name: value - rate * slope for (name, value), slope in zip(own.items(), slopes, strict=True)}
        adapted.append(own)
        total = total + loss(own, of_one(outer, task)) / tasks
    return adapted, list(torch.autograd.grad(total, list(leaves.values()), materialize_grads=True))


Case = tuple[torch.nn.Module, Loss, Callable[[int], Any]]


def policy_case(dtype: torch.dtype, **sizes: Any) -> Callable[[], Case]:
    def build() -> Case:
        policy = relational(dtype, **sizes)
        return policy, relational_loss(policy), lambda seed: graphs(policy, TASKS, seed, dtype)

    return build


def mlp_case() -> Case:
    module = mlp(torch.float32)
    return module, mlp_loss(module), lambda seed: samples(TASKS, seed=seed, dtype=torch.float32)


POLICIES = {
    "mlp": mlp_case,
    "relational": policy_case(torch.float32),
    "two layers": policy_case(torch.float32, layers=2),
    "recurrent": policy_case(torch.float32, recurrent=True),
    "central critic": policy_case(torch.float32, layers=2, critic="central", critic_node=6),
    "float64": policy_case(torch.float64, layers=2, recurrent=True),
}


@pytest.mark.parametrize("case", POLICIES)
def test_all_tasks_at_once_is_one_by_one(case: str) -> None:
    module, loss, experience = POLICIES[case]()
    inner, outer = [experience(1), experience(2)], experience(3)
    shared = {name: value.detach().requires_grad_() for name, value in parameters_of(module).items()}
    adapted = adapt(loss, for_tasks(shared, TASKS), inner, rates=0.3)
    gradients = torch.autograd.grad(
        each_task(loss, adapted, {}, outer).mean(), list(shared.values()), materialize_grads=True
    )
    alone, wanted = one_by_one(loss, shared, inner, outer, 0.3)
    for task, own in enumerate(alone):
        torch.testing.assert_close(of_task(adapted, task), own, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(list(gradients), wanted, rtol=1e-4, atol=1e-5)
    assert max(float(gradient.abs().max()) for gradient in gradients) > 0.01


@pytest.mark.parametrize("case", POLICIES)
def test_adapting_changes_nothing_and_tasks_do_not_meet(case: str) -> None:
    module, loss, experience = POLICIES[case]()
    shared, lived = detached(parameters_of(module)), experience(1)
    before, seen = detached(shared), reorder(lived, torch.arange(TASKS))
    start = for_tasks(shared, TASKS)
    adapted = adapt(loss, start, [lived, lived], rates=0.3)
    for now, then in ((shared, before), (start, for_tasks(before, TASKS)), (lived, seen)):
        torch.testing.assert_close(tree_leaves(now), tree_leaves(then), rtol=0, atol=0)
    assert all(torch.equal(value, shared[name]) for name, value in parameters_of(module).items())
    order = torch.tensor([3, 0, 4, 1, 2])
    again = adapt(loss, for_tasks(shared, TASKS), [reorder(lived, order)] * 2, rates=0.3)
    for name, value in adapted.items():  # to the last bit or nearly: some processors multiply by the place in a batch
        torch.testing.assert_close(value[order], again[name], rtol=1e-5, atol=1e-6)
    # Another task's experience is nobody else's business.
    other = reorder(lived, torch.arange(TASKS))
    other["advantage"][0] *= -5
    leaked = adapt(loss, for_tasks(shared, TASKS), [other, other], rates=0.3)
    head = "actor.weight" if "actor.weight" in adapted else "4.weight"
    assert not torch.equal(leaked[head][0], adapted[head][0])
    assert all(torch.equal(leaked[name][1:], value[1:]) for name, value in adapted.items())


def test_what_is_fixed_is_shared_and_still_learns() -> None:
    policy = relational(torch.float64)
    loss, lived = relational_loss(policy), graphs(policy, TASKS, dtype=torch.float64)
    leaves = {name: value.detach().requires_grad_() for name, value in parameters_of(policy).items()}
    head, body = split(leaves, ["policy_head"])
    adapted = adapt(loss, for_tasks(head, TASKS), [lived], rates=0.5, fixed=body)
    assert set(adapted) == {"actor.weight", "actor.bias"}
    assert all(not torch.equal(adapted[name][0], adapted[name][1]) for name in adapted)
    # ANIL: as if the body's step size were zero; its meta-gradient has the curvature across head and body.
    rates = {name: 0.5 if name in head else 0.0 for name in leaves}
    whole = adapt(loss, for_tasks(leaves, TASKS), [lived], rates=rates)
    for name in head:
        torch.testing.assert_close(adapted[name], whole[name])
    losses = (each_task(loss, adapted, body, lived), each_task(loss, whole, {}, lived))
    of_split, of_whole = (
        torch.autograd.grad(values.mean(), list(leaves.values()), materialize_grads=True) for values in losses
    )
    torch.testing.assert_close(of_split, of_whole)


def test_step_sizes_for_each_single_parameter() -> None:
    module, lived = mlp(), samples(TASKS)
    loss, shared = mlp_loss(module), detached(parameters_of(module))
    rates = {name: rate.requires_grad_() for name, rate in uniform_rates(shared, 0.2).items()}
    adapted = adapt(loss, for_tasks(shared, TASKS), [lived], rates=rates)
    torch.testing.assert_close(adapted, adapt(loss, for_tasks(shared, TASKS), [lived], rates=0.2))
    learnt = torch.autograd.grad(each_task(loss, adapted, {}, lived).mean(), list(rates.values()))
    assert [gradient.shape for gradient in learnt] == [value.shape for value in shared.values()]
    assert sum(float(gradient.sum()) for gradient in learnt) < 0  # larger steps do better on their own data


def test_adapting_lowers_every_tasks_own_loss() -> None:
    module, lived = mlp(), samples(TASKS)
    loss, start = mlp_loss(module), for_tasks(detached(parameters_of(module)), TASKS)
    after = each_task(loss, adapt(loss, start, [lived] * 5, rates=0.5), {}, lived)
    assert (after < each_task(loss, start, {}, lived) + 1e-9).all()


def test_without_gradients_wanted_none_are_kept() -> None:
    module, lived = mlp(), samples(TASKS)
    start = for_tasks(detached(parameters_of(module)), TASKS)
    with torch.no_grad():
        adapted = adapt(mlp_loss(module), start, [lived], rates=0.2)
    assert not any(value.requires_grad for value in adapted.values())
    torch.testing.assert_close(adapted, adapt(mlp_loss(module), start, [lived], rates=0.2))


def test_reptile_by_hand() -> None:
    theta = {"theta": torch.tensor([1.0, 2.0])}
    adapted = {"theta": torch.tensor([[2.0, 2.0], [4.0, -2.0]])}
    # The mean of the ways is (2, -2); a tenth of it.
    torch.testing.assert_close(reptile(theta, adapted, 0.1)["theta"], torch.tensor([1.2, 1.8]))
    assert theta["theta"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("parameters", "fixed", "rates", "error", "said"),
    [
        ({}, {"theta": THETA}, 0.1, UserError, "at least one parameter to adapt; all of these are fixed: theta"),
        ({"theta": THETA}, {}, {"tetha": 0.1}, UserError, "missing for theta; they are given for tetha"),
        ({"theta": THETA}, {"theta": THETA}, 0.1, ValueError, "cannot be fixed: theta"),
    ],
)
def test_bad_input(parameters: Parameters, fixed: Parameters, rates: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        adapt(bowl_loss, for_tasks(parameters, TASKS), [bowls(0)], rates=rates, fixed=fixed)


def test_a_loss_is_one_number() -> None:
    with pytest.raises(ValueError, match=r"a single number, not of shape \(3,\)"):
        adapt(lambda own, _: own["theta"], for_tasks({"theta": THETA}, TASKS), [bowls(0)], rates=0.1)
