from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from marl_meta.meta.inner import adapt, each_task
from marl_meta.meta.outer import Statistics, meta_gradient
from marl_meta.meta.parameters import Parameters, detached, for_tasks, parameters_of, uniform_rates
from marl_meta.meta.policies import shell
from marl_meta.rl.sharding import Workers

from .tasks import graphs, relational, relational_loss, reorder

TASKS, COUNT = 6, 3


@pytest.fixture
def workers() -> Iterator[Workers]:
    pool = Workers(COUNT)
    yield pool
    pool.close()


def objective(parameters: Parameters, share: tuple[Any, Any]) -> tuple[Tensor, Statistics]:
    policy, lived = share
    rates = {name.removeprefix("rate of "): value for name, value in parameters.items() if name.startswith("rate")}
    own = {name: value for name, value in parameters.items() if not name.startswith("rate")}
    loss, tasks = relational_loss(policy), len(lived["advantage"])
    adapted = adapt(loss, for_tasks(own, tasks), [lived, lived], rates=rates)
    return each_task(loss, adapted, {}, lived).sum() / TASKS, {"tasks": tasks, "half": tasks / 2}


def test_shares_of_tasks_on_several_threads_make_the_whole(workers: Workers) -> None:
    policy = relational(torch.float64, layers=2)
    own, lived = detached(parameters_of(policy)), graphs(policy, TASKS, dtype=torch.float64)
    learnt = {**own, **{f"rate of {name}": rate for name, rate in uniform_rates(own, 0.3).items()}}
    parts = torch.arange(TASKS).chunk(COUNT)
    shares = [(shell(policy), reorder(lived, part)) for part in parts]
    for _ in range(5):  # a race would not show every time
        value, gradient, statistics = meta_gradient(objective, learnt, shares, workers)
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in learnt.items()}
        wanted, _ = objective(leaves, (policy, lived))
        assert statistics == {"tasks": TASKS, "half": TASKS / 2}
        torch.testing.assert_close(value, wanted.detach())
        whole = torch.autograd.grad(wanted, list(leaves.values()), materialize_grads=True)
        torch.testing.assert_close(list(gradient.values()), list(whole))
    assert list(gradient) == list(learnt)
    assert all(not tensor.requires_grad for tensor in learnt.values())


def test_a_shell_has_no_weights() -> None:
    policy = relational(layers=2, recurrent=True)
    empty = shell(policy)
    assert all(parameter.is_meta for parameter in empty.parameters())
    assert {name: tuple(value.shape) for name, value in parameters_of(empty).items()} == {
        name: tuple(value.shape) for name, value in parameters_of(policy).items()
    }
    assert not any(parameter.is_meta for parameter in policy.parameters())
