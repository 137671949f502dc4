from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from marl_meta.games import make_vec
from marl_meta.nets.events import EventReader
from marl_meta.nets.prediction import Predictor, summed

KNOWN = 3


def play(steps: int, rules: dict[str, Any] | None = None) -> tuple[EventReader, torch.Tensor, np.ndarray, np.ndarray]:
    """Return sums of events [T,B*n,slots,V] of random play, rewards [T,B*n] and changes of private features."""
    game = make_vec("harvest", num_games=6, rules=rules or {"object_size": 0.2}, seed=1)
    reader = EventReader(game.layout, game.layout.kinds)
    agents, draws = np.arange(game.num_agents), np.random.default_rng(0)
    step, found, rewards, changes = game.reset(), [], [], []
    for _ in range(steps):
        before = step.observation
        private = before.private.copy()
        actions = draws.integers(len(game.layout.actions), size=(6, game.num_agents))
        step = game.step(actions)
        events = reader(before, step.observation, actions, step.reward, agents)
        found.append(summed(events, 6 * game.num_agents, reader.slots))
        rewards.append(step.reward.reshape(-1).copy())
        changes.append((step.observation.private - private).reshape(-1, private.shape[-1]))
    return reader, torch.from_numpy(np.stack(found)), np.stack(rewards), np.stack(changes)


def test_sums_say_what_happened() -> None:
    reader, events, rewards, changes = play(5)
    np.testing.assert_allclose(events[..., -1, reader.pay], rewards, atol=1e-6)
    np.testing.assert_allclose(events[..., -1, list(reader.change)], changes, atol=1e-6)


@pytest.mark.parametrize("displaces", [False, True])
def test_what_is_to_be_predicted_is_not_read(displaces: bool) -> None:
    reader, events, _, _ = play(5)
    torch.manual_seed(0)
    predictor, known = Predictor(reader, KNOWN, 8, displaces=displaces), torch.randn(reader.slots, KNOWN)
    found = predictor(predictor.read(events), known)
    other = events.clone()
    other[..., reader.pay] += 1.0
    paid = predictor(predictor.read(other), known)
    assert torch.equal(paid.reward, found.reward)
    assert torch.equal(paid.change, found.change)
    other[..., list(reader.change)] += 1.0
    assert torch.equal(predictor(predictor.read(other), known).change, found.change)
    if displaces:
        other[..., list(reader.moved)] += 1.0
        assert torch.equal(predictor(predictor.read(other), known).displaced, found.displaced)
        assert found.displaced.shape == (5, 18, reader.slots - 1)
    else:
        assert found.displaced.shape == (5, 18, 0)


def test_predictions_are_linear_in_what_is_known() -> None:
    reader, events, _, _ = play(5)
    torch.manual_seed(0)
    predictor = Predictor(reader, KNOWN, 8, displaces=True)
    happened = predictor.read(events)
    one, two = torch.randn(2, reader.slots, KNOWN)
    middle = predictor(happened, 0.25 * one + 0.75 * two)
    ends = [predictor(happened, known) for known in (one, two)]
    torch.testing.assert_close(middle.reward, 0.25 * ends[0].reward + 0.75 * ends[1].reward, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(middle.change, 0.25 * ends[0].change + 0.75 * ends[1].change, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        middle.displaced, 0.25 * ends[0].displaced + 0.75 * ends[1].displaced, rtol=1e-4, atol=1e-5
    )


def test_how_many_must_act_together_is_learnt_from_what_is_displaced() -> None:
    """Two rules, in the agent's own row: who needs one, and who needs two. A least-squares fit tells them apart."""
    torch.manual_seed(0)
    needed = []
    for number in (1, 2):
        rules = {"object_size": 0.2, "agents_needed": number, "objects_per_kind": 6}
        needed.append(play(200, rules))
    reader = needed[0][0]
    predictor = Predictor(reader, KNOWN, 16, displaces=True)
    optimiser = torch.optim.Adam(predictor.parameters(), 1e-2)
    known = torch.zeros(2, reader.slots, KNOWN)
    known[0, -1, 0] = known[1, -1, 1] = 1.0

    def error(told: torch.Tensor) -> torch.Tensor:
        parts = []
        for (_, events, _, _), own in zip(needed, told, strict=True):
            happened = predictor.read(events)
            parts.append((predictor(happened, own).displaced - happened.displaced).square().sum(-1).mean())
        return torch.stack(parts).mean()

    for _ in range(150):
        optimiser.zero_grad()
        error(known).backward()
        optimiser.step()
    assert error(known) < 0.5 * error(known.flip(0))
