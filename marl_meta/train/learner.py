"""One learner of a run: a policy, its optimiser, and how it improves on an iteration's experience."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from marl_meta.config import AlgorithmConfig, MetaConfig
from marl_meta.meta.adapter import Adapter
from marl_meta.meta.belief import BeliefSettings, improve_belief
from marl_meta.meta.plan import Plan
from marl_meta.nets.inputs import PolicyDesign, PolicyInputs
from marl_meta.nets.policy import RelationalPolicy
from marl_meta.rl.normalise import ValueNormaliser
from marl_meta.rl.ppo import PpoSettings, update
from marl_meta.rl.returns import explained_variance
from marl_meta.rl.sharding import Workers
from marl_meta.rollout import Experience
from marl_meta.types import IntArray, Layout

Arrays = dict[str, npt.NDArray[Any]]
"""A learner's state, by name."""


class Learner:
    """Parameters, optimiser and statistics of one policy that plays `teams` with the agent slots `agents`."""

    def __init__(
        self, layout: Layout, design: PolicyDesign, algorithm: AlgorithmConfig, meta: MetaConfig,
        teams: tuple[str, ...], agents: IntArray, seed: int, device: str,
    ) -> None:  # fmt: skip
        self.design, self.algorithm, self.meta, self.teams, self.agents = design, algorithm, meta, teams, agents
        self.inputs = PolicyInputs(layout, design)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.policy = self.inputs.build_policy().to(device)
            self.belief = self.inputs.build_belief()
            self.adapter = _fine_tuning(meta, algorithm, self.inputs, self.policy)
        self.optimiser = torch.optim.Adam(self.policy.parameters(), lr=algorithm.learning_rate, eps=1e-5, fused=True)
        self.belief_optimiser = (
            torch.optim.Adam(self.belief.parameters(), lr=meta.belief.learning_rate)
            if self.belief is not None
            else None
        )
        self.normaliser = ValueNormaliser()
        self.order = np.random.default_rng(seed)

    def improve(self, shares: Sequence[Experience], progress: float, workers: Workers) -> dict[str, float]:
        """Update the policy on an iteration's experience, `progress` of the way through the run; returns statistics.

        `shares` are those that `workers` work on in this process.
        """
        if self.meta.name == "scratch":
            return {}
        algorithm = self.algorithm
        rate = scheduled(algorithm, progress)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        explained = self._prepare(shares, workers)
        settings = PpoSettings(
            clip=algorithm.clip,
            epochs=algorithm.epochs,
            minibatches=algorithm.minibatches,
            entropy=algorithm.entropy + (algorithm.entropy_final - algorithm.entropy) * progress,
            value_weight=algorithm.value_weight,
            value_clip=algorithm.value_clip,
            max_grad_norm=algorithm.max_grad_norm or math.inf,
            target_kl=algorithm.target_kl,
            auxiliary=self.meta.auxiliary,
        )
        statistics = update(self.policy, self.optimiser, shares, settings, self.order, workers)
        # One weight that is not finite makes the norm so, and the run is stopped before it would be saved.
        norm = float(torch.nn.utils.get_total_norm(self.policy.parameters()))
        statistics |= {"explained_variance": explained, "learning_rate": rate, "weight_norm": norm}
        return statistics | self._improve_belief(shares, progress, workers)

    def portable(self) -> RelationalPolicy:
        """Return the policy as a team keeps it, whose critic says what the game pays.

        With an adapter the critic stays as it is: the adapter keeps its units.
        """
        if self.adapter is not None:
            return self.policy
        policy = copy.deepcopy(self.policy)
        self.normaliser.unfold(policy.critic)
        return policy

    def reveal(self, env_steps: int) -> float:
        """Return the share of the games whose hidden rules the agents are told after so many steps of training."""
        return revealed(self.design, self.meta, env_steps)

    def _improve_belief(self, shares: Sequence[Experience], progress: float, workers: Workers) -> dict[str, float]:
        testimonies = [share.testimony for share in shares if share.testimony is not None]
        if self.belief is None or self.belief_optimiser is None or not testimonies:
            return {}
        settings = self.meta.belief
        for group in self.belief_optimiser.param_groups:
            group["lr"] = settings.learning_rate * (1.0 - 0.9 * progress)
        sizes = BeliefSettings(settings.epochs, settings.minibatches)
        return improve_belief(self.belief, self.belief_optimiser, testimonies, sizes, self.order, workers)

    def _prepare(self, shares: Sequence[Experience], workers: Workers) -> float:
        """Estimate advantages, move the value statistics, put all in the critic's units; returns explained variance."""
        algorithm, normaliser = self.algorithm, self.normaliser

        def estimated(share: Experience) -> list[Tensor]:
            share.estimate(normaliser, algorithm.gamma, algorithm.gae_lambda)
            share.value = normaliser.denormalise(share.value)
            return [entry.flatten() for entry in (share.weight, share.target, share.value, share.advantage)]

        entries = workers.map(estimated, shares)
        weight, target, value, advantage = (torch.cat(parts) for parts in zip(*entries, strict=True))
        explained = explained_variance(value, target, weight)
        if algorithm.normalise_value:
            normaliser.update(target, weight, self.policy.critic)
            self._tell_units()
        advantage = advantage[weight.bool()]
        centre, scale = 0.0, 1.0
        if algorithm.normalise_advantage and len(advantage):
            centre, scale = float(advantage.mean()), float(advantage.std(correction=0)) + 1e-8
        for share in shares:
            share.advantage = (share.advantage - centre) / scale
            share.target, share.value = normaliser.normalise(share.target), normaliser.normalise(share.value)
        return explained

    def _tell_units(self) -> None:
        """Have the adapter know the critic's units once targets were seen; before, it has those that it came with."""
        if self.adapter is not None and self.normaliser.weight > 0:
            centre, scale = self.normaliser.centre(), self.normaliser.scale()
            self.adapter.value_scale.copy_(torch.tensor([centre, scale]))

    def arrays(self) -> Arrays:
        """Return the learner's whole state as arrays by name, but for `order_state`."""
        arrays = {f"policy/{name}": to_numpy(tensor) for name, tensor in self.policy.state_dict().items()}
        arrays |= {f"normaliser/{name}": to_numpy(tensor) for name, tensor in self.normaliser.state_dict().items()}
        arrays |= optimiser_arrays("optimiser", self.optimiser)
        if self.belief is not None and self.belief_optimiser is not None:
            arrays |= {f"belief/{name}": to_numpy(tensor) for name, tensor in self.belief.state_dict().items()}
            arrays |= optimiser_arrays("belief_optimiser", self.belief_optimiser)
        return arrays

    def order_state(self) -> dict[str, Any]:
        """Return the state of the random stream that orders minibatches."""
        return dict(self.order.bit_generator.state)

    def restore(self, arrays: Arrays, order_state: dict[str, Any]) -> None:
        """Go back to what `arrays` and `order_state` returned."""
        tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        self.policy.load_state_dict(below(tensors, "policy/"))
        self.normaliser.load_state_dict(below(tensors, "normaliser/"))
        self._tell_units()
        restore_optimiser(self.optimiser, below(tensors, "optimiser/"))
        if self.belief is not None and self.belief_optimiser is not None:
            self.belief.load_state_dict(below(tensors, "belief/"))
            restore_optimiser(self.belief_optimiser, below(tensors, "belief_optimiser/"))
        self.order.bit_generator.state = order_state


