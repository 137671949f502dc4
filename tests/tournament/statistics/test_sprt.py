from __future__ import annotations

import math

import numpy as np
import pytest

from marl_meta.tournament.statistics.outcomes import Outcomes
from marl_meta.tournament.statistics.sprt import best_likelihood, settled, tally, verdict, verdicts
from marl_meta.types import UserError

SCORES = np.linspace(0.0, 1.0, 5)


def called(rng: np.random.Generator, chances: np.ndarray, margin: float, most: int = 4000) -> tuple[str, int]:
    """Return the call, and after how many units, of a test that is looked at after every four units."""
    scores = rng.choice(SCORES, most, p=chances)
    for count in range(4, most + 1, 4):
        found = verdict(scores[:count], margin)
        if found.call != "open":
            return found.call, count
    return "open", most


def with_mean(mean: float) -> np.ndarray:
    """Return chances of the five scores of a unit, of a given mean."""
    base = np.array([0.1, 0.2, 0.4, 0.2, 0.1])
    return base + (mean - 0.5) * np.array([-0.4, -0.6, 0.0, 0.6, 0.4]) / 0.7


def elo(points: float) -> float:
    return 1.0 / (1.0 + 10.0 ** (-points / 400.0))


def test_the_chances_of_these_tests_have_the_mean_they_say() -> None:
    for mean in (0.5, 0.6, 0.42):
        assert with_mean(mean).sum() == pytest.approx(1.0) and with_mean(mean) @ SCORES == pytest.approx(mean)


def test_the_constrained_likelihood_by_hand() -> None:
    """Two possible scores, 0 and 1: the mean is the chance of a win, and the likelihood the binomial one."""
    values, weights = np.array([0.0, 1.0]), np.array([3.0, 7.0])
    for mean in (0.4, 0.7):
        hand = 7 * math.log(mean / 0.7) + 3 * math.log((1 - mean) / 0.3)
        assert best_likelihood(values, weights, mean) == pytest.approx(hand)
    assert best_likelihood(values, weights, 0.7) == pytest.approx(0.0)


def test_the_constrained_distribution_is_the_best_one() -> None:
    weights = np.array([2.0, 5.0, 9.0, 7.0, 3.0])
    found = best_likelihood(SCORES, weights, 0.6)
    rng = np.random.default_rng(0)
    share = weights / weights.sum()
    best = -np.inf
    for _ in range(4000):
        p = rng.dirichlet(60 * (share + np.array([-0.03, -0.02, 0.0, 0.02, 0.03])))
        p = p + (0.6 - p @ SCORES) * (SCORES - 0.5) / ((SCORES - 0.5) ** 2).sum()  # made right in the mean
        if p.min() > 0:
            best = max(best, float((weights * np.log(p / share)).sum()))
    assert best <= found + 1e-9 and best > found - 0.2


def test_scores_are_tallied_on_the_five_of_a_unit() -> None:
    values, weights = tally(np.array([1.0, 1.0, 0.25, 0.6]))
    assert values.tolist() == [0.0, 0.25, 0.5, 0.6, 0.75, 1.0]
    assert weights.tolist() == [1e-3, 1.0, 1e-3, 1.0, 1e-3, 2.0]


def test_calls_go_the_way_of_the_games() -> None:
    assert verdict(np.ones(40)).call == "above" and verdict(np.zeros(40)).call == "below"
    assert verdict(np.full(2000, 0.5)).call == "level"
    assert verdict(np.array([1.0, 0.5])).call == "open" and verdict(np.zeros(0)).call == "open"
    one, other = verdict(np.array([1.0, 0.25, 0.75])), verdict(np.array([0.0, 0.75, 0.25]))
    assert one.above == pytest.approx(other.below)


def test_error_rates() -> None:
    """Of equals about 5 % are called unequal at most, and of those a margin apart about 5 % level."""
    rng, runs, margin = np.random.default_rng(1), 250, 100.0
    equal = [called(rng, with_mean(0.5), margin)[0] for _ in range(runs)]
    apart = [called(rng, with_mean(elo(margin)), margin)[0] for _ in range(runs)]
    assert "open" not in equal and "open" not in apart
    # Up to two standard errors of 250 runs, 2.8 %, above 5 %; and not so far below that tests are longer than needed.
    assert 0.0 < np.mean([call != "level" for call in equal]) <= 0.078
    assert np.mean([call == "below" for call in apart]) <= 0.02
    assert 0.0 < np.mean([call == "level" for call in apart]) <= 0.078


def test_clear_cases_stop_sooner() -> None:
    rng = np.random.default_rng(2)
    far = np.mean([called(rng, with_mean(0.65), 50.0)[1] for _ in range(40)])
    near = np.mean([called(rng, with_mean(elo(50.0)), 50.0)[1] for _ in range(40)])
    assert far < near / 2


def rounds(results: dict[tuple[int, int], list[float]], names: str = "abc") -> Outcomes:
    """Return games of paired units; each unit's score is that of both of its games."""
    rows = []
    for (i, j), scores in results.items():
        for score in scores:
            pair = len(rows) // 2
            rows += [(i, j, score, pair), (j, i, 1.0 - score, pair)]
    first, second, score, pair = (np.array(column) for column in zip(*rows, strict=True))
    return Outcomes(tuple(names), first, second, score, pair, np.zeros_like(pair))


def test_an_order_is_settled_once_every_two_are() -> None:
    clear, level = [1.0] * 60, [0.5, 1.0, 0.0, 0.5] * 300
    assert settled(rounds({(0, 1): clear, (1, 2): clear, (0, 2): clear}))
    assert settled(rounds({(0, 1): clear, (1, 2): level, (0, 2): clear}))
    open_one = rounds({(0, 1): clear, (1, 2): [1.0, 0.0, 1.0], (0, 2): clear})
    assert not settled(open_one)
    assert [(one.first, one.second) for one in verdicts(open_one) if one.call == "open"] == [("b", "c")]


def test_two_who_never_met_are_in_order_by_a_chain_only() -> None:
    clear = [1.0] * 60
    assert settled(rounds({(0, 1): clear, (1, 2): clear}))
    assert not settled(rounds({(0, 1): clear, (0, 2): clear}))


def test_a_unit_that_is_half_played_does_not_count() -> None:
    whole = rounds({(0, 1): [1.0] * 5}, "ab")
    half = Outcomes(
        whole.names,
        np.append(whole.first, 0),
        np.append(whole.second, 1),
        np.append(whole.score, 0.0),
        np.append(whole.pair, 99),
        np.append(whole.variant, 0),
    )
    assert verdicts(half) == verdicts(whole) and verdicts(half)[0].units == 5


def test_all_tests_together_keep_the_error() -> None:
    """Three pairs: each has a third of the error, so that its bounds are further."""
    alone = verdict(np.array([1.0] * 30), 50.0, 0.05 / 3, 0.05 / 3)
    found = verdicts(rounds({(0, 1): [1.0] * 30}))
    assert (found[0].call, found[0].above) == (alone.call, alone.above) and found[0].first == "a"


def test_bad_settings_are_refused() -> None:
    for margin, alpha, beta in ((0.0, 0.05, 0.05), (50.0, 0.0, 0.05), (50.0, 0.05, 0.7)):
        with pytest.raises(UserError, match="margin must be"):
            verdict(np.ones(3), margin, alpha, beta)
    with pytest.raises(UserError, match="scores must be"):
        verdict(np.array([2.0]))
