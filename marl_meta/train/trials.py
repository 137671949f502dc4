"""Whole trials for learners that adapt by gradients: played as the team will play, and kept episode by episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.export import register_dataclass
from torch.utils._pytree import tree_map

from marl_meta.games.rewards import check_rewards
from marl_meta.meta.controller import GradientController
from marl_meta.meta.diary import Span, places_of
from marl_meta.meta.lived import Lived, arranged
from marl_meta.meta.parameters import Parameters
from marl_meta.rl.returns import turn_advantages
from marl_meta.rollout import Controller, EpisodeTotals
from marl_meta.types import BoolArray, FloatArray, IntArray, Snapshot, Step, UserError, VectorGame


@dataclass(slots=True)
class Trials:
    """M trials of K episodes, entries [M,K,L,n]: what was lived through, and what the outer objective aims at."""

    lived: Lived
    value: Tensor
    """As expected while playing, in the game's units."""
    advantage: Tensor
    """Over the whole trial: what comes of an episode's end is the next episode."""
    target: Tensor
    hidden: Tensor
    """[M,R'] the rules, R' = 0 where nobody asks for them."""
    moved: Parameters = field(default_factory=dict)
    """[M,K,...] how far the parameters that played each episode were from the start."""

    def of(self, tasks: IntArray) -> Trials:
        """Return some of the trials."""
        chosen = torch.from_numpy(tasks)
        found: Trials = tree_map(lambda entry: entry.index_select(0, chosen), self)
        return found


register_dataclass(Trials)


class TrialSeat:
    """A learner's place in a batch of games: the agents that it plays, and who plays them."""

    def __init__(self, controller: GradientController, agents: IntArray, games: int, gamma: float, lam: float) -> None:
        self.controller, self.agents, self.gamma, self.lam = controller, agents, gamma, lam
        self.reveal = 0.0
        """Share of the games whose hidden rules are told, from their next trial on."""
        self.told = np.zeros(games, np.bool_)

    def tell(self, games: BoolArray) -> None:
        """Decide which of the games, whose trials begin, are told their rules: the first ones."""
        self.told[games] = np.arange(len(games))[games] < round(self.reveal * len(games))

    def knowledge(self, hidden: FloatArray) -> FloatArray | None:
        """Return what the agents know [B,n,W]: the truth in the games that are told, `hidden` [B,R']."""
        known, spec = self.controller.ignorance(), self.controller.inputs.knowledge
        if known is not None and spec is not None and self.told.any():
            known[self.told] = spec.truth(hidden[self.told])[:, None]
        return known


class TrialCollector:
    """Plays one share of the games, `collect` by `collect`; what counts are the trials that it sees whole."""

    def __init__(
        self, game: VectorGame, seats: Mapping[str, TrialSeat], fixed: Mapping[str, tuple[IntArray, Controller]]
    ) -> None:
        self.game, self.seats, self.fixed = game, seats, fixed
        self.step = game.reset()
        self.fresh = np.ones(game.num_games, np.bool_)
        """[B] whether the game stands at the beginning of a trial."""
        self.learners = np.concatenate([seat.agents for seat in seats.values()])
        inputs = [seat.controller.inputs for seat in seats.values()]
        self.asks = any(one.knowledge or one.privileged for one in inputs)
        """Whether any learner is told hidden rules or guesses them."""
        for seat in seats.values():
            seat.controller.reset(game.num_games, seat.agents)
        for agents, controller in fixed.values():
            controller.reset(game.num_games, agents)

    def collect(self, horizon: int) -> tuple[dict[str, Trials], EpisodeTotals]:
        """Play `horizon` steps; returns each learner's whole trials and the episodes that ended.

        Raises UserError where a game pays what is no finite number, and where the horizon holds no whole trial.
        """
        totals, record = EpisodeTotals(), _Record(self.fresh, self.learners)
        running = np.zeros((self.game.num_games, self.game.num_agents), np.float64)
        played = np.zeros((self.game.num_games, self.game.num_agents), np.bool_)
        for seat in self.seats.values():
            seat.controller.begin(self.game.num_games, seat.agents)
            seat.tell(self.fresh)
            seat.told &= self.fresh
        for _ in range(horizon):
            observation = self.step.observation
            hidden = self.game.hidden_rules if self.asks else None
            actions = np.zeros((self.game.num_games, self.game.num_agents), np.int64)
            for seat in self.seats.values():
                knowledge = seat.knowledge(hidden) if hidden is not None else None
                actions[:, seat.agents] = seat.controller.act_on(observation, knowledge)
            for agents, controller in self.fixed.values():
                actions[:, agents] = controller.act(observation)
            played |= observation.acting
            variants = self.game.variant_numbers
            self.step = step = self.game.step(actions)
            check_rewards(self.game, step.reward)
            for _, controller in self.fixed.values():
                controller.observe(step)
            running += step.reward
            record.note(step, variants, hidden, running, played, totals)
            for seat in self.seats.values():
                seat.controller.observe(step)
                seat.tell(step.trial_over)
        self.fresh = self.step.trial_over.copy()
        if not record.whole:
            raise UserError(
                f"Config key train.horizon is {horizon}, in which no trial ends that began in it; it must hold a whole "
                "trial: game.episodes_per_trial times the steps of an episode."
            )
        return {name: record.trials(seat) for name, seat in self.seats.items()}, totals

    def snapshot(self) -> Snapshot:
        """Return the share's whole state: game, random streams, players; trials that are under way count no more."""
        state: Snapshot = {f"game/{name}": array for name, array in self.game.snapshot().items()}
        state["fresh"] = self.fresh.copy()
        for name, seat in self.seats.items():
            state[f"generator/{name}"] = seat.controller.generator.get_state().numpy().copy()
        for name, (_, controller) in self.fixed.items():
            state |= {f"fixed/{name}/{key}": array for key, array in controller.snapshot().items()}
        return state

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        self.step = self.game.restore(_below(snapshot, "game/"))
        self.fresh = snapshot["fresh"].copy()
        for name, seat in self.seats.items():
            seat.controller.generator.set_state(torch.from_numpy(snapshot[f"generator/{name}"].copy()))
        for name, (_, controller) in self.fixed.items():
            controller.restore(_below(snapshot, f"fixed/{name}/"))


