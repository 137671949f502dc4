from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from marl_meta.nets.belief import BeliefNet, belief_loss
from marl_meta.nets.knowledge import Knowledge
from marl_meta.nets.recall import TEMPERATURE, Examples, Recall

from .test_knowledge import LAYOUT, RULES, UNKNOWNS

SEEN = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [-1.0, 0.0]])


def recall(size: int, prototypes: bool = False) -> Recall:
    """Return a reader whose embedding changes nothing."""
    made = Recall(2, 4, size, room=8, prototypes=prototypes)
    made.embed = nn.Sequential(nn.Identity())
    return made


def test_matching_by_hand() -> None:
    made = recall(3)
    made.examples.write(SEEN, torch.tensor([0, 1, 1, 2]))
    scores = made(torch.tensor([2.0, 0.0]))
    cosines = [1.0, 0.0, math.sqrt(0.5), -1.0]
    weights = [math.exp(cosine / TEMPERATURE) for cosine in cosines]
    shares = [weights[0] / sum(weights), (weights[1] + weights[2]) / sum(weights), weights[3] / sum(weights)]
    assert scores.tolist() == pytest.approx([math.log(share + 1e-4) for share in shares], rel=1e-4)


def test_prototypes_by_hand() -> None:
    made = recall(4, prototypes=True)
    made.examples.write(SEEN, torch.tensor([0, 1, 1, 2]))
    scores = made(torch.tensor([1.0, 2.5]))
    # The second value's mean is (1.5, 2.5); of the fourth there is no example.
    assert scores.tolist() == pytest.approx([-6.25, -0.25, -10.25, -12.0])


def test_a_number_is_the_mean_of_what_is_alike() -> None:
    made = recall(0)
    made.examples.write(SEEN, torch.tensor([0.5, -0.5, -0.5, 0.9]))
    mean, log_deviation = made(torch.tensor([5.0, 0.0])).tolist()
    weights = torch.softmax(torch.tensor([1.0, 0.0, math.sqrt(0.5), -1.0]) / TEMPERATURE, 0)
    truth = torch.tensor([0.5, -0.5, -0.5, 0.9])
    expected = (weights * truth).sum()
    spread = (weights * (truth - expected).square()).sum()
    assert math.tanh(mean) == pytest.approx(float(expected), rel=1e-4)
    assert math.exp(2 * log_deviation) == pytest.approx(float(spread) + math.exp(-8), rel=1e-4)


def test_the_oldest_examples_make_room() -> None:
    examples = Examples(room=3, width=1)
    assert examples.count == 0
    for value in range(5):
        examples.write(torch.tensor([[float(value)]]), torch.tensor([value]))
    assert examples.count == 3
    assert sorted(examples.inputs.flatten().tolist()) == sorted(examples.truth.tolist()) == [2.0, 3.0, 4.0]
    examples.write(torch.arange(10.0)[:, None], torch.arange(10))
    assert sorted(examples.truth.tolist()) == [7.0, 8.0, 9.0]


def net(read: str) -> BeliefNet:
    torch.manual_seed(0)
    return BeliefNet(Knowledge(UNKNOWNS, LAYOUT), LAYOUT.kinds, 6, hidden=16, memory=8, read=read, examples=40)


def tell(made: BeliefNet, memory: Tensor) -> None:
    spec = made.knowledge
    rules = RULES.repeat(len(memory), axis=0)
    made.keep_examples(memory, spec.classes(rules), spec.numbers(rules))


@pytest.mark.parametrize("read", ["matching", "prototypes"])
def test_a_belief_is_what_was_true_where_things_looked_alike(read: str) -> None:
    made, spec = net(read), Knowledge(UNKNOWNS, LAYOUT)
    memory = torch.randn(4, 5, 8)
    untold = torch.from_numpy(spec.ignorance())
    torch.testing.assert_close(made(memory).knowledge, untold.expand(4, -1))
    tell(made, memory)
    known = made(memory).knowledge.detach()
    truth = torch.from_numpy(spec.truth(RULES))
    assert (known - truth)[:, [12, 13, 17, 18]].abs().max() < 0.05  # one value alone has examples
    assert known[:, 15] == pytest.approx(0.25 * torch.ones(4), abs=1e-3)


@pytest.mark.parametrize("read", ["matching", "prototypes"])
def test_the_memory_is_learnt_through_and_saved(read: str) -> None:
    made, spec = net(read), Knowledge(UNKNOWNS, LAYOUT)
    for shift in range(3):
        tell(made, torch.randn(8, 5, 8) + shift)
    rules = RULES.repeat(8, axis=0)
    loss = belief_loss(made(torch.randn(8, 5, 8)), spec, spec.classes(rules), spec.numbers(rules))
    loss.sum().backward()
    for head in made.heads:
        assert all(parameter.grad is not None for parameter in head.parameters())
    again = net(read)
    again.load_state_dict(made.state_dict())
    memory = torch.randn(2, 5, 8)
    assert torch.equal(again(memory).knowledge, made(memory).knowledge)
    assert again.recalls and not net("head").recalls


def test_examples_that_no_training_writes() -> None:
    examples = Examples(room=3, width=1)
    examples.write(torch.zeros(2, 1), torch.tensor([1.0, 2.0]))
    assert examples.nonsense(3) is None
    assert examples.nonsense(2) == ("truth", "whole numbers from 0 to 1")
    assert examples.nonsense(0) is None  # numbers may be anything
    for written in (-1, 2**62):
        examples.written.fill_(written)
        found = examples.nonsense(3)
        assert found is not None and found[0] == "written"
