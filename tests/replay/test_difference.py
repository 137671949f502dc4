"""What is different between two replays, made different by hand."""

from __future__ import annotations

import copy
import gzip
import json
import re
from typing import Any

import numpy as np
import pytest

from marl_meta.replay.difference import Difference, difference
from marl_meta.replay.packing import pack, pack_deltas, pack_moves, unpack, unpack_deltas, unpack_moves
from marl_meta.replay.reading import decode, encode

from . import handmade
from .recorded import every_kind, record_game, whole

FILE: dict[str, Any] = json.loads(
    gzip.decompress(encode(record_game("tag", {"episode_length": 9}, seed=1, episodes=2)))
)


def apart(top: dict[str, Any] | None = None, game: dict[str, Any] | None = None, **second: Any) -> Difference:
    """Return what differs where the top, the game or the second episode of a replay says something else."""
    file = copy.deepcopy(FILE) | (top or {})
    file["game"] |= game or {}
    file["episodes"][1:] = [file["episodes"][1] | second] if len(file["episodes"]) > 1 else []
    one, other = decode(handmade.packed(FILE)), decode(handmade.packed(file))
    found, turned = difference(one, other), difference(other, one)
    assert [episode.step for episode in found.episodes] == [episode.step for episode in turned.episodes]
    assert found.same == turned.same
    return found


def test_a_replay_is_as_itself() -> None:
    found = apart()
    assert found.same and found.same_game and found.about == []
    assert [(one.episode, one.step, one.returns) for one in found.episodes] == [
        (n + 1, None, (FILE["returns"][n], FILE["returns"][n])) for n in range(2)
    ]


@pytest.mark.parametrize("step", [1, 4, 9])
def test_the_first_other_action_is_named(step: int) -> None:
    chosen = unpack(FILE["episodes"][1]["actions"][0]["chosen"]).reshape(4, 9)
    was = chosen[2, step - 1]
    chosen[2, step - 1 :] = was % 5 + 1
    found = apart(actions=[{"agents": [0, 1, 2, 3], "chosen": pack(chosen)}])
    assert not found.same and found.same_game and found.episodes[0].step is None
    names = FILE["actions"]
    assert found.episodes[1].step == step
    assert found.episodes[1].actions == [f"adversary_2: {names[was - 1]} and {names[was % 5]}"]


@pytest.mark.parametrize("step", [1, 9])
def test_the_first_other_reward_is_found_even_where_it_is_one_unit(step: int) -> None:
    values = FILE["episodes"][1]["rewards"]
    rewards = unpack_deltas(values["values"], (4, 9)).copy()
    rewards[0, step - 1] += 1
    found = apart(rewards=values | {"values": pack_deltas(rewards)})
    assert found.episodes[1].step == step and found.episodes[1].actions == [] and not found.same


@pytest.mark.parametrize("step", [0, 3])
def test_the_first_other_place_is_found(step: int) -> None:
    scene = FILE["episodes"][1]["scene"]
    places = unpack_moves(scene["places"], (6, 2, 10), scene["keyframe"]).copy()
    places[0, 0, step] += 1
    assert apart(scene=scene | {"places": pack_moves(places, scene["keyframe"])}).episodes[1].step == step


def test_other_units_and_keyframes_are_no_difference() -> None:
    episode = FILE["episodes"][1]
    values, scene = episode["rewards"], episode["scene"]
    rewards = unpack_deltas(values["values"], (4, 9)) * 4
    places = unpack_moves(scene["places"], (6, 2, 10), scene["keyframe"])
    finer = {"unit": values["unit"] / 4, "values": pack_deltas(rewards)}
    found = apart(rewards=finer, scene=scene | {"keyframe": 5, "places": pack_moves(places, 5)})
    assert found.same


def test_shorter_and_missing_episodes() -> None:
    short = json.loads(gzip.decompress(encode(record_game("tag", {"episode_length": 9}, seed=1, episodes=2, steps=14))))
    found = difference(decode(handmade.packed(FILE)), decode(handmade.packed(short)))
    assert [one.step for one in found.episodes] == [None, 6] and not found.same
    found = apart({"episodes": FILE["episodes"][:1], "returns": FILE["returns"][:1]})
    assert found.episodes[1].missing and found.episodes[1].returns == (FILE["returns"][1], []) and not found.same


def test_game_rules_and_players_are_told() -> None:
    other = record_game("tag", {"episode_length": 9, "control": 90, "prey_accel": 2}, seed=2, episodes=2)
    found = difference(decode(handmade.packed(FILE)), other)
    assert not found.same_game and not found.same
    assert "rule control: 0 and 90" in found.about and "seed: 1 and 2" in found.about
    assert any(re.fullmatch(r"rule prey_accel: 4(\.0)? and 2(\.0)?", sentence) for sentence in found.about)
    assert any(sentence.startswith("variant: ") for sentence in found.about)
    assert not any("episode_length" in sentence for sentence in found.about)
    teams = [FILE["teams"][0] | {"player": "ours"}, FILE["teams"][1] | {"weights": "ab" * 32}]
    name = FILE["teams"][0]["name"], FILE["teams"][1]["name"]
    assert apart({"teams": teams}).about == [
        f"{name[0]} was played by nobody and by ours", f"{name[1]} was played by nobody, with other weights",
    ]  # fmt: skip
    assert apart({"teams": teams}).same  # since the same happened


def test_a_batch_game_of_another_number_began_otherwise() -> None:
    found = apart(game={"first_game": 3})
    assert not found.same_game and found.about == ["seed: 1 and 1 (game 3)"]


def test_another_number_of_agents_is_other_from_the_start() -> None:
    found = difference(decode(handmade.packed(FILE)), record_game("tag", {"prey": 2, "episode_length": 9}, episodes=2))
    assert [one.step for one in found.episodes] == [0, 0] and all(not one.actions for one in found.episodes)


def test_boards_are_compared() -> None:
    file = whole(handmade.connect_four())
    other = copy.deepcopy(file)
    scene = other["episodes"][0]["scene"]
    scene["cells"][4] = pack([0, 1])
    one, two = decode(handmade.packed(file)), decode(handmade.packed(other))
    assert difference(one, two).episodes[0].step == 4 and difference(one, one).same


@pytest.mark.parametrize("file", every_kind(), ids=lambda file: file["game"]["name"][:12])
def test_any_two_replays_can_be_compared(file: handmade.File) -> None:
    one = decode(handmade.packed(file))
    assert difference(one, one).same
    for other in every_kind():
        found = difference(one, decode(handmade.packed(other)))
        assert found.same == (other["game"]["name"] == file["game"]["name"]) and len(found.episodes) >= 1
    assert np.isfinite(len(one.episodes))
