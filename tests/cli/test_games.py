from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from marl_meta.cli.games import games, variants
from marl_meta.games.family import list_families, load_family
from marl_meta.types import UserError

app = typer.Typer()
app.command()(games)
app.command()(variants)


def run(*arguments: str) -> str:
    """What a command prints on standard output; its error is raised here."""
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "160"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def run_json(*arguments: str) -> dict[str, Any]:
    """The one JSON object that a command prints."""
    record: dict[str, Any] = json.loads(run(*arguments, "--json"))
    return record


def test_games_lists_the_families() -> None:
    text = run("games")
    for name in list_families():
        assert name in text
        assert load_family(name).title in text
    assert [record["family"] for record in run_json("games")["families"]] == list_families()


def test_games_shows_a_rules_card() -> None:
    family, text = load_family("tag"), " ".join(run("games", "tag").split())
    for rule in family.rules.values():
        assert f" {rule.name} {rule.kind} " in text
    assert (
        text.index("Hidden rules") < text.index(" who_is_it ") < text.index("Visible rules") < text.index(" damping ")
    )
    assert " 0.05 to 0.6 0.25 1/step the game " in text
    for split in family.splits.values():
        assert f" {split.name} {len(family.split(split.name))} " in text
        assert str(split.digest) in text
    assert "train and ood share no variant: " in text


def test_games_json_holds_the_whole_card() -> None:
    family = load_family("harvest")
    (record,) = run_json("games", "harvest")["families"]
    assert record["agents"] == list(family.agents)
    assert [rule["rule"] for rule in record["rules"]] == list(family.rules)
    payoff = next(rule for rule in record["rules"] if rule["rule"] == "payoff")
    assert payoff == {
        "rule": "payoff",
        "kind": "permutation",
        "allowed": "an ordering of [1, 0, -1]",
        "options": [1, 0, -1],
        "default": [1, 0, -1],
        "unit": "",
        "hidden": True,
        "binds": ["red", "green", "blue"],
        "about": family.rules["payoff"].about,
    }
    train = record["splits"][0]
    assert (train["split"], train["variants"], train["share"]) == ("train", 201, [0.0, 0.7])
    assert train["rules"]["gatherers"] == [2, 3, 4]
    assert train["digest"] == family.splits["train"].digest


def test_variants_lists_a_split() -> None:
    wanted = load_family("spread").split("held_out")
    found = run_json("variants", "spread", "--split", "held_out")["variants"]
    assert [one["variant_id"] for one in found] == [variant.variant_id for variant in wanted]
    assert found[0] == {"variant_id": wanted[0].variant_id, "family": "spread", "rules": wanted[0].rules}
    text = run("variants", "spread", "--split", "held_out")
    assert "64 variants of spread" in text
    assert all(variant.variant_id in text for variant in wanted)
    assert f"damping={wanted[0].rules['damping']}" in text


def test_variants_are_sampled_by_seed() -> None:
    family = load_family("tag")
    arguments = ("variants", "tag", "--sample", "3", "--seed", "5")
    found = run_json(*arguments)["variants"]
    assert [one["variant_id"] for one in found] == [one.variant_id for one in family.sample(seed=5, count=3)]
    assert run_json(*arguments)["variants"] == found
    of_split = run_json(*arguments, "--split", "train")["variants"]
    assert {one["variant_id"] for one in of_split} <= {one.variant_id for one in family.split("train")}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("games", "tga"), "There is no family 'tga' (did you mean 'tag'?); allowed are "),
        (("variants", "tga", "--sample", "1"), "There is no family 'tga'"),
        (("variants", "tag"), "It is not said which variants of family 'tag' to list; allowed are --sample N, --split"),
        (
            ("variants", "tag", "--split", "test"),
            "Family 'tag' has no split 'test'; its splits are train, held_out, ood",
        ),
        (
            ("variants", "tag", "--sample", "0"),
            "The number of variants cannot be 0; allowed is an integer of at least 1",
        ),
        (("variants", "tag", "--sample", "999", "--split", "ood"), "cannot give 999 variants; it holds 64"),
        (("games", "./nowhere.yaml"), "There is no family at nowhere.yaml"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], text: str) -> None:
    for extra in ((), ("--json",)):
        with pytest.raises(UserError) as caught:
            run(*arguments, *extra)
        assert text in str(caught.value)
        assert str(caught.value).endswith(".")


def test_a_users_own_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "coin"
    folder.mkdir()
    (folder / "family.yaml").write_text(
        "{family: coin, title: '[A] coin | thrown', entry_point: 'a:b', agents: [thrower], "
        "rules: {heads: {kind: flag, default: true, binds: game, about: 'What [b]pays[/b].'}}}"
    )
    text = run("games", str(folder))
    assert "coin: [A] coin | thrown" in text
    assert "What [b]pays[/b]." in text  # shown as written, not as markup
    assert "Splits" not in text
    assert "coin" not in run("games")
    monkeypatch.setenv("MARL_META_ENVS", str(tmp_path))
    assert "coin" in run("games")
    assert "(all at their default)" in run("variants", "coin", "--sample", "2")
    with pytest.raises(UserError, match=r"its splits are none\), or both\."):
        run("variants", "coin")


def test_no_family_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marl_meta.cli.games.list_families", list)
    assert "No family is installed" in run("games")
    assert run_json("games") == {"families": []}
