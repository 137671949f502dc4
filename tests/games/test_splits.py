from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_meta.games.card import CARD_FILE, rules_card
from marl_meta.games.family import Family, list_families, load_family
from marl_meta.games.rules import Rule, canonical_json
from marl_meta.games.splits import CombinationHash, Domain, Split, digest, witness
from marl_meta.types import UserError

TRAIN = "variants: 40"
HELD_OUT = "held_out: {share: [0.7, 1.0], variants: all}"


def test_a_split_is_always_the_same_list(toy: Family) -> None:
    train = toy.split("train")
    assert train == toy.split("train") == load_family(toy.path).split("train")
    assert len({variant.variant_id for variant in train}) == 40
    assert digest([variant.variant_id for variant in train]) == "bd07822a43703277"
    assert digest([variant.variant_id for variant in reversed(train)]) == "bd07822a43703277"


def test_a_split_keeps_to_its_declaration(toy: Family) -> None:
    for variant in toy.split("train"):
        rules = variant.rules
        assert rules["walkers"] in (2, 3)
        assert 0.1 <= rules["damping"] <= 0.2 or 0.3 <= rules["damping"] <= 0.4
        assert rules["walls"] is False
        assert toy.hashing is not None
        assert toy.hashing.number(rules) < 0.7
        assert toy.variant(rules) == variant


def test_a_whole_product_and_its_complement(toy: Family) -> None:
    assert toy.hashing is not None
    held_out = toy.split("held_out")
    combinations = itertools.product(toy.rules["control"].values(), toy.rules["payoff"].values())
    wanted = [{"control": control, "payoff": payoff} for control, payoff in combinations]
    wanted = [rules for rules in wanted if toy.hashing.number(rules) >= 0.7]
    assert [{name: one.rules[name] for name in ("control", "payoff")} for one in held_out] == wanted
    assert 0 < len(held_out) < 18
    assert len(toy.split("ood")) == 2


def test_a_split_without_a_share_is_what_its_rules_say(write_family: Any) -> None:
    family = load_family(write_family(", payoff: [[0, 1, -1]], control: [plain]", ""))
    first, second = family.split("ood")  # which combinations there are does not concern it
    default = family.complete({})
    assert [one.rules for one in (first, second)] == [default | {"walkers": walkers} for walkers in (5, 6)]


def test_the_hash_is_frozen() -> None:
    hashing = CombinationHash(("control", "payoff"), 1)
    number = hashing.number({"payoff": [1, 0, -1], "control": "plain", "walkers": 3})
    # printf '%s' '1:{"control":"plain","payoff":[1,0,-1]}' | b2sum -l 64
    assert number == (0x56B2F6B7C509329A >> 11) / 2**53


def test_domains_draw_within_themselves() -> None:
    rng = np.random.default_rng(0)
    intervals = Domain(intervals=((0.1, 0.2), (0.3, 0.6)))
    drawn = [intervals.draw(rng) for _ in range(2000)]
    assert all(intervals.contains(value) for value in drawn)
    assert 0.2 < sum(value <= 0.2 for value in drawn) / 2000 < 0.3  # by length
    assert {Domain(values=(2, 3)).draw(rng) for _ in range(50)} == {2, 3}


@pytest.mark.parametrize(
    ("a", "b", "disjoint"),
    [
        (Domain(values=(1, 2)), Domain(values=(3,)), True),
        (Domain(values=(1, 2)), Domain(values=(2, 3)), False),
        (Domain(values=([1, 0], [0, 1])), Domain(values=([0, 1],)), False),
        (Domain(intervals=((0, 1), (2, 3))), Domain(intervals=((1.5, 1.7),)), True),
        (Domain(intervals=((0, 1),)), Domain(intervals=((1, 2),)), False),
        (Domain(intervals=((0, 1), (2, 3))), Domain(values=(1.5, 4)), True),
        (Domain(intervals=((0, 1), (2, 3))), Domain(values=(1.5, 2.5)), False),
    ],
)
def test_disjoint_domains(a: Domain, b: Domain, disjoint: bool) -> None:
    assert a.disjoint(b) is disjoint
    assert b.disjoint(a) is disjoint


shares = st.tuples(st.integers(0, 4), st.integers(1, 4)).map(lambda pair: (pair[0] / 8, (pair[0] + pair[1]) / 8))
walkers = st.sets(st.integers(1, 4), min_size=1).map(lambda values: Domain(values=tuple(sorted(values))))


