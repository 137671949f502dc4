from __future__ import annotations

import json
import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_meta.games.family import Family
from marl_meta.games.rules import Rule, canonical_json, rounded, variant_id
from marl_meta.types import BoundRule, UserError


def rule(kind: Any, **parts: Any) -> Rule:
    binds = parts.pop("binds", ("agents",))
    kinds = parts.pop("kinds", ("walker",))
    return Rule("toy", "some_rule", kind, None, "A rule.", binds, kinds, **parts)


WHOLE = rule("int", low=1, high=8)
NUMBER = rule("float", low=0.05, high=0.6)
CHOICE = rule("choice", options=("plain", "turned", 3, 0.5))
ORDER = rule("permutation", options=(1, 0, -1), binds=("red", "green", "blue"), kinds=("red", "green", "blue"))
FLAG = rule("flag")
EVERY_KIND = [WHOLE, NUMBER, CHOICE, ORDER, FLAG]


@pytest.mark.parametrize(
    ("one", "value", "canonical"),
    [
        (WHOLE, 8, 8),
        (WHOLE, np.int16(3), 3),
        (NUMBER, 0.25, 0.25),
        (NUMBER, 0.1 + 0.2, 0.3),
        (NUMBER, np.float64(0.5), 0.5),
        (rule("float", low=-1, high=1), 1, 1.0),
        (rule("float", low=-1, high=1), -0.0, 0.0),
        (CHOICE, "turned", "turned"),
        (CHOICE, 3.0, 3),
        (CHOICE, 0.5, 0.5),
        (ORDER, (0, -1, 1), [0, -1, 1]),
        (ORDER, [-1.0, 0.0, 1.0], [-1, 0, 1]),
        (rule("permutation", options=(1, 1, 0)), [0, 1, 1], [0, 1, 1]),
        (FLAG, True, True),
        (FLAG, np.bool_(False), False),
    ],
)
def test_check_gives_the_canonical_value(one: Rule, value: object, canonical: object) -> None:
    checked = one.check(value)
    assert checked == canonical
    assert json.dumps(checked) == json.dumps(canonical)  # the types agree too


@pytest.mark.parametrize(
    ("one", "value", "shown"),
    [
        (WHOLE, 0, "0"),
        (WHOLE, 9, "9"),
        (WHOLE, 2.0, "2.0"),
        (WHOLE, True, "True"),
        (WHOLE, "3", "'3'"),
        (WHOLE, None, "nothing"),
        (NUMBER, 0.7, "0.7"),
        (NUMBER, float("nan"), "nan"),
        (NUMBER, float("inf"), "inf"),
        (NUMBER, False, "False"),
        (NUMBER, "0.2", "'0.2'"),
        (CHOICE, "other", "'other'"),
        (CHOICE, True, "True"),
        (CHOICE, ["plain"], "['plain']"),
        (ORDER, [1, 0], "[1, 0]"),
        (ORDER, [1, 1, -1], "[1, 1, -1]"),
        (ORDER, [True, 0, -1], "[True, 0, -1]"),
        (ORDER, "abc", "'abc'"),
        (FLAG, 1, "1"),
        (FLAG, "yes", "'yes'"),
        (WHOLE, "x" * 80, "'" + "x" * 56 + "..."),
    ],
)
def test_check_names_family_rule_and_allowed_values(one: Rule, value: object, shown: str) -> None:
    sentence = f"Rule 'some_rule' of family 'toy' cannot be {shown}; allowed is {one.allowed}."
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        one.check(value)


def test_allowed_is_said_in_words() -> None:
    assert [one.allowed for one in EVERY_KIND] == [
        "an integer from 1 to 8",
        "a number from 0.05 to 0.6",
        "one of plain, turned, 3, 0.5",
        "an ordering of [1, 0, -1]",
        "true or false",
    ]


@pytest.mark.parametrize("one", EVERY_KIND, ids=lambda one: one.kind)
def test_samples_are_allowed_and_cover_the_values(one: Rule) -> None:
    rng = np.random.default_rng(0)
    drawn = [one.sample(rng) for _ in range(400)]
    assert all(json.dumps(one.check(value)) == json.dumps(value) for value in drawn)
    if one.finite:
        assert {json.dumps(value) for value in drawn} == {json.dumps(value) for value in one.values()}
    else:
        assert min(drawn) < 0.06
        assert max(drawn) > 0.59
        assert all(len(str(value)) <= 6 for value in drawn)  # short enough to type


def test_samples_are_the_same_on_every_machine() -> None:
    rng = np.random.default_rng(np.random.SeedSequence([7]))
    assert [one.sample(rng) for one in EVERY_KIND] == [6, 0.5435, 0.5, [0, -1, 1], True]


