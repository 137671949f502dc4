"""Hand-written players of a game with one hidden rule, whose returns are known: what is scored is what they did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from marl_meta.evaluate.adapted import adaptation, groups_of, value_labels
from marl_meta.evaluate.controls import Lineup, adaptation_lineup, reset_player
from marl_meta.evaluate.ground import family_ground, variants_ground
from marl_meta.evaluate.lineup import Player, random_player, team_player
from marl_meta.evaluate.run import evaluate, evaluate_players
from marl_meta.games import load_family
from marl_meta.players import RandomPlayer
from marl_meta.team import load_team
from marl_meta.types import UserError

GUESS = Path(__file__).parents[1] / "guess"

EPISODE = {"length": 1, "players": 1}


class Trier:
    """Says the word that is 0, 1, 2 beyond the one that is shown until that pays, and sticks to it for the trial."""

    def reset(self, games, agents) -> None:
        self.agents, self.shift = agents, np.zeros(games, np.int64)

    def act(self, observation):
        shown = observation.private[:, self.agents, :3].argmax(-1)
        return (shown + self.shift[:, None]) % 3

    def observe(self, step) -> None:
        self.shift = np.where(step.reward[:, self.agents[0]] > 0, self.shift, (self.shift + 1) % 3)
        self.shift[step.trial_over] = 0


class Knower(Trier):
    """Is told."""

    def __init__(self, game) -> None:
        self.game = game

    def observe(self, step) -> None:
        pass

    def act(self, observation):
        self.shift = np.array([rules["shift"] for rules in self.game.rules])
        return super().act(observation)


def player(name: str, make, origin: str = "team") -> Player:
    return Player(name, origin, lambda _: True, lambda game, _, seed: make(game, seed))


@pytest.fixture
def ground():
    family = load_family(GUESS)
    return variants_ground(family, "by hand", [family.variant({**EPISODE, "shift": shift}) for shift in (0, 1, 2)])


def test_scores_of_a_team_that_finds_out_and_of_one_that_forgets(ground) -> None:
    trier = player("trier", lambda *_: Trier())
    knower = player("told", lambda game, _: Knower(game), "control")
    random = player("random", lambda _, seed: RandomPlayer(seed), "random")
    players = (trier, reset_player("trier", trier), knower)
    found = evaluate_players(ground, [*players, random], 3, 400, 0)
    earned = {result.players["players"]: result.earned["players"].total for result in found.results}
    shifts = [rules["shift"] for rules in ground.rules]
    by_hand = {0: [1, 1, 1], 1: [0, 1, 1], 2: [0, 0, 1]}
    np.testing.assert_array_equal(earned["trier"].mean(1), [by_hand[shift] for shift in shifts])
    np.testing.assert_array_equal(earned["trier (reset)"].mean(1), [[float(shift == 0)] * 3 for shift in shifts])
    np.testing.assert_array_equal(earned["told"], 1.0)
    oracles = dict.fromkeys(("trier", "trier (reset)", "told"), "told")
    lineup = Lineup("players", None, players, {}, oracles, {"trier (reset)": "trier"}, ("shift",), {})
    scored = adaptation(lineup, earned, (found.variant_ids, ground.rules), {}, 0, group=False)
    curve = scored.learner("trier").curve
    # Random play is right in a third of the cases: S is 1 where right, else (0 - 1/3) / (1 - 1/3) = -1/2.
    np.testing.assert_allclose(curve.iqm, [0.0, 0.5, 1.0], atol=0.03)
    assert curve.gain.value == pytest.approx(1.0, abs=0.03)
    assert curve.episodes_to_enough == 3
    np.testing.assert_allclose(scored.learner("trier (reset)").curve.iqm, [0.0] * 3, atol=0.03)
    np.testing.assert_allclose(scored.learner("told").curve.iqm, 1.0, atol=1e-12)
    np.testing.assert_allclose(scored.learner("random").curve.iqm, 0.0, atol=0.06)
    shares = {(share.rule, share.value): share.scores for share in scored.shares(scored.learner("trier"))}
    np.testing.assert_allclose(shares["shift", "1"], [-0.5, 1.0, 1.0], atol=0.05)
    assert set(shares) == {("shift", "0"), ("shift", "1"), ("shift", "2")}
    roles = {learner.name: learner.role for learner in scored.learners}
    assert roles == {"trier": "team", "trier (reset)": "control", "told": "oracle", "random": "random"}


def test_a_team_is_its_own_oracle_unless_one_is_given(wise, make_learner) -> None:
    own = load_team(wise)
    learner = load_team(make_learner(GUESS))
    held_out = family_ground(GUESS, "held_out")
    alone = adaptation_lineup(held_out, {"wise": own, "learner": learner}, None, 3, 0, deterministic=False)
    assert [one.name for one in alone.players] == ["wise", "wise (reset)", "wise (told)", "learner", "learner (reset)"]
    assert set(alone.oracles.values()) == {"wise (told)"}  # the learner cannot be told
    given = adaptation_lineup(held_out, {"learner": learner}, own, 1, 0, deterministic=False)
    assert [one.name for one in given.players] == ["learner", "wise (told)"]  # of one episode nothing can be forgotten
    assert adaptation_lineup(held_out, {"learner": learner}, None, 3, 0, deterministic=False) is None


def test_where_nothing_is_to_be_found_out_returns_are_all(wise) -> None:
    own = load_team(wise)
    assert adaptation_lineup(family_ground(GUESS, "known"), {"wise": own}, None, 3, 0, deterministic=False) is None
    found = evaluate(wise, game=GUESS, split="known", games_per_variant=2)
    assert found.splits[0].adaptation is None
    assert found.record()["adaptation"] == []
    assert "S_iqm" not in found.record()["teams"][0]


def test_one_side_of_two_is_scored_against_somebody_who_stays_the_same(wise, make_learner) -> None:
    found = evaluate([wise, make_learner(GUESS)], game=GUESS, split="two_sides", games_per_variant=30)
    (split,) = found.splits
    assert split.sides == ("players", "rivals")
    assert (split.adaptation.side, split.adaptation.against) == ("players", "random")
    assert {one.name for one in split.adaptation.learners} == {
        "wise", "wise (reset)", "wise (told)", "learner", "learner (reset)", "random"
    }  # fmt: skip
    np.testing.assert_allclose(split.adaptation.learner("wise (told)").curve.iqm, 1.0, atol=0.02)
    assert abs(split.adaptation.learner("learner").curve.iqm[-1]) < 0.5
    # Controls meet that opponent alone, and play the scored side alone.
    told = [result.players for result in split.results if "wise (told)" in result.players.values()]
    assert told == [{"players": "wise (told)", "rivals": "random"}]
    records = {record["team"]: record for record in found.record()["teams"] if record["side"] == "players"}
    assert split.opponents_of("rivals") == ["wise", "learner", "random"]  # of no use to who plays the other side
    told_sum = split.result({"players": "wise (told)", "rivals": "random"}).earned["players"].total
    assert records["wise"]["oracle_sum"] == pytest.approx(told_sum.astype("f8").mean((0, 1)))
    assert found.record()["adaptation"][0]["against"] == "random"


@pytest.mark.parametrize(
    ("family", "split", "side", "against"),
    [
        ("tag", "hidden_held_out", "adversary", "flee"),
        ("tag", "hidden_held_out", "prey", "chase"),
        ("harvest", "two_teams_held_out", "gatherer", "gather"),
    ],
)
def test_the_best_hand_written_player_is_the_opponent(make_learner, family, split, side, against: str) -> None:
    team = load_team(make_learner(family, believes=True, side=side))
    lineup = adaptation_lineup(family_ground(family, split), {"learner": team}, None, 2, 0, deterministic=False)
    assert (lineup.side.split("_")[0], lineup.against) == (side, against)
    assert lineup.scores({lineup.side: "learner", "others": against})
    assert not lineup.scores({lineup.side: "learner", "others": "random"})


def test_an_oracle_does_not_choose_a_side_that_nobody_plays(wise, make_learner) -> None:
    rival = make_learner(GUESS, "rival", side="rivals", rules={"rivals": 1})
    with pytest.raises(UserError, match="'wise' cannot play 'rivals'"):
        evaluate(rival, game=GUESS, split="two_sides", oracle=wise)


def test_beliefs_are_counted_where_they_are_scored(make_learner) -> None:
    rival = make_learner(GUESS, "rival", side="rivals", rules={"rivals": 1})
    found = evaluate(
        [make_learner(GUESS, believes=True), rival], game=GUESS, split="two_sides", games_per_variant=2, episodes=2
    )
    (split,) = found.splits
    played = [result for result in split.results if result.players["players"] == "learner"]
    assert len(played) == 2  # against the rival and random play, of which the latter is scored
    values, steps, games = 3, 2 * 4, 3 * 2
    assert split.adaptation.calibrations["learner"].reliability().count.sum() == values * steps * games


def test_a_team_may_not_be_called_like_a_hand_written_player(make_learner) -> None:
    with pytest.raises(UserError, match="random is there twice"):
        evaluate(make_learner(GUESS, "random"), game=GUESS, split="known", games_per_variant=2)


def test_where_nothing_can_be_won_there_is_no_score(wise) -> None:
    found = evaluate(wise, game=GUESS, split="pointless", games_per_variant=2)
    (record,) = found.record()["teams"]
    assert record["S_iqm"] is None
    assert (record["variants_scored"], len(record["left_out"])) == (0, 6)


def test_a_trained_oracle_and_random_play_are_the_ends_of_the_scale(wise, make_learner) -> None:
    found = evaluate([make_learner(GUESS)], game=GUESS, split="held_out", games_per_variant=30, oracle=wise)
    (split,) = found.splits
    told, random = split.adaptation.learner("wise (told)").curve, split.adaptation.learner("random").curve
    assert told.area.value == pytest.approx(1.0)
    assert told.area.high - told.area.low < 1e-9
    assert random.area.low - 1e-9 <= 0.0 <= random.area.high + 1e-9
    assert split.result({"players": "wise (told)"}).earned["players"].total[0].mean() > 3.7  # of 4, by one player
    (record,) = found.record()["teams"]
    assert len(record["S_iqm"]) == len(record["S_low"]) == len(record["S_high"]) == len(record["oracle"]) == 5
    assert record["oracle_player"] == "wise (told)"
    assert record["trained"] == {"meta": "rl2", "seed": 0, "env_steps": 1000, "seconds": None, "encoder": "graph"}
    assert abs(record["S_iqm"][0]) < 0.3  # an untrained team


def test_a_run_says_how_long_it_took(wise) -> None:
    assert load_team(wise).trained_on["seconds"] > 0


def test_beliefs_are_counted_while_they_are_acted_on(make_learner) -> None:
    folder = make_learner("harvest", believes=True)
    found = evaluate(folder, split="ood", games_per_variant=2, episodes=2)
    (split,) = found.splits
    calibration = split.adaptation.calibrations["learner"]
    acting = sum(rules["gatherers"] for rules in split.adaptation.rules) * 2 * 25
    values = 2 + 4 + 3 * 3 + 2  # bump, control, three payoffs, agents needed
    assert calibration.reliability(episode=0).count.sum() == acting * values
    assert calibration.reliability().count.sum() == 2 * acting * values
    assert set(calibration.rules) == set(split.adaptation.hidden)
    watched = split.result({"gatherer": "learner"}).earned["gatherer"].total
    unwatched = [team_player("plain", load_team(folder), deterministic=False), random_player()]
    plain = evaluate_players(family_ground("harvest", "ood"), unwatched, 2, 2, 0).results[0].earned["gatherer"].total
    np.testing.assert_array_equal(watched, plain)  # looking changes nothing


def test_teams_of_different_seeds_are_grouped(wise, make_learner) -> None:
    teams = [make_learner(GUESS, f"learner{seed}", seed) for seed in range(3)]
    found = evaluate(teams, game=GUESS, split="held_out", games_per_variant=3, oracle=wise, group=True)
    learner = found.splits[0].adaptation.learner("rl2 (3 seeds)")
    assert learner.members == ("learner0", "learner1", "learner2")
    assert learner.scores.shape == (3, 6, 5)
    pairs = {(one.name, one.other) for one in found.splits[0].adaptation.better}
    assert pairs == {("learner0", "learner1"), ("learner0", "learner2"), ("learner1", "learner2")}
    one = load_team(teams[0])
    assert groups_of({"a": one, "b": replace(one, name="b")}) == {}  # the same seed twice
    with pytest.raises(UserError, match="Nothing to group"):
        evaluate(teams[0], game=GUESS, split="held_out", oracle=wise, group=True)


def test_values_of_a_rule_have_short_names() -> None:
    assert value_labels([[1, 0, -1], True, "red"]) == ["[1, 0, -1]", "true", '"red"']
    labels = value_labels([number / 100 for number in range(100)])
    assert len(set(labels)) == 4
    assert labels[0].startswith("0 to 0.24")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"episodes": 0}, "episodes cannot be 0"),
        ({"oracle": "nowhere"}, "is not a team"),
        ({"split": "known"}, "no hidden rules vary"),
        ({"split": "known", "oracle": None, "side": "players"}, "nothing to adapt to on 'known'.*leave out --side"),
        ({"split": "two_sides", "side": "referees"}, "no side 'referees'; the sides are players, rivals"),
        ({"split": "two_sides", "side": "rivals"}, "None of the teams can play the side 'rivals'"),
        ({"split": "two_sides", "oracle": None, "side": "players"}, "be told the hidden rules there"),
        ({"oracle": "harvest"}, "cannot play"),
        ({"oracle": "learner"}, "cannot be told hidden rules"),
    ],
)
def test_bad_input_is_one_sentence(options, said: str, wise, make_learner) -> None:
    others = {"harvest": ("harvest", True), "learner": (GUESS, False)}
    given = options.get("oracle", wise)
    if given in others:
        family, believes = others[given]
        given = make_learner(family, "other", believes=believes)
    with pytest.raises(UserError, match=said) as caught:
        evaluate(make_learner(GUESS), **{"game": GUESS, "split": "held_out", **options, "oracle": given})
    assert str(caught.value).endswith(".")
    assert str(caught.value).count(". ") == 0


def test_a_split_without_variants_is_refused() -> None:
    with pytest.raises(UserError, match="'empty' of guess has no variants"):
        variants_ground(load_family(GUESS), "empty", [])
