from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marl_meta.games import make_vec
from marl_meta.games.family import Family, list_families, load_family, parse_rules
from marl_meta.types import UserError

DAMPING = "damping: {kind: float, range: [0.05, 0.6], default: 0.25, unit: 1/step, binds: game, about: Velocity lost.}"
WALLS = "walls: {kind: flag, default: false, binds: game, about: Whether there are walls.}"


def sentence(text: str) -> str:
    """A pattern for `match` that wants exactly one sentence that contains `text`."""
    return rf"^(?:(?!\. ).)*{re.escape(text)}(?:(?!\. ).)*\.$"


def test_a_family_reads_as_declared(toy: Family) -> None:
    assert (toy.name, toy.title, toy.description, toy.entry_point) == ("toy", "A toy", "", "game.py:make_game")
    assert (toy.agents, toy.objects, toy.engine) == (("walker", "runner"), ("red", "green", "blue"), {})
    assert list(toy.rules) == ["damping", "walkers", "control", "payoff", "walls"]
    damping = toy.rules["damping"]
    assert (damping.low, damping.high, damping.default, damping.unit) == (0.05, 0.6, 0.25, "1/step")
    assert (damping.binds, damping.kinds, damping.hidden) == (("game",), ("walker", "runner"), False)
    assert toy.rules["control"].kinds == ("walker", "runner")
    assert toy.rules["payoff"].hidden


def test_complete_fills_defaults_in_the_family_order(toy: Family) -> None:
    rules = toy.complete({"walls": True, "walkers": 4})
    assert list(rules) == list(toy.rules)
    assert rules == {"damping": 0.25, "walkers": 4, "control": "plain", "payoff": [1, 0, -1], "walls": True}
    rules["payoff"][0] = 5
    assert toy.rules["payoff"].default == [1, 0, -1]  # rules are the caller's own


def test_unknown_rules_are_named_with_close_matches(toy: Family) -> None:
    text = (
        "Family 'toy' has no rule 'dampng' (did you mean 'damping'?); "
        "its rules are damping, walkers, control, payoff, walls."
    )
    with pytest.raises(UserError, match=f"^{re.escape(text)}$"):
        toy.complete({"dampng": 1})
    wrong: Any = ["damping"]
    with pytest.raises(UserError, match=sentence("must be a mapping of names to values, not ['damping']")):
        toy.complete(wrong)


def test_encode_gives_one_number_for_each_column(toy: Family) -> None:
    rules = toy.complete({"walkers": 8, "payoff": [0, -1, 1], "control": 3})
    visible = toy.encode(rules, hidden=False)
    assert visible.dtype == np.float32
    assert visible == pytest.approx([2 * 0.2 / 0.55 - 1, 1.0, -1.0])
    assert [column.name for column in toy.columns(hidden=False)] == ["damping", "walkers", "walls"]
    assert toy.encode(rules, hidden=True) == pytest.approx([0.0, 0.0, 1.0, 0.0, -1.0, 1.0])
    assert [(column.name, column.feature, column.kinds) for column in toy.columns(hidden=True)] == [
        ("control[0]", "control[0]", ("walker", "runner")),
        ("control[1]", "control[1]", ("walker", "runner")),
        ("control[2]", "control[2]", ("walker", "runner")),
        ("payoff[0]", "payoff", ("red",)),
        ("payoff[1]", "payoff", ("green",)),
        ("payoff[2]", "payoff", ("blue",)),
    ]


def test_sampling_is_by_seed_and_distinct(toy: Family) -> None:
    drawn = toy.sample(seed=3, count=50)
    assert drawn == toy.sample(seed=3, count=50)
    assert drawn[:10] == toy.sample(seed=3, count=10)
    assert drawn != toy.sample(seed=4, count=50)
    assert len({variant.variant_id for variant in drawn}) == 50
    assert toy.sample(seed=0)[0].variant_id == "toy-e59d4fe585"


def test_sampling_from_a_split_takes_its_variants(toy: Family) -> None:
    pool = [variant.variant_id for variant in toy.split("train")]
    drawn = [variant.variant_id for variant in toy.sample(seed=1, count=len(pool), split="train")]
    assert sorted(drawn) == sorted(pool)
    assert drawn != pool
    with pytest.raises(UserError, match=sentence("Split 'train' of family 'toy' cannot give 41 variants; it holds 40")):
        toy.sample(seed=1, count=41, split="train")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"seed": -1}, "seed cannot be -1; allowed is an integer of at least 0"),
        ({"seed": 0, "count": 0}, "The number of variants cannot be 0; allowed is an integer of at least 1"),
        ({"seed": 0, "split": "trian"}, "has no split 'trian' (did you mean 'train'?); its splits are train, held_out"),
    ],
)
def test_bad_samples(toy: Family, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=sentence(text)):
        toy.sample(**settings)


