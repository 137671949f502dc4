"""Playing replays again: what happened happens again, and the first step at which something is otherwise is named."""

from __future__ import annotations

import copy
import gzip
import json
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marl_meta.games import load_family, make_vec
from marl_meta.replay import Replay
from marl_meta.replay.packing import pack, pack_deltas, pack_moves, unpack, unpack_deltas, unpack_moves
from marl_meta.replay.reading import decode, encode, write
from marl_meta.replay.verifying import Verified, verify
from marl_meta.types import UserError

from . import handmade
from .recorded import record_game, whole
from .test_reading import ODD, paths

GUESS = Path(__file__).parents[1] / "guess"

TRIALS: list[tuple[str, dict[str, Any]]] = [
    ("tag", {}),
    ("tag", {"adversaries": 5, "prey": 3, "obstacles": 3, "walls": True, "nearest_agents": 2, "episode_length": 12}),
    ("tag", {"vision_radius": 0.7, "control": 90, "who_is_it": "prey", "wind_x": -0.5, "episode_length": 10}),
    ("harvest", {"gatherers": 4, "payoff": [-1, 1, 0], "agents_needed": 2, "episode_length": 15}),
    ("harvest", {"gatherers": 2, "teams": 2, "nearest_objects": 3, "arena": 0.7, "episode_length": 15}),
    ("spread", {"agents": 6, "obstacles": 2, "collision_sign": 1, "walls": True, "episode_length": 9}),
    ("spread", {"agents": 2, "terminate_on_success": True, "agent_size": 0.05, "arena": 0.5}),
    ("payoff", {"players": 4, "actions": 2, "treasure_1": 1}),
    ("payoff", {"actions": 2, "structure": "stag_hunt", "swap_0": True}),
]


@pytest.mark.parametrize(("family", "rules"), TRIALS, ids=lambda one: one if isinstance(one, str) else str(len(one)))
def test_trials_of_all_families_happen_again(family: str, rules: dict[str, Any]) -> None:
    record = decode(encode(record_game(family, rules, seed=5, episodes=3)))
    assert verify(record) == Verified(same=True, steps=sum(episode.steps for episode in record.episodes))
    assert Replay(record).verify().same


def test_the_digest_is_that_of_the_format() -> None:
    """Work out the chain as `replays/FORMAT.md` says it, from a game that is played without any recorder."""
    from hashlib import blake2b

    rules = {"agents": 2, "episode_length": 3}
    record = record_game("spread", rules)
    game = make_vec("spread", num_games=1, rules=rules)
    names = json.dumps(["spread", game.variant_ids[0], list(game.agent_names)], separators=(",", ":"))
    state, checks = blake2b(names.encode(), digest_size=16).digest(), ""
    step = game.reset()
    chosen = unpack(record.episodes[0].actions[0].chosen or "").reshape(2, 3) - 1
    for time in range(4):
        shown = step.observation if time < 3 else step.final
        assert shown is not None
        rows = [*shown.entities[0], *shown.private[0]], [*shown.action_mask[0]]
        before, after = (b"".join(row.tobytes().rstrip(b"\0") for row in part) for part in rows)
        paid = (step.reward, step.terminated, step.truncated) if time else ()
        data = before + shown.present[0].tobytes() + after + b"".join(one[0].tobytes() for one in paid)
        state = blake2b(state + data, digest_size=16).digest()
        checks += state[:2].hex()
        if time < 3:
            step = game.step(chosen[None, :, time])
    assert (record.digest, record.episodes[0].checks) == (state.hex(), checks)


TAG = record_game("tag", {"episode_length": 12}, seed=3, episodes=3)
FILE: dict[str, Any] = json.loads(gzip.decompress(encode(TAG)))


def again(top: dict[str, Any] | None = None, game: dict[str, Any] | None = None, **second: Any) -> Verified:
    """Return what comes of a trial of tag of which the top, the game or the second episode says something else."""
    file = copy.deepcopy(FILE) | (top or {})
    file["game"] |= game or {}
    if second:
        file["episodes"][1] |= second
    outcome = verify(decode(handmade.packed(file)))
    assert "\n" not in outcome.reason
    return outcome


def told(key: str, shape: tuple[int, ...]) -> np.ndarray:
    episode = FILE["episodes"][1]
    match key:
        case "actions":
            return unpack(episode["actions"][0]["chosen"]).reshape(shape)
        case "rewards":
            return unpack_deltas(episode["rewards"]["values"], shape)
        case _:
            return unpack_moves(episode["scene"]["places"], shape, episode["scene"]["keyframe"])


@pytest.mark.parametrize("step", [1, 5, 12])
def test_another_action_is_noticed_at_its_very_step(step: int) -> None:
    chosen = told("actions", (4, 12))
    chosen[2, step - 1] = 2 if chosen[2, step - 1] == 3 else 3
    outcome = again(actions=[{"agents": [0, 1, 2, 3], "chosen": pack(chosen)}])
    assert (outcome.same, outcome.episode) == (False, 1)
    assert outcome.step == first_apart(chosen) >= step
    assert outcome.reason.startswith(f"episode 2, step {outcome.step}: ")


