"""Predicting what a step pays, changes and displaces, from what happened and what is known of the kinds of entity.

    x_s = sum of the events of one agent's step with entities of kind s (and with itself)         [slots,V]
    reward = u . sum_s tanh(A x_s + a) * (B c_s + b),     change = U (tanh(A' x_self + a') * (B' c_self + b'))
    displaced_s = v . (tanh(A'' x_s + a'') * (B'' [c_s; c_self] + b''))

c_s [W] is what is known of kind s. Predictions are linear in it, so that fitting it to experience by gradient steps is
a least-squares problem; what it multiplies is learnt.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from marl_meta.nets.events import EventReader, Events
from marl_meta.types import FloatArray


class Prediction(NamedTuple):
    """What is expected of steps [...]."""

    reward: Tensor
    """[...]."""
    change: Tensor
    """[...,P] of the agent's private features."""
    displaced: Tensor
    """[...,kinds] how many of each kind are displaced; [...,0] where that is not predicted."""


class Happened(NamedTuple):
    """What happened in steps [...], as predictions read it."""

    worth: Tensor
    """[...,slots,W] the reward's slopes in what is known of each kind."""
    offset: Tensor
    """[...] the reward where nothing is known."""
    own: Tensor
    """[...,H] of the agent itself, without what came of it."""
    change: Tensor
    """[...,P] how the agent's private features did change."""
    touched: Tensor
    """[...,kinds,H] of each kind, without what came of it; [...,0,H] where displacements are not predicted."""
    displaced: Tensor
    """[...,kinds] how many of each kind were displaced."""


class Slopes(NamedTuple):
    """How predictions [...] move with what is known."""

    reward: Tensor
    """[...,slots,W] with what is known of each kind, last of the agent itself."""
    change: Tensor
    """[...,P,W] with what is known of the agent itself."""
    displaced: Tensor
    """[...,kinds,2,W] those of each kind, with what is known of it and of the agent itself."""


class Predictor(nn.Module):
    """Events of a step and what is known of each kind -> the reward, how private features change, what is displaced."""

    def __init__(self, reader: EventReader, known: int, hidden: int = 32, *, displaces: bool = False) -> None:
        """`known` is W, the number of features that say what is known of a kind.

        `displaces` says whether displacements are predicted: who knows how many must act together foresees them.
        """
        super().__init__()
        self.private, self.pay = len(reader.change), reader.pay
        self.change_columns = slice(reader.change.start, reader.change.stop)
        hides = {reader.pay, *reader.change, *reader.moved}
        self._paid_by = [column for column in range(reader.width) if column != reader.pay]
        self._changed_by = [column for column in range(reader.width) if column not in hides]
        self.happened = nn.Linear(len(self._paid_by), hidden)
        self.known = nn.Linear(known, hidden)
        self.reward = nn.Linear(hidden, 1)
        self.moved = nn.Linear(len(self._changed_by), hidden)
        self.moved_known = nn.Linear(known, hidden)
        self.change = nn.Linear(hidden, self.private)
        self._moved, self._kinds = reader.moved[0], reader.slots - 1 if displaces else 0
        self.touched = nn.Linear(len(self._changed_by), hidden) if displaces else None
        self.touched_known = nn.Linear(2 * known, hidden) if displaces else None
        self.displaced = nn.Linear(hidden, 1) if displaces else None

    def read(self, events: Tensor) -> Happened:
        """Return all that predictions take from sums of events [...,slots,V], whatever is known."""
        happened = torch.tanh(self.happened(events[..., self._paid_by])) * self.reward.weight
        offset = (happened @ self.known.bias).sum(-1) + self.reward.bias
        moved = torch.tanh(self.moved(events[..., -1, :][..., self._changed_by]))
        of_kinds = events[..., : self._kinds, :]
        touched = of_kinds[..., :0]
        if self.touched is not None:
            touched = torch.tanh(self.touched(of_kinds[..., self._changed_by]))
        change = events[..., -1, self.change_columns]
        return Happened(happened @ self.known.weight, offset, moved, change, touched, of_kinds[..., self._moved])

    def forward(self, happened: Happened, known: Tensor) -> Prediction:
        """Return predictions [...] for what happened and what is known of each slot [...,slots,W]."""
        reward = happened.offset + (happened.worth * known).sum((-1, -2))
        change = self.change(happened.own * self.moved_known(known[..., -1, :]))
        displaced = happened.displaced
        if self.touched_known is not None and self.displaced is not None:
            of_kinds = known[..., :-1, :]
            pairs = torch.cat([of_kinds, known[..., -1:, :].expand(of_kinds.shape)], -1)
            displaced = self.displaced(happened.touched * self.touched_known(pairs)).squeeze(-1)
        return Prediction(reward, change, displaced)

    def slopes(self, happened: Happened) -> Slopes:
        """Return how the predictions of `forward` move with what is known: the same wherever that is."""
        touched = happened.touched
        displaced = touched.new_zeros(*touched.shape[:-1], 2 * self.known.in_features)
        if self.touched_known is not None and self.displaced is not None:
            displaced = (touched * self.displaced.weight) @ self.touched_known.weight
        return Slopes(happened.worth, self.change_slopes(happened), displaced.unflatten(-1, (2, -1)))

    def change_slopes(self, happened: Happened) -> Tensor:
        """Return how predicted changes move with what is known of the agent itself [...,P,W]."""
        slopes: Tensor = torch.einsum("ph,...h,hw->...pw", self.change.weight, happened.own, self.moved_known.weight)
        return slopes


def summed(events: Events, rows: int, slots: int) -> FloatArray:
    """Return the sums of the events of each row by kind [rows,slots,V]; the last slot is the agent itself."""
    sums = np.zeros((rows * slots, events.features.shape[1]), np.float32)
    np.add.at(sums, events.row * slots + events.kind, events.features)
    return sums.reshape(rows, slots, -1)
