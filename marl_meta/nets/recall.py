"""Reading a belief from the remembered experience of past tasks, whose rules are known, instead of from weights.

An episodic memory holds S examples: what had been seen of some number of a rule in a past task (the inputs x_i that a
head would read), and which value v_i it had. With f a learnt embedding, and q = f(x) what has been seen of this one,

    matching:     p(v) = sum over i with v_i = v of a_i,   a = softmax_i( cos(q, f(x_i)) / temperature )
    prototypes:   p(v) ~ exp( -|q - c_v|^2 ),              c_v = mean over i with v_i = v of f(x_i)

(Vinyals et al. 2016, eq. 1; Snell et al. 2017, eq. 2.) The memory is bounded: the oldest examples make room.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TEMPERATURE = 0.1
_KEY = 32
_LEAST_SHARE = 1e-4
"""Of the attention that a value is given, so that what was never seen is unlikely and not impossible."""
_FAR = 12.0
"""Squared distance to a value of which there is no example."""
MOST_WRITTEN = 2**48
"""Of examples that were ever written: more than any training writes, and far from where a count overflows."""


class Examples(nn.Module):
    """S examples of what had been seen [S,I] and what was true; the newest replace the oldest."""

    inputs: Tensor
    """[S,I]"""
    truth: Tensor
    """[S] the value's index, or the number itself where it may be anything."""
    written: Tensor
    """[] how many examples have ever been written."""

    def __init__(self, room: int, width: int) -> None:
        super().__init__()
        self.room = room
        self.register_buffer("inputs", torch.zeros(room, width))
        self.register_buffer("truth", torch.zeros(room))
        self.register_buffer("written", torch.zeros((), dtype=torch.int64))

    @property
    def count(self) -> int:
        """How many examples there are."""
        return min(int(self.written), self.room)

    def nonsense(self, size: int) -> tuple[str, str] | None:
        """Return which tensor holds what no training writes, and what it may hold; None where all make sense.

        `size` is as in `Recall`.
        """
        if not 0 <= int(self.written) <= MOST_WRITTEN:
            return "written", f"a number from 0 to {MOST_WRITTEN}"
        if size and not ((self.truth >= 0) & (self.truth < size) & (self.truth == self.truth.round())).all():
            return "truth", f"whole numbers from 0 to {size - 1}"
        return None

    @torch.no_grad()
    def write(self, inputs: Tensor, truth: Tensor) -> None:
        """Add examples [C,I] with their truth [C]."""
        inputs, truth = inputs[-self.room :], truth[-self.room :]
        places = (int(self.written) + torch.arange(len(inputs))) % self.room
        self.inputs[places] = inputs
        self.truth[places] = truth.to(self.truth.dtype)
        self.written += len(inputs)


class Recall(nn.Module):
    """Scores [...,size] of the values of a rule's numbers, from examples; for a number mean and log deviation."""

    def __init__(self, inputs: int, hidden: int, size: int, room: int, prototypes: bool) -> None:
        """`size` 0 is a number that may be anything; `prototypes` compares with each value's mean example."""
        super().__init__()
        self.size, self.prototypes = size, prototypes
        self.embed = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, _KEY))
        self.examples = Examples(room, inputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what `size` says, for what was seen [...,I]."""
        count = self.examples.count
        if count == 0:
            nothing: Tensor = self.embed(inputs).sum() * 0.0  # so that there are gradients, all zero
            return inputs.new_zeros(*inputs.shape[:-1], self.size or 2) + nothing
        query: Tensor = self.embed(inputs)
        key: Tensor = self.embed(self.examples.inputs[:count])
        truth = self.examples.truth[:count]
        if self.size and self.prototypes:
            return self._near(query, key, truth)
        weights = torch.softmax(_cosine(query, key) / TEMPERATURE, -1)
        return self._shares(weights, truth) if self.size else _moments(weights, truth)

    def _shares(self, weights: Tensor, truth: Tensor) -> Tensor:
        """Return the log of the attention [...,size] on the examples of each value."""
        member = nn.functional.one_hot(truth.long(), self.size).to(weights.dtype)
        shares: Tensor = weights @ member
        return torch.log(shares + _LEAST_SHARE)

    def _near(self, query: Tensor, key: Tensor, truth: Tensor) -> Tensor:
        """Return minus the squared distance [...,size] to the mean of each value's examples."""
        member = nn.functional.one_hot(truth.long(), self.size).to(key.dtype)
        counts = member.sum(0)
        centre = member.t() @ key / counts.clamp(min=1.0)[:, None]
        distance = (query.unsqueeze(-2) - centre).square().sum(-1)
        return -torch.where(counts > 0, distance, torch.full_like(distance, _FAR))


def _cosine(query: Tensor, key: Tensor) -> Tensor:
    return nn.functional.normalize(query, dim=-1) @ nn.functional.normalize(key, dim=-1).t()


def _moments(weights: Tensor, truth: Tensor) -> Tensor:
    """Return the inverse hyperbolic tangent of the attended mean, and the log of the deviation: [...,2]."""
    mean = (weights * truth).sum(-1)
    variance = (weights * (truth - mean.unsqueeze(-1)).square()).sum(-1)
    limit = 1.0 - 1e-4
    return torch.stack([torch.atanh(mean.clamp(-limit, limit)), 0.5 * torch.log(variance + math.exp(-8.0))], -1)
