"""What steps come to, by latents of each kind of entity that nobody is told: how beliefs are learnt without the truth.

    reward = o + sum_s g_s . z_s,     changes = o' + G' z_self,     displaced_s = o''_s + g''_s . z_s

Offsets o and slopes g are learnt functions of what happened to an agent in a step with entities of kind s (and, last,
with itself); z_s [L] are the latents of kind s. Outcomes are linear in them: under Gaussian beliefs about latents they
are Gaussian, and none has to be drawn.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from marl_meta.nets.events import EventReader
from marl_meta.nets.limits import within
from marl_meta.nets.prediction import Predictor
from marl_meta.types import BoundRule

_LEAST_DEVIATION = 0.05


def latent_rules(kinds: tuple[str, ...], count: int) -> tuple[BoundRule, ...]:
    """Return numbers to be inferred that stand for no rule of the game: `count` of every kind of entity."""
    return tuple(
        BoundRule(f"latent_{index}[{kind}]", f"latent_{index}", (kind,), f"latent_{index}")
        for index in range(count)
        for kind in kinds
    )


class Outcome(NamedTuple):
    """Q numbers that came of each step [...], as linear functions of the latents of all slots."""

    found: Tensor
    """[...,Q]."""
    offset: Tensor
    """[...,Q] what is expected where all latents are 0."""
    slopes: Tensor
    """[...,Q,slots,L]."""
    log_deviation: Tensor
    """[Q] of what latents leave open."""


class OutcomeModel(nn.Module):
    """Sums of events by kind -> outcomes, and their slopes in the latents."""

    def __init__(self, reader: EventReader, latents: int, hidden: int = 32) -> None:
        super().__init__()
        self.predictor = Predictor(reader, latents, hidden)
        hides = {reader.pay, *reader.change, *reader.moved}
        self._moved_by = [column for column in range(reader.width) if column not in hides]
        self._moved, self._pay = reader.moved[0], reader.pay
        self.touched = nn.Linear(len(self._moved_by), hidden)
        self.known = nn.Linear(latents, hidden)
        self.displaced = nn.Linear(hidden, 1)
        outcomes = 1 + len(reader.change) + reader.slots - 1
        self.log_deviation = nn.Parameter(torch.full((outcomes,), math.log(0.3)))

    def read(self, events: Tensor) -> Outcome:
        """Return the outcomes of steps with sums of events [...,slots,V]: reward, changes, displaced by kind."""
        predictor, happened = self.predictor, self.predictor.read(events)
        slots = events.shape[-2]
        change = predictor.change_slopes(happened)
        own = torch.zeros(slots, device=events.device)
        own[-1] = 1.0
        touched = torch.tanh(self.touched(events[..., :-1, :][..., self._moved_by])) * self.displaced.weight
        each = torch.eye(slots, device=events.device)[:-1]
        return Outcome(
            torch.cat([events[..., -1, self._pay, None], happened.change, events[..., :-1, self._moved]], -1),
            torch.cat(
                [
                    happened.offset.unsqueeze(-1),
                    predictor.change(happened.own * predictor.moved_known.bias),
                    (touched @ self.known.bias) + self.displaced.bias,
                ],
                -1,
            ),
            torch.cat(
                [
                    happened.worth.unsqueeze(-3),
                    change.unsqueeze(-2) * own.view(slots, 1),
                    (touched @ self.known.weight).unsqueeze(-2) * each.unsqueeze(-1),
                ],
                -3,
            ),
            within(self.log_deviation, math.log(_LEAST_DEVIATION), math.inf),
        )


def outcome_loss(outcome: Outcome, mean: Tensor, log_deviation: Tensor, together: Tensor) -> Tensor:
    """Return minus the log-likelihood [T,M] that beliefs held at T steps give to what came of others, in nats a step.

    `mean` and `log_deviation` [T,M,slots,L] are the Gaussian beliefs (the last slot repeats one of the others: that of
    the agent's own kind), `together` [T,T,M] the weight with which a belief of one step (first) is to predict the
    outcomes of another: steps of the same trial, before and after, as in VariBAD (Zintgraf et al. 2020). Its evidence
    bound would make those who know little as sure as those who know all. So the likelihood is that of the predictive
    distribution, N(offset + slopes . mean, deviation^2 + slopes^2 . deviations^2), which being unsure makes wider, and
    beliefs pay once for how far they are from a standard normal distribution, which keeps their scale.
    """
    expected = outcome.offset + torch.einsum("tmqsl,amsl->atmq", outcome.slopes, mean)
    spread = torch.einsum("tmqsl,amsl->atmq", outcome.slopes.square(), (2.0 * log_deviation).exp())
    variance = (2.0 * outcome.log_deviation).exp() + spread
    nats = 0.5 * ((outcome.found - expected).square() / variance + variance.log())
    prior = divergence(mean[..., :-1, :], log_deviation[..., :-1, :]).sum((-1, -2))
    return ((nats.sum(-1) * together).sum(1) + prior) / together.sum(1).clamp(min=1.0)


def divergence(mean: Tensor, log_deviation: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence [...] of Gaussians from the standard normal distribution, in nats."""
    return 0.5 * (mean.square() + (2.0 * log_deviation).exp() - 1.0) - log_deviation
