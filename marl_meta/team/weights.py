"""What `weights.safetensors` holds: the tensors of a team's networks and of what its agents remember, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from marl_meta.meta.adapter import Adapter
from marl_meta.meta.plan import Plan
from marl_meta.mind import Start
from marl_meta.nets.belief import BeliefNet
from marl_meta.nets.inputs import PolicyDesign, PolicyInputs
from marl_meta.nets.policy import RelationalPolicy
from marl_meta.team.card import CARD
from marl_meta.types import Layout, UserError

WEIGHTS = "weights.safetensors"
_BELIEF, _START, _ADAPTER = ":belief", ":start", ":adapter"
"""What the names of a policy's belief network's weights, of its memory, and of how it adapts by gradients have after
the policy's name."""

_Network = TypeVar("_Network", bound=nn.Module)


def packed(
    policies: Mapping[str, RelationalPolicy],
    beliefs: Mapping[str, BeliefNet],
    adapters: Mapping[str, Adapter],
    starts: Mapping[str, Start],
) -> bytes:
    """Return what is written to weights.safetensors."""
    return save(named(policies, beliefs, adapters, starts))


def named(
    policies: Mapping[str, RelationalPolicy],
    beliefs: Mapping[str, BeliefNet],
    adapters: Mapping[str, Adapter],
    starts: Mapping[str, Start],
) -> dict[str, Tensor]:
    """Return the tensors of a team by the names that they have in its file."""
    networks: dict[str, nn.Module] = {
        **policies,
        **{name + _BELIEF: belief for name, belief in beliefs.items()},
        **{name + _ADAPTER: adapter for name, adapter in adapters.items()},
    }
    tensors = {
        f"{name}/{key}": tensor.detach().cpu().contiguous()
        for name, network in networks.items()
        for key, tensor in network.state_dict().items()
    }
    for name, start in starts.items():
        tensors[f"{name}{_START}/state"] = start.state.contiguous()
        tensors[f"{name}{_START}/evidence"] = start.evidence.contiguous()
    return tensors


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of a tensor that holds an infinity or what is no number, None where all numbers are finite."""
    return next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of a file; what reads a network from them raises UserError where they do not fit it."""

    path: Path
    tensors: Mapping[str, Tensor]

    @classmethod
    def read(cls, path: Path) -> Weights:
        """Return the tensors of a file; raises UserError where it holds none."""
        try:
            return cls(path, load_file(path))
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} cannot be read as safetensors: {str(error).splitlines()[0]}.") from error

    def networks(
        self, layout: Layout, designs: Mapping[str, PolicyDesign]
    ) -> tuple[dict[str, RelationalPolicy], dict[str, BeliefNet]]:
        """Return the policies of these designs, and the belief networks of those that have one."""
        policies, beliefs = {}, {}
        for name, design in designs.items():
            inputs = PolicyInputs(layout, design)
            with torch.device("meta"):  # shapes alone: no memory for what a card claims, no random numbers for nothing
                policy, belief = inputs.build_policy(), inputs.build_belief()
            policies[name] = self._fill(policy, name)
            if belief is not None:
                beliefs[name] = self._fill(belief, name + _BELIEF)
                self._refuse_examples(beliefs[name], name + _BELIEF)
        return policies, beliefs

    def adapters(
        self,
        layout: Layout,
        designs: Mapping[str, PolicyDesign],
        policies: Mapping[str, RelationalPolicy],
        plans: Mapping[str, Plan],
    ) -> dict[str, Adapter]:
        """Return how the policies that have a plan adapt by gradients."""
        adapters = {}
        for name, plan in plans.items():
            inputs = PolicyInputs(layout, designs[name])
            with torch.device("meta"):
                adapter = Adapter(plan, inputs, policies[name])
            adapters[name] = self._fill(adapter, name + _ADAPTER)
        return adapters

    def starts(self, policies: Mapping[str, RelationalPolicy], beliefs: Mapping[str, BeliefNet]) -> dict[str, Start]:
        """Return what the agents of the policies remember."""
        starts = {}
        for name, policy in policies.items():
            found = self._of(name + _START)
            if not found:
                continue
            belief = beliefs.get(name)
            slots, width = (belief.slots, belief.memory) if belief is not None else (0, 0)
            state = policy.initial_state(1)
            agents = next(iter(found["state"].shape), 0) if "state" in found else 0
            expected = {
                "state": (torch.Size((agents, *state.shape[1:])), state.dtype),
                "evidence": (torch.Size((agents, slots, width)), torch.float32),
            }
            wrong = _misfit(expected, found) if agents else "state"
            if wrong is not None:
                raise UserError(
                    f"{self.path} holds a memory of policy {name!r} that does not fit its networks: {wrong}."
                )
            self._refuse_not_finite(name + _START, found)
            starts[name] = Start(found["state"], found["evidence"])
        return starts

    def refuse_strangers(
        self,
        policies: Mapping[str, RelationalPolicy],
        beliefs: Mapping[str, BeliefNet],
        adapters: Mapping[str, Adapter],
        starts: Mapping[str, Start],
    ) -> None:
        """Return nothing where every tensor is of one of these; raises UserError naming the first that is of none."""
        parts = ((policies, ""), (beliefs, _BELIEF), (adapters, _ADAPTER), (starts, _START))
        owners = tuple(f"{name}{ending}/" for owned, ending in parts for name in owned)
        strange = next((key for key in self.tensors if not key.startswith(owners)), None)
        if strange is not None:
            raise UserError(f"{self.path} holds the tensor {strange!r}, which is of nothing that {CARD} describes.")

    def _of(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of what is called `name`."""
        own = f"{name}/"
        return {key.removeprefix(own): value for key, value in self.tensors.items() if key.startswith(own)}

    def _fill(self, network: _Network, name: str) -> _Network:
        """Return the network with the weights of that name, ready to play."""
        own = self._of(name)
        wrong = _misfit({key: (value.shape, value.dtype) for key, value in network.state_dict().items()}, own)
        if wrong is not None:
            raise UserError(f"{self.path} does not hold the weights of policy {name!r} that {CARD} describes: {wrong}.")
        self._refuse_not_finite(name, own)
        network.to_empty(device="cpu").load_state_dict(own)
        network.eval().requires_grad_(requires_grad=False)
        return network

    def _refuse_not_finite(self, name: str, own: Mapping[str, Tensor]) -> None:
        """Raise UserError where a tensor of what is called `name` holds numbers that nobody can play with."""
        wrong = not_finite(own)
        if wrong is not None:
            raise UserError(
                f"{self.path} holds the tensor {f'{name}/{wrong}'!r} with numbers that are not finite; weights and "
                "memories must be."
            )

    def _refuse_examples(self, belief: BeliefNet, name: str) -> None:
        """Raise UserError where the examples of a belief network called `name` are none."""
        wrong = belief.nonsense()
        if wrong is not None:
            raise UserError(
                f"{self.path} holds the tensor {f'{name}/{wrong[0]}'!r} with other numbers than it may have; allowed: "
                f"{wrong[1]}."
            )


def _misfit(expected: Mapping[str, tuple[torch.Size, torch.dtype]], tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor that is missing, too many, or of another shape or type than expected."""
    found = {key: (value.shape, value.dtype) for key, value in tensors.items()}
    wrong = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
    return wrong[0] if wrong else None
