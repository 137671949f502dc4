"""Play a batch of games with learners and other controllers, and keep what the learners need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from marl_meta.games.rewards import check_rewards
from marl_meta.mind import Mind
from marl_meta.nets.belief import BeliefNet, guess_loss
from marl_meta.nets.events import Events
from marl_meta.nets.inputs import InputStorage, PolicyInputs, ReadInputs
from marl_meta.nets.policy import RelationalPolicy
from marl_meta.rl.normalise import ValueNormaliser
from marl_meta.rl.objective import Targets
from marl_meta.rl.returns import generalised_advantages, turn_advantages
from marl_meta.types import BoolArray, FloatArray, IntArray, Observation, SmallIntArray, Snapshot, Step, VectorGame
from marl_meta.visitors import Visitor, Visitors


class Controller(Protocol):
    """Anything that plays some agents of a batch of games."""

    def reset(self, games: int, agents: IntArray) -> None:
        """Forget everything and get ready for `games` games in which it plays the agent slots `agents`."""

    def act(self, observation: Observation) -> IntArray:
        """Return its agents' actions [B,n]."""

    def observe(self, step: Step) -> None:
        """Take note of what its last actions led to."""

    def snapshot(self) -> Snapshot:
        """Return its state as arrays, so that a run can be resumed."""

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""