def test_a_small_family_cannot_give_more_than_it_has(tmp_path: Path) -> None:
    file = tmp_path / "family.yaml"
    file.write_text(
        "{family: coin, title: A coin, entry_point: 'a:b', agents: [thrower], "
        "rules: {heads: {kind: flag, default: true, binds: game, about: What pays.}}}"
    )
    assert len(load_family(file).sample(seed=0, count=2)) == 2
    with pytest.raises(UserError, match=sentence("Family 'coin' cannot give 3 distinct variants; its rules allow 2")):
        load_family(file).sample(seed=0, count=3)


# Each: a text of the toy family, what replaces it, the key complained about, and what is said of it.
BROKEN = [
    ("title: A toy", "", "title is missing", "required are family, title, entry_point, agents, rules"),
    ("title: A toy", "title: 3", "title must be a text", "not 3"),
    (
        "title: A toy",
        "title: A toy\nrulez: {}",
        "rulez is not a known key (did you mean 'rules'?)",
        "allowed are family",
    ),
    ("family: toy", "family: Toy", "family must be a name", "not 'Toy'"),
    ("family: toy", "family: toy\nfamily: toy", "is not a YAML file", "the key 'family' is given twice"),
    ("family: toy", "family: [", "is not a YAML file", "expected"),
    ("agents: [walker, runner]", "agents: []", "agents must be a list of at least one kind", "not []"),
    ("agents: [walker, runner]", "agents: walker", "agents must be a list of names", "not 'walker'"),
    ("agents: [walker, runner]", "agents: [walker, walker]", "agents must be a list of distinct names", "walker"),
    ("agents: [walker, runner]", "agents: [walker, game]", "agents must be names other than game, agents", "game"),
    ("agents: [walker, runner]", "agents: [walker, 3]", "agents[1] must be a name", "not 3"),
    ("objects: [red", "objects: [walker", "objects must be names other than game, agents, walker", "walker"),
    ("objects:", "engine: 3\nobjects:", "engine must be a mapping", "not 3"),
    ("objects:", "include: common.yaml\nobjects:", "include must be a list of YAML files", "'common.yaml'"),
    ("objects:", "include: [nowhere.yaml]\nobjects:", "include[0] names no file 'nowhere.yaml'", " in "),
    (DAMPING, "damping: 3", "rules.damping must be a mapping", "not 3"),
    (DAMPING, "Damping: {}", "rules has the key 'Damping'", "allowed are lower-case letters"),
    (DAMPING, "3: {}", "rules has the key 3", "allowed are lower-case letters"),
    (DAMPING, "damping: {}", "rules.damping.kind must be one of int, float, choice", "not nothing"),
    ("kind: float", "kind: real", "rules.damping.kind must be one of int, float, choice, permutation, flag", "'real'"),
    ("unit: 1/step", "units: 1/step", "rules.damping.units is not a known key (did you mean 'unit'?)", "allowed are"),
    ("unit: 1/step", "unit: 3", "rules.damping.unit must be a text", "not 3"),
    ("range: [0.05, 0.6], ", "", "rules.damping.range is missing", "required are kind, range, default, binds, about"),
    ("range: [0.05, 0.6]", "options: [1, 2]", "rules.damping.options is not a known key", "allowed are kind, range"),
    ("range: [0.05, 0.6]", "range: [0.6, 0.05]", "rules.damping.range must be two numbers", "[0.6, 0.05]"),
    ("range: [0.05, 0.6]", "range: [0.05, .inf]", "rules.damping.range must be two numbers", "inf"),
    ("range: [0.05, 0.6]", "range: 0.05", "rules.damping.range must be two numbers [low, high]", "not 0.05"),
    ("range: [1, 8]", "range: [1, 8.5]", "rules.walkers.range must be two integers", "8.5"),
    ("range: [1, 8]", "range: [true, 8]", "rules.walkers.range must be two integers", "True"),
    ("default: 0.25", "default: 0.7", "rules.damping.default must be a number from 0.05 to 0.6", "not 0.7"),
    ("default: 3", "default: 3.0", "rules.walkers.default must be an integer from 1 to 8", "not 3.0"),
    ("default: plain", "default: other", "rules.control.default must be one of plain, turned, 3", "not 'other'"),
    ("default: false", "default: 0", "rules.walls.default must be true or false", "not 0"),
    (
        "options: [plain, turned, 3]",
        "options: [plain]",
        "rules.control.options must be a list of at least two",
        "plain",
    ),
    (
        "options: [plain, turned, 3]",
        "options: [plain, on]",
        "rules.control.options must be a list",
        "(on, off, yes and no",
    ),
    ("options: [plain, turned, 3]", "options: [a, a]", "rules.control.options must be a list of at least two", "'a'"),
    ("values: [1, 0, -1]", "values: [1, 1]", "rules.payoff.values must be a list of at least two numbers", "[1, 1]"),
    ("values: [1, 0, -1]", "values: [a, b]", "rules.payoff.values must be a list of at least two numbers", "'a'"),
    ("default: [1, 0, -1]", "default: [1, 0]", "rules.payoff.default must be an ordering of [1, 0, -1]", "[1, 0]"),
    ("hidden: true, binds: agents", "hidden: 1, binds: agents", "rules.control.hidden must be true or false", "not 1"),
    ("binds: walker", "binds: wolf", "rules.walkers.binds must be game, agents, or a kind of entity", "'wolf'"),
    ("binds: walker", "binds: [walker, walker]", "rules.walkers.binds must be game, agents", "distinct kinds"),
    ("binds: walker", "binds: []", "rules.walkers.binds must be game, agents", "not []"),
    ("[red, green, blue]\n    about", "[red, green]\n    about", "rules.payoff.binds must be one place", "3 values"),
    ("about: How many walk.", "about: ''", "rules.walkers.about must be a text", "not ''"),
    (", about: How many walk.", "", "rules.walkers.about is missing", "required are"),
]