def _below(snapshot: Snapshot, prefix: str) -> Snapshot:
    return {name.removeprefix(prefix): array for name, array in snapshot.items() if name.startswith(prefix)}


class _Record:
    """Where episodes and trials of a collection begin and end."""

    def __init__(self, fresh: BoolArray, learners: IntArray) -> None:
        self._learners = learners
        self._earned: list[list[float]] = [[] for _ in fresh]
        self._counts = fresh.copy()
        self._first = np.zeros(len(fresh), np.int64)
        self._spans: list[list[Span]] = [[] for _ in fresh]
        self._dead: list[BoolArray] = []
        self._over: list[BoolArray] = []
        self.whole: list[tuple[int, list[Span], FloatArray]] = []
        """Games, the episodes of their whole trials, and their hidden rules [R']."""

    def note(
        self, step: Step, variants: IntArray, hidden: FloatArray | None, running: npt.NDArray[np.float64],
        played: BoolArray, totals: EpisodeTotals,
    ) -> None:  # fmt: skip
        """Take note of the ends of a step; `running` [B,N] are returns, `played` who took part, both cleared there."""
        time = len(self._over) + 1
        dead = step.terminated & (step.trial_over | ~step.game_over)[:, None]
        self._dead.append(dead)
        self._over.append(step.trial_over.copy())
        for game in np.flatnonzero(step.game_over):
            totals.returns.append(np.where(played[game], running[game], np.nan).astype(np.float32))
            here = self._learners[played[game, self._learners]]
            self._earned[game].append(float(running[game, here].sum()) / max(len(here), 1))
            totals.lengths.append(time - int(self._first[game]))
            self._spans[game].append((int(self._first[game]), time))
            self._first[game] = time
        running[step.game_over] = 0.0
        played[step.game_over] = False
        for game in np.flatnonzero(step.trial_over):
            if self._counts[game]:
                rules = np.zeros(0, np.float32) if hidden is None else hidden[game]
                self.whole.append((int(game), self._spans[game], rules))
                totals.trials.append((int(variants[game]), float(np.mean(self._earned[game]))))
            self._counts[game], self._spans[game], self._earned[game] = True, [], []

    def trials(self, seat: TrialSeat) -> Trials:
        """Return the whole trials as a seat lived them."""
        diary, plan = seat.controller.diary, seat.controller.plan
        games = np.array([game for game, _, _ in self.whole])
        spans: Sequence[Sequence[Span]] = [spans for _, spans, _ in self.whole]
        hidden = torch.from_numpy(np.stack([rules for _, _, rules in self.whole]))
        lived = diary.read(games, spans, plan.gamma, plan.gae_lambda)
        reward, value, weight = (torch.from_numpy(diary.numbers(name)) for name in ("reward", "value", "weight"))
        over = torch.from_numpy(np.stack(self._over)).unsqueeze(-1)
        lives = ~torch.from_numpy(np.stack(self._dead)[:, :, seat.agents])
        if seat.controller.inputs.design.clock:
            lives = lives & ~over  # as in `rollout`: who sees the time expects nothing beyond the end
        following = torch.where(over, value, torch.cat([value[1:], value[-1:]]))
        chains = (lives & ~over).float()
        acting = torch.cat([weight, weight[-1:]]) > 0  # what comes after the last step is of no whole trial
        advantage, _ = turn_advantages(reward, value, following, lives.float(), chains, acting, seat.gamma, seat.lam)
        places, _ = places_of(spans)
        rows = torch.from_numpy(places).clamp(max=len(reward) - 1)
        each = tuple(entry[:, games].flatten(1, 2) for entry in (value, advantage, advantage + value))
        value, advantage, target = arranged(each, len(games), rows)
        return Trials(lived, value, advantage, target, hidden)
