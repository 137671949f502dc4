"""What agents lived through, as the tensors that gradients are taken over: episodes of M tasks side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.export import register_dataclass
from torch.utils._pytree import tree_map

from marl_meta.nets.policy import GraphTensors
from marl_meta.nets.prediction import Happened


@dataclass(frozen=True, slots=True)
class Lived:
    """K episodes of L steps (shorter ones are filled up with entries of weight 0) of n agents in each of M tasks.

    Here entries are [M,K,L,n,...]; a task's loss sees those of its episodes side by side as rows, [L,R,...].
    """

    graph: GraphTensors
    action_mask: Tensor
    action: Tensor
    log_prob: Tensor
    """Of the action, under the parameters that played."""
    advantage: Tensor
    """Of mean 0 and deviation 1 over each task's entries."""
    target: Tensor
    """What the critic should have expected, in the game's units."""
    reward: Tensor
    weight: Tensor
    """1 where the agent acted, else 0."""
    there: Tensor
    """1 where the agent was there to see what happened, acting or not, else 0."""
    events: Tensor | None
    """[...,slots,V] sums of what happened by kind, for those who predict."""
    known: Tensor | None
    """[...,kinds,W] what nodes of each kind carried without a context."""
    happened: Happened | None = None
    """What predictions read of the events, worked out once for all steps (`Body.read`)."""


register_dataclass(Lived)


def side_by_side(episodes: Any, first: int, last: int) -> Any:
    """Return the episodes from `first` to `last` (exclusive) as rows: [M,K,L,n,...] -> [M,L,R,...], R = k * n."""
    return tree_map(lambda entry: entry[:, first:last].transpose(1, 2).flatten(2, 3).contiguous(), episodes)


def one_by_one(episodes: Any) -> Any:
    """Return every episode as a task of its own, episode by episode: [M,K,L,n,...] -> [K*M,L,n,...]."""
    return tree_map(lambda entry: entry.transpose(0, 1).flatten(0, 1).contiguous(), episodes)


def arranged(entries: Any, games: int, places: Tensor) -> Any:
    """Return [M,K,L,n,...] of entries [T,M*n,...] where `places` int [M,K,L] says which of the T steps are meant."""
    task = torch.arange(games).view(-1, 1, 1)
    return tree_map(lambda entry: entry.unflatten(1, (games, -1))[places, task], entries)


def standardised(advantage: Tensor, weight: Tensor) -> Tensor:
    """Return advantages [M,...] of mean 0 and deviation 1 over each task's entries of weight 1, and 0 elsewhere."""
    axes = tuple(range(1, advantage.dim()))
    count = weight.sum(axes, keepdim=True).clamp(min=1.0)
    centred = (advantage - (advantage * weight).sum(axes, keepdim=True) / count) * weight
    deviation = (centred.square().sum(axes, keepdim=True) / count).sqrt()
    return centred / (deviation + 1e-6)
