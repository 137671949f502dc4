from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from marl_meta.nets.belief import BeliefNet, belief_loss
from marl_meta.nets.knowledge import Knowledge

from .test_knowledge import LAYOUT, RULES, UNKNOWNS


def net(seed: int = 0, trained: bool = True) -> BeliefNet:
    torch.manual_seed(seed)
    made = BeliefNet(Knowledge(UNKNOWNS, LAYOUT), LAYOUT.kinds, event_width=6, hidden=16, memory=8)
    if trained:
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def memory(seed: int = 1) -> Tensor:
    return torch.randn(7, 5, 8, generator=torch.Generator().manual_seed(seed))


def test_who_has_learnt_nothing_believes_what_the_rules_allow() -> None:
    untrained = net(trained=False)
    expected = torch.from_numpy(untrained.knowledge.ignorance()).expand(7, -1)
    torch.testing.assert_close(untrained(memory()).knowledge, expected)


def test_an_ordering_is_weighed_as_a_whole() -> None:
    spec, made, remembered = Knowledge(UNKNOWNS, LAYOUT), net(), memory()
    belief = made(remembered)
    total, own = remembered.sum(1), remembered[:, -1]
    scores = torch.stack([made.heads[0](torch.cat([remembered[:, kind], own, total], -1)) for kind in (1, 2, 3)], 1)
    orderings = [(i, j, k) for i in range(3) for j in range(3) for k in range(3) if len({i, j, k}) == 3]
    weights = torch.stack([scores[:, 0, i] + scores[:, 1, j] + scores[:, 2, k] for i, j, k in orderings], 1).softmax(1)
    for place, block in enumerate(spec.unknowns[0].blocks):
        for value in range(3):
            share = sum(weights[:, index] for index, order in enumerate(orderings) if order[place] == value)
            torch.testing.assert_close(belief.knowledge[:, block.start + value], share)
        marginal = belief.knowledge[:, block.start : block.start + 3]
        entropy = -(marginal * marginal.log()).sum(1) / math.log(3)
        torch.testing.assert_close(belief.knowledge[:, block.start + 3], entropy)


def test_the_loss_is_minus_the_log_likelihood_of_the_truth() -> None:
    spec, made = Knowledge(UNKNOWNS, LAYOUT), net()
    belief = made(memory())
    rules = RULES.repeat(7, axis=0)
    loss = belief_loss(belief, spec, spec.classes(rules), spec.numbers(rules))
    knowledge = belief.knowledge
    orderings = spec.unknowns[0].orderings
    assert orderings is not None
    which = orderings.tolist().index([0, 2, 1])
    mean, deviation = knowledge[:, 15], knowledge[:, 16]
    gaussian = torch.distributions.Normal(mean, deviation).log_prob(torch.tensor(0.25))
    expected = -(belief.log_probs[0][:, which] + knowledge[:, 13].log() + gaussian + knowledge[:, 18].log()) / 4
    torch.testing.assert_close(loss, expected)


def test_evidence_adds_up_whatever_the_order() -> None:
    made = net()
    events = torch.randn(9, 6, generator=torch.Generator().manual_seed(2))
    place = torch.tensor([0, 0, 3, 3, 3, 1, 0, 9, 9])
    gained = made.evidence(events, place, 10)
    order = torch.tensor([4, 8, 0, 2, 6, 1, 7, 3, 5])
    torch.testing.assert_close(made.evidence(events[order], place[order], 10), gained)
    torch.testing.assert_close(gained[3], made.event(events[2:5]).sum(0))
    assert (gained[2] == 0).all()


def test_gradients_reach_everything() -> None:
    spec, made = Knowledge(UNKNOWNS, LAYOUT), net()
    events = torch.randn(20, 6)
    remembered = made.evidence(events, torch.arange(20) % 10, 10).view(2, 5, 8)
    rules = np.repeat(RULES, 2, axis=0)
    belief_loss(made(remembered), spec, spec.classes(rules), spec.numbers(rules)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in made.parameters())


def test_a_number_is_never_surer_than_can_be() -> None:
    knowledge = net()(1e3 * memory()).knowledge
    assert knowledge[:, 16].min() >= 0.0199 and knowledge[:, 16].max() <= 1.0001


def test_a_number_of_which_nothing_is_known_is_not_made_less_sure_of() -> None:
    """Scores beyond a limit stay where they are, else their gradients grow until nothing else is learnt."""
    made = net(trained=False)
    head = made.heads[-2]  # of the wind
    beyond = torch.tensor([0.0, -5.0])
    for wanted, moved in ((-1.0, False), (1.0, True)):  # to be less sure than of a standard normal number, or surer
        with torch.no_grad():
            head.bias.copy_(beyond)
        deviation = made(memory()).log_probs[-2][..., 1]
        (slope,) = torch.autograd.grad((wanted * deviation).sum(), head.bias)
        assert (slope[1] != 0) == moved