def test_values_lists_everything_once() -> None:
    assert WHOLE.values() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert CHOICE.values() == ["plain", "turned", 3, 0.5]
    assert ORDER.values() == [[1, 0, -1], [1, -1, 0], [0, 1, -1], [0, -1, 1], [-1, 1, 0], [-1, 0, 1]]
    assert rule("permutation", options=(1, 1, 0)).values() == [[1, 1, 0], [1, 0, 1], [0, 1, 1]]
    assert FLAG.values() == [False, True]
    with pytest.raises(ValueError, match="cannot be listed"):
        NUMBER.values()


@pytest.mark.parametrize(
    ("one", "value", "numbers"),
    [
        (WHOLE, 1, [-1.0]),
        (WHOLE, 8, [1.0]),
        (rule("int", low=0, high=4), 3, [0.5]),
        (rule("float", low=-1, high=3), 0, [-0.5]),
        (CHOICE, 3, [0.0, 0.0, 1.0, 0.0]),
        (ORDER, [-1, 1, 0], [-1.0, 1.0, 0.0]),
        (rule("permutation", options=(2, 4, 8)), [4, 2, 8], [-1 / 3, -1.0, 1.0]),
        (FLAG, False, [-1.0]),
        (FLAG, True, [1.0]),
    ],
)
def test_encode(one: Rule, value: object, numbers: list[float]) -> None:
    assert one.encode(value) == pytest.approx(numbers)
    assert len(one.columns) == len(numbers)


def test_columns_say_which_nodes_carry_a_number() -> None:
    assert WHOLE.columns == [
        BoundRule("some_rule", "some_rule", ("walker",), "some_rule", "value", pytest.approx(np.linspace(-1, 1, 8)))
    ]
    ordering = ("some_rule", "ordering", (1.0, 0.0, -1.0))
    assert ORDER.columns == [
        BoundRule("some_rule[0]", "some_rule", ("red",), *ordering),
        BoundRule("some_rule[1]", "some_rule", ("green",), *ordering),
        BoundRule("some_rule[2]", "some_rule", ("blue",), *ordering),
    ]
    one_kind = rule("permutation", options=(1, 0), binds=("walker",), kinds=("walker",))
    assert one_kind.columns == [
        BoundRule("some_rule[0]", "some_rule[0]", ("walker",), "some_rule", "ordering", (1.0, -1.0)),
        BoundRule("some_rule[1]", "some_rule[1]", ("walker",), "some_rule", "ordering", (1.0, -1.0)),
    ]
    assert {column.form for column in CHOICE.columns} == {"one_hot"}
    assert [column.values for column in FLAG.columns] == [(-1.0, 1.0)]
    assert [column.form for column in (*NUMBER.columns, *rule("int", low=0, high=16).columns)] == ["number", "number"]
    assert [column.feature for column in CHOICE.columns] == [f"some_rule[{i}]" for i in range(4)]


@given(st.floats(min_value=0.05, max_value=0.6))
def test_floats_are_canonical_once_and_for_all(value: float) -> None:
    canonical = NUMBER.check(value)
    assert NUMBER.check(canonical) == canonical
    assert abs(Fraction(canonical) - Fraction(value)) <= Fraction(value) / 10**9
    assert -1 <= NUMBER.encode(value)[0] <= 1


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(min_value=1, max_value=15))
def test_rounding_has_no_negative_zero(value: float, digits: int) -> None:
    assert not str(rounded(value, digits)).startswith("-0.0e") or value != 0
    assert str(rounded(-0.0, digits)) == "0.0"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e300, 1e300) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON_VALUES)
def test_canonical_json_is_stable_under_a_round_trip(value: Any) -> None:
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(), st.integers(), min_size=2, max_size=4))
def test_canonical_json_ignores_the_order_of_keys(value: dict[str, int]) -> None:
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


def test_canonical_json_literally() -> None:
    value = {"b": [1, 0.1 + 0.2, -0.0], "a": {"y": True, "x": "text"}, "c": 1e-7}
    assert canonical_json(value) == '{"a":{"x":"text","y":true},"b":[1,0.3,0.0],"c":1e-07}'
    with pytest.raises(UserError, match=r"'a\[0\]' is nan"):
        canonical_json({"a": [float("nan")]})


def test_variant_ids_are_frozen() -> None:
    # printf '%s' '{"damping":0.25,"payoff":[1,0,-1]}' | b2sum
    assert variant_id("toy", {"damping": 0.25, "payoff": [1, 0, -1]}) == "toy-2ce54d844d"
    assert variant_id("toy", {"payoff": [1, 0, -1], "damping": 0.25}) == "toy-2ce54d844d"


def test_equal_rules_have_equal_ids(toy: Family) -> None:
    plain = toy.variant()
    assert plain.variant_id == "toy-121a3c4115"
    same = toy.variant({"payoff": (1.0, 0, -1), "damping": 0.1 + 0.15, "walls": np.bool_(False), "walkers": np.int8(3)})
    assert same == plain
    assert toy.variant({"damping": 0.26}).variant_id != plain.variant_id
