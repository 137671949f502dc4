"""Outcomes beside predictions for one value of the latents, and likelihoods beside torch's distributions."""

from __future__ import annotations

import numpy as np
import torch
from torch.distributions import Normal

from marl_meta.games import make_vec
from marl_meta.nets.events import EventReader
from marl_meta.nets.outcomes import Outcome, OutcomeModel, divergence, latent_rules, outcome_loss
from marl_meta.nets.prediction import summed

LATENTS = 2


def play(steps: int) -> tuple[EventReader, torch.Tensor, np.ndarray]:
    """Return sums of events [T,B*n,slots,V] of random play, and how often each kind was displaced [T,B*n,kinds]."""
    game = make_vec("harvest", num_games=6, rules={"object_size": 0.2}, seed=1)
    reader = EventReader(game.layout, game.layout.kinds)
    agents, draws = np.arange(game.num_agents), np.random.default_rng(0)
    step, found, displaced = game.reset(), [], []
    for _ in range(steps):
        before = step.observation
        shown, kind = before.entities.copy(), before.kind.copy()
        actions = draws.integers(len(game.layout.actions), size=(6, game.num_agents))
        step = game.step(actions)
        events = reader(before, step.observation, actions, step.reward, agents)
        found.append(summed(events, 6 * game.num_agents, reader.slots))
        moved = (np.abs(step.observation.entities - shown) > 1e-6).any(-1) & (before.team < 0)
        counts = np.stack([(moved & (kind == k)).sum(1) for k in range(len(game.layout.kinds))], -1)
        displaced.append(np.repeat(counts, game.num_agents, axis=0))
    return reader, torch.from_numpy(np.stack(found)), np.stack(displaced)


def test_latents_belong_to_every_kind_and_no_rule() -> None:
    rules = latent_rules(("walker", "stone"), 2)
    assert [rule.name for rule in rules] == [
        "latent_0[walker]",
        "latent_0[stone]",
        "latent_1[walker]",
        "latent_1[stone]",
    ]
    assert {(rule.feature, rule.rule, rule.form) for rule in rules[:2]} == {("latent_0", "latent_0", "number")}
    assert [rule.kinds for rule in rules[:2]] == [("walker",), ("stone",)]


def test_what_came_of_a_step_is_what_the_game_did() -> None:
    reader, events, displaced = play(12)
    found = OutcomeModel(reader, LATENTS).read(events).found
    assert displaced.any()
    np.testing.assert_allclose(found[..., 0], events[..., -1, reader.pay])
    np.testing.assert_allclose(found[..., 1 : 1 + len(reader.change)], events[..., -1, list(reader.change)])
    np.testing.assert_array_equal(found[..., 1 + len(reader.change) :], displaced)


def test_offsets_and_slopes_give_the_predictions_for_latents() -> None:
    reader, events, _ = play(6)
    torch.manual_seed(0)
    model = OutcomeModel(reader, LATENTS, hidden=8)
    latents = torch.randn(reader.slots, LATENTS)
    outcome = model.read(events)
    expected = outcome.offset + (outcome.slopes * latents).sum((-1, -2))
    predicted = model.predictor(model.predictor.read(events), latents)
    torch.testing.assert_close(expected[..., 0], predicted.reward)
    torch.testing.assert_close(expected[..., 1 : 1 + len(reader.change)], predicted.change)
    # Whether a kind is displaced is up to that kind's latents alone.
    for kind in range(reader.slots - 1):
        own = outcome.slopes[..., 1 + len(reader.change) + kind, :, :]
        others = torch.arange(reader.slots) != kind
        assert (own[..., others, :] == 0).all()
        assert (own[..., kind, :] != 0).any()


def test_outcomes_are_not_read_before_they_are_known() -> None:
    reader, events, _ = play(6)
    model = OutcomeModel(reader, LATENTS, hidden=8)
    before = model.read(events)
    other = events.clone()
    other[..., reader.pay] += 1.0
    other[..., list(reader.change)] -= 1.0
    other[..., list(reader.moved)] += 2.0
    after = model.read(other)
    slots = slice(1, None)  # the reward may be explained by what was displaced, nothing else may
    assert torch.equal(after.offset[..., slots], before.offset[..., slots])
    assert torch.equal(after.slopes[..., slots, :, :], before.slopes[..., slots, :, :])
    other = events.clone()
    other[..., reader.pay] += 1.0
    assert torch.equal(model.read(other).offset, before.offset)


def test_the_loss_is_the_predictive_likelihood_of_every_pair_of_steps() -> None:
    torch.manual_seed(0)
    steps, rows, numbers, slots = 3, 2, 4, 3
    outcome = Outcome(
        torch.randn(steps, rows, numbers),
        torch.randn(steps, rows, numbers),
        torch.randn(steps, rows, numbers, slots, LATENTS),
        0.3 * torch.randn(numbers),
    )
    mean, log_deviation = torch.randn(2, steps, rows, slots, LATENTS)
    together = torch.rand(steps, steps, rows)
    together[0, :, 1] = 0.0
    found = outcome_loss(outcome, mean, log_deviation, together)
    for a in range(steps):
        for m in range(rows):
            total = 0.0
            for t in range(steps):
                for q in range(numbers):
                    slope = outcome.slopes[t, m, q]
                    centre = outcome.offset[t, m, q] + (slope * mean[a, m]).sum()
                    noise = outcome.log_deviation[q].exp().square()
                    variance = noise + (slope * log_deviation[a, m].exp()).square().sum()
                    # Normal's constant, half a log of 2 pi, is left out.
                    nats = -Normal(centre, variance.sqrt()).log_prob(outcome.found[t, m, q]) - 0.5 * np.log(2 * np.pi)
                    total += float(together[a, t, m] * nats)
            total += float(divergence(mean[a, m, :-1], log_deviation[a, m, :-1]).sum())
            weight = max(float(together[a, :, m].sum()), 1.0)
            assert abs(float(found[a, m]) - total / weight) < 1e-4


def test_the_divergence_is_that_of_torch() -> None:
    mean, log_deviation = torch.randn(2, 50)
    expected = torch.distributions.kl_divergence(Normal(mean, log_deviation.exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(divergence(mean, log_deviation), expected)


def test_who_was_sure_of_outcomes_learns_that_he_was_wrong() -> None:
    reader, events, _ = play(6)
    model = OutcomeModel(reader, LATENTS, hidden=8)
    with torch.no_grad():
        model.log_deviation.fill_(-5.0)
    outcome = model.read(events)
    assert torch.allclose(outcome.log_deviation.exp(), torch.tensor(0.05))
    still = torch.zeros(*events.shape[:2], reader.slots, LATENTS)
    together = torch.ones(len(events), len(events), events.shape[1])
    outcome_loss(outcome._replace(found=outcome.found + 1.0), still, still - 5.0, together).sum().backward()
    assert model.log_deviation.grad is not None
    assert (model.log_deviation.grad < 0).all()
