from __future__ import annotations

import json

import numpy as np
import pytest

import marl_meta
from marl_meta.evaluate import ThirdPartyGame, evaluate
from marl_meta.evaluate.results import ITSELF
from marl_meta.games import load_family
from marl_meta.team import load_team
from marl_meta.types import UserError


def test_a_game_of_one_side(make_team) -> None:
    told: list[tuple[int, int]] = []
    found = evaluate(
        make_team("spread"), games_per_variant=2, seed=1, report=lambda done, total, _: told.append((done, total))
    )
    (split,) = found.splits
    assert (split.split, split.sides, split.games_per_variant) == ("held_out", ("agent",), 2)
    assert set(split.variant_ids) == {variant.variant_id for variant in load_family("spread").split("held_out")}
    assert split.result({"agent": "random"}).earned["agent"].per_agent.shape == (64, 2, 1)
    (record,) = found.record()["teams"]
    assert record["team"] == "first"
    assert (record["split"], record["variants"], record["opponent"]) == ("held_out", 64, None)
    assert record["return_low"][0] < record["returns"][0] < record["return_high"][0]
    assert set(record["scripted"]) == {"stay", "cover"}
    assert record["random"][0] < record["scripted"]["cover"][0] - 5
    assert record["env_steps"] == 64 * 2 * 25
    assert record["seconds"] > 0
    assert told[-1][0] == told[-1][1]
    assert json.loads(json.dumps(found.record())) == found.record()


def test_the_anchors_of_mpe2s_rules_are_met(make_team) -> None:
    """Random play on mpe2's simple_spread earns -26.2 an agent, standing still -23.9."""
    found = evaluate(make_team("spread"), rules={}, games_per_variant=400)
    (record,) = found.record()["teams"]
    assert record["random"][0] == pytest.approx(-26.2, abs=0.9)
    assert record["scripted"]["stay"][0] == pytest.approx(-23.9, abs=0.9)
    assert record["variants"] == 1
    assert record["variants_low"] is None


def test_returns_are_the_mean_of_a_teams_agents_and_their_sum(make_team) -> None:
    (split,) = evaluate(make_team("spread"), rules={"agents": 4}, games_per_variant=3).splits
    earned = split.results[0].earned["agent"]
    np.testing.assert_allclose(earned.total, 4 * earned.per_agent, rtol=1e-5)


def test_both_sides_meet_each_other_and_all_others(make_team) -> None:
    found = evaluate(make_team("tag"), games_per_variant=2)
    (split,) = found.splits
    assert split.sides == ("adversary", "prey")
    adversaries = ["first", "random", "stay", "chase"]
    preys = ["first", "random", "stay", "flee"]
    assert {result.key for result in split.results} == {
        (("adversary", one), ("prey", other)) for one in adversaries for other in preys
    }
    assert split.players_of("adversary") == adversaries
    assert split.opponents_of("adversary") == preys
    records = {record["side"]: record for record in found.record()["teams"]}
    assert set(records) == {"adversary", "prey"}
    assert records["adversary"]["opponent"] == ITSELF
    assert set(records["adversary"]["against"]) == set(preys)
    assert records["adversary"]["against"]["first"]["returns"] == records["adversary"]["returns"]
    assert set(records["prey"]["scripted"]) == {"stay", "flee"}
    chasing = split.result({"adversary": "chase", "prey": "random"}).estimates["adversary"].mean[0]
    assert chasing > split.result({"adversary": "random", "prey": "random"}).estimates["adversary"].mean[0] + 5


def test_a_team_of_one_side_is_measured_against_random_play(make_team) -> None:
    found = evaluate(make_team("tag", plays=("prey",)), rules={}, games_per_variant=4)
    (record,) = found.record()["teams"]
    assert (record["side"], record["opponent"]) == ("prey", "random")


def test_several_teams_meet(make_team) -> None:
    teams = [make_team("tag", "first"), make_team("tag", "the_second", plays=("adversary",))]
    found = evaluate(teams, rules={}, games_per_variant=2)
    assert {(record["team"], record["side"]) for record in found.record()["teams"]} == {
        ("first", "adversary"),
        ("first", "prey"),
        ("the_second", "adversary"),
    }
    record = next(one for one in found.record()["teams"] if one["team"] == "the_second")
    assert "first" in record["against"]


