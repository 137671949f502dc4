from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from marl_meta.games.card import CARD_FILE, disjointness, family_record, rules_card, write_cards
from marl_meta.games.family import Family, load_family
from marl_meta.games.rules import canonical_json


def test_the_card_shows_every_rule_and_split(toy: Family) -> None:
    card = rules_card(toy)
    hidden, visible = card.index("## Hidden rules"), card.index("## Visible rules")
    splits = card.index("## Splits")
    assert "| payoff | permutation | orderings of [1,0,-1] | [1,0,-1] | red, green, blue | What each pays. |" in card
    assert "| control | choice | plain, turned, 3 | plain | all agents | Moves. |" in card[hidden:visible]
    assert "| damping | float | 0.05 to 0.6 | 0.25 1/step | the game | Velocity lost. |" in card[visible:splits]
    assert "| walkers | int | 1 to 8 | 3 | walker | How many walk. |" in card[visible:splits]
    assert "| walls | flag | true, false | false | the game | Whether there are walls. |" in card[visible:splits]
    assert (
        "| train | 40 | walkers 2, 3; damping 0.1 to 0.2 or 0.3 to 0.4; combinations of control, payoff that hash into "
        "[0, 0.7) | bd07822a43703277 |"
    ) in card[splits:]
    assert "| ood | 2 | walkers 5, 6; payoff [0,1,-1]; control plain | " in card[splits:]


def test_the_card_says_when_players_are_told(write_family: Any) -> None:
    assert "Where" not in rules_card(load_family(write_family()))
    told = rules_card(load_family(write_family("objects:", "told_by: walls\nobjects:")))
    assert "they show only through play. Where walls is true, players are shown them." in told


def test_disjointness_is_said_for_every_two_splits(toy: Family) -> None:
    assert disjointness(toy) == [
        "train and held_out share no variant: their combinations hash into [0, 0.7) against [0.7, 1).",
        "train and ood share no variant: damping 0.1 to 0.2 or 0.3 to 0.4 against 0.25.",
        "held_out and ood share no variant: walkers 3 against 5, 6.",
    ]


def test_a_table_survives_what_it_holds(write_family: Any) -> None:
    family = load_family(write_family("about: How many walk.", "about: Few | many."))
    assert "| walkers | int | 1 to 8 | 3 | walker | Few \\| many. |" in rules_card(family)


def test_the_record_is_plain_values(toy: Family) -> None:
    record = family_record(toy)
    assert canonical_json(record)
    assert record["splits"][0]["rules"]["damping"] == {"intervals": ((0.1, 0.2), (0.3, 0.4))}
    assert [rule["hidden"] for rule in record["rules"]] == [False, False, True, True, False]


def test_cards_are_written_beside_their_families(write_family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder: Path = write_family().parent.parent
    monkeypatch.setenv("MARL_META_ENVS", str(folder))
    assert write_cards(folder) == [folder / "toy" / CARD_FILE]
    assert (folder / "toy" / CARD_FILE).read_text() == rules_card(load_family("toy"))