def first_apart(chosen: np.ndarray) -> int:
    """Return the first step of the second episode at which the game shows something else under these actions."""
    games = [make_vec("tag", num_games=1, rules={"episode_length": 12}, seed=3, episodes_per_trial=3) for _ in range(2)]
    for game in games:
        game.reset()
    first = unpack(FILE["episodes"][0]["actions"][0]["chosen"]).reshape(4, 12) - 1
    for time in range(12):
        for game in games:
            game.step(first[None, :, time])
    for time in range(12):
        steps = [
            game.step(one[None, :, time] - 1)
            for game, one in zip(games, (told("actions", (4, 12)), chosen), strict=True)
        ]
        shown = [step.observation if step.final is None else step.final for step in steps]
        if any(not np.array_equal(getattr(shown[0], key), getattr(shown[1], key)) for key in ("entities", "private")):
            return time + 1
    raise AssertionError("the actions make no difference")


@pytest.mark.parametrize("step", [1, 7, 12])
def test_another_reward_is_noticed_at_its_very_step(step: int) -> None:
    rewards = told("rewards", (4, 12)).copy()
    was = rewards[3, step - 1]
    rewards[3, step - 1 :] += 1  # and at all steps after it
    outcome = again(rewards=FILE["episodes"][1]["rewards"] | {"values": pack_deltas(rewards)})
    assert (outcome.same, outcome.episode, outcome.step) == (False, 1, step)
    unit = FILE["episodes"][1]["rewards"]["unit"]
    said = f"the reward of agent_0 was {unit * (was + 1):g} and is {unit * was:g}"
    assert outcome.reason.startswith(f"episode 2, step {step}: ") and said in outcome.reason


@pytest.mark.parametrize("step", [0, 4, 12])
def test_another_place_is_noticed_at_its_very_step(step: int) -> None:
    scene = FILE["episodes"][1]["scene"]
    places = told("places", (6, 2, 13)).copy()
    places[5, 1, step:] += 1
    outcome = again(scene=scene | {"places": pack_moves(places, scene["keyframe"])})
    assert (outcome.same, outcome.episode, outcome.step) == (False, 1, step)
    moment = f"step {step}" if step else "at the reset"
    assert outcome.reason.startswith(f"episode 2, {moment}: ") and "the obstacle was at (" in outcome.reason


@pytest.mark.parametrize("moment", [0, 6, 12])
def test_another_check_is_noticed_at_its_moment(moment: int) -> None:
    checks = FILE["episodes"][1]["checks"]
    other = "f" if checks[4 * moment] != "f" else "0"
    outcome = again(checks=checks[: 4 * moment] + other + checks[4 * moment + 1 :])
    assert (outcome.same, outcome.episode, outcome.step) == (False, 1, moment)
    assert "not the same, bit for bit" in outcome.reason


def test_another_seed_is_noticed_at_the_first_reset() -> None:
    outcome = again(game={"seed": 4})
    assert (outcome.same, outcome.episode, outcome.step) == (False, 0, 0)
    assert outcome.reason.startswith("episode 1, at the reset: ") and " was at (" in outcome.reason
    assert again(game={"first_game": 1}).step == 0


@pytest.mark.parametrize(
    ("changes", "episode", "said"),
    [
        ({"top": {"digest": "0" * 32}}, None, "another digest"),
        ({"top": {"returns": [FILE["returns"][0], [1.0, 2.0], FILE["returns"][2]]}}, 1, "episode 2: .* its returns"),
        ({"ends": []}, 1, "episode 2: .* its ends"),
        ({"over": False}, 1, "episode 2: .* its over"),
        ({"scene": FILE["episodes"][1]["scene"] | {"walls": True}}, 1, "episode 2: .* its scene"),
        ({"scene": {"kind": "none"}}, 1, "episode 2: .* its scene"),
        ({"top": {"objects": ["landmark", "obstacle"]}}, None, "another objects"),
        ({"top": {"agents": [FILE["agents"][0] | {"kind": "wolf"}, *FILE["agents"][1:]]}}, None, "another agents"),
        ({"top": {"agents": [FILE["agents"][0] | {"name": "wolf"}, *FILE["agents"][1:]]}}, None, "another agents"),
    ],
)
def test_other_changes_are_named(changes: dict[str, Any], episode: int | None, said: str) -> None:
    outcome = again(**changes)
    assert (outcome.same, outcome.episode, outcome.step) == (False, episode, None)
    assert re.search(said, outcome.reason)


def test_people_may_be_told_other_things() -> None:
    assert again({"title": "ours", "status": ["TIMEOUT"] * 4, "logs": {"a": "b"}}, notes=[]).same


def test_other_rules_are_a_game_that_cannot_be_played_again() -> None:
    for changes in ({"rules": {"episode_length": 11}}, {"variant_id": "0" * 16}, {"variant_id": None}):
        file = copy.deepcopy(FILE)
        file["game"] |= changes
        with pytest.raises(UserError, match=r"The replay is of the variant .* has changed since"):
            verify(decode(handmade.packed(file)))