@pytest.mark.parametrize(("old", "new", "key", "allowed"), BROKEN, ids=[new[:40] or key for _, new, key, _ in BROKEN])
def test_a_broken_family_gets_one_sentence(write_family: Any, old: str, new: str, key: str, allowed: str) -> None:
    file = write_family(old, new)
    with pytest.raises(UserError) as caught:
        load_family(file)
    text = str(caught.value)
    assert text.startswith(str(file))
    assert key in text
    assert allowed in text
    assert text.endswith(".")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "is not a family: it must be a mapping"),
        ("- 1\n- 2", "is not a family: it must be a mapping"),
        ("name: something\nversion: 3", "name is not a known key"),
        ("{family: a, title: A, entry_point: 'a:b', agents: [c], rules: {}}", "at least one rule"),
        ("{family: a, title: A, entry_point: 'a:b', agents: [c], rules: 3}", "rules must be a mapping"),
        ("\x00", "is not a YAML file"),
    ],
)
def test_a_file_that_is_no_family(tmp_path: Path, content: str, text: str) -> None:
    file = tmp_path / "family.yaml"
    file.write_text(content)
    with pytest.raises(UserError, match=sentence(text)):
        load_family(file)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "family.yaml"
    file.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UserError, match="cannot be read as a text file"):
        load_family(file)


def test_included_rules_come_first_and_are_overlaid(write_family: Any) -> None:
    file = write_family(DAMPING, "damping: {default: 0.3, range: [0.1, 0.5]}")
    file.write_text(file.read_text().replace("objects:", "include: [common/shared.yaml]\nobjects:"))
    shared = file.parent.parent / "common" / "shared.yaml"
    shared.parent.mkdir()
    shared.write_text(f"rules:\n  wind: {{kind: flag, default: true, binds: game, about: Blows.}}\n  {DAMPING}\n")
    family = load_family(file)
    assert list(family.rules) == ["wind", "damping", "walkers", "control", "payoff", "walls"]
    damping = family.rules["damping"]
    assert (damping.low, damping.high, damping.default, damping.unit) == (0.1, 0.5, 0.3, "1/step")

    shared.write_text("rules: {wind: {kind: flag}}")
    with pytest.raises(UserError, match=sentence(f"{shared}: rules.wind.default is missing")):
        load_family(file)
    shared.write_text("rules: {damping: 3}")
    with pytest.raises(UserError, match=sentence(f"{shared}: rules.damping must be a mapping")):
        load_family(file)
    shared.write_text("title: no rules")
    with pytest.raises(UserError, match=sentence(f"{shared}: title is not a known key; allowed are rules")):
        load_family(file)
    other = shared.with_name("other.yaml")
    other.write_text(f"rules: {{{DAMPING}}}")
    shared.write_text(f"rules: {{{DAMPING}}}")
    file.write_text(file.read_text().replace("[common/shared.yaml]", "[common/shared.yaml, common/other.yaml]"))
    with pytest.raises(UserError, match=sentence(f"{other}: rules.damping is already declared in {shared}")):
        load_family(file)


