from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from marl_meta.meta.inner import each_task
from marl_meta.meta.leo import (
    Gaussian,
    Leo,
    LeoAdapted,
    LeoNoise,
    adapt_by_latent,
    decoder_orthogonality,
    draw_noise,
    encoder_penalty,
    latent_kl,
)
from marl_meta.meta.parameters import Parameters

TASKS, SAMPLES, FEATURES, LATENT = 6, 9, 4, 3
HEAD = {"weight": (2, FEATURES), "bias": (2,)}


def build(seed: int = 0) -> Leo:
    torch.manual_seed(seed)
    return Leo(FEATURES + 2, LATENT, HEAD).double()


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def regression(seed: int) -> dict[str, Tensor]:
    """Return linear regression, another of few possible maps for each task."""
    inputs, maps = normal(seed, TASKS, SAMPLES, FEATURES), normal(7, TASKS, 2, FEATURES)
    return {"inputs": inputs, "target": inputs @ maps.mT}


def loss(parameters: Parameters, lived: dict[str, Tensor]) -> Tensor:
    prediction = lived["inputs"] @ parameters["weight"].t() * parameters["scale"] + parameters["bias"]
    return (prediction - lived["target"]).square().mean()


FIXED = {"scale": torch.ones((), dtype=torch.float64)}


def run(leo: Leo, steps: int = 3, tuning: int = 2, noise: LeoNoise | None = None) -> tuple[LeoAdapted, Gaussian]:
    lived = regression(0)
    code = leo.encode(torch.cat([lived["inputs"], lived["target"]], -1), torch.ones(TASKS, SAMPLES, dtype=torch.bool))
    adapted = adapt_by_latent(
        leo,
        loss,
        code,
        [lived] * steps,
        [lived] * tuning,
        noise=noise or draw_noise(leo, TASKS),
        tuning_rates=0.05,
        fixed=FIXED,
    )
    return adapted, code


def test_the_code_is_the_mean_over_all_pairs_of_what_counts() -> None:
    leo, samples = build(), normal(1, SAMPLES, FEATURES + 2)
    taken = torch.ones(SAMPLES, dtype=torch.bool)
    taken[[2, 5]] = False
    code = leo.encode(samples, taken)
    assert code.mean.shape == code.log_scale.shape == (LATENT,)
    kept = [leo.encoder.weight @ sample for sample in samples[taken]]
    pairs = torch.stack([leo.relation(torch.cat([one, other])) for one in kept for other in kept])
    torch.testing.assert_close(torch.cat([*code]), pairs.mean(0))
    batched = leo.encode(torch.stack([samples, samples.flip(0)]), torch.stack([taken, taken.flip(0)]))
    torch.testing.assert_close(batched.mean, code.mean.expand(2, -1))  # the order of samples tells nothing


def test_nothing_to_encode_is_a_code_all_the_same() -> None:
    code = build().encode(normal(1, SAMPLES, FEATURES + 2), torch.zeros(SAMPLES, dtype=torch.bool))
    assert (torch.cat([*code]) == 0).all()


def test_decoded_parameters_have_their_shapes_and_are_linear_in_the_latent() -> None:
    leo = build()
    decoded = leo.decode(normal(2, TASKS, LATENT))
    assert {name: tuple(part.mean.shape) for name, part in decoded.items()} == {
        name: (TASKS, *shape) for name, shape in HEAD.items()
    }
    one, two = normal(3, LATENT), normal(4, LATENT)
    sums, at_zero = leo.decode(one + two), leo.decode(torch.zeros_like(one))
    for name in HEAD:
        first, second = leo.decode(one)[name].mean, leo.decode(two)[name].mean
        torch.testing.assert_close(sums[name].mean + at_zero[name].mean, first + second)
        assert at_zero[name].log_scale.exp().max() < 0.02


def test_it_starts_from_a_policy_that_exists() -> None:
    leo = build()
    head = {"weight": normal(1, 2, FEATURES), "bias": normal(2, 2)}
    leo.share(head)
    decoded = leo.decode(torch.zeros(LATENT, dtype=torch.float64))
    assert all(torch.equal(decoded[name].mean, value) for name, value in head.items())
    assert all((part.log_scale < -4).all() for part in decoded.values())


