from __future__ import annotations

import pytest

from marl_meta.evaluate.ground import ThirdPartyGame, family_ground, held_out_split, third_party_ground, trained_ground
from marl_meta.games import load_family
from marl_meta.types import UserError


def test_a_split_opens_all_of_its_variants_in_turn_by_their_ids() -> None:
    ground = family_ground("spread", "held_out")
    wanted = sorted(variant.variant_id for variant in load_family("spread").split("held_out"))
    game = ground.open(2, 1, 0)
    assert game.variant_ids == wanted * 2
    assert (ground.num_variants, ground.label) == (64, "held_out")


def test_rules_are_one_variant() -> None:
    by_text, by_mapping = family_ground("spread", rules='{"agents": 5}'), family_ground("spread", rules={"agents": 5})
    assert by_text.open(3, 1, 0).variant_ids == by_mapping.open(3, 1, 0).variant_ids
    assert (by_text.num_variants, by_text.label) == (1, "rules")
    assert by_text.open(1, 1, 0).num_agents == 5


def test_the_default_is_the_split_held_out_from_the_training() -> None:
    family = load_family("harvest")
    assert held_out_split(family, "train") == "held_out"
    assert held_out_split(family, "two_teams_train") == "two_teams_held_out"
    assert held_out_split(family, "ood") == "ood"
    assert held_out_split(family, None) is None
    on = {"game": {"family": "harvest", "split": "two_teams_train", "rules": {}}}
    assert trained_ground(on, None, None).split == "two_teams_held_out"
    assert trained_ground(on, "ood", None).split == "ood"


def test_a_team_of_fixed_rules_is_evaluated_on_these() -> None:
    ground = trained_ground({"game": {"family": "spread", "split": None, "rules": {"agents": 2}}}, None, None)
    assert ground.open(1, 1, 0).rules[0]["agents"] == 2
    assert ground.label == "rules"


def test_a_third_party_game_is_one_variant() -> None:
    game = ThirdPartyGame("mpe2.simple_spread_v3:parallel_env", {"N": 2, "max_cycles": 5}, "simple_spread")
    ground = third_party_ground(game)
    assert ground.family is not None
    assert ground.family.name == "spread"  # whose hand-written players can play it
    opened = ground.open(2, 1, 0)
    assert (opened.num_games, opened.num_agents) == (2, 2)
    on = {"family": "pettingzoo", "entry_point": game.entry_point, "kwargs": game.kwargs, "schema": game.schema}
    assert trained_ground({"game": on}, None, None).game == game.entry_point


THIRD_PARTY = {"family": "pettingzoo", "entry_point": "mpe2.simple_spread_v3:parallel_env"}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: family_ground("spread", "held_out", {}), "either a split or rules"),
        (lambda: family_ground("spread", "unseen"), "has no split 'unseen'"),
        (lambda: family_ground("spread", rules='{"agents": 99}'), "99"),
        (lambda: trained_ground({}, None, None), "--game"),
        (lambda: trained_ground({"game": THIRD_PARTY}, "held_out", None), "no splits and no rules"),
        (
            lambda: trained_ground({"game": THIRD_PARTY | {"entry_point": "my.py:env"}}, None, None),
            "--pettingzoo my.py:env",
        ),
        (lambda: trained_ground({"game": {"family": "./mine"}}, None, None), "--game ./mine"),
        (lambda: third_party_ground(ThirdPartyGame("no.such:thing")).open(1, 1, 0), "no.such"),
    ],
)
def test_bad_input_is_one_sentence(call, said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()