CANONICAL = """
def canonical(rules):
    return {**rules, "walkers": 1 if rules["walls"] else rules["walkers"]}
"""


def test_rules_that_are_the_same_game_are_one_variant(write_family: Any) -> None:
    """In this family the number of walkers does nothing where there are walls."""
    ood = "ood: {rules: {walkers: [1, 5, 6], walls: [true, false], payoff: [[0, 1, -1]], control: [plain]}, variants"
    file = write_family("ood: {rules: {walkers: [5, 6], payoff: [[0, 1, -1]], control: [plain]}, variants", ood)
    file.write_text(file.read_text().replace("objects:", "canonical: 'game.py:canonical'\nobjects:"))
    (file.parent / "game.py").write_text(CANONICAL)
    family = load_family(file)
    one, other = ({"walls": True, "walkers": walkers} for walkers in (4, 5))
    assert family.variant(one) == family.variant(other)
    assert family.variant(one).rules["walkers"] == 1
    assert family.variant({"walkers": 4}) != family.variant({"walkers": 5})
    found = [(variant.rules["walls"], variant.rules["walkers"]) for variant in family.split("ood")]
    assert sorted(found) == [(False, 1), (False, 5), (False, 6), (True, 1)]
    drawn = family.sample(seed=0, count=100)
    assert len({variant.variant_id for variant in drawn}) == 100
    assert {variant.rules["walkers"] for variant in drawn if variant.rules["walls"]} == {1}


def test_a_family_whose_canonical_rules_are_no_code(write_family: Any) -> None:
    file = write_family("objects:", "canonical: 'game.py:canonical'\nobjects:")
    with pytest.raises(UserError, match=r"family\.yaml: canonical: .*game\.py has no 'canonical'"):
        load_family(file).variant()


def test_a_flag_may_say_whether_players_are_told_the_hidden_rules(write_family: Any) -> None:
    family = load_family(write_family("objects:", "told_by: walls\nobjects:"))
    assert family.hides(family.complete({})) == {"control", "payoff"}
    assert family.hides(family.complete({"walls": True})) == set()
    assert load_family("harvest").hides(load_family("harvest").complete({})) >= {"payoff", "control"}
    for wrong in ("walkers", "nothing"):
        file = write_family("objects:", f"told_by: {wrong}\nobjects:")
        with pytest.raises(UserError, match=rf"told_by must be a visible flag rule \(walls\), not '{wrong}'"):
            load_family(file)


