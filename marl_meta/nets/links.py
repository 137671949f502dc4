"""Linked entities as one list: who is there, with whom each of them is linked, and sums over links.

    y_q = [ sum_{j in links_1(q)} h_j ; ... ; sum_{j in links_K(q)} h_j ]         h [P,H] -> y [Q,K H]

Boards of many sizes share a batch and their lines die out as a game goes on, so that most slots are empty. What is
there, P entities of all views, stands in a row; links [Q,L] are places in it, -1 for none, and `relation` [L] says
which of the K relations each column is of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from marl_meta.kernels import kernel
from marl_meta.nets.arrays import arrays
from marl_meta.types import BoolArray, FloatArray, IntArray, LinkArray


@dataclass(frozen=True, slots=True)
class Linked:
    """The entities that R agents see, in a row, and those of them that legal actions are about."""

    place: Tensor
    """int64 [P] of each entity among all R * E slots."""
    links: Tensor
    """int64 [P,L]"""
    asked: Tensor
    """int64 [Q] the entities that legal actions are about, as places in the row."""
    asker: Tensor
    """int64 [Q] whose action it is."""
    action: Tensor
    """int64 [Q]"""


def list_linked(present: Tensor, links: Tensor, targets: Tensor, legal: Tensor) -> Linked:
    """Return what is there, for `present` bool [R,E], `links` int [R,E,L], `targets` int [R,A] and `legal` bool [R,A].

    Links to what is not there are left out; a legal action is about an entity that is there.
    """
    there, joined, about, allowed = arrays(present, links, targets, legal)
    count, asked = int(there.sum()), int(((about >= 0) & allowed).sum())
    place = np.empty(count, np.int64)
    found = np.empty((count, joined.shape[2]), np.int64)
    entity, asker, action = (np.empty(asked, np.int64) for _ in range(3))
    asked = _list(there, joined, about, allowed, (place, found), (entity, asker, action))
    entity, asker, action = entity[:asked], asker[:asked], action[:asked]
    listed = (place, found, entity, asker, action)
    return Linked(*(torch.from_numpy(array) for array in listed))


@kernel
def _list(
    present: BoolArray, links: LinkArray, targets: LinkArray, legal: BoolArray,
    listed: tuple[IntArray, IntArray], asked: tuple[IntArray, IntArray, IntArray],
) -> int:  # fmt: skip
    place, found = listed
    entity, asker, action = asked
    rows, entities = present.shape
    where = np.empty(entities, np.int64)
    first, count = 0, 0
    for row in range(rows):
        at = first
        for e in range(entities):
            where[e] = at if present[row, e] else -1
            at += present[row, e]
        for e in range(entities):
            if where[e] < 0:
                continue
            place[where[e]] = row * entities + e
            for column in range(found.shape[1]):
                other = links[row, e, column]
                found[where[e], column] = where[other] if other >= 0 else -1
        for a in range(targets.shape[1]):
            if legal[row, a] and targets[row, a] >= 0 and where[targets[row, a]] >= 0:
                entity[count], asker[count], action[count] = where[targets[row, a]], row, a
                count += 1
        first = at
    return count


def linked_sums_reference(hidden: Tensor, links: Tensor, named: tuple[str, ...]) -> Tensor:
    """Return the sums [Q,K H], in plain tensor code; the last columns of `links` are `named`."""
    padded = torch.cat([hidden, torch.zeros_like(hidden[:1])])
    place = torch.where(links >= 0, links, hidden.shape[0])
    first = links.shape[1] - len(named)
    sums = [padded[place[:, :first]].sum(1)]
    for name in dict.fromkeys(named):
        columns = [first + index for index, one in enumerate(named) if one == name]
        sums.append(torch.stack([padded[place[:, column]] for column in columns]).sum(0))
    return torch.cat(sums, -1)


@kernel
def _sum(hidden: FloatArray, links: IntArray, relation: IntArray, sums: FloatArray) -> None:
    """Fill `sums` [Q,K H]."""
    width = hidden.shape[1]
    for row in range(links.shape[0]):
        total = sums[row]
        for k in range(total.size):
            total[k] = 0.0
        for column in range(relation.size):
            other = links[row, column]
            if other < 0:
                continue
            sent, first = hidden[other], relation[column] * width
            into = total[first : first + width]
            for k in range(width):
                into[k] += sent[k]


@kernel
def _sum_backward(grad_sums: FloatArray, links: IntArray, relation: IntArray, grad: FloatArray) -> None:
    """Add to `grad` [P,H], which comes in as zeros."""
    width = grad.shape[1]
    for row in range(links.shape[0]):
        total = grad_sums[row]
        for column in range(relation.size):
            other = links[row, column]
            if other < 0:
                continue
            into, first = grad[other], relation[column] * width
            sent = total[first : first + width]
            for k in range(width):
                into[k] += sent[k]


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, links: Tensor, relation: Tensor, relations: int) -> Tensor:
        sums = torch.empty(len(links), relations * hidden.shape[1])
        _sum(*arrays(hidden, links, relation, sums))
        ctx.save_for_backward(links, relation)
        ctx.shape = hidden.shape
        return sums

    @staticmethod
    def backward(ctx: Any, grad_sums: Tensor) -> tuple[Tensor | None, ...]:
        links, relation = ctx.saved_tensors
        grad = torch.zeros(ctx.shape)
        _sum_backward(*arrays(grad_sums, links, relation, grad))
        return grad, None, None, None


def linked_sums(hidden: Tensor, links: Tensor, named: tuple[str, ...]) -> Tensor:
    """Return what `linked_sums_reference` returns, by a CPU kernel (float32), differentiable once."""
    relation, relations = column_relations(links.shape[1], named)
    columns = torch.from_numpy(relation)
    return _Sums.apply(hidden, links, columns, relations)  # type: ignore[no-any-return, no-untyped-call]


def column_relations(columns: int, named: tuple[str, ...]) -> tuple[IntArray, int]:
    """Return which relation each of L columns of links is of [L], and how many relations there are.

    The last columns are `named`, each name a relation of its own; all before are relation 0.
    """
    names = list(dict.fromkeys(named))
    found = np.zeros(columns, np.int64)
    found[columns - len(named) :] = [1 + names.index(name) for name in named]
    return found, 1 + len(names)
