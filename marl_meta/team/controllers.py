"""Who plays for a team: its policies as they are, or told the hidden rules (`marl_meta.rollout.Controller`s)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from marl_meta.games.family import Family
from marl_meta.meta.controller import GradientController
from marl_meta.mind import Mind, Start
from marl_meta.nets.belief import BeliefNet
from marl_meta.nets.inputs import InputStorage, PolicyInputs
from marl_meta.nets.knowledge import Knowledge
from marl_meta.nets.policy import GraphTensors, RelationalPolicy
from marl_meta.replay.record import BelievedRule
from marl_meta.replay.thoughts import Thought
from marl_meta.rollout import sample
from marl_meta.thinking import Output, believed_rules, think
from marl_meta.types import FloatArray, IntArray, Observation, Snapshot, Step


class TeamController:
    """Plays some agents of a batch of games with a trained policy (a `marl_meta.rollout.Controller`).

    It reads nothing but its own agents' rows: what they see, their private features and legal actions.
    """

    def __init__(
        self, policy: RelationalPolicy, inputs: PolicyInputs, belief: BeliefNet | None, start: Start | None, seed: int,
        deterministic: bool,
    ) -> None:  # fmt: skip
        self._policy, self._inputs, self._belief, self._start = policy, inputs, belief, start
        self._deterministic = deterministic
        self._seed = seed
        self._generator = torch.Generator()
        self._storage: InputStorage | None = None
        self.reset(0, np.empty(0, np.int64))

    def reset(self, games: int, agents: IntArray) -> None:
        """Forget everything and get ready for `games` games in which it plays the agent slots `agents`."""
        slots = np.asarray(agents, np.int64)
        self._mind = Mind(self._policy, self._inputs, self._belief, games, slots, start=self._start)
        self._generator.manual_seed(self._seed)
        self._storage = None

    def act(self, observation: Observation) -> IntArray:
        """Return its agents' actions [B,n], sampled from the policy, or the likeliest if it is deterministic."""
        return self.act_on(observation, self.knowledge())

    def knowledge(self) -> FloatArray | None:
        """Return what each agent believes of the hidden rules [B,n,W] (`nets.knowledge`); None where it infers none."""
        return self._mind.knowledge()

    @torch.no_grad()
    def act_on(self, observation: Observation, knowledge: FloatArray | None) -> IntArray:
        """Return what `act` does, with other `knowledge` [B,n,W] of the hidden rules than its own belief."""
        mind = self._mind
        if self._storage is None:
            games, entities = observation.present.shape
            sizes = (games, observation.private.shape[1], entities)
            self._storage = InputStorage(self._inputs, 1, sizes, mind.agents, observation.sees is None, actor_only=True)
        self._storage.write(0, observation, mind.context, knowledge)
        read = self._storage.read(slice(0, 1))
        output = self._policy.act(read.graph, mind.state, mind.starts[None], read.action_mask)
        mind.state = output.state
        mind.starts = torch.zeros_like(mind.starts)
        logits = output.logits[0]
        action: Tensor = logits.argmax(-1) if self._deterministic else sample(logits, self._generator)
        actions: IntArray = action.view(mind.games, -1).numpy()
        self._last, self._before = actions, observation
        return actions

    def believed(self, family: Family | None, hidden: FloatArray | None) -> list[BelievedRule]:
        """Return the hidden rules that it believes something of, see `thinking.believed_rules`."""
        spec = self._inputs.knowledge
        return believed_rules(spec, family, hidden) if spec is not None and self._belief is not None else []

    def think(self, observation: Observation, knowledge: FloatArray | None = None) -> Thought:
        """Return what its agents think of the lone game that it plays; `knowledge` as in `act_on`."""
        mind, policy = self._mind, self._policy
        known = knowledge if knowledge is not None else self.knowledge()

        def run(graph: GraphTensors, state: Tensor, starts: Tensor, legal: Tensor) -> tuple[Output, Tensor | None]:
            if policy.shape.critic != "own":  # its critic sees what the team does not
                return policy.act(graph, state, starts, legal), None
            output = policy(graph, state, starts, legal)
            return output, output.value[0]

        return think(run, self._inputs, observation, mind.agents, mind.context, known, mind.state, mind.starts)

    def observe(self, step: Step) -> None:
        """Take note of what its last actions led to: memory is cleared where a trial (or lone episode) ended."""
        self._mind.remember(self._before, self._last, step)
        self._mind.forget(step.trial_over)

    def look_away(self) -> None:
        """See nothing of what its last actions lead to: whoever is not told takes it for no evidence."""
        self._before = replace(self._before, present=np.zeros_like(self._before.present))

    def learnt(self, game: int = 0) -> Start:
        """Return what its agents remember of a game's trial."""
        return self._mind.learnt(game)

    def snapshot(self) -> Snapshot:
        """Return its memory and random stream."""
        return {**self._mind.snapshot(), "generator": self._generator.get_state().numpy().copy()}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        self._mind.restore(snapshot)
        self._generator.set_state(torch.from_numpy(snapshot["generator"].copy()))


class OracleController:
    """Plays a team that is told the hidden rules of the very games that it plays."""

    def __init__(
        self, player: TeamController | GradientController, knowledge: Knowledge, hidden: Callable[[], FloatArray]
    ) -> None:
        """`hidden` returns the rules [B,R'] of the games as they are at that moment."""
        self._player, self._knowledge, self._hidden = player, knowledge, hidden
        self._agents: IntArray = np.empty(0, np.int64)

    def reset(self, games: int, agents: IntArray) -> None:
        """Get ready for `games` games in which it plays the agent slots `agents`."""
        self._agents = agents
        self._player.reset(games, agents)

    def act(self, observation: Observation) -> IntArray:
        """Return its agents' actions [B,n]."""
        return self._player.act_on(observation, self._told())

    def _told(self) -> FloatArray:
        """Return the truth, for every agent [B,n,W]."""
        truth = self._knowledge.truth(self._hidden())
        return np.repeat(truth[:, None], len(self._agents), axis=1)

    def believed(self, family: Family | None, hidden: FloatArray | None) -> list[BelievedRule]:  # noqa: ARG002
        """Return nothing: it is told the rules, and so believes nothing of them."""
        return []

    def think(self, observation: Observation) -> Thought:
        """Return what its agents think of the lone game that it plays, told its rules."""
        return replace(self._player.think(observation, self._told()), beliefs=None)

    def observe(self, step: Step) -> None:
        """Take note of what its last actions led to."""
        self._player.observe(step)

    def snapshot(self) -> Snapshot:
        """Return its memory and random stream."""
        return self._player.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        self._player.restore(snapshot)
