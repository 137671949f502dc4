"""Small policies, and random experience of several tasks to adapt them to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from marl_meta.meta.parameters import Parameters
from marl_meta.meta.policies import run_policy
from marl_meta.nets.policy import GraphTensors, LowerGraph, PolicyShape, RelationalPolicy
from marl_meta.rl.surrogates import lvc_surrogate, masked_mean

SHAPE = PolicyShape(node=4, edge=6, own=7, actions=3, hidden=8, heads=2, recurrent=False)

Experience = dict[str, Any]


def mlp(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)


def samples(tasks: int, count: int = 13, seed: int = 0, dtype: torch.dtype = torch.float64) -> Experience:
    """Return experience of an `mlp` [M,S,...]."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "inputs": torch.randn(tasks, count, 4, generator=generator, dtype=dtype),
        "action": torch.randint(0, 3, (tasks, count), generator=generator),
        "advantage": torch.randn(tasks, count, generator=generator, dtype=dtype),
        "acted": torch.rand(tasks, count, generator=generator) < 0.8,
    }


def surrogate_loss(logits: Tensor, lived: Experience) -> Tensor:
    log_prob = torch.log_softmax(logits, -1).gather(-1, lived["action"].unsqueeze(-1)).squeeze(-1)
    return -masked_mean(lvc_surrogate(log_prob, lived["advantage"]), lived["acted"])


def mlp_loss(module: nn.Module) -> Callable[[Parameters, Experience], Tensor]:
    return lambda parameters, lived: surrogate_loss(
        torch.func.functional_call(module, parameters, (lived["inputs"],)), lived
    )


def relational(dtype: torch.dtype = torch.float32, context: int = 0, **sizes: Any) -> RelationalPolicy:
    """Return a policy whose biases and heads are not at their bland start."""
    torch.manual_seed(1)
    shape = {name: getattr(SHAPE, name) for name in PolicyShape.__dataclass_fields__} | sizes
    policy = RelationalPolicy(PolicyShape(**{**shape, "own": shape["own"] + context})).to(dtype)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return policy


def graphs(
    policy: RelationalPolicy, tasks: int, seed: int = 0, dtype: torch.dtype = torch.float32, context: int = 0
) -> Experience:
    """Return experience [M,T,R,...] of 5 steps of 2 games with 2 agents each, who see 5 entities."""
    generator = torch.Generator().manual_seed(seed)
    steps, games, agents, senders = 5, 2, 2, 5
    shape, rows = policy.shape, games * agents

    def normal(*sizes: int) -> Tensor:
        return torch.randn(tasks, steps, *sizes, generator=generator, dtype=dtype)

    def coin(share: float, *sizes: int) -> Tensor:
        return torch.rand(tasks, steps, *sizes, generator=generator) < share

    def edges(node: int, *sizes: int) -> Tensor:
        features = normal(*sizes, node + shape.edge - 1)
        return torch.cat([torch.ones(tasks, steps, *sizes, 1, dtype=dtype), features], -1)

    def graph(node: int) -> GraphTensors:
        lower = None
        if shape.layers > 1:
            below = coin(0.7, games, agents, senders)
            lower = LowerGraph(normal(games, agents, node), edges(node, games, agents, senders), below)
        own = normal(rows, node + shape.own - shape.node - context)
        return GraphTensors(own, edges(node, rows, senders), coin(0.7, rows, senders), lower)

    action_mask = coin(0.8, rows, shape.actions)
    action_mask[..., 0] = True
    return {
        "graph": graph(shape.node),
        **({"full": graph(shape.critic_node)} if shape.critic == "central" else {}),
        "state": torch.zeros(tasks, rows, shape.hidden if shape.recurrent else 0, dtype=dtype),
        "starts": coin(0.2, rows),
        "action_mask": action_mask,
        "action": (action_mask * torch.rand(action_mask.shape, generator=generator)).argmax(-1),
        "advantage": normal(rows),
        "acted": coin(0.9, rows),
    }


def relational_loss(policy: RelationalPolicy) -> Callable[[Parameters, Experience], Tensor]:
    def loss(parameters: Parameters, lived: Experience) -> Tensor:
        inputs = (lived["graph"], lived["state"], lived["starts"], lived["action_mask"])
        output = run_policy(policy, parameters, *inputs, lived.get("full"))
        return surrogate_loss(output.logits, lived) + 0.1 * (output.value - lived["advantage"]).square().mean()

    return loss


def of_one(experience: Any, task: int) -> Any:
    """Return one task's part of the experience [M,...]."""
    return tree_map(lambda tensor: tensor[task], experience)


def reorder(experience: Any, order: Tensor) -> Any:
    """Return the experience with its tasks in another order."""
    return tree_map(lambda tensor: tensor[order], experience)
