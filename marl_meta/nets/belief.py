"""Inferring hidden rules from events: an associative memory, and a belief that is read from it.

    memory_k(t) = sum over events e before t with an entity of kind k of  phi(e)                       [slots,D]
    belief about a number bound to kinds K:  softmax( W [sum_{k in K} memory_k, memory_self, sum_k memory_k] + b )

The memory is a sum over time: it needs no recurrence, forgets nothing, and for events that are independent given the
rules it is where a sum of log-likelihoods belongs. Numbers that are an ordering together (a permutation over kinds of
objects) are scored kind by kind by one head and normalised over all orderings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from marl_meta.nets.events import Events
from marl_meta.nets.knowledge import Block, Knowledge, Unknown
from marl_meta.nets.limits import within
from marl_meta.nets.outcomes import OutcomeModel
from marl_meta.nets.recall import Recall
from marl_meta.types import FloatArray, IntArray

_LEAST_DEVIATION = 0.02


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed at [...] places; the W columns of `knowledge` are those of `nets.knowledge`."""

    knowledge: Tensor
    """[...,W]."""
    log_probs: tuple[Tensor, ...]
    """By rule: log-probabilities [...,O] of its orderings, or [...,size] of the values of its only block; for a number
    that may be anything its mean and the log of its deviation [...,2]."""


