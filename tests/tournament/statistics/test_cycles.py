from __future__ import annotations

import numpy as np
import pytest

from marl_meta.tournament.statistics.cycles import cycles, parts, score_errors, surely_beats
from marl_meta.tournament.statistics.graphs import components, reachable
from marl_meta.tournament.statistics.outcomes import Outcomes, PayoffMatrix, payoffs
from marl_meta.types import UserError

CIRCLE = np.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])


def sure(edges: list[tuple[int, int]], M: int) -> PayoffMatrix:
    """Return payoffs in which these surely beat those, and nothing else is sure."""
    mean, low, high = np.full((3, M, M), 0.5)
    low, high = low - 0.4 * ~np.eye(M, dtype=bool), high + 0.4 * ~np.eye(M, dtype=bool)
    for i, j in edges:
        mean[i, j], low[i, j], high[i, j] = 0.8, 0.6, 0.9
        mean[j, i], low[j, i], high[j, i] = 0.2, 0.1, 0.4
    return PayoffMatrix(tuple("abcdef"[:M]), mean, low, high, np.full((M, M), 20))


def test_groups_of_a_graph() -> None:
    edges = np.zeros((5, 5), bool)
    for i, j in ((0, 3), (3, 1), (1, 0), (1, 4)):
        edges[i, j] = True
    assert components(edges) == [[0, 1, 3], [2], [4]]
    assert reachable(edges)[0].tolist() == [True, True, False, True, True]


def test_a_circle_of_three_is_named_in_the_order_of_beating() -> None:
    found = cycles(sure([(0, 2), (2, 1), (1, 0), (0, 3)], 4))
    assert found.triples == (("a", "c", "b"),) and found.groups == (("a", "b", "c"),)
    other = cycles(sure([(0, 1), (1, 2), (2, 0)], 3))
    assert other.triples == (("a", "b", "c"),)


def test_a_circle_of_four_has_no_triple_but_is_a_group() -> None:
    found = cycles(sure([(0, 1), (1, 2), (2, 3), (3, 0)], 5))
    assert found.triples == () and found.groups == (("a", "b", "c", "d"),)


def test_an_order_and_what_is_not_sure_are_no_circles() -> None:
    assert cycles(sure([(0, 1), (1, 2), (0, 2)], 3)) == cycles(sure([(0, 1), (1, 2)], 3))
    assert cycles(sure([(0, 1), (1, 2)], 3)).groups == ()


def test_games_that_are_won_in_a_circle_are_flagged() -> None:
    rows = [(i, (i + 1) % 3, 1.0) for i in range(3) for _ in range(10)] + [(0, 3, 1.0)] * 3
    first, second, score = (np.array(column) for column in zip(*rows, strict=True))
    found = payoffs(Outcomes(tuple("abcd"), first, second, score, np.arange(33), np.zeros(33, int)))
    assert cycles(found).triples == (("a", "b", "c"),)
    assert not surely_beats(found)[0, 3] and not surely_beats(found)[1, 3]  # three games are too few; none are none


def test_shares_by_hand() -> None:
    order = np.array([2.0, 0.0, -2.0])
    ladder = order[:, None] - order
    assert (parts(ladder).transitive, parts(CIRCLE).cyclic) == (pytest.approx(1.0), pytest.approx(1.0))
    np.testing.assert_allclose(parts(ladder).strength, order, atol=1e-12)
    both = parts(ladder + 3.0 * CIRCLE)
    # Squares over ordered pairs: 2 (4 + 16 + 4) = 48 and 6 * 9 = 54.
    assert both.transitive == pytest.approx(48 / 102) and both.cyclic == pytest.approx(54 / 102)
    np.testing.assert_allclose(both.residual, 3.0 * CIRCLE, atol=1e-12)
    assert np.isnan(parts(np.zeros((3, 3))).transitive)


def test_pairs_that_never_met_leave_a_ladder_a_ladder() -> None:
    order = np.array([3.0, 1.0, 0.0, -4.0])
    ladder = order[:, None] - order
    for i, j in ((0, 2), (1, 3)):
        ladder[i, j] = ladder[j, i] = np.nan
    found = parts(ladder)
    assert found.transitive == pytest.approx(1.0) and np.isnan(found.residual[0, 2])
    np.testing.assert_allclose(found.strength, order, atol=1e-12)


def test_noise_is_the_cyclic_share_of_a_ladder_that_was_measured() -> None:
    rng = np.random.default_rng(0)
    order = np.linspace(0.3, -0.3, 6)
    shares, expected = [], []
    for _ in range(400):
        noise = np.triu(rng.normal(0.0, 0.1, (6, 6)), 1)
        found = parts(order[:, None] - order + noise - noise.T, np.full((6, 6), 0.1))
        shares.append(found.cyclic)
        expected.append(found.noise)
    assert np.mean(shares) == pytest.approx(np.mean(expected), rel=0.05)


def test_errors_are_those_of_the_intervals() -> None:
    assert score_errors(sure([(0, 1)], 2))[0, 1] == pytest.approx(0.3 / 3.92, rel=1e-3)


def test_only_antisymmetric_matrices_have_parts() -> None:
    with pytest.raises(UserError, match="behind row"):
        parts(np.array([[0.0, 1.0], [1.0, 0.0]]))
