"""The relation graph and its events once more, in tensor code alone: what an ONNX file computes by itself.

The same numbers as those of `nets.features` and `nets.events`, for R views of one agent each instead of batches of
games: everything that a view sees has a row [R,E,...], and `me` [R] says which of them the agent is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from marl_meta.nets.features import GEOMETRY
from marl_meta.types import Layout

_NEAR = 0.2
"""As in `nets.features` and `nets.events`: over this distance contact fades."""
_STILL = 1e-6
_FAR = 1e6


@dataclass(frozen=True, slots=True)
class Views:
    """What R agents see. Rows of what they do not see may be anything."""

    entities: Tensor
    """[R,E,F]"""
    kind: Tensor
    """int [R,E] among the kinds that nodes tell apart."""
    team: Tensor
    """int [R,E], -1 for objects."""
    seen: Tensor
    """bool [R,E], the agent itself among them."""
    me: Tensor
    """int [R]"""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where what stands in the entities' features."""

    geometry: tuple[int, ...]
    radius: int
    plain: tuple[int, ...]
    kinds: int
    completes: int = -1
    """1 of what is complete, in games in which that is what happens (`Layout.completes`)."""

    @classmethod
    def of(cls, layout: Layout, kinds: int) -> Columns:
        """Return those of a layout."""
        names = layout.entity_features
        placed = set(GEOMETRY) <= set(names)
        return cls(
            geometry=tuple(names.index(name) for name in GEOMETRY) if placed else (),
            radius=names.index("radius") if "radius" in names else -1,
            plain=tuple(i for i, name in enumerate(names) if not placed or name not in GEOMETRY),
            kinds=kinds,
            completes=names.index(layout.completes) if layout.completes else -1,
        )


def one_hot(index: Tensor, count: int) -> Tensor:
    """Return [...,count], zeros where the index is out of range."""
    return (index.unsqueeze(-1) == torch.arange(count)).float()


def nodes(views: Views, columns: Columns, carried: Tensor) -> Tensor:
    """Return the nodes [R,E,S]: a one, the kind, plain features, then what is `carried` [R,E,...]; zeros of the unseen.

    `carried` is visible rules, then what is known of hidden ones.
    """
    kind = one_hot(views.kind, columns.kinds)
    plain = views.entities[..., list(columns.plain)]
    found = torch.cat([torch.ones_like(kind[..., :1]), kind, plain, carried], -1)
    return torch.where(views.seen.unsqueeze(-1), found, torch.zeros(()))


def edges(views: Views, columns: Columns, node: Tensor, receiver: Tensor) -> Tensor:
    """Return the edges [R,E,S+F'] into one entity `receiver` [R] of each view; zeros from the unseen."""
    entities = views.entities.shape[1]
    slots = torch.arange(entities)
    mine = slots == receiver.unsqueeze(-1)
    team_of = views.team.gather(1, receiver.unsqueeze(-1))
    same = views.team == team_of
    parts = [node]
    if columns.geometry:
        parts.append(_relative(views, columns, receiver, mine))
        parts.append(_order(views, columns, receiver, mine, same))
    agents = views.team >= 0
    relation = torch.stack([mine, ~mine & same, ~same & agents, ~agents], -1)
    found = torch.cat([*parts, relation.float()], -1)
    return torch.where(views.seen.unsqueeze(-1), found, torch.zeros(()))


def _at(values: Tensor, index: Tensor) -> Tensor:
    """Return the rows [R,1,...] of values [R,E,...] at `index` [R]."""
    shape = (index.shape[0], 1, *values.shape[2:])
    return values.gather(1, index.view(-1, 1, *([1] * (values.dim() - 2))).expand(shape))


def _distances(one: Tensor, other: Tensor) -> Tensor:
    """Return the distances [R,I,J] between places [R,I,2] and [R,J,2]."""
    apart = one.unsqueeze(2) - other.unsqueeze(1)
    return (apart * apart).sum(-1).sqrt()


def _relative(views: Views, columns: Columns, receiver: Tensor, mine: Tensor) -> Tensor:
    place = views.entities[..., list(columns.geometry)]
    delta = place - _at(place, receiver)
    apart = (delta[..., :2] * delta[..., :2]).sum(-1).sqrt()
    direction = delta[..., :2] / apart.clamp(min=1e-6).unsqueeze(-1)
    gap = apart
    if columns.radius >= 0:
        radius = views.entities[..., columns.radius]
        gap = apart - (radius + _at(radius, receiver))
    contact = torch.where(mine, torch.zeros(()), (1.0 - gap / _NEAR).clamp(0.0, 2.0))
    return torch.cat(
        [delta, torch.stack([apart], -1), direction, torch.stack([_NEAR / (_NEAR + apart), contact], -1)], -1
    )


