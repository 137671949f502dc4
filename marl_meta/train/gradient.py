"""A learner of teams that adapt by gradients: it improves what they are after adapting (MAML, Finn et al. 2017).

    theta <- theta - Adam( grad sum_k L_k(theta_k) ),     theta_1 = theta,     theta_{k+1} = after(theta_k)

L_k is the clipped surrogate of PPO on what was played in episode k of a trial by the parameters adapted to the episodes
before it, with their value loss and entropy (ProMP, Rothfuss et al. 2019): several steps on the same experience.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from marl_meta.config import AlgorithmConfig, GradientConfig, MetaConfig
from marl_meta.meta.adapter import Adapter, Body
from marl_meta.meta.controller import GAMES_AT_ONCE
from marl_meta.meta.inner import Order, each_task
from marl_meta.meta.leo import LeoNoise, decoder_orthogonality, draw_noise, encoder_penalty, latent_kl
from marl_meta.meta.lived import Lived, one_by_one, side_by_side
from marl_meta.meta.outer import Statistics, meta_gradient
from marl_meta.meta.parameters import Parameters
from marl_meta.nets.belief import guess_loss
from marl_meta.nets.inputs import PolicyDesign, PolicyInputs
from marl_meta.nets.policy import RelationalPolicy
from marl_meta.rl.losses import approximate_kl, clipped_surrogate, clipped_value_loss, entropy
from marl_meta.rl.normalise import ValueNormaliser
from marl_meta.rl.returns import explained_variance
from marl_meta.rl.sharding import Workers
from marl_meta.rl.surrogates import categorical_kl, masked_mean
from marl_meta.train.learner import (
    Arrays,
    below,
    make_plan,
    optimiser_arrays,
    restore_optimiser,
    revealed,
    scheduled,
    to_numpy,
)
from marl_meta.train.trials import Trials
from marl_meta.types import IntArray, Layout

_MEASURED = 16
"""So many trials are looked at for statistics that cost something."""
_RATES = 10.0
"""Logarithms of rates are learnt so many times as fast as weights: they may have far to go."""


class _Share(NamedTuple):
    body: Body
    trials: Trials
    noise: list[LeoNoise]
    """Of each adaptation within the trials, for latents."""


def _episodes(trials: Trials) -> int:
    return trials.value.shape[0] * trials.value.shape[1]


def _joined(stages: Sequence[Parameters]) -> Parameters:
    """Return parameters [K*M,...] of all stages [M,...], one after the other."""
    return {name: torch.cat([stage[name] for stage in stages]) for name in stages[0]}


class GradientLearner:
    """Parameters, optimiser and statistics of one policy that plays `teams` with the agent slots `agents`."""

    belief = None

    def __init__(
        self, layout: Layout, design: PolicyDesign, algorithm: AlgorithmConfig, meta: MetaConfig,
        teams: tuple[str, ...], agents: IntArray, seed: int,
    ) -> None:  # fmt: skip
        self.design, self.algorithm, self.meta, self.teams, self.agents = design, algorithm, meta, teams, agents
        self.inputs = PolicyInputs(layout, design)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.policy = self.inputs.build_policy()
            plan, chosen = make_plan(meta, algorithm), meta.gradient
            self.adapter = Adapter(plan, self.inputs, self.policy, chosen.rate, chosen.context_rate)
        rates = list(self.adapter.rate.parameters())
        others = [value for name, value in self.adapter.named_parameters() if not name.startswith("rate.")]
        self.optimiser = torch.optim.Adam(
            [{"params": [*self.policy.parameters(), *others]}, {"params": rates}], lr=algorithm.learning_rate, eps=1e-5
        )
        self.normaliser = ValueNormaliser()
        self.order = np.random.default_rng(seed)
        self._bodies: list[Body] = []

    @property
    def settings(self) -> GradientConfig:
        """What a config says about adapting."""
        return self.meta.gradient

    def portable(self) -> RelationalPolicy:
        """Return the policy as a team keeps it; the adapter keeps its critic's units."""
        return self.policy

    def reveal(self, env_steps: int) -> float:
        """Return the share of the games whose hidden rules the agents are told after so many steps of training."""
        return revealed(self.design, self.meta, env_steps)

    def improve(self, shares: Sequence[Trials], progress: float, workers: Workers) -> dict[str, float]:
        """Update the parameters on an iteration's trials, `progress` of the way through the run; returns statistics."""
        algorithm = self.algorithm
        rate = scheduled(algorithm, progress)
        for group, times in zip(self.optimiser.param_groups, (1.0, _RATES), strict=True):
            group["lr"] = rate * times
        bonus = algorithm.entropy + (algorithm.entropy_final - algorithm.entropy) * progress
        while len(self._bodies) < len(shares):
            self._bodies.append(Body(self.policy, self.adapter))
        statistics: dict[str, float] = {"explained_variance": self._prepare(shares, workers)}
        statistics |= self._measure(shares, workers)
        if self.settings.order == "first":
            workers.map(lambda pair: self._note_moves(*pair), list(zip(self._bodies, shares, strict=False)))
        sums: list[dict[str, float]] = []
        sizes, episodes = workers.map(lambda share: len(share.value), shares), shares[0].value.shape[1]
        minibatches = min(algorithm.minibatches, *sizes)
        for _ in range(algorithm.epochs):
            batches = [np.array_split(self.order.permutation(size), minibatches) for size in sizes]
            for tasks in zip(*batches, strict=True):
                drawn = [(chosen, self._noise(len(chosen), episodes - 1)) for chosen in tasks]
                parts = [
                    _Share(body, share.of(chosen), noise)
                    for body, share, (chosen, noise) in zip(self._bodies, shares, workers.own(drawn), strict=False)
                ]
                sums.append(self._step(parts, bonus, workers))
        statistics |= {name: float(np.mean([one[name] for one in sums])) for name in sums[0]}
        norm = float(torch.nn.utils.get_total_norm([*self.policy.parameters(), *self.adapter.parameters()]))
        return statistics | {"learning_rate": rate, "weight_norm": norm}

    def _step(self, shares: Sequence[_Share], bonus: float, workers: Workers) -> dict[str, float]:
        """Take one step of the optimiser on some of the trials; returns statistics."""
        everything = self.adapter.parameters_with(self.policy)
        learnt = {name: value for name, value in everything.items() if value.requires_grad}
        constant = {name: value for name, value in everything.items() if not value.requires_grad}
        sizes = workers.map(lambda share: (float(share.trials.lived.weight.sum()), _episodes(share.trials)), shares)
        weight, tasks = sum(acted for acted, _ in sizes), sum(episodes for _, episodes in sizes)

        def objective(leaves: Parameters, share: _Share) -> tuple[Tensor, Statistics]:
            return self._loss({**leaves, **constant}, share, bonus, weight, tasks)

        _, gradients, statistics = meta_gradient(objective, learnt, shares, workers)
        norms = {"gradient_norm": 0.0, "adapter_gradient_norm": 0.0}
        own = set(dict(self.policy.named_parameters()))
        for key, chosen in zip(norms, (own, learnt.keys() - own), strict=True):
            # Apart: what predicts has large gradients at first, and must not still the policy.
            names = [name for name in learnt if name in chosen]
            norms[key] = float(torch.nn.utils.get_total_norm([gradients[name] for name in names]))
            scale = min(1.0, (self.algorithm.max_grad_norm or math.inf) / (norms[key] + 1e-6))
            for name in names:
                learnt[name].grad = gradients[name] * scale
        self.optimiser.step()
        self.optimiser.zero_grad()
        return statistics | norms

    def _loss(
        self, everything: Parameters, share: _Share, bonus: float, weight: float, tasks: int
    ) -> tuple[Tensor, Statistics]:
        """Return a share's part of the loss, and of the statistics."""
        body, trials, algorithm, settings = share.body, share.trials, self.algorithm, self.settings
        trials = replace(trials, lived=body.read(everything, trials.lived))
        adapted, fixed = self._playing(body, everything, trials)
        lived, value_before, advantage, target = one_by_one(
            (trials.lived, trials.value, trials.advantage, trials.target)
        )
        output = body.judge_each(adapted, fixed, lived)
        log_probs = torch.log_softmax(output.logits, -1)
        log_prob = log_probs.gather(-1, lived.action.unsqueeze(-1)).squeeze(-1)
        counts = lived.weight > 0

        def mean(entries: Tensor) -> Tensor:
            return torch.where(counts, entries, 0.0).sum() / weight

        surrogate = mean(clipped_surrogate(log_prob, lived.log_prob, advantage, algorithm.clip))
        value = mean(clipped_value_loss(output.value, value_before, target, algorithm.value_clip))
        spread = mean(entropy(log_probs))
        kl = mean(approximate_kl(log_prob, lived.log_prob))
        parts = {"policy_loss": surrogate, "value_loss": value, "entropy": spread, "kl": kl}
        loss = algorithm.value_weight * value - bonus * spread
        if settings.outer == "reptile":
            loss = loss + self._pull(body, everything, adapted, trials) / tasks
        else:
            loss = loss + surrogate + settings.penalty * kl
        wrong = self._wrong(output.guess, trials)
        if wrong is not None:
            parts["auxiliary_loss"] = mean(wrong)
            loss = loss + self.meta.auxiliary * parts["auxiliary_loss"]
        predicting = adapted
        if body.plan.kind == "latent":
            predicting, parts["latent_cost"] = self._drawn(body, everything, share._replace(trials=trials), tasks)
            loss = loss + parts["latent_cost"]
        elif body.plan.inner == "prediction" and settings.order == "first":
            predicting = _joined(self._stages(body, everything, trials, "second"))
        if body.plan.inner != "policy":
            parts["prediction_loss"] = each_task(body.prediction_loss, predicting, fixed, lived).sum() / tasks
            loss = loss + settings.prediction_weight * parts["prediction_loss"]
        return loss, {name: float(part.detach()) for name, part in parts.items()}

    def _wrong(self, guess: Tensor | None, trials: Trials) -> Tensor | None:
        """Return how wrong guesses [K*M,L,n,G] of the hidden rules are [K*M,L,n], for those who learn to guess them."""
        knowledge = self.inputs.privileged
        if guess is None or knowledge is None:
            return None
        hidden = np.tile(trials.hidden.numpy(), (trials.value.shape[1], 1))[:, None, None]
        return guess_loss(guess, knowledge, np.broadcast_to(hidden, (*guess.shape[:-1], hidden.shape[-1])))

    def _pull(self, body: Body, everything: Parameters, adapted: Parameters, trials: Trials) -> Tensor:
        """Return what has Reptile's direction for its gradient: from where the last episode leads to the start."""
        count, episodes = trials.value.shape[:2]
        now = {name: value[-count:] for name, value in adapted.items()}
        last = body.after(everything, now, self._read_before(body, trials, episodes), "first")
        start, _ = body.split(everything)
        return torch.stack([((value - last[name]).detach() * value).sum() for name, value in start.items()]).sum()

    def _playing(self, body: Body, everything: Parameters, trials: Trials) -> tuple[Parameters, Parameters]:
        """Return the adapted parameters [K*M,...] that play each episode of the trials, and the shared ones.

        To first order they are the start and a constant: how far those that played had moved.
        """
        start, fixed = body.split(everything)
        if self.settings.order == "second":
            return _joined(self._stages(body, everything, trials, "second")), fixed
        return {name: start[name] + value for name, value in one_by_one(trials.moved).items()}, fixed

    def _stages(self, body: Body, everything: Parameters, trials: Trials, order: Order) -> list[Parameters]:
        """Return the parameters [M,...] that adapting comes to before each of the K episodes."""
        count, episodes = trials.value.shape[:2]
        start, _ = body.split(everything)
        stages = [{name: value.expand(count, *value.shape) for name, value in start.items()}]
        for episode in range(1, episodes):
            stages.append(body.after(everything, stages[-1], self._read_before(body, trials, episode), order))
        return stages

    def _drawn(self, body: Body, everything: Parameters, share: _Share, tasks: int) -> tuple[Parameters, Tensor]:
        """Return parameters [K*M,...] decoded from latents that are drawn, and what keeps latents in order (LEO).

        Predictions learn from these. Who plays does so by the means, and the policy learns from what was played.
        """
        count, episodes = share.trials.value.shape[:2]
        start, _ = body.split(everything)
        stages = [{name: value.expand(count, *value.shape) for name, value in start.items()}]
        settings = self.settings
        cost = settings.orthogonality * count * episodes * decoder_orthogonality(everything["leo.decoder.weight"])
        for episode, noise in enumerate(share.noise, 1):
            found = body.by_latent(everything, self._read_before(body, share.trials, episode), "second", noise)
            stages.append(found.parameters)
            cost = cost + settings.latent_kl * latent_kl(found.code).sum()
            cost = cost + settings.latent_penalty * encoder_penalty(found).sum()
        return _joined(stages), cost / tasks

    def _noise(self, tasks: int, adaptations: int) -> list[LeoNoise]:
        """Return what is drawn for each adaptation of so many trials."""
        if self.adapter.leo is None:
            return []
        scale, generator = self.settings.latent_noise, None
        if scale > 0:
            generator = torch.Generator().manual_seed(int(self.order.integers(2**63)))
        return [draw_noise(self.adapter.leo, tasks, generator, scale) for _ in range(adaptations)]

    @staticmethod
    def _read_before(body: Body, trials: Trials, episode: int) -> Lived:
        """Return what adapting before an episode reads, side by side."""
        lived: Lived = side_by_side(trials.lived, max(0, episode - body.plan.reads), episode)
        return lived

    def _note_moves(self, body: Body, trials: Trials) -> None:
        """Write down how far the parameters that played had moved."""
        everything = {name: value.detach() for name, value in self.adapter.parameters_with(self.policy).items()}
        start, _ = body.split(everything)
        found = []
        for tasks in np.array_split(np.arange(len(trials.value)), -(-len(trials.value) // GAMES_AT_ONCE)):
            chosen = trials.of(tasks)
            chosen.lived = body.read(everything, chosen.lived)
            stages = self._stages(body, everything, chosen, "first")
            found.append({
                name: torch.stack([stage[name].detach() - value for stage in stages], 1)
                for name, value in start.items()
            })  # fmt: skip
        trials.moved = {name: torch.cat([part[name] for part in found]) for name in start}

    def _measure(self, shares: Sequence[Trials], workers: Workers) -> dict[str, float]:
        """Return what each episode of the trials paid; and of some of them what the first adaptation did, as played.

        `inner_before` and `inner_after` are the inner loss on the first episode by the parameters before and after it,
        `adapted_kl` how far the policies that played the last episode were from the start.
        """

        def of_share(item: tuple[int, Trials]) -> tuple[Tensor, dict[str, float]]:
            index, share = item
            rewards = (share.lived.reward * share.lived.weight).sum(2).mean(-1)
            return rewards, {} if index or share.value.shape[1] == 1 else self._first_adaptation(share)

        parts = workers.map(of_share, list(zip(workers.own(range(workers.count)), shares, strict=False)))
        rewards = torch.cat([rewards for rewards, _ in parts])
        returns = {f"return_ep{index + 1}": float(value) for index, value in enumerate(rewards.mean(0))}
        return returns | parts[0][1]

    def _first_adaptation(self, share: Trials) -> dict[str, float]:
        found: dict[str, float] = {}
        body, some = self._bodies[0], share.of(np.arange(min(len(share.value), _MEASURED)))
        everything = {name: value.detach() for name, value in self.adapter.parameters_with(self.policy).items()}
        some.lived = body.read(everything, some.lived)
        before, after, *_ = stages = self._stages(body, everything, some, "first")
        _, fixed = body.split(everything)
        with torch.no_grad():
            first, last = (side_by_side(some.lived, episode, episode + 1) for episode in (0, some.value.shape[1] - 1))
            for key, moving in (("inner_before", before), ("inner_after", after)):
                found[key] = float(each_task(body.inner_loss, moving, fixed, first).mean())
            old, new = (
                torch.log_softmax(body.judge_each(moving, fixed, last).logits, -1) for moving in (stages[0], stages[-1])
            )
            found["adapted_kl"] = float(masked_mean(categorical_kl(old, new), last.weight > 0))
        return found

    def _prepare(self, shares: Sequence[Trials], workers: Workers) -> float:
        """Move the value statistics and put all in the critic's units; returns explained variance."""
        algorithm, normaliser = self.algorithm, self.normaliser
        entries = workers.map(
            lambda share: [
                entry.flatten() for entry in (share.lived.weight, share.target, share.value, share.advantage)
            ],
            shares,
        )
        weight, target, value, advantage = (torch.cat(parts) for parts in zip(*entries, strict=True))
        explained = explained_variance(value, target, weight)
        if algorithm.normalise_value:
            normaliser.update(target, weight, self.policy.critic)
            with torch.no_grad():
                self.adapter.value_scale.copy_(torch.tensor([normaliser.centre(), normaliser.scale()]))
        chosen = advantage[weight.bool()]
        centre, scale = 0.0, 1.0
        if algorithm.normalise_advantage and len(chosen):
            centre, scale = float(chosen.mean()), float(chosen.std(correction=0)) + 1e-8
        for share in shares:
            share.advantage = (share.advantage - centre) / scale
            share.target, share.value = normaliser.normalise(share.target), normaliser.normalise(share.value)
        return explained

    def arrays(self) -> Arrays:
        """Return the learner's whole state as arrays by name, but for `order_state`."""
        modules = {"policy": self.policy, "adapter": self.adapter, "normaliser": self.normaliser}
        arrays = {
            f"{name}/{key}": to_numpy(tensor)
            for name, module in modules.items() for key, tensor in module.state_dict().items()
        }  # fmt: skip
        return arrays | optimiser_arrays("optimiser", self.optimiser)

    def order_state(self) -> dict[str, Any]:
        """Return the state of the random stream that orders minibatches."""
        return dict(self.order.bit_generator.state)

    def restore(self, arrays: Arrays, order_state: dict[str, Any]) -> None:
        """Go back to what `arrays` and `order_state` returned."""
        tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        self.policy.load_state_dict(below(tensors, "policy/"))
        self.adapter.load_state_dict(below(tensors, "adapter/"))
        self.normaliser.load_state_dict(below(tensors, "normaliser/"))
        restore_optimiser(self.optimiser, below(tensors, "optimiser/"))
        self.order.bit_generator.state = order_state
