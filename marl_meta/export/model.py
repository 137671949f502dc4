"""A team as Stable-Baselines3 has models: something that predicts actions, and leaves its memory to the caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from marl_meta.export.environments import Place
from marl_meta.export.portable import FIRST, MID, Memory, Portable, Told
from marl_meta.rollout import sample
from marl_meta.team.team import Team
from marl_meta.types import IntArray, UserError
from marl_meta.wording import listed


@dataclass(frozen=True, slots=True)
class ModelState:
    """What a model remembers of n games."""

    memory: Memory
    action: Tensor
    """[n] its last actions."""


class Model:
    """A team whose `predict(observation, state, episode_start, deterministic)` is Stable-Baselines3's.

    It plays one agent, in one game or in several side by side. Nobody tells `predict` what actions paid, so it does not
    adapt to hidden rules as it plays: it knows what the team knew when it was saved.
    """

    def __init__(self, team: Team, place: Place, agent: str | None = None, seed: int = 0) -> None:
        """`agent` is whom it plays, by default the first that it can. Raises UserError for one that it cannot."""
        sight, layout = place.seen.sight, place.seen.layout
        able = [name for name in sight.agents if _can_play(team, place, name)]
        if not able or (agent is not None and agent not in able):
            wanted = agent or "any agent"
            raise UserError(f"The team {team.name!r} cannot play {wanted} in this game; it can play {listed(able)}.")
        self.agent = agent or able[0]
        side = layout.teams[sight.team[sight.eyes[self.agent].slot]]
        team.check(layout, team.designs[team.policy_for(side)])
        self._portable = Portable(team, side).eval()
        self._place, self._generator = place, torch.Generator().manual_seed(seed)
        self._kind: IntArray = np.array([self._portable.kinds.index(sight.kinds[kind]) for kind in sight.kind])

    @torch.no_grad()
    def predict(
        self,
        observation: Any,
        state: ModelState | None = None,
        episode_start: npt.NDArray[np.bool_] | None = None,
        deterministic: bool = False,
        action_masks: Any = None,
    ) -> tuple[Any, ModelState]:
        """Return the actions, and what to hand in as `state` the next time, which is never changed in place.

        `observation` is a vector [D] (then the action is one) or [n,D]; `episode_start` bool [n] says where a game
        begins, and memory is cleared. Legal actions may be given as `action_masks` [A] or [n,A], or in an observation
        `{observation, action_mask}`. Raises UserError for observations of another length.
        """
        if isinstance(observation, Mapping):
            observation, action_masks = observation["observation"], observation.get("action_mask", action_masks)
        given = np.asarray(observation)
        vectors = given[None] if given.ndim == 1 else given
        rows, entities = len(vectors), len(self._kind)
        begins = np.zeros(rows, np.bool_) if episode_start is None else np.asarray(episode_start, np.bool_).reshape(-1)
        start = self._portable.start(rows, entities)
        if state is None:
            state, begins = ModelState(start, torch.zeros(rows, dtype=torch.int64)), np.ones(rows, np.bool_)
        anew = torch.from_numpy(begins)
        memory = Memory(*(_reset(old, new, anew) for old, new in zip(state.memory, start, strict=True)))
        memory = memory._replace(seen=torch.zeros_like(memory.seen))  # what it paid is not known: no evidence
        told = self._told(vectors, begins, state.action, action_masks)
        logits, _, memory = self._portable(told, memory)
        action = logits.argmax(-1) if deterministic else sample(torch.log_softmax(logits, -1), self._generator)
        says = [self._place.says(self.agent, int(one)) for one in action]
        return (np.asarray(says) if given.ndim > 1 else says[0]), ModelState(memory, action)

    def _told(self, vectors: Any, begins: Any, action: Tensor, action_masks: Any) -> Told:
        sight, rows = self._place.seen.sight, len(vectors)
        try:
            views = [sight.look(self.agent, self._place.reads(self.agent, vector)) for vector in vectors]
        except ValueError as error:
            raise UserError(str(error)) from None
        entities, seen, private = (torch.from_numpy(np.stack(part)) for part in zip(*views, strict=True))
        legal = np.zeros((rows, len(self._place.seen.layout.actions)), np.bool_)
        count = sight.eyes[self.agent].actions
        masks = np.ones((rows, count)) if action_masks is None else np.atleast_2d(action_masks)
        legal[:, : masks.shape[1]] = masks != 0

        def repeated(values: Any) -> Tensor:
            return torch.from_numpy(np.tile(values, (rows, 1)))

        return Told(
            entities=entities, kind=repeated(self._kind), team=repeated(sight.team), seen=seen,
            me=torch.full((rows,), sight.eyes[self.agent].slot), rules=repeated(sight.rule_values), private=private,
            legal=torch.from_numpy(legal), phase=torch.from_numpy(np.where(begins, FIRST, MID)), action=action,
            reward=torch.zeros(rows),
        )  # fmt: skip


def _reset(old: Tensor, new: Tensor, anew: Tensor) -> Tensor:
    """Return the rows of a part of a memory: new ones where games begin anew."""
    return torch.where(anew.view(-1, *([1] * (old.dim() - 1))), new, old) if len(old) else old


def _can_play(team: Team, place: Place, agent: str) -> bool:
    sight, layout = place.seen.sight, place.seen.layout
    try:
        team.policy_for(layout.teams[sight.team[sight.eyes[agent].slot]])
    except UserError:
        return False
    return True