@given(shares, shares, walkers, walkers)
def test_a_witness_means_that_no_variant_is_shared(
    share_a: tuple[float, float], share_b: tuple[float, float], walkers_a: Domain, walkers_b: Domain
) -> None:
    hashing = CombinationHash(("control",), 0)
    control = Domain(values=tuple("abcdefgh"))

    def split(name: str, share: tuple[float, float], domain: Domain) -> Split:
        return Split(name, name, {"control": control, "walkers": domain}, share, None, 0, None)

    a, b = split("a", share_a, walkers_a), split("b", share_b, walkers_b)
    rule = Rule("toy", "walkers", "int", 3, "How many.", ("walker",), ("walker",), low=1, high=4)
    if witness(a, b, {"walkers": rule}) is not None:
        try:
            lists = [one.assignments(hashing) for one in (a, b)]
        except UserError:  # an empty share
            return
        left, right = ({canonical_json(rules) for rules in found} for found in lists)
        assert not left & right


# Each: a text of the toy family, what replaces it, and what is said after the file's name.
BROKEN = [
    (TRAIN, "variants: 0", "splits.train.variants must be all, or an integer of at least 1, not 0."),
    (TRAIN, "variants: true", "splits.train.variants must be all, or an integer of at least 1, not True."),
    (TRAIN, "", "splits.train.variants is missing; required are variants."),
    (TRAIN, "variants: all", "splits.train.variants must be a number, for the intervals of damping cannot be listed."),
    ("seed: 1", "", "splits.train.seed is missing; a number of variants is drawn by an integer seed."),
    ("seed: 1", "seed: -1", "splits.train.seed must be an integer of at least 0, not -1."),
    ("seed: 1", "digest: 3\n    seed: 1", "splits.train.digest must be a text, not 3."),
    ("seed: 1", "sead: 1", "splits.train.sead is not a known key (did you mean 'seed'?); allowed are share, rules, "),
    ("share: [0.0, 0.7]", "share: [0.0, 1.7]", "splits.train.share must be two numbers [from, to) between 0 and 1, "),
    ("share: [0.0, 0.7]", "share: 0.7", "splits.train.share must be two numbers [low, high] with low < high, not 0.7."),
    ("hash: {rules: [payoff, control], salt: 1}", "", "splits.train.share needs splits.hash, which says of which "),
    ("rules: [payoff, control]", "rules: []", "splits.hash.rules must be a list of at least one rule, not []."),
    ("rules: [payoff, control]", "rules: [pay]", "splits.hash.rules names no rule 'pay'"),
    ("rules: [payoff, control]", "rules: [damping]", "splits.hash.rules: damping is a float; allowed are rules whose "),
    (", salt: 1", "", "splits.hash.salt is missing; required are rules, salt."),
    ("salt: 1", "salt: x", "splits.hash.salt must be an integer of at least 0, not 'x'."),
    ("walkers: [2, 3]", "walker: [2, 3]", "splits.train.rules names no rule 'walker' (did you mean 'walkers'?); the "),
    ("walkers: [2, 3]", "walkers: [2, 9]", "splits.train.rules.walkers[1] must be an integer from 1 to 8, not 9."),
    ("walkers: [2, 3]", "walkers: [2, 2]", "splits.train.rules.walkers must be a list of distinct values, not [2, 2]."),
    ("walkers: [2, 3]", "walkers: 2", "splits.train.rules.walkers must be a list of values, or {intervals: [[low, "),
    ("walkers: [2, 3]", "walkers: {intervals: [[2, 3]]}", "splits.train.rules.walkers must be a list of values (an "),
    ("{intervals: [[0.1, 0.2], [0.3, 0.4]]}", "{}", "splits.train.rules.damping.intervals is missing; required are "),
    ("[[0.1, 0.2], [0.3, 0.4]]", "[[0.2, 0.1]]", "splits.train.rules.damping.intervals[0] must be two numbers [low, "),
    ("[[0.1, 0.2], [0.3, 0.4]]", "[[0.2, 0.9]]", "splits.train.rules.damping.intervals[0] must be inside the rule's "),
    (
        "[[0.1, 0.2], [0.3, 0.4]]",
        "[]",
        "splits.train.rules.damping.intervals must be a list of intervals [low, high], ",
    ),
    ("[0.3, 0.4]]", "[0.2, 0.4]]", "splits.train.rules.damping.intervals must be a list of intervals that do not "),
    (HELD_OUT, "Held: {}", "splits has the key 'Held'; allowed are lower-case letters"),
    (HELD_OUT, "held_out: 3", "splits.held_out must be a mapping of keys to values, not 3."),
    (
        "share: [0.7, 1.0]",
        "rules: {walkers: [5], payoff: [[0, 1, -1]]}",
        "splits: held_out and ood may share variants; they need disjoint shares of the hash, or one rule with ",
    ),
]


@pytest.mark.parametrize(("old", "new", "text"), BROKEN, ids=[f"{old[:20]}>{new[:30]}" for old, new, _ in BROKEN])
def test_a_broken_split_gets_one_sentence(write_family: Any, old: str, new: str, text: str) -> None:
    file = write_family(old, new)
    with pytest.raises(UserError) as caught:
        load_family(file)
    assert str(caught.value).startswith(f"{file}: {text}")
    assert str(caught.value).endswith(".")


