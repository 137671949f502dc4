"""Latent embedding optimisation (LEO, Rusu et al. 2019) for policies: adapt a latent that decodes to a few parameters.

    samples x_i = (s, a, r, s') -> h_i = W_e x_i                       encoder, linear
    (mean, log sigma) = mean over pairs (i, j) of relation([h_i, h_j])     relation net
    z ~ N(mean, sigma^2)                                               one latent per task
    (w, log sigma_w) = W_d z + b_d,     w ~ N(w, sigma_w^2)            decoder, linear: the policy's head, say
    z <- z - alpha * grad_z L(w(z))                                    inner steps, a learnt rate per dimension
    w <- w - beta * grad_w L(w)                                        a few fine-tuning steps

The inner steps are `inner.adapt`, on the latent and then on the decoded parameters. The reference implementation has
no b_d; here it is the head that all tasks share, so that a latent of 0 is a policy that already plays. Noise is passed
in, so that every function here is pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from marl_meta.meta.inner import Experience, Loss, Order, Rates, adapt
from marl_meta.meta.parameters import Parameters

_LATENT = "latent"
_FIRST_LOG_SIGMA = math.log(0.01)
"""Decoded parameters start out nearly certain: predictions would learn from little but noise."""


class Gaussian(NamedTuple):
    """Independent normal distributions."""

    mean: Tensor
    log_scale: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Return mean + sigma noise, which is differentiable in both; `noise` is standard normal, or zero."""
        return self.mean + self.log_scale.exp() * noise


class Leo(nn.Module):
    """Encoder, relation net, decoder and the latent's step sizes."""

    def __init__(self, sample: int, latent: int, decoded: Mapping[str, Sequence[int]], first_rate: float = 1.0) -> None:
        """`sample` is the width of a sample, `decoded` the shapes of the policy's parameters to decode, by name."""
        super().__init__()
        self.latent = latent
        self.decoded = {name: tuple(shape) for name, shape in decoded.items()}
        width = 2 * latent
        self.encoder = nn.Linear(sample, latent, bias=False)
        self.relation = nn.Sequential(
            nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width)
        )
        self.decoder = nn.Linear(latent, 2 * sum(math.prod(shape) for shape in self.decoded.values()))
        self.rate = nn.Parameter(torch.full((latent,), first_rate))
        with torch.no_grad():
            mean, log_scale = self.decoder.bias.chunk(2)
            mean.zero_()
            log_scale.fill_(_FIRST_LOG_SIGMA)

    def encode(self, samples: Tensor, taken: Tensor) -> Gaussian:
        """Return the tasks' latents [M,Z] from samples [M,S,F] (or one's [Z] from [S,F]).

        `taken` bool [M,S] says which samples count. All pairs of them are related, itself with itself included: S x S.
        """
        codes = self.encoder(samples)
        count = codes.shape[-2]
        left = codes.unsqueeze(-2).expand(*codes.shape[:-1], count, -1)
        related = self.relation(torch.cat([left, left.transpose(-3, -2)], -1))
        pairs = (taken.unsqueeze(-1) & taken.unsqueeze(-2)).unsqueeze(-1)
        total = torch.where(pairs, related, 0.0).sum((-3, -2))
        mean, log_scale = (total / pairs.sum((-3, -2)).clamp(min=1)).chunk(2, -1)
        return Gaussian(mean, log_scale)

    def decode(self, latent: Tensor) -> dict[str, Gaussian]:
        """Return the distributions of the decoded parameters [M,...] of latents [M,Z] (or [...] of [Z])."""
        sizes = [math.prod(shape) for shape in self.decoded.values()]
        means, log_scales = (half.split(sizes, -1) for half in self.decoder(latent).chunk(2, -1))
        return {
            name: Gaussian(mean.unflatten(-1, shape), log_scale.unflatten(-1, shape))
            for (name, shape), mean, log_scale in zip(self.decoded.items(), means, log_scales, strict=True)
        }

    @torch.no_grad()
    def share(self, parameters: Parameters) -> None:
        """Make the latent 0 decode to these parameters: start from a policy that exists."""
        flat = torch.cat([parameters[name].reshape(-1) for name in self.decoded])
        self.decoder.bias[: len(flat)] = flat


