"""Games that are played to be watched: who sits where, what they think, and that it is the game it says it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import marl_meta
from marl_meta.evaluate.adapting import adapt
from marl_meta.evaluate.lineup import side_seed
from marl_meta.evaluate.watching import trial_length
from marl_meta.games import load_family, make_vec
from marl_meta.players import RandomPlayer
from marl_meta.replay.decoding import (
    actions_of,
    attention_of,
    beliefs_of,
    influence_of,
    places_of,
    probabilities_of,
    rewards_of,
    value_of,
)
from marl_meta.replay.reading import decode, encode
from marl_meta.replay.record import ReplayRecord
from marl_meta.team import load_team
from marl_meta.types import UserError

MakeTeam = Callable[..., Path]

SHORT: dict[str, Any] = {"episode_length": 4}


def chosen(record: ReplayRecord, episode: int = 0) -> np.ndarray:
    (group,) = actions_of(record, record.episodes[episode])
    assert group.chosen is not None
    return group.chosen


def players(record: ReplayRecord) -> dict[str, str]:
    return {team.name: team.player for team in record.teams}


def test_random_play_is_that_of_the_random_player() -> None:
    replay = marl_meta.play("random", game="tag", rules=SHORT, seed=3, episodes=2)
    game = make_vec("tag", num_games=1, rules=SHORT, seed=3, episodes_per_trial=2)
    sides = {index: np.flatnonzero(game.agent_team == index) for index in range(2)}
    crowd = {index: RandomPlayer(side_seed(3, index)) for index in sides}
    for index, agents in sides.items():
        crowd[index].reset(1, agents)
    observation = game.reset().observation
    for episode in range(2):
        for time in range(4):
            actions = np.zeros((1, 4), int)
            for index, agents in sides.items():
                actions[:, agents] = crowd[index].act(observation)
            step = game.step(actions)
            assert np.array_equal(chosen(replay.record, episode)[:, time], actions[0])
            paid = rewards_of(replay.record, replay.record.episodes[episode])[:, time]
            assert np.allclose(paid, step.reward[0], atol=1e-3)
            observation = step.observation
    assert players(replay.record) == {"adversary": "random", "prey": "random"} and replay.verify().same


@pytest.mark.parametrize(
    ("family", "entrant", "expected"),
    [
        ("tag", "chase", {"adversary": "chase", "prey": "random"}),
        ("tag", "flee", {"adversary": "random", "prey": "flee"}),
        ("tag", "stay", {"adversary": "stay", "prey": "stay"}),
        ("harvest", "gather", {"gatherer": "gather"}),
        ("payoff", "sweep", {"player": "sweep"}),
    ],
)
def test_hand_written_players_play_the_sides_that_they_can(family: str, entrant: str, expected: dict[str, str]) -> None:
    replay = marl_meta.play(entrant, game=family, rules=SHORT)
    assert players(replay.record) == expected and replay.verify().same
    if entrant == "stay":
        assert (chosen(replay.record) == 0).all()


def test_chasers_come_nearer_to_prey_that_stays_than_chance_does() -> None:
    """The hand-written player sees the game, and not only its name stands in the file."""

    def last_distance(entrant: str) -> float:
        found = []
        for seed in range(4):
            replay = marl_meta.play({"adversary": entrant, "prey": "stay"}, game="tag", seed=seed)
            places = places_of(replay.record, replay.record.episodes[0])[..., -1]
            found.append(np.linalg.norm(places[:3] - places[3], axis=1).mean())
        return float(np.mean(found))

    assert last_distance("chase") < 0.5 * last_distance("random")


def test_sides_are_named_and_the_others_are_played_against() -> None:
    replay = marl_meta.play({"prey": "flee"}, against="chase", game="tag", rules=SHORT)
    assert players(replay.record) == {"adversary": "chase", "prey": "flee"}
    assert players(marl_meta.play("stay", against="flee", game="tag", rules=SHORT).record) == {
        "adversary": "stay", "prey": "flee",
    }  # fmt: skip


def test_a_team_plays_all_sides_or_the_first_against_somebody(make_team: MakeTeam) -> None:
    team = make_team("tag", "ours")
    assert players(marl_meta.play(team, rules=SHORT).record) == {"adversary": "ours", "prey": "ours"}
    replay = marl_meta.play(str(team), rules=SHORT, against="flee")
    assert players(replay.record) == {"adversary": "ours", "prey": "flee"}
    assert [len(notes.agents) for notes in replay.record.episodes[0].notes or ()] == [3]
    prey = make_team("tag", "hunted", plays=("prey",))
    replay = marl_meta.play(prey, rules=SHORT, against=team)
    assert players(replay.record) == {"adversary": "ours", "prey": "hunted"}
    assert replay.record.teams[1].weights == load_team(prey).fingerprint() != replay.record.teams[0].weights


def test_a_played_team_acts_as_its_controller_does_by_itself(make_team: MakeTeam) -> None:
    team = load_team(make_team("spread", "ours"))
    replay = marl_meta.play(team, rules=SHORT, seed=2, deterministic=True, episodes=2)
    quiet = marl_meta.play(team, rules=SHORT, seed=2, deterministic=True, episodes=2, thoughts=False)
    game = make_vec("spread", num_games=1, rules=SHORT, seed=2, episodes_per_trial=2)
    controller = team.controller(game.layout, plays="agent", seed=side_seed(2, 0), deterministic=True)
    controller.reset(1, np.arange(3))
    observation = game.reset().observation
    for number in range(8):
        actions = controller.act(observation)
        assert np.array_equal(chosen(replay.record, number // 4)[:, number % 4], actions[0])
        step = game.step(actions)
        controller.observe(step)
        observation = step.observation
    assert quiet.record.digest == replay.record.digest  # to be asked changes nothing
    assert all(episode.notes is None for episode in quiet.record.episodes)


def test_thoughts_are_whole_and_of_the_right_sort(make_learner: MakeTeam) -> None:
    team = make_learner("harvest", believes=True)
    record = decode(encode(marl_meta.play(team, rules={**SHORT, "payoff": [0, 1, -1]}, episodes=2).record))
    for index, episode in enumerate(record.episodes):
        (notes,) = episode.notes or ()
        attention, influence = attention_of(record, episode, notes), influence_of(record, episode, notes)
        probabilities, value = probabilities_of(record, episode, notes), value_of(episode, notes)
        beliefs = beliefs_of(episode, notes)
        assert attention is not None and np.allclose(attention.sum(2), 1, atol=0.05 * record.num_entities)
        assert influence is not None and (influence >= 0).all() and (influence <= 1).all()
        assert probabilities is not None and np.allclose(probabilities.sum(1), 1, atol=0.051)
        taken = np.take_along_axis(probabilities, chosen(record, index)[:, None], 1)
        assert (taken > 0).all() and value is not None and np.isfinite(value).all()
        assert beliefs is not None and notes.beliefs is not None
        first = 0
        for rule in notes.beliefs.rules:
            part = beliefs[:, first : first + len(rule.values)]
            assert np.allclose(part.sum(1), 1, atol=0.02 * len(rule.values))
            first += len(rule.values)
        told = {rule.name: rule.values[rule.truth] for rule in notes.beliefs.rules if rule.truth is not None}
        kinds = ("red", "green", "blue")
        truth = dict(zip((f"payoff of {kind}" for kind in kinds), ("0", "1", "-1"), strict=True))
        assert told == {**truth, "collision_sign": "-1", "control": "0", "agents_needed": "1"}


def test_a_trial_is_played_by_one_memory(make_learner: MakeTeam) -> None:
    team = make_learner("harvest", believes=True)
    together = marl_meta.play(team, rules=SHORT, episodes=2, deterministic=True)
    assert together.verify().same and len(together.record.episodes) == 2
    notes = [(episode.notes or [])[0] for episode in together.record.episodes]
    starts = [beliefs_of(episode, note) for episode, note in zip(together.record.episodes, notes, strict=True)]
    assert starts[0] is not None and starts[1] is not None
    assert np.allclose(starts[0][..., 0], starts[0][0, :, 0], atol=0.021)  # nobody knows anything yet
    assert not np.allclose(starts[1][..., 0], starts[0][..., 0], atol=0.021)


def test_the_variant_is_drawn_from_the_held_out_split(make_team: MakeTeam) -> None:
    team = make_team("tag")
    family = load_family("tag")
    for seed in (0, 1):
        record = marl_meta.play(team, seed=seed, thoughts=False).record
        assert record.game.variant_id == family.sample(seed, split="held_out")[0].variant_id
    record = marl_meta.play(team, split="ood", thoughts=False).record
    assert record.game.variant_id == family.sample(0, split="ood")[0].variant_id
    hidden = [rule.name for rule in record.game.card if rule.hidden]
    assert hidden == [rule.name for rule in record.game.card][: len(hidden)] and "control" in hidden


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(make_team: MakeTeam) -> None:
    team = make_team("tag")
    one, again, other = (encode(marl_meta.play(team, rules=SHORT, seed=seed).record) for seed in (5, 5, 6))
    assert one == again != other


def test_titles_seeds_and_progress() -> None:
    told: list[tuple[int, int]] = []
    replay = marl_meta.play(
        "random",
        game="spread",
        rules={"episode_length": 2},
        episodes=2,
        title="ours",
        told=lambda *one: told.append(one),
    )
    assert replay.title == "ours" and told == [(0, 2), (1, 2), (1, 2), (2, 2)]
    assert marl_meta.play("stay", game="tag", rules=SHORT).title == "tag: stay"
    assert marl_meta.play("chase", game="tag", rules=SHORT).title == "tag: chase against random"
    assert replay.record.teams[0].seed == side_seed(0, 0)


def test_trial_lengths(make_team: MakeTeam) -> None:
    assert trial_length(load_team(make_team("tag"))) == 1
    assert trial_length(load_team(make_team("tag", "second", episodes_per_trial=4))) == 3


def test_what_adapting_teams_do_can_be_watched(make_learner: MakeTeam) -> None:
    adapted = adapt(make_learner("harvest", believes=True), rules=SHORT, episodes=2, watch=True)
    assert adapted.replay is not None and adapted.replay.verify().same
    assert [row[0] / 3 for row in adapted.replay.record.returns] == pytest.approx(adapted.returns.tolist(), abs=1e-3)
    assert adapt(make_learner("harvest", believes=True), rules=SHORT, episodes=1).replay is None


def test_a_short_game_of_a_team_that_thinks_is_small(make_learner: MakeTeam) -> None:
    replay = marl_meta.play(make_learner("tag", side="adversary", believes=True), rules={}, against="flee")
    assert replay.record.num_agents == 4 and replay.record.episodes[0].steps == 25
    assert replay.record.episodes[0].notes and len(encode(replay.record)) < 4_000


def test_a_long_game_of_ten_that_think_is_not_large(make_team: MakeTeam) -> None:
    rules = {"agents": 10, "episode_length": 100}
    replay = marl_meta.play(make_team("spread"), rules=rules, episodes=5)
    assert sum(episode.steps for episode in replay.record.episodes) == 500 and replay.record.num_agents == 10
    assert all(episode.notes for episode in replay.record.episodes) and len(encode(replay.record)) < 150_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"entrants": "random"}, "Say which game to play"),
        ({"entrants": "nobody", "game": "tag"}, "There is no player 'nobody'"),
        ({"entrants": "random", "game": "tag", "against": "nobody"}, "There is no player 'nobody'"),
        ({"entrants": {"cats": "random"}, "game": "tag"}, "has no team 'cats'; its teams are adversary, prey"),
        ({"entrants": {"prey": "chase"}, "game": "tag"}, "'chase' cannot play 'prey'"),
        ({"entrants": "random", "game": "tag", "episodes": 0}, "episodes cannot be 0"),
        ({"entrants": "random", "game": "tag", "seed": -1}, "seed cannot be -1"),
        ({"entrants": "random", "game": "tag", "rules": {}, "split": "ood"}, "Either rules or a split"),
        ({"entrants": "random", "game": "tag", "split": "none"}, "no split 'none'"),
        ({"entrants": "random", "game": "chess"}, "There is no family 'chess'"),
        ({"entrants": "zoo:nobody", "game": "tag"}, "nobody"),
        ({"entrants": "no/where", "game": "tag"}, "where"),
        ({"entrants": {}, "game": None}, "Say which game"),
    ],
)
def test_bad_input_is_one_sentence(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        marl_meta.play(**arguments)
    assert str(caught.value).endswith(".")


def test_a_team_of_another_game_is_refused(make_team: MakeTeam) -> None:
    with pytest.raises(UserError, match="can play none of the game's teams"):
        marl_meta.play(make_team("spread"), game="tag")
    with pytest.raises(UserError, match="cannot play 'prey'"):
        marl_meta.play("chase", against=make_team("spread"), game="tag")