def test_the_seed_fixes_everything(make_team) -> None:
    team = make_team("spread")

    def returns(**options: object) -> np.ndarray:
        (split,) = evaluate(load_team(team), rules={}, games_per_variant=8, **options).splits
        return np.concatenate([result.earned["agent"].per_agent for result in split.results])

    np.testing.assert_array_equal(returns(seed=5), returns(seed=5))
    assert not np.array_equal(returns(seed=5), returns(seed=6))
    assert not np.array_equal(returns(seed=5)[0], returns(seed=5, deterministic=True)[0])


def test_everybody_plays_the_same_games(make_team) -> None:
    """Common starts: what is random about a game is the same for all, so that differences are the players'."""
    (split,) = evaluate(make_team("spread"), rules={}, games_per_variant=100).splits
    stay = split.result({"agent": "stay"}).earned["agent"].per_agent[0, :, 0]
    cover = split.result({"agent": "cover"}).earned["agent"].per_agent[0, :, 0]
    assert np.corrcoef(stay, cover)[0, 1] > 0.2


def test_a_trial_has_as_many_episodes_as_asked_for_or_five(make_team) -> None:
    trained = evaluate(make_team("harvest", episodes_per_trial=3), rules={}, games_per_variant=2)
    assert trained.episodes == 5
    assert len(trained.record()["teams"][0]["returns"]) == 5
    assert evaluate(make_team("harvest", "single"), rules={}, games_per_variant=2).episodes == 1
    asked = evaluate(make_team("harvest"), rules={}, games_per_variant=2, episodes=2)
    assert len(asked.record()["teams"][0]["random"]) == 2


def test_more_games_than_run_at_once_are_played_in_rounds(make_team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marl_meta.evaluate.ground.GAMES_AT_ONCE", 3)
    (split,) = evaluate(make_team("spread"), rules={"episode_length": 3}, games_per_variant=7).splits
    assert split.results[0].earned["agent"].per_agent.shape == (1, 7, 1)
    assert len(set(split.results[0].earned["agent"].per_agent[0, :, 0])) == 7  # all of them different games


def test_several_splits(make_team) -> None:
    found = evaluate(make_team("spread"), split=["held_out", "ood"], games_per_variant=2)
    assert [record["split"] for record in found.record()["teams"]] == ["held_out", "ood"]


def test_the_real_mpe2_game_through_a_schema(make_team) -> None:
    game = ThirdPartyGame("mpe2.simple_spread_v3:parallel_env", {"max_cycles": 10}, "simple_spread")
    found = evaluate(make_team("spread"), game=game, games_per_variant=20)
    (record,) = found.record()["teams"]
    assert record["split"] == "rules"
    ours = evaluate(make_team("spread"), rules={"episode_length": 10}, games_per_variant=400)
    (same,) = ours.record()["teams"]
    assert record["return_low"][0] - 1 < same["returns"][0] < record["return_high"][0] + 1
    assert set(record["scripted"]) == {"stay", "cover"}


def test_the_package_is_the_function(make_team) -> None:
    assert marl_meta.evaluate(make_team("spread"), rules={}, games_per_variant=2).game == "spread"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"games_per_variant": 1}, "games_per_variant .* cannot be 1; allowed is an integer of at least 2"),
        ({"episodes": 0}, "episodes cannot be 0"),
        ({"seed": -1}, "seed cannot be -1"),
        ({"split": "unseen"}, "has no split 'unseen'"),
        ({"game": "tag"}, "can play no side of this game"),
        ({"split": "held_out", "rules": {}}, "either a split or rules"),
    ],
)
def test_bad_input_is_one_sentence(options: dict[str, object], said: str, make_team) -> None:
    with pytest.raises(UserError, match=said):
        evaluate(make_team("spread"), **options)


def test_teams_that_cannot_be_evaluated_together(make_team) -> None:
    with pytest.raises(UserError, match=r"different games \(spread, tag\); say which to play"):
        evaluate([make_team("spread"), make_team("tag", "other")])
    with pytest.raises(UserError, match="given once"):
        evaluate([make_team("spread"), make_team("spread")])
    with pytest.raises(UserError, match="at least one team"):
        evaluate([])
    with pytest.raises(UserError, match="is not a team"):
        evaluate("nowhere")