class LeoNoise(NamedTuple):
    """Standard normal noise of M tasks, or zeros to adapt without chance."""

    latent: Tensor
    """[M,Z]."""
    decoded: Parameters
    """[M,...] by name."""


def draw_noise(leo: Leo, tasks: int, generator: torch.Generator | None = None, scale: float = 1.0) -> LeoNoise:
    """Return noise for M tasks, times `scale`; without a generator zeros, to take the means."""
    like = leo.rate

    def draw(*shape: int) -> Tensor:
        if generator is None:
            return like.new_zeros(tasks, *shape)
        return scale * torch.randn(tasks, *shape, generator=generator, dtype=like.dtype, device=like.device)

    return LeoNoise(draw(leo.latent), {name: draw(*shape) for name, shape in leo.decoded.items()})


@dataclass(frozen=True, slots=True)
class LeoAdapted:
    """What adapting M tasks came to."""

    parameters: Parameters
    """[M,...] the decoded parameters after fine-tuning."""
    code: Gaussian
    """[M,Z] what the samples said at once."""
    first: Tensor
    """[M,Z] the latent that was drawn from the code."""
    latent: Tensor
    """[M,Z] the latent after its steps."""


def adapt_by_latent(
    leo: Leo,
    loss: Loss,
    code: Gaussian,
    experience: Sequence[Experience],
    tuning: Sequence[Experience],
    *,
    noise: LeoNoise,
    tuning_rates: Rates,
    fixed: Parameters,
    order: Order = "second",
) -> LeoAdapted:
    """Return the parameters of M tasks after steps in the latent along `experience`, then on themselves along `tuning`.

    `code` [M,Z] is `Leo.encode` of their samples; `loss` and the entries of `experience` and `tuning` are as
    `inner.adapt` takes them, `fixed` is the rest of the policy. Differentiable in Leo's parameters and in `fixed`.
    """

    def decoded(latent: Tensor, drawn: Parameters) -> Parameters:
        return {name: gaussian.sample(drawn[name]) for name, gaussian in leo.decode(latent).items()}

    def latent_loss(parameters: Parameters, lived: tuple[Experience, Parameters]) -> Tensor:
        latent = parameters[_LATENT]
        rest = {name: value for name, value in parameters.items() if name != _LATENT}
        return loss({**rest, **decoded(latent, lived[1])}, lived[0])

    first = code.sample(noise.latent)
    lived = [(entry, noise.decoded) for entry in experience]
    moved = adapt(latent_loss, {_LATENT: first}, lived, rates={_LATENT: leo.rate}, fixed=fixed, order=order)
    latent = moved[_LATENT]
    start = decoded(latent, noise.decoded)
    return LeoAdapted(adapt(loss, start, tuning, rates=tuning_rates, fixed=fixed, order=order), code, first, latent)


def latent_kl(code: Gaussian) -> Tensor:
    """Return KL(N(mean, sigma^2) || N(0, 1)) [M] in nats, summed over the latent's dimensions.

    1/2 sum(mean^2 + sigma^2 - 1) - sum log sigma.
    """
    return (0.5 * (code.mean.square() + (2.0 * code.log_scale).exp() - 1.0) - code.log_scale).sum(-1)


def encoder_penalty(adapted: LeoAdapted) -> Tensor:
    """Return ||stopgrad(z') - z||^2 [M]: the encoder should say at once where the inner steps lead."""
    return (adapted.latent.detach() - adapted.first).square().sum(-1)


def decoder_orthogonality(weight: Tensor) -> Tensor:
    """Return the mean square [] by which the correlations of a decoder's columns [P,Z] miss the identity."""
    columns = nn.functional.normalize(weight, dim=0)
    correlation = columns.t() @ columns
    return (correlation - torch.eye(len(correlation), dtype=weight.dtype, device=weight.device)).square().mean()
