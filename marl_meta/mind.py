"""What the agents of one learner keep in mind during a trial: recurrent state, last transition, evidence of rules."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from marl_meta.nets.belief import BeliefNet, places
from marl_meta.nets.events import Events
from marl_meta.nets.inputs import PolicyInputs
from marl_meta.nets.policy import RelationalPolicy
from marl_meta.types import BoolArray, FloatArray, IntArray, Observation, Snapshot, Step


@dataclass(frozen=True, slots=True)
class Start:
    """What agents that have already learnt something about a variant remember when a trial begins."""

    state: Tensor
    """[n,H] recurrent state."""
    evidence: Tensor
    """[n,slots,D]."""

    def rows(self, agents: int) -> Start:
        """Return it for another number of agents: in turn, they remember what these did."""
        chosen = torch.arange(agents) % len(self.state)
        return Start(self.state[chosen], self.evidence[chosen])


class Mind:
    """The memory of n agents in each of B games; rows are game * n + agent."""

    def __init__(
        self, policy: RelationalPolicy, inputs: PolicyInputs, belief: BeliefNet | None, games: int, agents: IntArray,
        device: str = "cpu", start: Start | None = None,
    ) -> None:  # fmt: skip
        self.inputs, self.belief, self.agents, self.device = inputs, belief, agents, device
        rows = games * len(agents)
        self.games = games
        self.state = policy.initial_state(rows)
        self.starts = torch.ones(rows, dtype=torch.bool)
        """[R] where the memory is to be cleared before the next step."""
        self.context = np.zeros((games, len(agents), inputs.context_width), np.float32)
        self.passed = np.zeros(games, np.int64)
        """[B] steps of the trial."""
        slots, width = (belief.slots, belief.memory) if belief is not None else (0, 0)
        self.evidence = torch.zeros(rows, slots, width)
        self.told = np.zeros(games, np.bool_)
        """[B] the games whose rules the agents are told."""
        self._believed: tuple[Tensor, FloatArray] | None = None
        """The evidence that was last asked about, and what is believed by it [R,W]."""
        self._start = start.rows(len(agents)) if start is not None and len(agents) else None
        self.forget(np.ones(games, np.bool_))

    @torch.no_grad()
    def knowledge(self, hidden: FloatArray | None = None) -> FloatArray | None:
        """Return what each agent knows of the hidden rules [B,n,W]; None for a design that has no place for it.

        It is the truth in the games that are `told`, which takes `hidden` [B,R'], and else what the agents believe.
        """
        spec = self.inputs.knowledge
        if spec is None:
            return None
        shape = (self.games, len(self.agents), spec.width)
        if self.belief is not None and not self.told.all():
            believed = self._believe(self.belief).reshape(shape).copy()
        else:
            believed = np.broadcast_to(spec.ignorance(), shape).copy()
        if self.told.any():
            assert hidden is not None
            believed[self.told] = spec.truth(hidden[self.told])[:, None]
        return believed

    def _believe(self, belief: BeliefNet) -> FloatArray:
        """Return what is believed by the evidence [R,W], which is never changed in place."""
        if self._believed is None or self._believed[0] is not self.evidence:
            self._believed = self.evidence, belief(self.evidence).knowledge.numpy()
        return self._believed[1]

    def reconsider(self) -> None:
        """Read beliefs from the evidence afresh: the network that reads it has changed."""
        self._believed = None

    @torch.no_grad()
    def remember(self, before: Observation, actions: IntArray, step: Step) -> Events | None:
        """Take note of what the agents' `actions` [B,n] led to; returns the events, for a design that infers rules."""
        self.passed += 1
        self.context = self.inputs.context_after(actions, step, self.agents, self.passed)
        self.starts = torch.from_numpy(np.repeat(step.trial_over, len(self.agents)))
        if self.belief is None or self.inputs.events is None:
            return None
        reward = step.reward[:, self.agents]
        events = self.inputs.events(before, after(step), actions, reward, self.agents)
        rows, slots = len(self.evidence), self.belief.slots
        gained = self.belief.evidence(torch.from_numpy(events.features), places(events, slots), rows * slots)
        self.evidence = self.evidence + gained.view_as(self.evidence)
        return events

    def forget(self, games: BoolArray) -> None:
        """Go back to the start of a trial in `games` bool [B]."""
        self.context[games] = 0.0
        self.passed[games] = 0
        if not games.any():
            return
        rows, start = torch.from_numpy(games), self._start
        self.evidence = self.evidence.clone()
        self.evidence.view(self.games, len(self.agents), -1)[rows] = 0.0 if start is None else start.evidence.flatten(1)
        if start is not None:
            self.state = self.state.clone()
            self.state.view(self.games, len(self.agents), -1)[rows] = start.state
            self.starts = torch.zeros_like(self.starts)

    def learnt(self, game: int) -> Start:
        """Return what the agents of one game remember now."""
        rows = slice(game * len(self.agents), (game + 1) * len(self.agents))
        return Start(self.state[rows].clone(), self.evidence[rows].clone())

    def snapshot(self) -> Snapshot:
        """Return all of it as arrays."""
        return {
            "state": self.state.cpu().numpy().copy(),
            "starts": self.starts.numpy().copy(),
            "context": self.context.copy(),
            "passed": self.passed.copy(),
            "evidence": self.evidence.numpy().copy(),
            "told": self.told.copy(),
        }

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        self.state = torch.from_numpy(snapshot["state"].copy()).to(self.device)
        self.starts = torch.from_numpy(snapshot["starts"].copy())
        self.context = snapshot["context"].copy()
        self.passed = snapshot["passed"].copy()
        self.evidence = torch.from_numpy(snapshot["evidence"].copy())
        self.told = snapshot["told"].copy()


def after(step: Step) -> Observation:
    """Return what the games showed after a step: of those that ended their last, not the next game's first."""
    if step.final is None:
        return step.observation
    over, row = step.game_over[:, None, None], step.game_over[:, None]
    return replace(
        step.observation,
        entities=np.where(over, step.final.entities, step.observation.entities),
        private=np.where(over, step.final.private, step.observation.private),
        team=np.where(row, step.final.team, step.observation.team),
        present=np.where(row, step.final.present, step.observation.present),
    )


def stack(evidence: Tensor, gained: Tensor, starts: Tensor) -> Tensor:
    """Return the memory [T,R,...] before each of T steps.

    `evidence` [R,...] is the memory before the first, `gained` [T,R,...] what each step adds, and `starts` bool [T,R]
    where a trial starts.
    """
    memory = evidence
    found = []
    for time in range(len(gained)):
        keep = (~starts[time]).to(memory.dtype)
        memory = memory * keep.view(-1, *([1] * (memory.dim() - 1)))
        found.append(memory)
        memory = memory + gained[time]
    return torch.stack(found)