def sample(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Return one action [...] for each row of logits [...,A] (a race of exponential clocks: no copy to normalise)."""
    clocks = torch.empty_like(logits).exponential_(generator=generator)
    return (torch.softmax(logits, -1) / clocks.clamp(min=1e-20)).argmax(-1)


@dataclass(slots=True)
class Experience:
    """T steps of some games as one learner lived them: a `marl_meta.rl.ppo.Share`. Tensors are [T,M]."""

    inputs: InputStorage
    policy_state: Tensor
    """[M,H] memory before the first step."""
    starts: Tensor
    action: Tensor
    log_prob: Tensor
    value: Tensor
    """In the critic's units."""
    next_value: Tensor
    reward: Tensor
    bootstraps: Tensor
    chains: Tensor
    weight: Tensor
    advantage: Tensor
    target: Tensor
    testimony: Testimony | None = None
    """What beliefs about hidden rules can be learnt from."""
    device: str = "cpu"
    path: str = "fused"
    hidden: FloatArray | None = None
    """[T,B,R'] the rules, for those who guess them."""
    acts_next: Tensor | None = None
    """bool [M] who acts after the last step, in games in turns; None where everybody always acts."""

    @property
    def num_games(self) -> int:
        """Number of games of this share."""
        return self.inputs.games

    def estimate(self, normaliser: ValueNormaliser, gamma: float, lam: float) -> None:
        """Fill `advantage` and `target`, both in the game's units."""
        value, next_value = normaliser.denormalise(self.value), normaliser.denormalise(self.next_value)
        if self.acts_next is not None:
            acting = torch.cat([self.weight > 0, self.acts_next.unsqueeze(0)])
            self.advantage, known = turn_advantages(
                self.reward, value, next_value, self.bootstraps, self.chains, acting, gamma, lam
            )
            self.weight = known.float()
            self.target = self.advantage + value
            return
        self.advantage = generalised_advantages(
            self.reward, value, next_value, self.bootstraps, self.chains, gamma, lam
        )
        self.target = self.advantage + value

    def evaluate(self, policy: torch.nn.Module, games: IntArray) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return logits [T,M,A], values [T,M] and how wrong guesses of the rules are [T,M], of the games' rows."""
        read = self.inputs.read(slice(None), games, self.device)
        rows = self._rows(games)
        state, starts = self.policy_state.index_select(0, rows), self.starts.index_select(1, rows)
        output = policy(read.graph, state, starts, read.action_mask, read.full, self.path, read.told)
        return output.logits, output.value, self._wrong(output.guess, games)

    def _wrong(self, guess: Tensor | None, games: IntArray) -> Tensor | None:
        """Return minus the log-likelihood [T,M] of the true rules by the scores [T,M,G], a mean over rules."""
        knowledge = self.inputs.inputs.privileged
        if guess is None or knowledge is None or self.hidden is None:
            return None
        hidden = np.repeat(self.hidden[:, games], guess.shape[1] // len(games), axis=1)
        return guess_loss(guess, knowledge, hidden)

    def targets(self, games: IntArray) -> Targets:
        """Return the targets of the games' rows."""
        rows = self._rows(games)
        entries = (self.action, self.log_prob, self.value, self.advantage, self.target, self.weight)
        return Targets(*(entry.index_select(1, rows) for entry in entries))

    def _rows(self, games: IntArray) -> Tensor:
        count = self.action.shape[1] // self.num_games
        rows = games[:, None] * count + np.arange(count)
        return torch.from_numpy(rows.reshape(-1)).to(self.action.device)


@dataclass(frozen=True, slots=True)
class Testimony:
    """T steps of evidence of the hidden rules of B games, and the truth; M rows are game * n + agent."""

    evidence: Tensor
    """[M,slots,D] the memory before the first step."""
    starts: Tensor
    """bool [T,M] where a trial starts."""
    weight: Tensor
    """[T,M] 1 where the agent acted, and nobody for it, else 0."""
    events: list[Events]
    """By step."""
    hidden: FloatArray
    """[T,B,R'] the rules."""
    kind: IntArray
    """[T,M] what each agent is, among the kinds that events tell apart."""


class Seat:
    """A learner's place in a batch of games: the agents it plays, their mind, and where it is written down."""

    def __init__(
        self, policy: RelationalPolicy, inputs: PolicyInputs, game: VectorGame, agents: IntArray, horizon: int,
        shared_view: bool, belief: BeliefNet | None = None, device: str = "cpu", path: str = "fused",
    ) -> None:  # fmt: skip
        self.policy, self.inputs, self.agents, self.device, self.path = policy, inputs, agents, device, path
        self.storage = inputs.storage(horizon, game, agents, shared_view)
        self.scratch = inputs.storage(1, game, agents, shared_view)
        self.mind = Mind(policy, inputs, belief, game.num_games, agents, device)
        self.rows = game.num_games * len(agents)
        self.turns = False
        """Whether agents act in turn."""
        self.reveal = 1.0 if belief is None else 0.0
        """Share of the games whose hidden rules are told, from their next trial on."""
        self.curiosity = 0.0
        """What an agent is paid for becoming certain of a hidden rule that it knew nothing of."""

    def run(self, read: ReadInputs, starts: Tensor) -> Any:
        """Return the policy's output for one step [1,M]; its memory is not moved."""
        starts = starts[None].to(self.device)
        return self.policy(read.graph, self.mind.state, starts, read.action_mask, read.full, self.path, read.told)

    def tell(self, games: BoolArray) -> None:
        """Decide which of the games, whose trials begin, are told their rules: the first ones."""
        self.mind.told[games] = np.arange(len(games))[games] < round(self.reveal * len(games))


@dataclass(slots=True)
class EpisodeTotals:
    """Returns of the episodes that ended while collecting; but for `meetings`, of games without visitors."""

    returns: list[FloatArray] = field(default_factory=list)
    """[N] per ended game, NaN for agents that took no part in it."""
    lengths: list[int] = field(default_factory=list)
    trials: list[tuple[int, float]] = field(default_factory=list)
    """Of each trial that ended: its variant, and what an agent of the learners earned in an episode, on average."""
    meetings: list[tuple[tuple[str, str], FloatArray]] = field(default_factory=list)
    """Of each episode with a visitor: its label, and the returns [N], NaN for agents that took no part in it."""


class Collector:
    """Plays one share of the games, `collect` by `collect`."""

    def __init__(
        self,
        game: VectorGame,
        seats: Mapping[str, Seat],
        fixed: Mapping[str, tuple[IntArray, Controller]],
        generator: torch.Generator,
        trials: bool = False,
    ) -> None:
        self.game, self.seats, self.fixed, self.generator = game, seats, fixed, generator
        self.trials = trials
        self.step = game.reset()
        self.running = np.zeros((game.num_games, game.num_agents), np.float64)
        self.length = np.zeros(game.num_games, np.int64)
        self.played = np.zeros((game.num_games, game.num_agents), np.bool_)
        self.earned = np.zeros(game.num_games, np.float64)
        """Sum, over a trial's episodes so far, of an agent's return: the mean over the learners' agents."""
        self.episodes = np.zeros(game.num_games, np.int64)
        self.learners = np.concatenate([seat.agents for seat in seats.values()])
        self.visitors = Visitors(game.num_games)
        self.asks = any(seat.inputs.knowledge or seat.inputs.privileged for seat in seats.values())
        """Whether any learner is told hidden rules or infers them."""
        shown = self.step.observation
        turns = bool((shown.present[:, : game.num_agents] & ~shown.acting).any())
        for seat in seats.values():
            seat.turns = turns
            seat.tell(np.ones(game.num_games, np.bool_))
        for agents, controller in fixed.values():
            controller.reset(game.num_games, agents)

    def invite(self, visitors: Sequence[Visitor]) -> None:
        """Let these visitors play from the next trials on, in the place of those that did."""
        self.visitors.invite(visitors, (self.length == 0) & (self.episodes == 0))

    @torch.no_grad()
    def collect(self, horizon: int) -> tuple[dict[str, Experience], EpisodeTotals]:
        """Play `horizon` steps; returns each learner's experience and the episodes that ended.

        Raises UserError where a game pays what is no finite number.
        """
        with ExitStack() as stack:
            for seat in self.seats.values():
                stack.enter_context(seat.policy.unchanging())
            return self._collect(horizon)

    def _collect(self, horizon: int) -> tuple[dict[str, Experience], EpisodeTotals]:
        totals = EpisodeTotals()
        for seat in self.seats.values():
            seat.mind.reconsider()  # as a resumed run must, whose minds have believed nothing yet
        books = {name: _Book(seat, horizon) for name, seat in self.seats.items()}
        for time in range(horizon):
            observation = self.step.observation
            acting, counted = observation.acting, self.visitors.counted(observation.acting)
            hidden = self.game.hidden_rules if self.asks else None
            actions = np.zeros((self.game.num_games, self.game.num_agents), np.int64)
            for book in books.values():
                actions[:, book.seat.agents] = book.act(time, observation, hidden, self.generator)
            for agents, controller in self.fixed.values():
                actions[:, agents] = controller.act(observation)
            self.visitors.act(observation, actions)
            variants = self.game.variant_numbers
            self.step = step = self.game.step(actions)
            check_rewards(self.game, step.reward)
            for _, controller in self.fixed.values():
                controller.observe(step)
            ends = step.trial_over if self.trials else step.game_over
            for book in books.values():
                book.note(book.seat.mind.remember(observation, actions[:, book.seat.agents], step))
                book.record(time, step, ends, counted, hidden)
                book.seat.mind.forget(step.trial_over)
                book.seat.tell(step.trial_over)
            self._count(step, acting, variants, totals)
            self.visitors.observe(step)
        hidden = self.game.hidden_rules if self.asks else None
        return {name: book.close(self.step, hidden) for name, book in books.items()}, totals

    def _count(self, step: Step, acting: BoolArray, variants: IntArray, totals: EpisodeTotals) -> None:
        self.running += step.reward
        self.length += 1
        self.played |= acting
        for index in np.flatnonzero(step.game_over).tolist():
            row = np.where(self.played[index], self.running[index], np.nan).astype(np.float32)
            visitor = self.visitors.at(index)
            if visitor is not None:
                totals.meetings.append((visitor.label, row))
            else:
                totals.returns.append(row)
                totals.lengths.append(int(self.length[index]))
            here = self.learners[self.played[index, self.learners]]
            self.earned[index] += self.running[index, here].sum() / max(len(here), 1)
            self.episodes[index] += 1
        for index in np.flatnonzero(step.trial_over).tolist():
            if self.visitors.at(index) is None:
                totals.trials.append((int(variants[index]), float(self.earned[index] / self.episodes[index])))
        for array in (self.running, self.length, self.played):
            array[step.game_over] = 0
        self.earned[step.trial_over] = self.episodes[step.trial_over] = 0

    def snapshot(self) -> Snapshot:
        """Return the share's whole state: game, memories, contexts, running returns, random stream."""
        state: Snapshot = {f"game/{name}": array for name, array in self.game.snapshot().items()}
        state["running"], state["length"], state["played"] = self.running.copy(), self.length.copy(), self.played.copy()
        state["earned"], state["episodes"] = self.earned.copy(), self.episodes.copy()
        state["generator"] = self.generator.get_state().numpy()
        for name, seat in self.seats.items():
            state |= {f"seat/{name}/{key}": array for key, array in seat.mind.snapshot().items()}
        for name, (_, controller) in self.fixed.items():
            state |= {f"fixed/{name}/{key}": array for key, array in controller.snapshot().items()}
        return state | {f"visitors/{key}": array for key, array in self.visitors.snapshot().items()}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, with the same visitors invited."""
        self.step = self.game.restore(_below(snapshot, "game/"))
        self.running, self.length = snapshot["running"].copy(), snapshot["length"].copy()
        self.played = snapshot["played"].copy()
        self.earned, self.episodes = snapshot["earned"].copy(), snapshot["episodes"].copy()
        self.generator.set_state(torch.from_numpy(snapshot["generator"].copy()))
        for name, seat in self.seats.items():
            seat.mind.restore(_below(snapshot, f"seat/{name}/"))
        for name, (_, controller) in self.fixed.items():
            controller.restore(_below(snapshot, f"fixed/{name}/"))
        self.visitors.restore(_below(snapshot, "visitors/"))


def _below(snapshot: Snapshot, prefix: str) -> Snapshot:
    return {name.removeprefix(prefix): array for name, array in snapshot.items() if name.startswith(prefix)}


class _Book:
    """What one seat writes down over a collection."""

    def __init__(self, seat: Seat, horizon: int) -> None:
        self.seat = seat
        self.horizon = horizon
        self.first_state = seat.mind.state.clone()
        self.first_evidence = seat.mind.evidence
        shape = (horizon, seat.rows)
        self.starts = torch.empty(shape, dtype=torch.bool)
        self.action = torch.empty(shape, dtype=torch.int64)
        self.log_prob, self.reward, self.value = torch.empty(shape), torch.empty(shape), torch.empty(shape)
        self.bootstraps, self.chains, self.weight = torch.empty(shape), torch.empty(shape), torch.empty(shape)
        self.finals: list[tuple[int, Tensor, Tensor]] = []
        self.known: FloatArray | None = None
        self.events: list[Events] = []
        self.hidden: list[FloatArray] = []
        self.kinds: list[SmallIntArray] = []

    def act(
        self, time: int, observation: Observation, hidden: FloatArray | None, generator: torch.Generator
    ) -> IntArray:
        """Write down the observation and what the policy makes of it; returns actions [B,n]."""
        seat, mind = self.seat, self.seat.mind
        self.known = mind.knowledge(hidden)
        seat.storage.write(time, observation, mind.context, self.known, hidden)
        output = seat.run(seat.storage.read(slice(time, time + 1), device=seat.device), mind.starts)
        log_probs = torch.log_softmax(output.logits[0].cpu(), -1)
        action = sample(log_probs, generator)
        self.starts[time] = mind.starts
        self.action[time] = action
        self.log_prob[time] = log_probs.gather(-1, action[:, None])[:, 0]
        self.value[time] = output.value[0]
        mind.state = output.state
        if hidden is not None:
            self.hidden.append(hidden.copy())
        if seat.inputs.events is not None:
            self.kinds.append(seat.inputs.events.kinds_of(observation, seat.agents).reshape(-1))
        actions: IntArray = action.view(-1, len(seat.agents)).numpy()
        return actions

    def note(self, events: Events | None) -> None:
        """Write down the events of the step, where the learner infers rules."""
        if events is not None:
            self.events.append(events)

    def record(self, time: int, step: Step, ends: BoolArray, counted: BoolArray, hidden: FloatArray | None) -> None:
        """Write down what came of it.

        `ends` bool [B]: the game (in a trial, the trial) ended; `counted` bool [B,N]: whose step teaches the learner.
        """
        agents = self.seat.agents
        terminated, truncated = step.terminated[:, agents], step.truncated[:, agents]
        over = np.broadcast_to(ends[:, None], terminated.shape)
        # Inside a trial the next episode is the future, however this one ended; an agent that died early has none.
        dead = terminated & (over | ~step.game_over[:, None])
        if self.seat.inputs.design.clock:
            # To who sees the time an end by time is an end (Pardo et al. 2018). What he expected beyond it would be
            # corrected by no experience, and he would come to play for it.
            dead = dead | over
        self.reward[time] = _rows(step.reward[:, agents] + self._curiosity(hidden))
        self.bootstraps[time] = _rows(~dead)
        self.chains[time] = _rows(~(over | dead))
        self.weight[time] = _rows(counted[:, agents])
        self.seat.mind.starts = _rows(over)
        cut = over & truncated & ~dead
        if step.final is not None and cut.any():
            value = self._value(step.final, torch.zeros_like(_rows(over)), hidden)
            self.finals.append((time, _rows(cut), value))

    def _curiosity(self, hidden: FloatArray | None) -> FloatArray | float:
        """Return what the agents [B,n] are paid for what the step has told them."""
        seat = self.seat
        spec, known = seat.inputs.knowledge, self.known
        if not seat.curiosity or spec is None or known is None:
            return 0.0
        now = seat.mind.knowledge(hidden)
        assert now is not None
        return np.float32(seat.curiosity) * (spec.doubt(known) - spec.doubt(now))

    def _value(self, observation: Observation, starts: Tensor, hidden: FloatArray | None) -> Tensor:
        seat = self.seat
        seat.scratch.write(0, observation, seat.mind.context, seat.mind.knowledge(hidden), hidden)
        value: Tensor = seat.run(seat.scratch.read(slice(0, 1), device=seat.device), starts).value[0]
        return value.cpu()

    def close(self, step: Step, hidden: FloatArray | None) -> Experience:
        """Return the experience; `step` is where the games stand now, `hidden` [B,R'] their rules."""
        seat = self.seat
        next_value = torch.zeros_like(self.value)
        next_value[:-1] = self.value[1:]
        if not bool(seat.mind.starts.all()):
            next_value[-1] = self._value(step.observation, seat.mind.starts, hidden)
        for time, cut, value in self.finals:
            next_value[time] = torch.where(cut, value, next_value[time])
        device, nothing = seat.device, torch.empty(0)
        return Experience(
            inputs=seat.storage,
            policy_state=self.first_state,
            starts=self.starts.to(device),
            action=self.action.to(device),
            log_prob=self.log_prob.to(device),
            value=self.value.to(device),
            next_value=next_value.to(device),
            reward=self.reward.to(device),
            bootstraps=self.bootstraps.to(device),
            chains=self.chains.to(device),
            weight=self.weight.to(device),
            advantage=nothing,
            target=nothing,
            testimony=self._testimony(),
            device=device,
            path=seat.path,
            hidden=np.stack(self.hidden) if seat.inputs.design.guesses else None,
            acts_next=_rows(step.observation.acting[:, seat.agents]).to(device) if seat.turns else None,
        )

    def _testimony(self) -> Testimony | None:
        seat = self.seat
        if seat.mind.belief is None or not self.hidden:
            return None
        hidden, kinds = np.stack(self.hidden), np.stack(self.kinds).astype(np.int64)
        return Testimony(self.first_evidence, self.starts, self.weight, self.events, hidden, kinds)


def _rows(array: BoolArray | FloatArray) -> Tensor:
    return torch.from_numpy(array.reshape(-1).copy())
