from __future__ import annotations

import pytest
import torch

from marl_meta.meta.inner import adapt, each_task
from marl_meta.meta.parameters import detached, for_tasks, parameters_of, split
from marl_meta.meta.policies import run_policy, zero_context
from marl_meta.types import UserError

from .tasks import graphs, of_one, relational, relational_loss

TASKS, WIDTH = 4, 2


def inputs(lived: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return lived["graph"], lived["state"], lived["starts"], lived["action_mask"]


@pytest.mark.parametrize("recurrent", [False, True])
def test_it_is_the_policy_under_other_parameters(recurrent: bool) -> None:
    policy, other = relational(recurrent=recurrent), relational(recurrent=recurrent)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    lived = of_one(graphs(policy, TASKS), 0)
    output = run_policy(policy, parameters_of(other), *inputs(lived))
    fused = other(*inputs(lived))
    torch.testing.assert_close(output.logits, fused.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(output.value, fused.value, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(output.state, fused.state, rtol=1e-4, atol=1e-4)


def test_maps_kept_for_the_policys_own_weights_are_not_used() -> None:
    policy, lived = relational(), of_one(graphs(relational(), TASKS), 0)
    doubled = {name: 2.0 * value for name, value in detached(parameters_of(policy)).items()}
    with torch.no_grad():
        wanted = run_policy(policy, doubled, *inputs(lived)).logits
        with policy.unchanging():
            assert torch.equal(run_policy(policy, doubled, *inputs(lived)).logits, wanted)


def test_a_missing_parameter_is_not_made_up() -> None:
    policy, lived = relational(), of_one(graphs(relational(), TASKS), 0)
    _, body = split(parameters_of(policy), ["policy_head"])
    with pytest.raises(RuntimeError, match=r"actor\.weight"):
        run_policy(policy, body, *inputs(lived))


def test_a_context_of_zero_says_nothing_and_only_it_moves() -> None:
    policy = relational(torch.float64, context=WIDTH)
    loss, lived = relational_loss(policy), graphs(policy, TASKS, dtype=torch.float64, context=WIDTH)
    shared = {name: value.detach().requires_grad_() for name, value in parameters_of(policy).items()}
    start = zero_context(WIDTH, like=shared["actor.weight"])
    context, body = split({**shared, **start}, ["context"])
    adapted = adapt(loss, for_tasks(context, TASKS), [lived, lived], rates=1.0, fixed=body)
    assert set(adapted) == {"context"} and adapted["context"].shape == (TASKS, WIDTH)
    assert (adapted["context"] != 0).any(1).all()
    assert (each_task(loss, adapted, body, lived) != each_task(loss, for_tasks(context, TASKS), body, lived)).all()
    # At zero, the columns of the input map that read the context have no effect; how it moves depends on them.
    plain = {**shared, **start}
    cut = {**plain, "encoder.input.weight": shared["encoder.input.weight"].detach().clone()}
    cut["encoder.input.weight"][:, -WIDTH:] = 0
    one = of_one(lived, 0)
    assert torch.equal(loss(plain, one), loss(cut, one))
    (learnt,) = torch.autograd.grad(each_task(loss, adapted, body, lived).mean(), shared["encoder.input.weight"])
    assert (learnt[:, -WIDTH:] != 0).any()


def test_a_policy_without_room_for_context_has_none_to_adapt() -> None:
    with pytest.raises(UserError, match="No parameter is called 'context'"):
        split(parameters_of(relational()), ["context"])
