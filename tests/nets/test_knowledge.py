from __future__ import annotations

import math

import numpy as np
import pytest

from marl_meta.nets.knowledge import MOST_ORDERINGS, Knowledge
from marl_meta.types import BoundRule, Layout, TeamLayout

ORDER = ("ordering", (1.0, 0.0, -1.0))
UNKNOWNS = (
    *(
        BoundRule(f"payoff[{i}]", "payoff", (kind,), "payoff", *ORDER)
        for i, kind in enumerate(("red", "green", "blue"))
    ),
    *(BoundRule(f"control[{i}]", f"control[{i}]", ("walker",), "control", "one_hot") for i in range(2)),
    BoundRule("wind", "wind", ("walker",), "wind", "number"),
    BoundRule("sign", "sign", ("walker",), "sign", "value", (-1.0, 1.0)),
)
LAYOUT = Layout(
    kinds=("walker", "red", "green", "blue"),
    teams=(TeamLayout("walkers", "walker"),),
    entity_features=(),
    private_features=(),
    actions=("stay",),
    hidden_rules=(BoundRule("other", "other", ("walker",), "other"), *UNKNOWNS),
)
#                  other  payoff            control   wind  sign
RULES = np.array([[0.5, -1.0, 1.0, 0.0, 0.0, 1.0, 0.25, 1.0]], np.float32)


def test_the_columns_by_hand() -> None:
    spec = Knowledge(UNKNOWNS, LAYOUT)
    assert spec.node_names == (
        "payoff=-1", "payoff=0", "payoff=1", "payoff?", "control=0", "control=1", "control?", "wind=mean", "wind?",
        "sign=-1", "sign=1", "sign?",
    )  # fmt: skip
    assert spec.width == 3 * 4 + 3 + 2 + 3
    assert spec.classes(RULES).tolist() == [[0, 2, 1, 1, 0, 1]]
    assert spec.truth(RULES)[0].tolist() == [
        *(1, 0, 0, 0), *(0, 0, 1, 0), *(0, 1, 0, 0), *(0, 1, 0), *(0.25, 0), *(0, 1, 0),
    ]  # fmt: skip
    third = pytest.approx(1 / 3)
    assert spec.ignorance().tolist() == [*[third, third, third, 1] * 3, *(0.5, 0.5, 1), *(0, 1), *(0.5, 0.5, 1)]


def test_doubt_is_one_for_every_rule_of_which_nothing_is_known() -> None:
    spec = Knowledge(UNKNOWNS, LAYOUT)
    assert spec.doubt(np.stack([spec.ignorance(), spec.truth(RULES)[0]])).tolist() == [4.0, 0.0]
    half = spec.ignorance()
    half[3] = 0.4  # red's payoff, one of three
    assert spec.doubt(half) == pytest.approx(4 - 0.6 / 3)


def test_only_orderings_that_can_be_are_weighed() -> None:
    spec = Knowledge(UNKNOWNS, LAYOUT)
    orderings = spec.unknowns[0].orderings
    assert orderings is not None and sorted(map(tuple, orderings.tolist())) == [
        (0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0),
    ]  # fmt: skip
    twice = tuple(BoundRule(f"p[{i}]", f"p[{i}]", ("walker",), "p", "ordering", (1.0, 1.0, 0.0)) for i in range(3))
    spec = Knowledge(twice, LAYOUT)
    orderings = spec.unknowns[0].orderings
    assert orderings is not None and len(orderings) == 3
    assert spec.ignorance()[:3].tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    values = tuple(float(value) for value in range(7))
    many = tuple(BoundRule(f"p[{i}]", f"p[{i}]", ("walker",), "p", "ordering", values) for i in range(7))
    assert math.factorial(7) > MOST_ORDERINGS
    assert Knowledge(many, LAYOUT).unknowns[0].orderings is None


def test_every_node_carries_what_its_kind_is_bound_to() -> None:
    spec = Knowledge(UNKNOWNS, LAYOUT)
    knowledge = np.arange(1, 1 + 2 * spec.width, dtype=np.float32).reshape(1, 2, -1)
    kind = np.array([[0, 0, 3, 1]], np.int8)
    mask = np.array([[[True, True, True, True], [True, True, False, True]]])
    own, edges = np.full((1, 2, 20), -5.0, np.float32), np.full((1, 2, 4, 25), -5.0, np.float32)
    spec.write(knowledge, kind, np.array([0, 1]), own, edges, mask, 2)
    one = knowledge[0, 0]
    assert own[0, 0].tolist() == [-5, -5, *[0] * 4, *one[12:], *[-5] * 6]
    assert edges[0, 0, 1, 2:14].tolist() == own[0, 0, 2:14].tolist()  # what agent 0 believes, on its teammate's node
    assert edges[0, 0, 2, 2:14].tolist() == [*one[8:12], *[0] * 8]  # blue
    assert edges[0, 0, 3, 2:14].tolist() == [*one[:4], *[0] * 8]  # red
    assert (edges[0, 1, 2] == -5).all()  # agent 1 does not see it
    assert edges[0, 1, 3, 2:6].tolist() == knowledge[0, 1, :4].tolist()


def test_a_game_without_the_rules_can_be_played_but_not_told() -> None:
    bare = Layout(("red", "walker"), LAYOUT.teams, (), (), ("stay",))
    spec = Knowledge(UNKNOWNS, bare)
    assert not spec.tellable and Knowledge(UNKNOWNS, LAYOUT).tellable
    assert spec.width == Knowledge(UNKNOWNS, LAYOUT).width
