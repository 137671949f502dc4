"""What is written down of a game, beside the same game played without anybody writing."""

from __future__ import annotations

import gzip
import json
from typing import Any

import numpy as np
import pytest

from marl_meta.games import load_family, make_vec
from marl_meta.replay.decoding import actions_of, attention_of, cells_of, places_of, presence_of, rewards_of, updates_of
from marl_meta.replay.encoding import encode_particles, encode_rewards
from marl_meta.replay.reading import decode, encode
from marl_meta.replay.record import EpisodeRecord, ReplayRecord
from marl_meta.replay.recorder import Recorder, Who, family_game
from marl_meta.replay.verifying import verify
from marl_meta.types import UserError

from .recorded import Dreamer, by_chance, record_game

GAMES: list[tuple[str, dict[str, Any]]] = [
    ("tag", {"adversaries": 2, "prey": 2, "obstacles": 1, "walls": True, "episode_length": 9}),
    ("harvest", {"gatherers": 2, "teams": 2, "collision_reward": 0.3, "episode_length": 8}),
    ("spread", {"agents": 4, "wind_x": 0.4, "episode_length": 7}),
    ("payoff", {"players": 3, "actions": 2, "episode_length": 6}),
]


def played(family: str, rules: dict[str, Any], episodes: int, luck: int = 0) -> list[dict[str, Any]]:
    """Return what happens in each episode: actions and rewards [N,T], places [E,2,T+1], how it ends."""
    game = make_vec(family, num_games=1, rules=rules, seed=0, episodes_per_trial=episodes)
    draws, observation = np.random.default_rng(luck), game.reset().observation
    found = []
    for _ in range(episodes):
        actions, rewards, places = [], [], [observation.entities[0, :, :2].copy()]
        over = False
        while not over:
            chosen = by_chance(observation, draws)
            step = game.step(chosen)
            over = bool(step.game_over[0])
            shown = step.final if over else step.observation
            assert shown is not None
            actions.append(chosen[0].copy())
            rewards.append(step.reward[0].copy())
            places.append(shown.entities[0, :, :2].copy())
            observation = step.observation
        found.append(
            {
                "actions": np.stack(actions, -1), "rewards": np.stack(rewards, -1), "places": np.stack(places, -1),
                "truncated": step.truncated[0].copy(), "terminated": step.terminated[0].copy(),
            }
        )  # fmt: skip
    game.close()
    return found


def chosen_of(record: ReplayRecord, episode: EpisodeRecord) -> np.ndarray:
    (group,) = actions_of(record, episode)
    assert group.chosen is not None
    return group.chosen


@pytest.mark.parametrize(("family", "rules"), GAMES)
def test_what_is_written_is_what_happened(family: str, rules: dict[str, Any]) -> None:
    record = decode(encode(record_game(family, rules, episodes=3)))
    truth = played(family, rules, 3)
    game = make_vec(family, num_games=1, rules=rules)
    assert [agent.name for agent in record.agents] == list(game.agent_names)
    assert [agent.team for agent in record.agents] == game.agent_team.tolist()
    assert [team.name for team in record.teams] == [team.name for team in game.layout.teams]
    assert record.actions == list(game.layout.actions)
    assert record.num_entities == game.num_entities and record.game.variant_id == game.variant_ids[0]
    assert record.game.rules == rules and record.status == ["DONE"] * game.num_agents
    assert len(record.episodes) == 3
    for episode, real, returns in zip(record.episodes, truth, record.returns, strict=True):
        assert episode.over and episode.steps == rules["episode_length"]
        assert np.array_equal(chosen_of(record, episode), real["actions"])
        assert np.allclose(
            rewards_of(record, episode), real["rewards"], atol=1e-3 * max(np.abs(real["rewards"]).max(), 1)
        )
        for team, earned in enumerate(returns):
            assert earned == pytest.approx(float(real["rewards"][game.agent_team == team].sum()), abs=1e-4)
        assert real["truncated"].all()
        assert episode.ends == [(n, episode.steps, "truncated") for n in range(game.num_agents)]
        if family == "payoff":
            assert episode.scene.kind == "none"
        else:
            assert np.abs(places_of(record, episode) - real["places"]).max() <= 0.001 + 1e-6
            assert episode.scene.walls == game.rules[0]["walls"] and episode.scene.arena == 1.0
            assert presence_of(record, episode).all()


