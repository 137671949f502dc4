"""One Observation of a batch of running third-party games."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marl_meta.interop.plan import Arrangement, GamePlan
from marl_meta.interop.reconstruct import reconstruct
from marl_meta.interop.running import RunningGame
from marl_meta.types import FloatArray, IntArray, Observation


def observe(
    arranged: Arrangement,
    plans: Sequence[GamePlan],
    games: Sequence[RunningGame],
    variant: IntArray,
    rules: FloatArray,
    *,
    last: bool,
) -> Observation:
    """Return what `games` show now; `variant` [B] indexes `plans` and the rows of `rules` [V,R].

    With `last`, those act who acted in the transition that led here, as the last observation of an episode has it.
    """
    layout, size = arranged.layout, (len(games), len(arranged.agent_names))
    acting, alive = np.zeros(size, bool), np.zeros(size, bool)
    mask = np.zeros((*size, len(layout.actions)), bool)
    mask[:, :, 0] = True
    for b, game in enumerate(games):
        slots = arranged.slots[variant[b]].entities[: len(game.plan.agents)]
        acting[b, slots], mask[b, slots] = game.acted if last else game.acting, game.action_mask
        alive[b, slots] = game.alive
    private = np.zeros((*size, len(layout.private_features)), np.float32)
    entities = np.zeros((len(games), arranged.num_entities, len(layout.entity_features)), np.float32)
    present, sees = np.zeros(entities.shape[:2], bool), np.zeros((*size, arranged.num_entities), bool)
    partial = False
    for index in np.unique(variant):
        rows, slots, plan = np.flatnonzero(variant == index), arranged.slots[index].entities, plans[index]
        agents = slots[: len(plan.agents)]
        chosen = [games[int(b)] for b in rows]
        vectors = np.stack([game.vectors for game in chosen])
        if plan.reading is None:
            private[np.ix_(rows, agents)] = vectors
            present[np.ix_(rows, agents)] = alive[np.ix_(rows, agents)]
            continue
        places = np.stack([game.places for game in chosen])
        found = reconstruct(plan.reading, vectors, alive[np.ix_(rows, agents)], places)
        entities[np.ix_(rows, slots)], present[np.ix_(rows, slots)], private[np.ix_(rows, agents)] = found[:3]
        partial |= found[3] is not None
        sees[np.ix_(rows, agents, slots)] = present[rows][:, None, slots] if found[3] is None else found[3]
    static = [arranged.slots[index] for index in variant]
    return Observation(
        entities=entities,
        kind=np.stack([slots.kind for slots in static]),
        team=np.stack([slots.team for slots in static]),
        present=present,
        private=private,
        sees=sees if partial else None,
        acting=acting,
        action_mask=mask,
        rules=rules[variant],
    )
