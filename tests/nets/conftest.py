"""Random scenes of a made-up particle game, and a policy run on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from marl_meta.nets.inputs import InputStorage, PolicyDesign, PolicyInputs
from marl_meta.nets.policy import RelationalPolicy
from marl_meta.types import BoundRule, Layout, Observation, TeamLayout

LAYOUT = Layout(
    kinds=("hunter", "prey", "rock", "coin"),
    teams=(TeamLayout("hunters", "hunter"), TeamLayout("herd", "prey")),
    entity_features=("x", "y", "vx", "vy", "radius"),
    private_features=("x", "y", "vx", "vy"),
    actions=("stay", "left", "right", "up", "down"),
    visible_rules=(
        BoundRule("damping", "damping", ("hunter", "prey")),
        BoundRule("worth[0]", "worth", ("rock",)),
        BoundRule("worth[1]", "worth", ("coin",)),
    ),
)
RULES = ("worth", "damping")
SLOTS = (3, 2, 2, 3)
"""Hunters, prey, rocks, coins: agents are the first five slots."""

MakeScene = Callable[..., Observation]
Play = Callable[..., "Played"]


def scene(
    seed: int = 0, games: int = 3, fog: bool = False, absent: float = 0.0, slots: Sequence[int] = SLOTS
) -> Observation:
    """Return a random observation. `fog` limits sight; `absent` is the share of slots that are not taken."""
    draws = np.random.default_rng(seed)
    agents, entities = slots[0] + slots[1], sum(slots)
    present = draws.random((games, entities)) >= absent
    # Positions on a coarse grid, so that moving them all leaves their differences exactly as they were.
    places = draws.integers(-64, 64, (games, entities, 2)) / 64.0
    moving = draws.normal(size=(games, entities, 2))
    radius = draws.uniform(0.05, 0.2, (games, entities, 1))
    bodies = np.concatenate([places, moving, radius], -1).astype(np.float32) * present[..., None]
    private = bodies[:, :agents, :4].copy()
    action_mask = draws.random((games, agents, 5)) < 0.7
    action_mask[..., 0] = True
    return Observation(
        entities=bodies,
        kind=np.tile(np.repeat(np.arange(4), slots).astype(np.int8), (games, 1)),
        team=np.tile(np.repeat([0, 1, -1, -1], slots).astype(np.int8), (games, 1)),
        present=present,
        private=private,
        sees=draws.random((games, agents, entities)) < 0.6 if fog else None,
        acting=present[:, :agents].copy(),
        action_mask=action_mask,
        rules=draws.uniform(-1, 1, (games, 3)).astype(np.float32),
    )


@dataclass(frozen=True)
class Played:
    """What a policy made of one observation, by game and agent."""

    logits: Tensor
    """[B,n,A]"""
    value: Tensor
    """[B,n]"""
    state: Tensor
    """[B,n,H]"""
    attention: Tensor
    """[B,n,heads,E]"""


def play(
    inputs: PolicyInputs,
    policy: RelationalPolicy,
    observation: Observation,
    agents: Sequence[int] | None = None,
    path: str = "fused",
    state: Tensor | None = None,
) -> Played:
    """Return what the agents (all by default) do in one step, from the memory `state` [B,n,H] on."""
    games, entities = observation.present.shape
    slots = observation.private.shape[1]
    chosen = np.arange(slots) if agents is None else np.array(agents)
    storage = InputStorage(inputs, 1, (games, slots, entities), chosen, observation.sees is None)
    storage.write(0, observation)
    read = storage.read(slice(0, 1))
    rows = games * len(chosen)
    memory = policy.initial_state(rows) if state is None else state.flatten(0, 1)
    starts = torch.full((1, rows), state is None)
    output = policy(read.graph, memory, starts, read.action_mask, read.full, path)
    shape = (games, len(chosen))
    return Played(
        output.logits[0].unflatten(0, shape),
        output.value[0].unflatten(0, shape),
        output.state.unflatten(0, shape),
        output.attention[0].unflatten(0, shape),
    )


def build(layout: Layout = LAYOUT, seed: int = 0, **design: Any) -> tuple[PolicyInputs, RelationalPolicy]:
    """Return inputs and a policy whose biases and heads are not at their bland start."""
    chosen = PolicyDesign(**{"hidden": 16, "heads": 2, "kinds": layout.kinds, "rules": RULES, **design})
    inputs = PolicyInputs(layout, chosen)
    torch.manual_seed(seed)
    policy = inputs.build_policy()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        policy.actor.weight.normal_()
    return inputs, policy


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Small tensors are computed fastest by one thread, most of all where other tests run beside."""
    torch.set_num_threads(1)


@pytest.fixture
def layout() -> Layout:
    return LAYOUT


@pytest.fixture
def make_scene() -> MakeScene:
    return scene


@pytest.fixture
def run_policy() -> Play:
    return play


@pytest.fixture
def build_policy() -> Callable[..., tuple[PolicyInputs, RelationalPolicy]]:
    return build
