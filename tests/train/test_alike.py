"""Kinds that differ only by their place in a hidden ordering, told apart by what is known alone (policy.alike)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from marl_meta.config import load_config
from marl_meta.games import make_vec
from marl_meta.mind import after
from marl_meta.nets.belief import places
from marl_meta.nets.inputs import InputStorage
from marl_meta.rl.sharding import Workers
from marl_meta.train.build import assemble, resolve
from marl_meta.train.learner import Learner
from marl_meta.types import UserError

Overrides = Callable[..., list[str]]
OBJECTS = ("red", "green", "blue")


def trained(overrides: Overrides, alike: str, **settings: Any) -> Learner:
    lines = overrides(
        game="harvest",
        game__split="payoffs_train",
        meta=settings.pop("meta", "belief"),
        policy__alike=alike,
        **settings,
    )
    cast = assemble(resolve(load_config(lines)))
    learner, workers = cast.learners["gatherer"], Workers(1)
    assert isinstance(learner, Learner)
    try:
        for time in range(3):
            learner.improve([one.collect(4)[0]["gatherer"] for one in cast.collectors], time / 3, workers)
    finally:
        workers.close()
    return learner


@torch.no_grad()
def logits(learner: Learner, order: tuple[int, int, int]) -> torch.Tensor:
    """Return what the policy does where the objects of kind k, and what is known of them, are called order[k]."""
    game = make_vec("harvest", num_games=3, split="payoffs_held_out", seed=7)
    layout, spec, agents = game.layout, learner.inputs.knowledge, np.arange(2)
    assert spec is not None
    observation, hidden = game.reset().observation, game.hidden_rules.copy()
    first = [layout.kinds.index(kind) for kind in OBJECTS]
    names = np.arange(len(layout.kinds))
    names[first] = np.array(first)[list(order)]
    columns = [next(i for i, one in enumerate(layout.hidden_rules) if one.kinds == (kind,)) for kind in OBJECTS]
    told = hidden.copy()
    told[:, np.array(columns)[list(order)]] = hidden[:, columns]
    shown = replace(observation, kind=names[observation.kind].astype(observation.kind.dtype))
    storage = InputStorage(
        learner.inputs, 1, (3, observation.private.shape[1], observation.kind.shape[1]), agents, shared_view=True
    )
    known = np.repeat(spec.truth(told)[:, None], len(agents), 1)
    storage.write(0, shown, None, known)
    read = storage.read(slice(None))
    rows = 3 * len(agents)
    starts = torch.ones(1, rows, dtype=torch.bool)
    return learner.policy(read.graph, learner.policy.initial_state(rows), starts, read.action_mask).logits


@torch.no_grad()
def believed(learner: Learner, order: tuple[int, int, int]) -> torch.Tensor:
    """Return what agents believe [R,kinds,columns] after some steps, where objects of kind k are called order[k]."""
    game, agents = make_vec("harvest", num_games=8, rules={"object_size": 0.2, "gatherers": 2}, seed=3), np.arange(2)
    layout, reader, belief = game.layout, learner.inputs.events, learner.belief
    assert reader is not None and belief is not None
    names = np.arange(len(layout.kinds))
    names[[layout.kinds.index(kind) for kind in OBJECTS]] = np.array([layout.kinds.index(kind) for kind in OBJECTS])[
        list(order)
    ]
    memory, draws = torch.zeros(16, belief.slots, belief.memory), np.random.default_rng(1)
    before = game.reset().observation
    for _ in range(12):
        shown = replace(before, entities=before.entities.copy(), private=before.private.copy())
        actions = draws.integers(5, size=(8, 2))
        step = game.step(actions)
        called = [replace(one, kind=names[one.kind].astype(one.kind.dtype)) for one in (shown, after(step))]
        events = reader(called[0], called[1], actions, step.reward, agents)
        gained = belief.evidence(torch.from_numpy(events.features), places(events, belief.slots), 16 * belief.slots)
        memory += gained.view_as(memory)
        before = step.observation
    known = belief(memory).knowledge
    blocks = {block.kinds[0]: block for block in belief.knowledge.blocks}
    of = [known[:, blocks[OBJECTS[order[k]]].start :][:, : blocks["red"].width] for k in range(3)]
    return torch.stack(of, 1)


def test_what_kinds_are_called_makes_no_difference_to_what_is_believed(overrides: Overrides) -> None:
    alike, told_apart = (trained(overrides, one, meta="belief") for one in ("true", "false"))
    for order in ((1, 2, 0), (1, 0, 2)):
        torch.testing.assert_close(believed(alike, order), believed(alike, (0, 1, 2)), atol=1e-5, rtol=1e-5)
        assert (believed(told_apart, order) - believed(told_apart, (0, 1, 2))).abs().max() > 1e-3
    assert believed(alike, (0, 1, 2)).std(0).max() > 1e-3  # and something is


@pytest.mark.parametrize("meta", ["belief", "oracle"])
def test_what_kinds_are_called_makes_no_difference(overrides: Overrides, meta: str) -> None:
    alike, told_apart = (trained(overrides, one, meta=meta) for one in ("true", "false"))
    for order in ((1, 2, 0), (1, 0, 2)):
        torch.testing.assert_close(logits(alike, order), logits(alike, (0, 1, 2)), atol=1e-5, rtol=1e-5)
        assert (logits(told_apart, order) - logits(told_apart, (0, 1, 2))).abs().max() > 1e-4


@pytest.mark.parametrize("settings", [{"meta": "none"}, {"meta": "oracle", "policy__encoder": "flat"}])
def test_it_takes_an_ordering_that_nodes_say_something_of(overrides: Overrides, settings: dict[str, str]) -> None:
    lines = overrides(game="harvest", game__split="payoffs_train", policy__alike="true", **settings)
    with pytest.raises(UserError, match=r"policy\.alike must be false"):
        assemble(resolve(load_config(lines)))
