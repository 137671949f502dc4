"""A team that adapts by gradients, as it plays: each game is a task with parameters of its own.

They start from the team's, change after every episode of a trial by what its own agents lived through in it, and go
back to the start where the trial is over. The team itself is never changed.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from marl_meta.games.family import Family
from marl_meta.meta.adapter import Adapter, Body
from marl_meta.meta.diary import Diary
from marl_meta.meta.finetune import is_moment
from marl_meta.meta.lived import arranged, side_by_side
from marl_meta.meta.parameters import Parameters
from marl_meta.mind import after
from marl_meta.nets.inputs import PolicyInputs
from marl_meta.nets.policy import GraphTensors, PolicyOutput, RelationalPolicy
from marl_meta.nets.prediction import summed
from marl_meta.replay.record import BelievedRule
from marl_meta.replay.thoughts import Thought
from marl_meta.rollout import sample
from marl_meta.thinking import Output, think
from marl_meta.types import BoolArray, FloatArray, IntArray, Observation, Snapshot, Step

ROOM = 64
GAMES_AT_ONCE = 64
"""So many games adapt at once: what their gradients take of memory is bounded."""


class GradientController:
    """Plays some agents of a batch of games (a `marl_meta.rollout.Controller`) and adapts to each game by itself."""

    def __init__(
        self, policy: RelationalPolicy, inputs: PolicyInputs, adapter: Adapter, seed: int, deterministic: bool = False,
        room: int = ROOM,
    ) -> None:  # fmt: skip
        self.inputs, self.plan = inputs, adapter.plan
        self._policy, self._adapter, self._body = policy, adapter, Body(policy, adapter)
        self._seed, self._deterministic, self._room = seed, deterministic, room
        self.generator = torch.Generator()
        self.reset(0, np.empty(0, np.int64))

    def reset(self, games: int, agents: IntArray) -> None:
        """Forget everything and get ready for `games` games in which it plays the agent slots `agents`."""
        self.generator.manual_seed(self._seed)
        self.begin(games, agents)

    @torch.no_grad()
    def begin(self, games: int, agents: IntArray) -> None:
        """Begin trials in all games, from the parameters that the policy has now; the random stream goes on."""
        self.games, self.agents = games, np.asarray(agents, np.int64)
        everything = self._adapter.parameters_with(self._policy)
        self._everything = {name: value.detach() for name, value in everything.items()}
        _, self._fixed = self._body.split(self._everything)
        self._start = self._body.begin(self._everything)
        self.parameters: Parameters = {
            name: value.expand(games, *value.shape).clone() for name, value in self._start.items()
        }
        """[B,...] by name: those that each game has for itself."""
        self.diary = Diary(self.inputs, games, self.agents, self._room, self.plan.window, self._adapter.slots)
        self._context = np.zeros((games, len(self.agents), self.inputs.context_width), np.float32)
        self._passed = np.zeros(games, np.int64)
        self._updates = np.zeros(games, np.int64)
        """[B] how many gradient steps were taken in the trial."""
        self._state = self._policy.initial_state(games * len(self.agents))
        self._begins = torch.ones(games, dtype=torch.bool)
        self._before: Observation | None = None

    def ignorance(self) -> FloatArray | None:
        """Return what is known of hidden rules [B,n,W] by those who were told nothing."""
        spec = self.inputs.knowledge
        if spec is None:
            return None
        return np.broadcast_to(spec.ignorance(), (self.games, len(self.agents), spec.width)).copy()

    def act(self, observation: Observation) -> IntArray:
        """Return its agents' actions [B,n], sampled from the policy, or the likeliest if it is deterministic."""
        return self.act_on(observation, self.ignorance())

    @torch.no_grad()
    def act_on(self, observation: Observation, knowledge: FloatArray | None) -> IntArray:
        """Return what `act` does, with other `knowledge` [B,n,W] of the hidden rules."""
        storage = self.diary.write(observation, self._context, knowledge)
        row = self.diary.time
        read = storage.read(slice(row, row + 1))
        now = torch.zeros(self.games, 1, 1, dtype=torch.int64)
        graph, legal = side_by_side(arranged((read.graph, read.action_mask), self.games, now), 0, 1)
        output = self._play(graph, legal)
        self._state = output.state.flatten(0, 1)
        self._begins = torch.zeros_like(self._begins)
        log_probs = torch.log_softmax(output.logits.flatten(0, 2), -1)
        chosen = log_probs.argmax(-1) if self._deterministic else sample(log_probs, self.generator)
        centre, scale = self._adapter.value_scale
        value = output.value.flatten() * scale + centre
        actions: IntArray = chosen.view(self.games, -1).numpy()
        log_prob = log_probs.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
        self.diary.note(actions, log_prob, value, observation)
        self.log_probs = log_probs
        self._before, self._last = observation, actions
        return actions

    def believed(self, family: Family | None, hidden: FloatArray | None) -> list[BelievedRule]:  # noqa: ARG002
        """Return nothing: what it finds out changes its parameters."""
        return []

    def think(self, observation: Observation, knowledge: FloatArray | None = None) -> Thought:
        """Return what its agents think of the lone game that it plays; `knowledge` as in `act_on`."""
        own = {name: value[0] for name, value in self.parameters.items()}
        centre, scale = self._adapter.value_scale

        def run(graph: GraphTensors, state: Tensor, starts: Tensor, legal: Tensor) -> tuple[Output, Tensor | None]:
            output = self._body.play({**self._fixed, **own}, graph, state, starts, legal)
            return output, output.value[0] * scale + centre

        known = knowledge if knowledge is not None else self.ignorance()
        starts = self._begins.expand(len(self.agents))
        found = think(run, self.inputs, observation, self.agents, self._context, known, self._state, starts)
        return replace(found, beliefs=None, updates=int(self._updates[0]))

    def _play(self, graph: object, legal: Tensor) -> PolicyOutput:
        """Return what the policy does in each game, [B,1,n,...]."""
        state = self._state.view(self.games, len(self.agents), -1)
        starts = self._begins.view(-1, 1, 1).expand(-1, 1, len(self.agents))
        return self._body.play_each(self.parameters, self._fixed, graph, state, starts, legal)

    def observe(self, step: Step) -> None:
        """Take note of what its last actions led to; adapt where an episode ended, and forget where a trial did."""
        assert self._before is not None
        events = None
        if self._adapter.reader is not None:
            reader = self._adapter.reader
            found = reader(self._before, after(step), self._last, step.reward[:, self.agents], self.agents)
            events = summed(found, self.games * len(self.agents), reader.slots)
        self.diary.close(step, events)
        self._passed += 1
        self._context = self.inputs.context_after(self._last, step, self.agents, self._passed)
        self._begins = torch.from_numpy(step.game_over.copy())
        goes_on = np.flatnonzero(step.game_over & ~step.trial_over)
        for games in np.array_split(goes_on, -(-len(goes_on) // GAMES_AT_ONCE) or 1):
            if len(games):
                self._adapt(games)
        self._forget(step.trial_over)

    def look_away(self) -> None:
        """See nothing of what its last actions lead to: whoever is not told takes it for no evidence."""
        assert self._before is not None
        self._before = replace(self._before, present=np.zeros_like(self._before.present))

    def _adapt(self, games: IntArray) -> None:
        spans = [self.diary.spans[game][-self.plan.reads :] for game in games]
        lived = self._body.read(self._everything, self.diary.read(games, spans, self.plan.gamma, self.plan.gae_lambda))
        rows = torch.from_numpy(games)
        now = {name: value[rows] for name, value in self.parameters.items()}
        most = max(len(of_game) for of_game in spans)
        self._updates[games] += self.plan.updates
        changed = self._body.after(self._everything, now, side_by_side(lived, 0, most), "first")
        for name, value in changed.items():
            self.parameters[name][rows] = value.detach()

    def _forget(self, games: BoolArray) -> None:
        self._context[games] = 0.0
        self._passed[games] = 0
        self._updates[games] = 0
        self.diary.forget(games)
        if games.any():
            rows = torch.from_numpy(games)
            for name, value in self._start.items():
                self.parameters[name][rows] = value

    def learnt(self, game: int = 0) -> tuple[RelationalPolicy, Adapter]:
        """Return copies of the policy and the adapter that start where the parameters of a game are now."""
        policy, adapter = copy.deepcopy(self._policy), copy.deepcopy(self._adapter)
        own = adapter.parameters_with(policy)
        with torch.no_grad():
            for name, value in self.parameters.items():
                if not is_moment(name):
                    own[name].copy_(value[game])
        return policy, adapter

    def snapshot(self) -> Snapshot:
        """Return its parameters, diary, memory and random stream."""
        return {
            **{f"parameters/{name}": value.numpy().copy() for name, value in self.parameters.items()},
            **{f"diary/{name}": array for name, array in self.diary.snapshot().items()},
            "context": self._context.copy(),
            "passed": self._passed.copy(),
            "updates": self._updates.copy(),
            "state": self._state.numpy().copy(),
            "begins": self._begins.numpy().copy(),
            "generator": self.generator.get_state().numpy().copy(),
        }

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        self.parameters = {name: torch.from_numpy(snapshot[f"parameters/{name}"].copy()) for name in self.parameters}
        self.diary.restore(
            {name.removeprefix("diary/"): array for name, array in snapshot.items() if name.startswith("diary/")}
        )
        self._context, self._passed = snapshot["context"].copy(), snapshot["passed"].copy()
        self._updates = snapshot["updates"].copy()
        self._state = torch.from_numpy(snapshot["state"].copy())
        self._begins = torch.from_numpy(snapshot["begins"].copy())
        self.generator.set_state(torch.from_numpy(snapshot["generator"].copy()))