@pytest.mark.parametrize("rules", [{}, {"blocked": 4, "gravity": False, "width": 5, "misere": True}])
def test_a_board_is_written_cell_by_cell(rules: dict[str, Any]) -> None:
    record = decode(encode(record_game("connect", rules, episodes=2)))
    for episode, returns in zip(record.episodes, record.returns, strict=True):
        cells, chosen = cells_of(episode), chosen_of(record, episode)
        width = rules.get("width", 7)
        assert cells.shape == (episode.steps + 1, 6, width) and episode.scene.style == "board"
        assert (cells[0] == -1).sum() == rules.get("blocked", 0) and (cells <= 2).all()
        for time in range(episode.steps):
            ((y, x),) = np.argwhere(cells[time + 1] != cells[time])
            mover = time % 2
            assert cells[time + 1, y, x] == 1 + mover and cells[time, y, x] == 0
            assert chosen[mover, time] == (x if rules.get("gravity", True) else y * width + x)
            assert chosen[1 - mover, time] == -1  # who does not act has no action
        assert episode.ends == [(agent, episode.steps, "terminated") for agent in range(2)]
        assert sorted(returns) in ([-1.0, 1.0], [0.0, 0.0])
    assert verify(record).same
    changed = record.episodes[0].scene.cells
    assert changed is not None
    changed[3], changed[5] = changed[5], changed[3]
    assert verify(record).reason.endswith("the replay has been changed: its scene are other ones")


def test_a_replay_of_a_board_says_what_players_were_told() -> None:
    for told in (True, False):
        card = {rule.name: rule.hidden for rule in record_game("connect", {"told": told}, steps=1).game.card or []}
        assert {"diagonals", "wrap", "misere"} <= set(card)
        assert card["misere"] is not told and card["wrap"] is not told


def test_episodes_are_those_of_one_trial() -> None:
    places = [episode["places"] for episode in played("tag", {"episode_length": 4}, 3)]
    assert not np.allclose(places[0], places[1])  # else the next test would show nothing
    record = record_game("tag", {"episode_length": 4}, episodes=3)
    assert np.abs(places_of(record, record.episodes[2]) - places[2]).max() < 0.0011


def test_an_episode_under_way_is_kept() -> None:
    record = decode(encode(record_game("tag", {"episode_length": 6}, episodes=2, steps=8)))
    assert [(episode.steps, episode.over) for episode in record.episodes] == [(6, True), (2, False)]
    assert record.episodes[1].ends == [] and record.status == ["ACTIVE"] * 4
    truth = played("tag", {"episode_length": 6}, 2)[1]
    assert np.allclose(rewards_of(record, record.episodes[1]), truth["rewards"][:, :2])
    assert record.returns[1][0] == pytest.approx(float(truth["rewards"][:3, :2].sum()))
    assert verify(record).same


def test_the_next_episode_is_none_until_somebody_plays_on() -> None:
    record = record_game("tag", {"episode_length": 3}, episodes=5, steps=6)
    assert [episode.over for episode in record.episodes] == [True, True]


def test_what_came_to_nothing_is_left_out() -> None:
    game = make_vec("tag", num_games=1, episodes_per_trial=2)
    who = {game.layout.teams[0].name: Who("dreamer", thinker=Dreamer(game, 3))}
    recorder = Recorder(game, family_game(load_family("tag"), {}, seed=0), who)
    observation = game.reset().observation
    recorder.begin(observation)
    for _ in range(3):
        recorder.think(observation)
        recorder.choose(observation, np.ones((1, 4), int))
        step = game.step(np.ones((1, 4), int))
        recorder.note(step)
        observation = step.observation
    recorder.think(observation)
    recorder.choose(observation, np.ones((1, 4), int))  # and the step fails
    record = decode(encode(recorder.record()))
    assert record.episodes[0].steps == 3 and verify(record).same
    with pytest.raises(RuntimeError, match="after its end"):
        recorder.think(observation)


def test_only_one_game_of_a_batch_is_written_without_the_slots_that_it_lacks() -> None:
    variants = [{"adversaries": 4, "prey": 2, "episode_length": 5}, {"adversaries": 2, "prey": 1, "episode_length": 5}]
    game = make_vec("tag", num_games=2, rules=variants, seed=7, episodes_per_trial=2)
    recorder = Recorder(game, family_game(load_family("tag"), variants[1], seed=7, first_game=1), {}, b=1)
    draws, observation, paid = np.random.default_rng(0), game.reset().observation, []
    recorder.begin(observation)
    for _ in range(10):
        actions = by_chance(observation, draws)
        recorder.choose(observation, actions)
        step = game.step(actions)
        recorder.note(step)
        paid.append(step.reward[1].copy())
        observation = step.observation
    record = decode(encode(recorder.record()))
    assert [agent.name for agent in record.agents] == ["adversary_0", "adversary_1", "agent_0"]
    assert record.objects == ["obstacle"] * 2 and len(record.episodes) == 2
    there = [list(game.agent_names).index(agent.name) for agent in record.agents]
    rewards = np.concatenate([rewards_of(record, episode) for episode in record.episodes], 1)
    assert np.allclose(rewards, np.stack(paid, -1)[there])
    assert verify(record).same  # game number 1 of the batch, alone