def test_a_game_that_is_over_earlier_or_later_is_named() -> None:
    file = copy.deepcopy(FILE)
    file["game"] |= {"rules": {"episode_length": 5}}
    file["game"]["variant_id"] = load_family("tag").variant({"episode_length": 5}).variant_id
    outcome = verify(decode(handmade.packed(file)))
    assert not outcome.same and outcome.episode == 0 and outcome.step is not None
    assert "episode 1" in outcome.reason


def test_an_action_that_the_game_lacks_is_a_sentence() -> None:
    chosen = told("actions", (4, 12)).copy()
    chosen[1, 6] = 7
    assert again({"actions": []}).same  # without names
    file = copy.deepcopy(FILE)
    file["actions"] = [str(n) for n in range(9)]
    file["episodes"][1]["actions"][0]["chosen"] = pack(chosen)
    outcome = verify(decode(handmade.packed(file)))
    assert (outcome.same, outcome.episode, outcome.step) == (False, 1, 7)
    assert outcome.reason.startswith("episode 2, step 7: The action of adversary_1")


def test_more_or_fewer_agents_and_episodes_are_noticed() -> None:
    fewer = json.loads(
        gzip.decompress(encode(record_game("tag", {"prey": 2, "episode_length": 12}, seed=3, episodes=3)))
    )
    fewer["game"] = FILE["game"]
    outcome = verify(decode(handmade.packed(fewer)))
    assert not outcome.same and "4 agents, the replay 5" in outcome.reason
    file = copy.deepcopy(FILE)
    file["episodes"], file["returns"] = file["episodes"][1:], file["returns"][1:]
    outcome = verify(decode(handmade.packed(file)))
    assert not outcome.same and (outcome.episode, outcome.step) == (0, 0)
    file["episodes"], file["returns"] = [], []
    assert verify(decode(handmade.packed(file))) == Verified(same=True, steps=0)


def test_a_game_made_with_other_software_says_so() -> None:
    file = copy.deepcopy(FILE)
    file["made"]["numpy"] = "1.0.0"
    file["game"]["seed"] = 9
    assert "(it was made with numpy 1.0.0)" in verify(decode(handmade.packed(file))).reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": None}, "by which seed"),
        ({"first_game": None}, "by which seed"),
        ({"seed": -1}, "seed"),
        ({"name": "chess"}, "chess"),
        ({"name": "../tests/guess"}, "no name of a family"),
        ({"name": str(GUESS)}, "no name of a family"),
        ({"name": "x" * 5000}, "no name of a family"),
        ({"name": ""}, "no name of a family"),
        ({"name": "a\0b"}, "no name of a family"),
        ({"name": ".."}, "no name of a family"),
        ({"rules": {"agnts": 3}}, "agnts"),
        ({"family": False}, "entry_point"),
        ({"family": False, "entry_point": "nowhere:make"}, "nowhere"),
    ],
)
def test_a_game_that_cannot_be_made_again_is_a_sentence(changes: dict[str, Any], said: str) -> None:
    file = copy.deepcopy(FILE)
    file["game"] |= changes
    with pytest.raises(UserError, match=said):
        verify(decode(handmade.packed(file)))


def test_a_family_from_elsewhere_is_named_by_hand() -> None:
    rules = {"players": 2, "shift": 1, "length": 3}
    game = make_vec(GUESS, num_games=1, rules=rules, seed=2)
    from marl_meta.replay.recorder import Recorder, family_game

    family = load_family(GUESS)
    recorder = Recorder(game, family_game(family, rules, seed=2), {})
    observation = game.reset().observation
    recorder.begin(observation)
    for _ in range(3):
        recorder.choose(observation, np.ones((1, 2), int))
        step = game.step(np.ones((1, 2), int))
        recorder.note(step)
        observation = step.observation
    record = decode(encode(recorder.record()))
    with pytest.raises(UserError, match="guess"):
        verify(record)
    assert verify(record, GUESS).same and verify(record, family).same and verify(record, str(GUESS)).same
    with pytest.raises(UserError):
        verify(record, "tag")


def test_a_new_process_with_other_hashes_plays_the_same(tmp_path: Path) -> None:
    path = write(TAG, tmp_path / "tag")
    script = f"from marl_meta import load_replay; print(load_replay({str(path)!r}).verify().same)"
    environment = {"PYTHONHASHSEED": "12345", "PATH": "/usr/bin:/bin"}
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout == "True\n"


PLAYABLE = [path for path in paths(FILE) if path[0] in {"game", "agents", "objects", "actions", "episodes", "returns"}]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLAYABLE), st.sampled_from(ODD))
def test_whatever_is_changed_it_is_played_or_refused(path: tuple[Any, ...], value: Any) -> None:
    file = copy.deepcopy(FILE)
    node: Any = file
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    with suppress(UserError):
        outcome = verify(decode(handmade.packed(file)))
        assert outcome.same or outcome.reason


def test_a_handmade_game_does_not_verify() -> None:
    file = whole(handmade.chase(steps=4))
    file["game"]["variant_id"] = load_family("tag").variant({"control": 90}).variant_id
    outcome = verify(decode(handmade.packed(file)))
    assert (outcome.same, outcome.episode, outcome.step) == (False, 0, 0)
