from __future__ import annotations

import numpy as np
import pytest

from marl_meta.tournament.statistics.outcomes import Outcomes, beats, payoffs, units
from marl_meta.types import UserError


def outcomes(rows: list[tuple[int, int, float, int, int]], names: str = "abc") -> Outcomes:
    first, second, score, pair, variant = (np.array(column) for column in zip(*rows, strict=True))
    return Outcomes(tuple(names), first, second, score, pair, variant)


def drawn(rng: np.random.Generator, per_variant: int, chances: tuple[float, ...]) -> Outcomes:
    """Return paired games of two entrants, one variant for each of the chances of the first to win a game."""
    rows = []
    for variant, chance in enumerate(chances):
        for _ in range(per_variant):
            for ends in ((0, 1), (1, 0)):
                won = float(rng.random() < chance)
                rows.append((*ends, won if ends == (0, 1) else 1.0 - won, len(rows) // 2, variant))
    return outcomes(rows, "ab")


def test_units_put_the_two_games_of_a_pair_together() -> None:
    found = units(outcomes([(1, 0, 1.0, 7, 2), (0, 1, 0.5, 7, 2), (1, 2, 0.0, 3, 0)]))
    assert (found.low.tolist(), found.high.tolist()) == ([1, 0], [2, 1])  # in the order of their numbers
    assert (found.total.tolist(), found.games.tolist(), found.variant.tolist()) == ([0.0, 0.5], [1, 2], [0, 2])


def test_payoffs_are_mean_scores() -> None:
    found = payoffs(outcomes([(0, 1, 1.0, 0, 0), (1, 0, 0.5, 0, 0), (0, 1, 1.0, 1, 0), (1, 0, 0.0, 1, 0)]))
    assert found.mean[0, 1] == pytest.approx(3.5 / 4) and found.mean[1, 0] == pytest.approx(0.5 / 4)
    assert found.games.tolist() == [[0, 4, 0], [4, 0, 0], [0, 0, 0]]
    assert np.isnan([found.mean[0, 2], found.low[2, 1], found.high[1, 2]]).all()
    assert found.mean[2, 2] == found.low[2, 2] == found.high[2, 2] == 0.5
    assert (found.low[0, 1], found.high[0, 1]) == (0.75, 1.0)  # of two units one is drawn
    assert (found.low[1, 0], found.high[1, 0]) == (0.0, 0.25)


def test_beating_is_getting_more_than_half_of_a_game() -> None:
    graded = outcomes([(0, 1, 0.9, 0, 0), (1, 0, 0.4, 0, 0), (0, 1, 0.5, 1, 0), (1, 0, 0.6, 1, 0)])
    assert beats(graded)[0, 1] == pytest.approx((1 + 1 + 0.5 + 0) / 4)
    assert beats(graded)[1, 0] == pytest.approx(1.5 / 4)
    assert payoffs(graded).mean[0, 1] == pytest.approx((0.9 + 0.6 + 0.5 + 0.4) / 4)
    assert np.isnan(beats(graded)[0, 2]) and beats(graded)[1, 1] == 0.5
    whole = drawn(np.random.default_rng(0), 6, (0.4, 0.8))
    np.testing.assert_allclose(beats(whole), payoffs(whole).mean)


def test_intervals_have_the_width_of_the_mean_within_variants() -> None:
    """What variants differ in is not in the interval, and two units of a variant are enough."""
    games = drawn(np.random.default_rng(1), 2, (0.0, 1.0, 0.3) * 80)
    found, each = payoffs(games, replicates=4000), units(games)
    spread = (each.total / 2).reshape(240, 2).var(axis=1, ddof=1).mean() / 2 / 240
    assert found.high[0, 1] - found.low[0, 1] == pytest.approx(2 * 1.96 * spread**0.5, rel=0.05)


def test_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(2)
    chances = (0.15, 0.4, 0.55, 0.8)
    held = 0
    for _ in range(300):
        found = payoffs(drawn(rng, 8, chances), replicates=400)
        held += bool(found.low[0, 1] <= np.mean(chances) <= found.high[0, 1])
    assert 0.91 <= held / 300 <= 0.985


def test_units_that_are_alone_of_their_variant_make_one_stratum() -> None:
    rows = [(0, 1, float(unit % 2), unit, unit) for unit in range(40)]
    found = payoffs(outcomes(rows, "ab"), replicates=4000)
    assert found.high[0, 1] - found.low[0, 1] == pytest.approx(2 * 1.96 * (0.25 / 39) ** 0.5, rel=0.08)
    mixed = payoffs(outcomes([(0, 1, 1.0, 0, 0), (0, 1, 0.0, 1, 0), (0, 1, 1.0, 2, 9)], "ab"))
    assert mixed.low[0, 1] == 0.0 and mixed.high[0, 1] == 1.0


def test_a_row_of_equal_units_is_not_certainty() -> None:
    won = payoffs(outcomes([(0, 1, 1.0, unit, 0) for unit in range(20)], "ab"))
    assert won.mean[0, 1] == won.high[0, 1] == 1.0
    assert won.low[0, 1] == pytest.approx(0.025 ** (1 / 20))  # whoever scores so much wins 20 of 20 in 2.5 %
    assert won.high[1, 0] == pytest.approx(1 - 0.025 ** (1 / 20)) and won.low[1, 0] == 0.0
    alone = payoffs(outcomes([(0, 1, 1.0, 0, 0)], "ab"))
    assert (alone.low[0, 1], alone.mean[0, 1], alone.high[0, 1]) == (0.0, 1.0, 1.0)


def test_the_seed_fixes_intervals_and_the_order_of_games_does_not_matter() -> None:
    games = drawn(np.random.default_rng(3), 10, (0.3, 0.7))
    order = np.random.default_rng(4).permutation(len(games.score))
    keys = ("first", "second", "score", "pair", "variant")
    mixed = Outcomes(games.names, *(getattr(games, key)[order] for key in keys))
    np.testing.assert_array_equal(payoffs(games, 5).low, payoffs(mixed, 5).low)
    assert payoffs(games, 5).low[0, 1] != payoffs(games, 6).low[0, 1]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"score": [1.5, 0.0]}, "scores must be"),
        ({"score": [np.nan, 0.0]}, "scores must be"),
        ({"first": [0, 2]}, "players must be 0 to 1"),
        ({"first": [0, 0]}, "meet itself"),
        ({"first": [0.5, 1.0]}, "whole numbers"),
        ({"variant": [0, 1]}, "same variant"),
        ({"pair": [0]}, "one length"),
        ({"names": ("a", "a")}, "differ"),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], complaint: str) -> None:
    whole: dict[str, object] = {"names": ("a", "b"), "first": [0, 1], "second": [1, 0], "score": [1.0, 0.0]}
    with pytest.raises(UserError, match=complaint):
        Outcomes(**{**whole, "pair": [0, 0], "variant": [0, 0], **change})  # type: ignore[arg-type]


def test_no_games_are_no_games() -> None:
    none = Outcomes(("a", "b"), *(np.zeros(0, kind) for kind in (int, int, float, int, int)))
    assert np.isnan(payoffs(none).mean[0, 1]) and np.isnan(beats(none)[1, 0])
