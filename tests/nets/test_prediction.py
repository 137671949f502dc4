from __future__ import annotations

import numpy as np
import torch

from marl_meta.games import make_vec
from marl_meta.nets.events import EventReader
from marl_meta.nets.prediction import Predictor, summed

KNOWN = 3


def play(steps: int) -> tuple[EventReader, torch.Tensor, np.ndarray, np.ndarray]:
    """Return sums of events [T,B*n,slots,V] of random play, rewards [T,B*n] and changes of private features."""
    game = make_vec("harvest", num_games=6, rules={"object_size": 0.2}, seed=1)
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


def test_what_is_to_be_predicted_is_not_read() -> None:
    reader, events, _, _ = play(5)
    torch.manual_seed(0)
    predictor, known = Predictor(reader, KNOWN, 8), torch.randn(reader.slots, KNOWN)
    found = predictor(predictor.read(events), known)
    other = events.clone()
    other[..., reader.pay] += 1.0
    paid = predictor(predictor.read(other), known)
    assert torch.equal(paid.reward, found.reward)
    assert torch.equal(paid.change, found.change)
    other[..., list(reader.change)] += 1.0
    assert torch.equal(predictor(predictor.read(other), known).change, found.change)


def test_predictions_are_linear_in_what_is_known() -> None:
    reader, events, _, _ = play(5)
    torch.manual_seed(0)
    predictor = Predictor(reader, KNOWN, 8)
    happened = predictor.read(events)
    one, two = torch.randn(2, reader.slots, KNOWN)
    middle = predictor(happened, 0.25 * one + 0.75 * two)
    ends = [predictor(happened, known) for known in (one, two)]
    torch.testing.assert_close(middle.reward, 0.25 * ends[0].reward + 0.75 * ends[1].reward, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(middle.change, 0.25 * ends[0].change + 0.75 * ends[1].change, rtol=1e-4, atol=1e-5)