def make_plan(meta: MetaConfig, algorithm: AlgorithmConfig) -> Plan:
    """Return the plan that a config asks for."""
    chosen = meta.gradient
    return Plan(
        kind=chosen.kind, adapt=tuple(chosen.adapt), inner=chosen.inner, fit=chosen.fit, experience=chosen.experience,
        steps=chosen.steps, gamma=algorithm.gamma, gae_lambda=algorithm.gae_lambda, clip=algorithm.clip,
        window=chosen.window, predictor=chosen.predictor, displaces=True, latent=chosen.latent, tuning=chosen.tuning,
        rate=chosen.rate, max_norm=algorithm.max_grad_norm or 1e9, value_weight=algorithm.value_weight,
        entropy=algorithm.entropy_final,
    )  # fmt: skip


def _fine_tuning(
    meta: MetaConfig, algorithm: AlgorithmConfig, inputs: PolicyInputs, policy: RelationalPolicy
) -> Adapter | None:
    """Return how the team is adapted where it did not learn to adapt; None for a team that is not."""
    if meta.name not in ("finetune", "scratch"):
        return None
    return Adapter(make_plan(meta, algorithm), inputs, policy)


def revealed(design: PolicyDesign, meta: MetaConfig, env_steps: int) -> float:
    """Return the share of the games whose hidden rules are told after so many steps of training."""
    if not design.unknowns or meta.tell == "never":
        return 0.0
    if meta.tell == "always":
        return 1.0
    return max(meta.tell_share, 1.0 - env_steps / meta.tell_steps)


def scheduled(algorithm: AlgorithmConfig, progress: float) -> float:
    """Return the learning rate at `progress` in [0, 1] of the run."""
    first, last = algorithm.learning_rate, algorithm.final_learning_rate
    match algorithm.schedule:
        case "constant":
            return first
        case "linear":
            return first + (last - first) * progress
        case "cosine":
            return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * progress))


def optimiser_arrays(prefix: str, optimiser: torch.optim.Optimizer) -> Arrays:
    """Return an optimiser's state as arrays, by names that begin with `prefix`."""
    states = optimiser.state_dict()["state"]
    return {
        f"{prefix}/{index}/{name}": to_numpy(tensor)
        for index, state in states.items()
        for name, tensor in state.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give an optimiser the state that these tensors hold."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def to_numpy(tensor: Tensor) -> npt.NDArray[Any]:
    """Return a copy as an array."""
    array: npt.NDArray[Any] = tensor.detach().cpu().numpy().copy()
    return array


def below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