def _order(views: Views, columns: Columns, receiver: Tensor, mine: Tensor, same: Tensor) -> Tensor:
    """Return who is closer: margins over teammates and opponents, ranks in the team and among its kind [R,E,4]."""
    place = views.entities[..., list(columns.geometry[:2])]
    between = _distances(place, place)  # [R,other,j]
    apart = _at(between, receiver).squeeze(1)
    # `other` is a seen agent besides the receiver and j themselves.
    slots = torch.arange(place.shape[1])
    apart_from_j = slots.unsqueeze(-1) != slots
    rival = (views.seen & ~mine).unsqueeze(2) & apart_from_j
    agent = rival & (views.team >= 0).unsqueeze(2)
    mates, others = agent & same.unsqueeze(2), agent & ~same.unsqueeze(2)
    margins = []
    for who in (mates, others):
        nearest = torch.where(who, between, torch.full((), _FAR)).amin(1)
        margins.append((nearest - apart).clamp(-1.0, 1.0))
    closer = (mates & (between < apart.unsqueeze(1))).sum(1)
    kin = rival & (views.kind.unsqueeze(2) == views.kind.unsqueeze(1))
    nearer = (kin & (apart.unsqueeze(2) < apart.unsqueeze(1))).sum(1)
    ranks = [1.0 / (1.0 + count.float()) for count in (closer, nearer)]
    return torch.stack([*margins, *ranks], -1)


@dataclass(frozen=True, slots=True)
class Moves:
    """What a transition was for R agents, beside what they saw before and after."""

    private: Tensor
    """[R,P] before it."""
    private_after: Tensor
    action: Tensor
    """int [R]"""
    reward: Tensor
    """[R]"""


def events(
    before: Views, after: Tensor, moves: Moves, columns: Columns, actions: int, *, everything: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return features [R,E,V] of the events of every entity, their kind int [R,E], and which of them count bool [R,E].

    `after` are the entities [R,E,F] after the transition. See `nets.events`.
    """
    slots = torch.arange(after.shape[1])
    mine = slots == before.me.unsqueeze(-1)
    objects = before.team < 0
    if columns.completes >= 0:
        full = [entities[..., columns.completes] >= 1.0 - _STILL for entities in (before.entities, after)]
        moved = before.seen & full[1] & ~full[0]
    else:
        moved = before.seen & objects & ((after - before.entities).abs() > _STILL).any(-1)
    displaced = (one_hot(before.kind, columns.kinds) * moved.unsqueeze(-1).float()).sum(1)
    team_of = _at(before.team, before.me)
    same = before.team == team_of
    relation = torch.stack([mine, ~mine & same, ~same & ~objects, objects & ~mine], -1).float()
    if columns.geometry:
        touch, touched = _touch(before, after, columns, mine, same)
    else:
        touch, touched = torch.zeros(*mine.shape, 7), torch.zeros_like(mine)
    own = torch.cat([moves.private, moves.private_after - moves.private, one_hot(moves.action, actions)], -1)
    kind = torch.where(mine, columns.kinds, before.kind)
    shape = (*mine.shape, -1)
    features = torch.cat(
        [
            one_hot(kind, columns.kinds + 1), relation, touch, moved.unsqueeze(-1).float(),
            moves.reward.view(-1, 1, 1).expand(*mine.shape, 1), displaced.unsqueeze(1).expand(shape),
            torch.where(mine.unsqueeze(-1), own.unsqueeze(1).expand(shape), torch.zeros(())),
        ],
        -1,
    )  # fmt: skip
    counts = before.seen & (mine | moved | touched | everything)
    return features, kind, counts


def _touch(
    before: Views, after: Tensor, columns: Columns, mine: Tensor, same: Tensor
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return who touches what [R,E,7], and whether anybody does bool [R,E]."""
    xy = list(columns.geometry[:2])
    now = after[..., xy]
    there = torch.where((before.team >= 0).unsqueeze(-1), now, before.entities[..., xy])
    gap = _distances(now, there)  # [R,who,j]
    if columns.radius >= 0:
        radius = before.entities[..., columns.radius]
        gap = gap - (radius.unsqueeze(2) + radius.unsqueeze(1))
    slots = torch.arange(now.shape[1])
    who = (before.seen & (before.team >= 0)).unsqueeze(2) & (slots.unsqueeze(-1) != slots)
    touching = who & (gap < 0.0)
    by_me = (touching & mine.unsqueeze(2)).any(1)
    mates = (touching & (same & ~mine).unsqueeze(2)).sum(1)
    rivals = (touching & ~same.unsqueeze(2)).sum(1)
    my_gap = _at(gap, before.me).squeeze(1)
    near = torch.where(mine, torch.zeros(()), (1.0 - my_gap / _NEAR).clamp(0.0, 2.0))
    alone = by_me & (mates == 0) & (rivals == 0)
    flags = [by_me, mates == 1, mates > 1, alone, rivals > 0]
    columns_found = [near, torch.where(mine, torch.zeros(()), my_gap), *(flag.float() for flag in flags)]
    return torch.stack(columns_found, -1), by_me | (mates > 0) | (rivals > 0)