def test_a_split_that_asks_for_too_much(write_family: Any) -> None:
    file = write_family(HELD_OUT, "held_out: {share: [0.7, 1.0], variants: 17, seed: 0}")
    with pytest.raises(UserError, match=r"splits\.held_out asks for 17 distinct variants but its rules allow only \d"):
        load_family(file).split("held_out")


def test_a_share_that_holds_nothing(write_family: Any) -> None:
    file = write_family(HELD_OUT, "held_out: {share: [0.7, 0.700001], variants: all}")
    with pytest.raises(UserError, match=r"splits\.held_out holds no variant: no combination hashes into \[0\.7, 0\.7"):
        load_family(file).split("held_out")


def test_a_product_that_is_too_large(write_family: Any) -> None:
    file = write_family("range: [1, 8]", "range: [1, 20000]")
    file.write_text(file.read_text().replace("rules: [payoff, control], salt", "rules: [payoff, walkers], salt"))
    with pytest.raises(
        UserError, match=r"held_out\.variants: all would be 120000 variants; allowed are up to 100000\."
    ):
        load_family(file)


def test_a_frozen_split_cannot_change_unnoticed(write_family: Any, toy: Family) -> None:
    frozen = digest([variant.variant_id for variant in toy.split("held_out")])
    file = write_family(HELD_OUT, f"held_out: {{share: [0.7, 1.0], variants: all, digest: '{frozen}'}}")
    assert load_family(file).split("held_out") == toy.split("held_out")
    file.write_text(file.read_text().replace("default: 0.25", "default: 0.26"))
    with pytest.raises(
        UserError, match=rf"splits\.held_out\.digest is {frozen} but the split's variants have [0-9a-f]+;"
    ):
        load_family(file).split("held_out")


OURS = ("harvest", "payoff", "spread", "tag")


def test_our_families_are_there() -> None:
    assert set(OURS) <= set(list_families())


@pytest.mark.parametrize("name", OURS)
def test_our_splits_are_frozen_and_disjoint(name: str) -> None:
    family = load_family(name)
    assert {"train", "held_out", "ood"} <= set(family.splits)
    lists = {split: {variant.variant_id for variant in family.split(split)} for split in family.splits}
    for split, found in lists.items():
        assert family.splits[split].digest == digest(list(found))
    for a, b in itertools.combinations(lists, 2):
        assert not lists[a] & lists[b]


@pytest.mark.parametrize("name", ["spread", "tag"])
def test_training_holds_the_default_rules_and_ood_larger_teams(name: str) -> None:
    family = load_family(name)
    train, held_out, ood = (family.splits[split].domains for split in ("train", "held_out", "ood"))
    assert all(domain.contains(family.rules[rule].default) for rule, domain in train.items())
    teams = [rule for rule in ("agents", "adversaries") if rule in train]
    assert all(min(ood[rule].values) > max(train[rule].values) for rule in teams)
    # What is held out lies between trained values, what is out of distribution beyond them.
    for rule in ("damping", *(rule for rule in train if rule.endswith("_accel"))):
        low, high = train[rule].intervals[0][0], train[rule].intervals[-1][1]
        assert all(low < a and b < high for a, b in held_out[rule].intervals)
        assert all(b < low or high < a for a, b in ood[rule].intervals)
    assert not any(rule.hidden for name, rule in family.rules.items() if name in train)


def test_harvest_holds_out_combinations_of_values_that_were_all_seen() -> None:
    family = load_family("harvest")
    hidden = sorted(name for name, rule in family.rules.items() if rule.hidden)
    assert hidden == ["agents_needed", "collision_sign", "control", "payoff"]

    def combinations(split: str) -> set[tuple[str, ...]]:
        return {tuple(canonical_json(one.rules[name]) for name in hidden) for one in family.split(split)}

    train, held_out = combinations("train"), combinations("held_out")
    assert (len(train), len(held_out), len(train & held_out)) == (67, 29, 0)
    assert combinations("ood") == held_out
    assert (combinations("two_teams_train"), combinations("two_teams_held_out")) == (train, held_out)
    for position, name in enumerate(hidden):
        every = {canonical_json(value) for value in family.rules[name].values()}
        assert {combination[position] for combination in train} == every
        assert {combination[position] for combination in held_out} == every
    for split, sizes in (("train", {2, 3, 4}), ("held_out", {2, 3, 4}), ("ood", {5, 6})):
        assert {one.rules["gatherers"] for one in family.split(split)} == sizes


@pytest.mark.parametrize("name", OURS)
def test_our_rules_cards_are_up_to_date(name: str) -> None:
    family = load_family(name)
    # Made anew by `python -m marl_meta.games.card`.
    assert (family.path.parent / CARD_FILE).read_text(encoding="utf-8") == rules_card(family)