def test_kl_is_that_of_torch() -> None:
    code = Gaussian(normal(1, TASKS, LATENT), normal(2, TASKS, LATENT))
    ours = torch.distributions.Normal(code.mean, code.log_scale.exp())
    standard = torch.distributions.Normal(torch.zeros_like(code.mean), 1.0)
    torch.testing.assert_close(latent_kl(code), torch.distributions.kl_divergence(ours, standard).sum(-1))


def test_a_sample_is_mean_plus_scaled_noise() -> None:
    gaussian = Gaussian(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 0.5]).log())
    torch.testing.assert_close(gaussian.sample(torch.tensor([1.0, -2.0])), torch.tensor([3.0, 1.0]))


def test_orthogonality_of_the_decoder() -> None:
    leo = Leo(FEATURES, 2, {"bias": (2,)})
    with torch.no_grad():
        leo.decoder.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 0.0], [0.0, 0.0]]))
        assert decoder_orthogonality(leo.decoder.weight).item() == 0.0
        leo.decoder.weight[0, 1] = 2.0  # columns (3, 0) and (2, 2): their cosine is 1 / sqrt(2)
    assert decoder_orthogonality(leo.decoder.weight).item() == pytest.approx((0.5 + 0.5) / 4)


def test_the_penalty_pulls_the_code_alone() -> None:
    first, latent = torch.zeros(2, 2, requires_grad=True), torch.tensor([[3.0, 4.0], [0.0, 1.0]], requires_grad=True)
    penalty = encoder_penalty(LeoAdapted({}, Gaussian(first, first), first, latent))
    assert penalty.tolist() == [25.0, 1.0]
    of_first, of_latent = torch.autograd.grad(penalty.sum(), [first, latent], allow_unused=True)
    assert of_latent is None and torch.equal(of_first, -2 * latent)


def test_inner_steps_follow_their_equations() -> None:
    leo, lived = build(), regression(0)
    with torch.no_grad():
        leo.rate.copy_(torch.tensor([0.1, 0.02, 0.3]))
    noise = draw_noise(leo, TASKS, torch.Generator().manual_seed(5))
    adapted, code = run(leo, steps=2, tuning=1, noise=noise)
    for task in range(TASKS):
        one = {name: value[task] for name, value in lived.items()}
        latent = code.mean[task] + code.log_scale[task].exp() * noise.latent[task]
        torch.testing.assert_close(adapted.first[task], latent)

        def head(latent: Tensor, task: int = task) -> Parameters:
            return {
                name: part.mean + part.log_scale.exp() * noise.decoded[name][task]
                for name, part in leo.decode(latent).items()
            }

        for _ in range(2):
            (slope,) = torch.autograd.grad(loss({**head(latent), **FIXED}, one), latent)
            latent = latent - leo.rate * slope
        torch.testing.assert_close(adapted.latent[task], latent)
        start = head(latent)
        slopes = torch.autograd.grad(loss({**start, **FIXED}, one), list(start.values()))
        for (name, value), slope in zip(start.items(), slopes, strict=True):
            torch.testing.assert_close(adapted.parameters[name][task], value - 0.05 * slope)


def test_steps_in_the_latent_and_tuning_each_lower_the_loss() -> None:
    leo, lived = build(), regression(0)
    with torch.no_grad():
        leo.rate.fill_(0.05)
    losses = [
        each_task(loss, run(leo, steps, tuning)[0].parameters, FIXED, lived).detach()
        for steps, tuning in ((0, 0), (1, 0), (5, 0), (5, 5))
    ]
    for before, after in pairwise(losses):
        assert (after < before).all()


def test_rates_start_at_one() -> None:
    assert torch.equal(build().rate, torch.ones(LATENT, dtype=torch.float64))


def test_everything_learns_and_a_few_meta_steps_help() -> None:
    leo = build()
    with torch.no_grad():
        leo.rate.fill_(0.05)
    optimiser = torch.optim.Adam(leo.parameters(), lr=0.02)
    values = []
    for _ in range(60):
        adapted, code = run(leo, steps=2, tuning=0)
        value = each_task(loss, adapted.parameters, FIXED, regression(1)).mean()
        objective = value + 1e-3 * latent_kl(code).mean() + 1e-3 * decoder_orthogonality(leo.decoder.weight)
        optimiser.zero_grad()
        (objective + 1e-9 * encoder_penalty(adapted).mean()).backward()
        assert all(parameter.grad is not None for parameter in leo.parameters())
        optimiser.step()
        values.append(value.item())
    assert values[-1] < 0.5 * values[0]