def test_who_does_not_act_has_no_action() -> None:
    found = record_game("tag", {"episode_length": 4})
    assert (chosen_of(found, found.episodes[0]) >= 0).all()
    game = make_vec("tag", num_games=1, rules={"episode_length": 4})
    recorder = Recorder(game, family_game(load_family("tag"), {"episode_length": 4}, seed=0), {})
    observation = game.reset().observation
    recorder.begin(observation)
    observation.acting[0, 1] = False
    recorder.choose(observation, np.full((1, 4), 2))
    recorder.note(game.step(np.full((1, 4), 2)))
    record = recorder.record()
    assert chosen_of(record, record.episodes[0]).tolist() == [[2], [-1], [2], [2]]


def test_who_is_not_there_stays_where_it_was() -> None:
    places = np.arange(10, dtype=np.float32).reshape(1, 2, 5)
    present = np.array([[True, True, False, False, True]])
    scene = encode_particles(places, np.array([0.1], np.float32), present, arena=1.0, walls=False)
    file = json.loads(
        gzip.decompress(encode(record_game("spread", {"agents": 1, "landmarks": 1, "episode_length": 4})))
    )
    file["objects"] = []
    file["episodes"][0]["scene"] = scene.model_dump()
    record = decode(gzip.compress(json.dumps(file).encode()))
    assert np.allclose(places_of(record, record.episodes[0])[0, 0], [0, 1, 1, 1, 4])
    assert presence_of(record, record.episodes[0]).tolist() == present.tolist()


def test_thoughts_are_written_beside_what_is_done() -> None:
    rules = {"episode_length": 5}
    game = make_vec("tag", num_games=1, rules=rules)
    who = {game.layout.teams[0].name: Who("dreamer", thinker=Dreamer(game, 3))}
    record = decode(encode(record_game("tag", rules, who=who, episodes=2)))
    assert [team.player for team in record.teams] == ["dreamer", "nobody"]
    dreamer = Dreamer(game, 3)
    for episode in record.episodes:
        (notes,) = episode.notes or ()
        attention, updates = attention_of(record, episode, notes), updates_of(episode, notes)
        assert notes.agents == [0, 1, 2] and attention is not None and updates is not None
        for time in range(5):
            thought = dreamer.think(game.reset().observation)
            assert thought.attention is not None
            assert np.abs(attention[..., time] - thought.attention).max() <= 0.05 + 1e-6  # in tenths
            assert updates[time] == thought.updates
    assert notes.beliefs is not None and notes.beliefs.rules[0].truth == 2


@pytest.mark.parametrize(
    ("rewards", "unit"),
    [([0, 10, -30], 1.0), ([0.5, -1], 0.5), ([0.1, 10], 0.1), ([0.25], 0.05), ([0.003], 0.001), ([0.0], 1.0)],
)
def test_rewards_have_the_largest_unit_that_says_them_all(rewards: list[float], unit: float) -> None:
    assert encode_rewards(np.array([rewards], np.float32)).unit == unit


def test_odd_rewards_keep_four_digits_and_what_is_no_number_is_refused() -> None:
    assert encode_rewards(np.array([[np.pi, 100 * np.e]])).unit == pytest.approx(0.1, rel=1e-9)
    for bad in (np.nan, np.inf):
        with pytest.raises(UserError, match="not a number"):
            encode_rewards(np.array([[0.0, bad]]))


def test_a_short_game_with_thoughts_is_small() -> None:
    game = make_vec("tag", num_games=1)
    sides = zip(game.layout.teams, (3, 1), strict=True)
    who = {team.name: Who("dreamer", thinker=Dreamer(game, n)) for team, n in sides}
    record = record_game("tag", who=who)
    assert record.episodes[0].steps == 25 and len(record.episodes[0].notes or ()) == 2
    assert len(encode(record)) < 4_000


def test_a_long_game_of_many_with_thoughts_is_not_large() -> None:
    rules = {"agents": 10, "episode_length": 200}
    game = make_vec("spread", num_games=1, rules=rules)
    who = {game.layout.teams[0].name: Who("dreamer", thinker=Dreamer(game, 10))}
    record = record_game("spread", rules, who=who, episodes=3, steps=500)
    assert sum(episode.steps for episode in record.episodes) == 500 and all(one.notes for one in record.episodes)
    assert len(encode(record)) < 150_000
