from __future__ import annotations

import pytest
import torch

from marl_meta.bench.meta import LEARNERS, all_at_once, bench_meta, loop_over_tasks, shares_of
from marl_meta.rl.sharding import Workers
from marl_meta.types import UserError


@pytest.mark.parametrize("name", LEARNERS)
def test_what_is_compared_is_the_same_gradient(name: str) -> None:
    learner = LEARNERS[name](3)
    wanted = loop_over_tasks(learner, learner.make_loss())
    workers = Workers(2)
    try:
        ours = all_at_once(learner.parameters, shares_of(learner, 2), workers, "second")
        first = all_at_once(learner.parameters, shares_of(learner, 2), workers, "first")
    finally:
        workers.close()
    assert list(ours) == list(wanted)
    for gradient, value in wanted.items():
        torch.testing.assert_close(ours[gradient], value, rtol=1e-4, atol=1e-4)
    assert max(float(value.abs().max()) for value in wanted.values()) > 1e-3
    assert any(not torch.allclose(first[gradient], value, rtol=1e-4) for gradient, value in wanted.items())


def test_too_few_tasks_are_refused() -> None:
    with pytest.raises(UserError, match=r"takes at least \d tasks, not 0"):
        bench_meta(0, say=print)