def test_families_are_found_by_name_folder_and_file(write_family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_family()
    monkeypatch.setenv("MARL_META_ENVS", str(file.parent.parent))
    assert "toy" in list_families()
    assert load_family("toy") == load_family(file) == load_family(str(file)) == load_family(file.parent)
    with pytest.raises(UserError, match=re.escape("There is no family 'tog' (did you mean 'toy'?); allowed are ")):
        load_family("tog")
    with pytest.raises(UserError, match=sentence("There is no family at /nowhere/family.yaml")):
        load_family("/nowhere/family.yaml")
    write_family(name="other")
    with pytest.raises(UserError, match=sentence("family must be 'other' like its folder, not 'toy'")):
        load_family("other")


def test_a_name_is_never_a_folder_of_the_working_directory(write_family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_family().parent.parent)
    with pytest.raises(UserError, match="There is no family 'toy'"):
        load_family("toy")
    assert load_family("./toy").name == "toy"


def test_rules_are_parsed_from_json_a_file_or_an_id(toy: Family, tmp_path: Path) -> None:
    wanted = toy.variant({"walkers": 5})
    assert parse_rules('{"walkers": 5}', toy) == wanted
    assert parse_rules(" {} ", toy) == toy.variant()
    yaml_file, json_file = tmp_path / "rules.yaml", tmp_path / "rules.json"
    yaml_file.write_text("walkers: 5\n")
    json_file.write_text(json.dumps({"variant_id": wanted.variant_id, "family": "toy", "rules": wanted.rules}))
    assert parse_rules(str(yaml_file), toy) == wanted
    assert parse_rules(str(json_file), toy) == wanted
    one = toy.split("held_out")[2]
    assert parse_rules(one.variant_id, toy) == one


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{walkers: 5", "Rules '{walkers: 5' are not JSON ("),
        ('{"walkers": 9}', "Rule 'walkers' of family 'toy' cannot be 9; allowed is an integer from 1 to 8"),
        ('{"family": "tag", "rules": {}}', "The inline JSON holds rules of family 'tag'; allowed are those of 'toy'"),
        ("toy-0123456789", "No split of family 'toy' has a variant 'toy-0123456789'; its splits are train, held_out"),
        ("nowhere.yaml", "Rules 'nowhere.yaml' of family 'toy' name no file; allowed are inline JSON, a YAML"),
        ("tag-0123456789", "Rules 'tag-0123456789' of family 'toy' name no file"),
        ("", "Rules '' of family 'toy' name no file"),
        ("list.yaml", "list.yaml holds no rules of family 'toy': it must be a mapping"),
        ("wrong.yaml", "wrong.yaml: Rule 'walkers' of family 'toy' cannot be 9"),
    ],
)
def test_bad_rules(toy: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, complaint: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.yaml").write_text("[1, 2]")
    Path("wrong.yaml").write_text("walkers: 9")
    with pytest.raises(UserError, match=sentence(complaint)):
        parse_rules(text, toy)


def call(family: Family, **settings: Any) -> tuple[str, list[dict[str, Any]], dict[str, Any]]:
    """What the toy's entry point was called with."""
    made: Any = make_vec(family, **settings)
    return made


def test_make_vec_calls_the_entry_point(toy: Family) -> None:
    name, rules, settings = call(toy, num_games=4, split="train", seed=3, episodes_per_trial=5, first_game=8)
    assert name == "toy"
    assert rules == [variant.rules for variant in toy.split("train")]
    assert settings == {"num_games": 4, "seed": 3, "episodes_per_trial": 5, "first_game": 8, "fixed": False}
    _, rules, settings = call(toy, num_games=4)
    assert rules == [toy.complete({})]
    assert settings == {"num_games": 4, "seed": 0, "episodes_per_trial": 1, "first_game": 0, "fixed": True}
    _, rules, _ = call(toy, num_games=2, rules={"walkers": 5})
    assert rules == [toy.complete({"walkers": 5})]
    _, rules, _ = call(toy, num_games=2, rules=[{"walkers": 5}, {}])
    assert rules == [toy.complete({"walkers": 5}), toy.complete({})]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"num_games": 0}, "num_games cannot be 0; allowed is an integer of at least 1"),
        ({"num_games": True}, "num_games cannot be True"),
        ({"num_games": 1, "seed": -1}, "seed cannot be -1"),
        ({"num_games": 1, "episodes_per_trial": 0}, "episodes_per_trial cannot be 0"),
        ({"num_games": 1, "first_game": -1}, "first_game cannot be -1"),
        ({"num_games": 1, "split": "tests"}, "Family 'toy' has no split 'tests'"),
        ({"num_games": 1, "split": "train", "rules": {}}, "make_vec takes either a split or rules, not both"),
        ({"num_games": 3, "rules": [{}, {}]}, "a list of one mapping for each of the 3 games"),
        ({"num_games": 1, "rules": {"walker": 3}}, "has no rule 'walker' (did you mean 'walkers'?)"),
    ],
)
def test_make_vec_refuses(toy: Family, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=sentence(text)):
        make_vec(toy, **settings)


@pytest.mark.parametrize(
    ("entry_point", "text"),
    [
        ("game.py:missing", "entry_point: 'game.py:missing' names no code: game.py has no 'missing'"),
        ("nowhere.py:make_game", "there is no file"),
        ("make_game", "allowed is 'package.module:Symbol' or 'file.py:Symbol'"),
        ("no_such_package.games:make", "cannot be imported: No module named 'no_such_package'"),
        ("math:pi", "entry_point must name a function, not 3.14"),
    ],
)
def test_entry_points_that_are_none(write_family: Any, entry_point: str, text: str) -> None:
    family = load_family(write_family("game.py:make_game", entry_point))
    with pytest.raises(UserError, match=re.escape(text)):
        make_vec(family, num_games=1)


def test_an_entry_point_of_a_package(write_family: Any) -> None:
    family = load_family(write_family("game.py:make_game", "marl_meta.games.family:load_family"))
    assert family.load_entry_point() is load_family