class BeliefNet(nn.Module):
    """Events -> memory [R,slots,D] -> belief, for the unknown rules of one layout."""

    def __init__(
        self, knowledge: Knowledge, kinds: tuple[str, ...], event_width: int, hidden: int = 64, memory: int = 32,
        read: str = "head", examples: int = 512, outcomes: OutcomeModel | None = None,
    ) -> None:  # fmt: skip
        """Make a network that knows nothing.

        `kinds` are the kinds of entity that events tell apart; the memory has a slot for each, then the own one. `read`
        says how a belief is read from it: by a `head`, or as by `nets.recall` from `examples` of past tasks, by
        `matching` or `prototypes`. `outcomes` is how beliefs are judged where nobody knows the truth: the unknowns are
        `latent_rules`.
        """
        super().__init__()
        self.knowledge, self.slots, self.memory = knowledge, len(kinds) + 1, memory
        self.outcomes = outcomes
        self.event = nn.Sequential(
            nn.Linear(event_width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, memory)
        )
        sizes = [max(block.size for block in unknown.blocks) for unknown in knowledge.unknowns]
        self.heads = nn.ModuleList(
            _head(3 * memory, size or 2)
            if read == "head"
            else Recall(3 * memory, hidden, size, examples, prototypes=read == "prototypes")
            for size in sizes
        )
        self._kinds = {block: [kinds.index(kind) for kind in block.kinds] for block in knowledge.blocks}

    @torch.no_grad()
    def tie(self, columns: list[int]) -> None:
        """Give these features of events the same weights, the mean of those that they have."""
        weight = self.event[0].weight
        assert isinstance(weight, Tensor)
        weight[:, columns] = weight[:, columns].mean(1, keepdim=True)

    def evidence(self, features: Tensor, place: Tensor, places: int) -> Tensor:
        """Return what events [C,V] add to the memory, summed by `place` [C] (row * slots + kind): [places,D]."""
        each: Tensor = self.event(features)
        return each.new_zeros(places, self.memory).index_add(0, place, each)

    def forward(self, memory: Tensor) -> Belief:
        """Return the belief that a memory [...,slots,D] holds."""
        scores = [
            head(self._seen_of(block, memory))
            for unknown, head in zip(self.knowledge.unknowns, self.heads, strict=True)
            for block in unknown.blocks
        ]
        return believe(self.knowledge, scores)

    def latents(self, belief: Belief, own: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log deviations [...,slots,L] of beliefs in latents, for agents of the kinds `own` [...]."""
        each = torch.stack(belief.log_probs, -2).unflatten(-2, (-1, self.slots - 1)).transpose(-2, -3)
        index = own[..., None, None, None].expand(*own.shape, 1, *each.shape[-2:])
        mean, log_deviation = torch.cat([each, each.gather(-3, index)], -3).unbind(-1)
        return mean, log_deviation

    def _seen_of(self, block: Block, memory: Tensor) -> Tensor:
        """Return what a memory [...,slots,D] has seen of a block [...,3D]: of its kinds, of the agent, in all."""
        of_kinds = memory[..., self._kinds[block], :].sum(-2)
        return torch.cat([of_kinds, memory[..., -1, :], memory.sum(-2)], -1)

    @property
    def recalls(self) -> bool:
        """Whether beliefs are read from examples of past tasks."""
        return any(isinstance(head, Recall) for head in self.heads)

    def nonsense(self) -> tuple[str, str] | None:
        """Return which tensor of the examples holds what no training writes, and what it may hold; None for none."""
        for name, head in self.heads.named_children():
            found = head.examples.nonsense(head.size) if isinstance(head, Recall) else None
            if found is not None:
                return f"heads.{name}.examples.{found[0]}", found[1]
        return None

    def examples(self, labels: Mapping[str, Sequence[str]]) -> dict[str, dict[str, int]]:
        """Return how many examples of past tasks are kept, by rule and value; empty where beliefs are read by heads.

        `labels` are what people call the values of rules. Those of others are as the network has them: scaled.
        """
        found: dict[str, dict[str, int]] = {}
        for unknown, head in zip(self.knowledge.unknowns, self.heads, strict=True):
            if isinstance(head, Recall):
                truth = head.examples.truth[: head.examples.count]
                scaled = [name.partition("=")[2] for name in unknown.blocks[0].names[:-1]]
                names = labels.get(unknown.rule, scaled)
                names = names if len(names) == len(scaled) else scaled  # the family may have changed since
                if head.size:
                    counts = torch.bincount(truth.long(), minlength=head.size).tolist()
                    found[unknown.rule] = dict(zip(names, counts, strict=True))
                else:
                    found[unknown.rule] = {"numbers": len(truth)}
        return found

    @torch.no_grad()
    def keep_examples(self, memory: Tensor, classes: IntArray, numbers: FloatArray) -> None:
        """Keep memories [C,slots,D] of past tasks as examples, with what was true in them (`Knowledge`), [C,blocks]."""
        place = 0
        for unknown, head in zip(self.knowledge.unknowns, self.heads, strict=True):
            for block in unknown.blocks:
                if isinstance(head, Recall):
                    truth = classes[:, place] if block.size else numbers[:, place]
                    head.examples.write(self._seen_of(block, memory), torch.from_numpy(np.ascontiguousarray(truth)))
                place += 1


def believe(knowledge: Knowledge, scores: Sequence[Tensor]) -> Belief:
    """Return the belief that scores of every block express, [...,`score_width`] each."""
    columns: list[Tensor] = []
    log_probs: list[Tensor] = []
    given = iter(scores)
    for unknown in knowledge.unknowns:
        own = [next(given) for _ in unknown.blocks]
        if unknown.orderings is not None:
            joint = _joint(own, torch.from_numpy(unknown.orderings))
            log_probs.append(joint)
            columns += _marginals(joint, unknown)
            continue
        for block, score in zip(unknown.blocks, own, strict=True):
            own_log_probs, own_columns = _alone(block, score)
            log_probs.append(own_log_probs)
            columns.append(own_columns)
    return Belief(torch.cat(columns, -1), tuple(log_probs))


def score_width(block: Block) -> int:
    """Return how many scores express what is believed of a block: one for each value, or two for any number."""
    return block.size or 2


def _joint(scores: list[Tensor], orderings: Tensor) -> Tensor:
    """Return log-probabilities [...,O]: an ordering scores the sum of its places' values."""
    total = sum(score[..., orderings[:, place]] for place, score in enumerate(scores))
    assert isinstance(total, Tensor)
    return torch.log_softmax(total, -1)


def _marginals(joint: Tensor, unknown: Unknown) -> list[Tensor]:
    """Return each block's columns: the probabilities of its values, and how unsure they are."""
    assert unknown.orderings is not None
    probabilities = joint.exp()
    found = []
    for place, block in enumerate(unknown.blocks):
        member = torch.from_numpy(np.eye(block.size, dtype=np.float32)[unknown.orderings[:, place]])
        marginal = probabilities @ member.to(joint.device)
        found.append(torch.cat([marginal, _unsure(marginal, block.size)], -1))
    return found


def _head(inputs: int, outputs: int) -> nn.Linear:
    """Return a reader that adds up.

    It is linear, so that scores are sums over events, as log-likelihoods are. A deeper one learns which combinations of
    rules there are in training, and is sure of the wrong ones on variants that combine them otherwise.
    """
    head = nn.Linear(inputs, outputs)
    nn.init.zeros_(head.weight)  # so that a memory that nobody has trained says nothing
    nn.init.zeros_(head.bias)
    return head


def _alone(block: Block, score: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities (or mean and log deviation) of one independent block, and its columns."""
    if block.size:
        log_probs = torch.log_softmax(score, -1)
        return log_probs, torch.cat([log_probs.exp(), _unsure(log_probs.exp(), block.size)], -1)
    # A product of Gaussian factors, as in PEARL (Rakelly et al. 2019): each event adds to the precision, and to the
    # mean times it.
    gained = within(score[..., 1:], 0.0, _LEAST_DEVIATION**-2 - 1.0)
    mean, log_deviation = torch.tanh(score[..., :1] / (1.0 + gained)), -0.5 * torch.log1p(gained)
    return torch.cat([mean, log_deviation], -1), torch.cat([mean, log_deviation.exp()], -1)


def _unsure(probabilities: Tensor, size: int) -> Tensor:
    """Return the entropy [...,1] of probabilities [...,size], as a share of the largest possible."""
    entropy = -(probabilities * probabilities.clamp(min=1e-12).log()).sum(-1, keepdim=True)
    return entropy / math.log(size)


def belief_loss(belief: Belief, knowledge: Knowledge, classes: IntArray, numbers: FloatArray) -> Tensor:
    """Return the mean over rules of minus the log-likelihood [...] of the true rules.

    `classes` [...,blocks] are the values that the blocks have, `numbers` [...,blocks] their numbers (`Knowledge`). In
    nats; a number that may be anything is Gaussian.
    """
    losses: list[Tensor] = []
    given = iter(belief.log_probs)
    place = 0
    for unknown in knowledge.unknowns:
        count = len(unknown.blocks)
        own = torch.from_numpy(classes[..., place : place + count])
        place += count
        if unknown.orderings is not None:
            which = (own.unsqueeze(-2) == torch.from_numpy(unknown.orderings)).all(-1).float().argmax(-1)
            losses.append(_log_loss(next(given), which))
            continue
        for index, block in enumerate(unknown.blocks):
            log_probs = next(given)
            if block.size:
                losses.append(_log_loss(log_probs, own[..., index]))
            else:
                truth = torch.from_numpy(np.ascontiguousarray(numbers[..., place - count + index]))
                scaled = (truth - log_probs[..., 0]) / log_probs[..., 1].exp()
                losses.append(0.5 * scaled.square() + log_probs[..., 1] + 0.5 * math.log(2 * math.pi))
    return torch.stack(losses).mean(0)


def guess_loss(guess: Tensor, knowledge: Knowledge, hidden: FloatArray) -> Tensor:
    """Return `belief_loss` [...] of the belief that a network's scores [...,G] express, under the rules [...,R']."""
    belief = believe(knowledge, guess.split([score_width(block) for block in knowledge.blocks], -1))
    return belief_loss(belief, knowledge, knowledge.classes(hidden), knowledge.numbers(hidden))


def _log_loss(log_probs: Tensor, which: Tensor) -> Tensor:
    return -log_probs.gather(-1, which.to(log_probs.device).unsqueeze(-1)).squeeze(-1)


def places(events: Events, slots: int) -> Tensor:
    """Return where in a memory of [rows,slots] each event belongs, int [C]."""
    return torch.from_numpy(events.row * slots + events.kind)
