"""Board games as PettingZoo AECEnvs: true turns, connect_four_v3's and tictactoe_v3's observations, records."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from pettingzoo import AECEnv
from pettingzoo.classic.connect_four import connect_four
from pettingzoo.classic.tictactoe import tictactoe
from pettingzoo.test import api_test, parallel_api_test, seed_test
from pettingzoo.test.render_test import render_test

import marl_meta
from marl_meta.games import load_family
from marl_meta.interop.aec import make_aec
from marl_meta.interop.parallel import make
from marl_meta.interop.turn_game import TurnGame
from marl_meta.replay.decoding import cells_of
from marl_meta.replay.verifying import verify
from marl_meta.types import UserError

NOUGHTS = {"width": 3, "height": 3, "in_a_row": 3, "gravity": False}
VARIANTS: list[dict[str, Any]] = [
    {}, NOUGHTS, *(variant.rules for variant in load_family("connect").sample(seed=7, count=4))
]  # fmt: skip

# PettingZoo excuses its own classic games, by name, from having dictionaries and an empty board.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Observation space for each agent probably should be:UserWarning"),
    pytest.mark.filterwarnings("ignore:Observation is not a NumPy array:UserWarning"),
    pytest.mark.filterwarnings("ignore:Observation numpy array is all zeros:UserWarning"),
]


@pytest.mark.parametrize("rules", VARIANTS)
def test_pettingzoos_own_tests_pass(rules: dict[str, Any]) -> None:
    api_test(make_aec("connect", rules), num_cycles=60)
    seed_test(lambda: make_aec("connect", rules), num_cycles=30)
    parallel_api_test(make("connect", rules), num_cycles=60)


def test_pettingzoos_render_test_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    render_test(lambda render_mode: make_aec("connect", NOUGHTS, render_mode=render_mode))


@pytest.mark.parametrize(("module", "rules"), [(connect_four, {}), (tictactoe, NOUGHTS)])
@pytest.mark.filterwarnings("ignore:.*ILLEGAL.*")
def test_every_turn_is_theirs(module: Any, rules: dict[str, Any]) -> None:
    theirs, ours = module.env(), make_aec("connect", rules, seed=0)
    rng = np.random.default_rng(0)
    for number in range(60):
        theirs.reset(seed=number)
        ours.reset(seed=number)
        names = dict(zip(theirs.possible_agents, ours.possible_agents, strict=True))
        for one, name in names.items():
            assert ours.observation_space(name) == theirs.observation_space(one)
            assert ours.action_space(name) == theirs.action_space(one)
        for agent in theirs.agent_iter():
            assert ours.agent_selection == names[agent]
            assert ours.agents == [names[one] for one in theirs.agents]
            expected, found = theirs.last(), ours.last()
            for key in ("observation", "action_mask"):
                np.testing.assert_array_equal(found[0][key], expected[0][key])
                assert found[0][key].dtype == expected[0][key].dtype
            assert found[1:4] == expected[1:4]
            for one, name in names.items():
                np.testing.assert_array_equal(ours.observe(name)["observation"], theirs.observe(one)["observation"])
            action = None
            if not (expected[2] or expected[3]):
                legal = np.flatnonzero(expected[0]["action_mask"])
                illegal = np.flatnonzero(expected[0]["action_mask"] == 0)
                action = int(rng.choice(illegal if number % 10 == 9 and len(illegal) else legal))
            theirs.step(action)
            ours.step(action)
        assert ours.agents == []


def test_an_illegal_move_loses() -> None:
    env = make_aec("connect", {"height": 2, "width": 4})
    env.reset()
    env.step(1)
    env.step(1)
    env.step(1)
    assert env.rewards == {"player_0": -1.0, "player_1": 0}
    assert all(env.terminations.values())
    env.reset()
    assert env.agent_selection == "player_0" and not env.observe("player_0")["observation"].any()


def test_rewards_come_with_the_last_move_and_blocked_cells_are_a_third_plane() -> None:
    env = make_aec("connect", {"misere": True, "in_a_row": 2, "blocked": 3, "width": 4}, seed=3)
    env.reset()
    shown = env.observe("player_0")
    assert shown["observation"].shape == (6, 4, 3) and shown["observation"][..., 2].sum() == 3
    assert env.infos["player_0"] == {"variant_id": env.unwrapped.variant_id}
    for _ in range(24):
        legal = np.flatnonzero(env.observe(env.agent_selection)["action_mask"])
        mover = env.agent_selection
        env.step(int(legal[0]))
        if all(env.terminations.values()):
            break
        assert env.agent_selection != mover and not any(env.rewards.values())
    loser = mover
    assert env.rewards[loser] == -1.0 and sum(env.rewards.values()) == 0
    assert not any(env.truncations.values())


def test_it_is_an_aec_game_that_is_not_parallelizable() -> None:
    env = make_aec("connect", {"width": 8}, seed=3)
    assert isinstance(env, AECEnv) and isinstance(env.unwrapped, TurnGame)
    assert env.unwrapped.rules["width"] == 8 and str(env.unwrapped) == "connect_v0"
    assert not env.metadata["is_parallelizable"]
    copy = pickle.loads(pickle.dumps(env.unwrapped))  # noqa: S301  (our own)
    assert copy.variant_id == env.unwrapped.variant_id


def test_all_at_once_only_who_is_to_move_plays() -> None:
    env = make("connect", seed=0)
    observations, _ = env.reset()
    assert observations["player_0"]["action_mask"].all() and not observations["player_1"]["action_mask"].any()
    observations, rewards, terminated, _, infos = env.step({"player_0": 3, "player_1": 5})
    assert observations["player_0"]["observation"].sum() == 1
    assert observations["player_1"]["observation"][5, 3].tolist() == [0, 1]
    assert not any(rewards.values()) and not any(terminated.values())
    assert infos["player_1"] == {"variant_id": env.variant_id}
    assert env.state().shape == env.state_space.shape == (2 * 6 * 7 * 2,)
    for _ in range(2):
        env.step({"player_0": 3, "player_1": 3})
    assert env.state().sum() == 6
    for _ in range(3):
        env.step({"player_0": 3, "player_1": 3})
    with pytest.raises(UserError, match=r"action of player_0 .* is 3; legal now: 0, 1, 2, 4, 5, 6"):
        env.step({"player_0": 3, "player_1": 0})


@pytest.mark.parametrize("rules", [{}, {"blocked": 3, "misere": True, "gravity": False, "told": False}])
def test_a_recorded_game_is_a_board_that_plays_again(rules: dict[str, Any], tmp_path: Any) -> None:
    env = make_aec("connect", rules, seed=5)
    rng = np.random.default_rng(0)
    with marl_meta.record(env, tmp_path / "match.replay.json.gz", players={"first": "one"}) as recording:
        for _ in range(2):
            env.reset()
            for _ in env.agent_iter():
                observation, _, terminated, truncated, _ = env.last()
                legal = np.flatnonzero(observation["action_mask"])
                env.step(None if terminated or truncated else int(rng.choice(legal)))
    replay = recording.replay.record
    assert replay.game.family and replay.game.api == "aec" and len(replay.episodes) == 2
    assert [team.name for team in replay.teams] == ["first", "second"] and replay.teams[0].player == "one"
    assert [agent.kind for agent in replay.agents] == ["player", "player"] and replay.objects == []
    hidden = {rule.name: rule.hidden for rule in replay.game.card}
    assert hidden["misere"] is hidden["wrap"] is ("told" in rules)
    for episode in replay.episodes:
        cells = cells_of(episode)
        assert cells.shape == (episode.steps + 1, 6, 7) and episode.scene.style == "board"
        assert (cells[0] == -1).sum() == rules.get("blocked", 0) and not (cells[0] > 0).any()
        assert (np.diff(cells, axis=0) != 0).sum((1, 2)).tolist() == [1] * episode.steps
    assert verify(replay).same
    found = marl_meta.load_replay(tmp_path / "match.replay.json.gz").verify()
    assert found.same and found.steps == sum(episode.steps for episode in replay.episodes)


def test_a_game_recorded_all_at_once_plays_again() -> None:
    env, rng = make("connect", NOUGHTS, seed=2), np.random.default_rng(0)
    with marl_meta.record(env) as recording:
        observations, _ = env.reset(seed=4)
        while env.agents:
            masks = {agent: one["action_mask"] for agent, one in observations.items()}
            observations, *_ = env.step(
                {agent: int(rng.choice(9, p=(m + 1e-9) / (m + 1e-9).sum())) for agent, m in masks.items()}
            )
    replay = recording.replay.record
    assert replay.game.api == "parallel" and cells_of(replay.episodes[0]).shape[1:] == (3, 3)
    assert verify(replay).same
