"""Recording any PettingZoo loop: it says what the loop saw, happens again when played again, and disturbs nothing."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import sys
from pathlib import Path

import mpe2.simple_spread_v3
import mpe2.simple_tag_v3
import mpe2.simple_world_comm_v3
import numpy as np
import pytest
import supersuit
from gymnasium import spaces
from pettingzoo.classic.connect_four import connect_four
from pettingzoo.classic.tictactoe import tictactoe
from pettingzoo.utils import aec_to_parallel, turn_based_aec_to_parallel
from PIL import Image

import marl_meta
from marl_meta.interop.aec import make_aec
from marl_meta.interop.parallel import make
from marl_meta.replay import load_replay
from marl_meta.replay.decoding import actions_of, cells_of, places_of, presence_of, rewards_of
from marl_meta.replay.encoding import encode_rewards
from marl_meta.types import UserError

from . import tiny_games

TINY = "tests.interop.tiny_games"
HARVEST = {"gatherers": 2, "objects_per_kind": 2, "episode_length": 9}


class Played:
    """What a loop did and saw, taken down by the loop itself."""

    def __init__(self):
        self.shown, self.actions, self.rewards, self.ends = [], [], [], []
        self.total = {}

    def same_as(self, other):
        np.testing.assert_equal(vars(self), vars(other))


def draw(env, agent, rng, mask=None):
    space = env.action_space(agent)
    if isinstance(space, spaces.Discrete):
        mask = np.ones(space.n) if mask is None else mask
        return int(rng.choice(np.flatnonzero(mask)) + space.start)
    if isinstance(space, spaces.Box):
        return rng.uniform(space.low, space.high).astype(space.dtype)
    if isinstance(space, spaces.MultiBinary):
        return rng.integers(0, 2, space.shape).astype(space.dtype)
    return rng.integers(0, space.nvec).astype(space.dtype)


def legal(observations, agent):
    """Return the mask of what an agent may do, as turn-based games show it; None where it may do anything."""
    shown = observations.get(agent)
    masked = isinstance(shown, dict) and "action_mask" in shown and shown["action_mask"].any()
    return shown["action_mask"] if masked else None


def copied(value):
    if isinstance(value, dict):
        return {key: copied(part) for key, part in value.items()}
    return tuple(map(copied, value)) if isinstance(value, tuple) else np.array(value)


def in_parallel(env, seeds=(5, None), most=None, seen=lambda: None):
    """Play an episode for each seed, at most so many steps of the last one."""
    played, rng = Played(), np.random.default_rng(1)
    for index, seed in enumerate(seeds):
        observations, _ = env.reset(seed=seed)
        played.shown.append(copied(observations))
        seen()
        time = 0
        while env.agents and (most is None or index + 1 < len(seeds) or time < most):
            actions = {agent: draw(env, agent, rng, legal(observations, agent)) for agent in env.agents}
            played.actions.append(copied(actions))
            observations, rewards, terminated, truncated, _ = env.step(actions)
            time += 1
            seen()
            played.shown.append(copied(observations))
            played.rewards.append({agent: float(np.asarray(reward).sum()) for agent, reward in rewards.items()})
            played.ends.append((dict(terminated), dict(truncated)))
    return played


def in_turns(env, seeds=(5, None), most=None, seen=lambda: None):
    """Do the same in a game in which agents act one after the other; rewards are summed by agent and episode."""
    played, rng = Played(), np.random.default_rng(1)
    for index, seed in enumerate(seeds):
        env.reset(seed=seed)
        earned, turns = dict.fromkeys(env.possible_agents, 0.0), 0
        for agent in env.agent_iter():
            observation, reward, terminated, truncated, info = env.last()
            earned[agent] += reward
            played.shown.append((agent, copied(observation)))
            played.ends.append((agent, terminated, truncated))
            if not (terminated or truncated):
                seen()
                if most is not None and index + 1 == len(seeds) and turns == most:
                    break
                turns += 1
            masked = observation["action_mask"] if isinstance(observation, dict) else info.get("action_mask")
            action = None if terminated or truncated else draw(env, agent, rng, masked)
            played.actions.append((agent, action))
            env.step(action)
        else:
            seen()
        played.rewards.append(earned)
    return played


PARALLEL = {
    "spread": lambda: make("spread", seed=3),
    "tag": lambda: make("tag", {"episode_length": 8}),
    "harvest": lambda: make("harvest", HARVEST, seed=1),
    "payoff": lambda: make("payoff"),
    "simple_tag": lambda: mpe2.simple_tag_v3.parallel_env(num_good=2, max_cycles=12),
    "simple_spread": lambda: mpe2.simple_spread_v3.parallel_env(N=4, max_cycles=12),
    "simple_world_comm": lambda: mpe2.simple_world_comm_v3.parallel_env(max_cycles=12),
    "simple_tag, continuous": lambda: mpe2.simple_tag_v3.parallel_env(max_cycles=12, continuous_actions=True),
    "simple_world_comm, continuous": lambda: mpe2.simple_world_comm_v3.parallel_env(
        max_cycles=12, continuous_actions=True
    ),
    "simple_tag, converted": lambda: aec_to_parallel(mpe2.simple_tag_v3.env(max_cycles=12)),
    "connect_four, converted": lambda: turn_based_aec_to_parallel(connect_four.raw_env()),
}
TURNS = {
    "spread": lambda: make_aec("spread", {"episode_length": 6}, seed=3),
    "harvest": lambda: make_aec("harvest", HARVEST),
    "simple_tag": lambda: mpe2.simple_tag_v3.env(num_adversaries=2, max_cycles=10),
    "simple_spread": lambda: mpe2.simple_spread_v3.raw_env(max_cycles=10),
    "simple_world_comm": lambda: mpe2.simple_world_comm_v3.env(max_cycles=10),
    "simple_spread, continuous": lambda: mpe2.simple_spread_v3.env(max_cycles=10, continuous_actions=True),
    "tictactoe": tictactoe.env,
    "tictactoe, raw": tictactoe.raw_env,
    "connect_four": connect_four.env,
    "connect_four, raw": connect_four.raw_env,
}
GAMES = [(loop, name) for loop, games in ((in_parallel, PARALLEL), (in_turns, TURNS)) for name in games]
EACH = pytest.mark.parametrize(("loop", "name"), GAMES, ids=[f"{loop.__name__}-{name}" for loop, name in GAMES])


def opened(loop, name):
    return (PARALLEL if loop is in_parallel else TURNS)[name]()


def assert_same_again(replay):
    found = replay.verify(trust=True)
    assert found.same, found.reason
    assert found.steps == sum(episode.steps for episode in replay.record.episodes)


@EACH
def test_a_recorded_game_happens_again(loop, name, tmp_path):
    env = opened(loop, name)
    with marl_meta.record(env, tmp_path / "game") as recording:
        loop(env, seeds=(5, None, 6))
    replay = recording.replay
    assert [episode.seed for episode in replay.record.episodes] == [5, None, 6]
    assert all(episode.over for episode in replay.record.episodes)
    assert set(replay.record.status) == {"DONE"}
    assert_same_again(replay)
    loaded = load_replay(tmp_path / "game.replay.json.gz")
    assert loaded.record == replay.record
    assert_same_again(loaded)


@EACH
def test_the_loop_sees_what_it_would_see_without(loop, name):
    env, bare = opened(loop, name), opened(loop, name)
    before = vars(env).copy()
    with marl_meta.record(env):
        recorded = loop(env)
    recorded.same_as(loop(bare))
    for method in ("step", "reset", "observe"):
        assert vars(env).get(method) is before.get(method)
        if hasattr(type(env), method):
            assert getattr(env, method).__func__ is getattr(type(env), method)


@pytest.mark.parametrize("name", PARALLEL)
def test_actions_rewards_and_ends_are_what_the_loop_saw(name):
    env = PARALLEL[name]()
    with marl_meta.record(env) as recording:
        played = in_parallel(env)
    compare(recording.replay.record, played)


def compare(record, played):
    names, first = [agent.name for agent in record.agents], 0
    for episode in record.episodes:
        rows = slice(first, first + episode.steps)
        rewards = np.array([[row.get(agent, 0.0) for row in played.rewards[rows]] for agent in names])
        np.testing.assert_allclose(rewards_of(record, episode), rewards, atol=episode.rewards.unit)
        done = np.full((len(names), episode.steps), None)
        for group in actions_of(record, episode):
            for row, agent in enumerate(group.agents):
                for time in np.flatnonzero(group.acts[row]):
                    done[agent, time] = (group.chosen if group.chosen is not None else group.numbers)[row, time]
        for time, actions in enumerate(played.actions[rows]):
            for index, agent in enumerate(names):
                assert (done[index, time] is None) == (agent not in actions)
                if agent in actions:
                    np.testing.assert_array_equal(done[index, time], actions[agent])
        wanted = {}
        for time, (terminated, truncated) in enumerate(played.ends[rows], 1):
            for agent in names:
                if terminated.get(agent) or truncated.get(agent):
                    kind = "terminated" if terminated[agent] else "truncated"
                    wanted.setdefault(names.index(agent), (time, kind))
        assert {agent: (time, kind) for agent, time, kind in episode.ends} == wanted
        first += episode.steps
    assert first == len(played.rewards)


@pytest.mark.parametrize("name", TURNS)
def test_in_turns_every_move_and_what_was_earned_is_there(name):
    env = TURNS[name]()
    with marl_meta.record(env) as recording:
        played = in_turns(env)
    record, moves = recording.replay.record, [move for move in played.actions if move[1] is not None]
    names = [agent.name for agent in record.agents]
    found = []
    for episode, earned in zip(record.episodes, played.rewards, strict=True):
        sums = rewards_of(record, episode).sum(1)
        wanted = [earned[agent] for agent in names]
        np.testing.assert_allclose(sums, wanted, atol=episode.rewards.unit * episode.steps)
        for time in range(episode.steps):
            for group in actions_of(record, episode):
                done = group.chosen if group.chosen is not None else group.numbers
                found += [(names[group.agents[row]], done[row, time]) for row in np.flatnonzero(group.acts[:, time])]
    assert [agent for agent, _ in found] == [agent for agent, _ in moves]
    for (_, one), (_, other) in zip(found, moves, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("loop", "name"), [case for case in GAMES if "simple_" in case[1]])
def test_particles_are_where_the_game_has_them(loop, name):
    env, truth = opened(loop, name), []

    def look():
        world = env.unwrapped.world
        truth.append([entity.state.p_pos.copy() for entity in (*world.agents, *world.landmarks)])

    with marl_meta.record(env) as recording:
        loop(env, seen=look)
    record = recording.replay.record
    scenes = [places_of(record, episode) for episode in record.episodes]
    everybody = [presence_of(record, episode) for episode in record.episodes]
    found, there = np.concatenate(scenes, -1), np.concatenate(everybody, -1)
    truth = np.array(truth).transpose(1, 2, 0)
    assert found.shape == truth.shape and np.abs(truth).max() > 0.5
    # What stands out of sight is drawn once it was seen: games show only what is nearby.
    assert there[: record.num_agents].all() and there.mean() > 0.95
    known = np.broadcast_to(there[:, None], truth.shape)
    np.testing.assert_allclose(found[known], truth[known], atol=2 * record.episodes[0].scene.unit)


def test_our_particles_are_where_the_game_has_them():
    env, truth = make("tag"), []
    with marl_meta.record(env) as recording:
        in_parallel(env, seeds=(5, None), seen=lambda: truth.append(env.game.snapshot()["positions"][0].copy()))
    record = recording.replay.record
    found = np.concatenate([places_of(record, episode) for episode in record.episodes], -1)
    truth = np.array(truth).transpose(1, 2, 0)
    lasts = np.cumsum([episode.steps + 1 for episode in record.episodes]) - 1
    # (At the end of an episode the batch has begun the next one already.)
    np.testing.assert_allclose(np.delete(found, lasts, -1), np.delete(truth, lasts, -1), atol=0.0011)
    with marl_meta.record(env) as recording:
        env.reset(seed=8)
        for _ in range(25):
            env.step(dict.fromkeys(env.agents, 0))
    last = places_of(recording.replay.record, recording.replay.record.episodes[0])[..., -1]
    np.testing.assert_allclose(last, env.shown.entities[0][:, :2], atol=0.0011)


BOARDS = {
    "connect_four": lambda game: np.array(game.board).reshape(6, 7),
    "connect_four, raw": lambda game: np.array(game.board).reshape(6, 7),
    "tictactoe": lambda game: np.array(game.board.squares).reshape(3, 3),  # by columns
    "tictactoe, raw": lambda game: np.array(game.board.squares).reshape(3, 3),
}


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_the_games_with_the_last_move(name):
    env, truth = TURNS[name](), []
    with marl_meta.record(env) as recording:
        in_turns(env, seeds=(5, 6), seen=lambda: truth.append(BOARDS[name](env.unwrapped).copy()))
    record = recording.replay.record
    found = np.concatenate([cells_of(episode) for episode in record.episodes])
    np.testing.assert_array_equal(found, truth)
    for episode in record.episodes:
        cells = cells_of(episode)
        assert (np.abs(np.diff(cells, axis=0)) > 0).sum((1, 2)).tolist() == [1] * episode.steps
        assert episode.scene.style == "board"


def test_it_happens_again_in_another_process(tmp_path):
    names = []
    for loop, name in [case for case in GAMES if case[1] in ("tag", "simple_tag", "simple_world_comm", "connect_four")]:
        env = opened(loop, name)
        names.append(str(tmp_path / f"{loop.__name__}-{name}.replay.json.gz"))
        with marl_meta.record(env, names[-1]):
            loop(env)
    env = tiny_games.nested()
    names.append(str(tmp_path / "nested.replay.json.gz"))
    with marl_meta.record(env, names[-1], entry_point=f"{TINY}:nested"):
        in_parallel(env, seeds=(3, 4))
    code = (
        "import sys\nfrom marl_meta.replay import load_replay\n"
        "for path in sys.argv[1:]:\n    found = load_replay(path).verify(trust=True)\n"
        "    assert found.same, (path, found)\n"
        "print('all', len(sys.argv) - 1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *names],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"all {len(names)}\n", done.stderr


def test_the_same_game_gives_the_same_bytes(tmp_path):
    for name in "ab":
        env = connect_four.env()
        with marl_meta.record(env, tmp_path / name):
            in_turns(env)
    assert (tmp_path / "a.replay.json.gz").read_bytes() == (tmp_path / "b.replay.json.gz").read_bytes()


TINY_GAMES = {
    "agents that leave early": ("Countdown", {"agents": 4}),
    "agents that are cut off": ("Countdown", {"agents": 3, "cut": [0, 2]}),
    "agents that linger": ("Countdown", {"linger": True}),
    "agents that leave silently": ("Countdown", {"silent": True}),
    "masks in observations": ("Countdown", {"masks": "observation"}),
    "actions of several numbers": ("one_hot", {}),
    "observations of parts": ("nested", {}),
    "actions between": ("continuous", {}),
    "switches": ("binary_actions", {}),
    "words": ("text", {}),
    "pictures": ("image", {}),
}


@pytest.mark.parametrize("case", TINY_GAMES)
def test_all_sorts_of_games(case):
    name, kwargs = TINY_GAMES[case]
    env = getattr(tiny_games, name)(**kwargs)
    with marl_meta.record(env, entry_point=f"{TINY}:{name}", kwargs=kwargs) as recording:
        played = in_parallel(env, seeds=(3, 4))
    assert_same_again(recording.replay)
    record = recording.replay.record
    if name != "Countdown":
        compare(record, played)
    else:  # whose actions do not begin with 0
        for agent in range(record.num_agents):
            acted = [(time, row[f"runner_{agent}"]) for time, row in enumerate(played.actions[: agent + 1])]
            (group,) = actions_of(record, record.episodes[0])
            assert [(time, int(group.chosen[agent, time]) + agent) for time, _ in acted] == acted
            over = kwargs.get("cut", [])
            assert (agent, agent + 1, "truncated" if agent in over else "terminated") in record.episodes[0].ends


class Many(tiny_games.Countdown):
    """Pays in arrays of one number."""

    def step(self, actions):
        observations, rewards, *rest = super().step(actions)
        return observations, {agent: np.array([reward]) for agent, reward in rewards.items()}, *rest


def test_rewards_may_be_arrays():
    env = Many()
    with marl_meta.record(env) as recording:
        played = in_parallel(env)
    record = recording.replay.record
    earned = np.array([[row.get(agent.name, 0.0) for row in played.rewards[:3]] for agent in record.agents])
    np.testing.assert_allclose(rewards_of(record, record.episodes[0]), earned)


@pytest.mark.filterwarnings("ignore:.*Casting input x to numpy array:UserWarning")
@pytest.mark.parametrize("give", [list, lambda action: action.astype(np.float64) + 1e-9, np.copy])
def test_actions_are_kept_as_they_were_given(give):
    """Nothing is rounded, and what becomes of their arrays afterwards does not matter."""
    env, rng = mpe2.simple_spread_v3.parallel_env(max_cycles=8, continuous_actions=True), np.random.default_rng(0)
    with marl_meta.record(env) as recording:
        env.reset(seed=1)
        while env.agents:
            actions = {agent: give(rng.uniform(0.1, 0.9, 5).astype(np.float32)) for agent in env.agents}
            env.step(actions)
            for action in actions.values():
                action[0] = 0.5
    assert_same_again(recording.replay)


def test_numbers_of_actions_are_kept_as_they_were_given():
    env, buffer = mpe2.simple_spread_v3.parallel_env(max_cycles=8), np.zeros(3, np.int64)
    with marl_meta.record(env) as recording:
        env.reset(seed=1)
        while env.agents:
            buffer[:] = np.random.default_rng(len(buffer)).integers(0, 5, 3)
            env.step({agent: buffer[index : index + 1].reshape(()) for index, agent in enumerate(env.agents)})
            buffer[:] = 0
    assert_same_again(recording.replay)


def test_a_loop_may_write_into_what_it_is_shown():
    env, truth = mpe2.simple_spread_v3.parallel_env(max_cycles=8), []
    with marl_meta.record(env) as recording:
        observations, _ = env.reset(seed=1)
        while env.agents:
            truth.append([agent.state.p_pos.copy() for agent in env.unwrapped.world.agents])
            for shown in observations.values():
                np.multiply(shown, 100.0, out=shown)
            observations, *_ = env.step(dict.fromkeys(env.agents, 1))
    record = recording.replay.record
    found = places_of(record, record.episodes[0])[:3, :, :-1]
    np.testing.assert_allclose(found, np.array(truth).transpose(1, 2, 0), atol=0.005)
    assert_same_again(recording.replay)


class Painted(tiny_games.Countdown):
    """Shows how much time has passed."""

    def render(self):
        if self.render_mode != "rgb_array":
            return None
        picture = np.zeros((40, 60, 3), np.uint8)
        picture[:, : 20 * self.time] = (200, 30, 30)
        return picture


def test_a_game_may_be_drawn_by_pictures():
    env = Painted(render_mode="rgb_array")
    here = f"{TINY.rpartition('.')[0]}.test_recording:Painted"
    with marl_meta.record(env, entry_point=here) as recording:
        in_parallel(env, seeds=(1,))
    record = recording.replay.record
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB"))
        for one in record.episodes[0].scene.images
    ]
    assert [int((picture[20, :, 0] > 100).sum()) for picture in pictures] == [0, 20, 40, 60]
    assert_same_again(recording.replay)
    with marl_meta.record(env, frames=False) as recording:
        in_parallel(env, seeds=(1,))
    assert recording.replay.record.episodes[0].scene.kind == "none"
    with pytest.raises(UserError, match="render_mode='rgb_array'"):
        marl_meta.record(Painted(), frames=True)


def test_a_wrapped_game_is_watched_and_with_its_maker_verified():
    env = supersuit.frame_stack_v1(mpe2.simple_spread_v3.parallel_env(max_cycles=6), 2)
    with marl_meta.record(env) as recording:
        in_parallel(env)
    assert recording.replay.record.game.entry_point is None
    assert "<html" in recording.replay.page()
    with pytest.raises(UserError, match=r"what makes its game is not known.*entry_point="):
        recording.replay.verify(trust=True)
    here = f"{TINY.rpartition('.')[0]}.test_recording:stacked"
    env = stacked(length=6)
    with marl_meta.record(env, entry_point=here, kwargs={"length": 6}) as recording:
        in_parallel(env)
    assert_same_again(recording.replay)


def stacked(length):
    return supersuit.frame_stack_v1(mpe2.simple_spread_v3.parallel_env(max_cycles=length), 2)


def test_arguments_that_nobody_knows_are_not_guessed():
    env = tiny_games.Countdown(agents=2)
    with marl_meta.record(env) as recording:
        in_parallel(env)
    with pytest.raises(UserError, match="what makes its game is not known"):
        recording.replay.verify(trust=True)
    env = tiny_games.Hidden()
    with marl_meta.record(env) as recording:
        in_parallel(env)
    assert recording.replay.record.game.entry_point is None


@pytest.mark.parametrize(("loop", "name"), [(in_parallel, "tag"), (in_parallel, "simple_tag"), (in_turns, "tictactoe")])
def test_errors_pass_and_what_was_played_is_kept(loop, name, tmp_path):
    env, bare = opened(loop, name), opened(loop, name)
    with pytest.raises(RuntimeError, match="the loop broke"):
        fail(loop, env, tmp_path)
    record = load_replay(tmp_path / "broken.replay.json.gz").record
    assert set(record.status) == {"ERROR"}
    (log,) = record.logs.values()
    assert log.startswith("RuntimeError: the loop broke") and len(log) == 4000
    assert [episode.over for episode in record.episodes] == [True, False]
    assert record.episodes[1].steps == 3
    assert_same_again(load_replay(tmp_path / "broken.replay.json.gz"))
    loop(env, seeds=(7,)).same_as(loop(bare, seeds=(7,)))


def fail(loop, env, folder):
    with marl_meta.record(env, folder / "broken"):
        loop(env, most=3)
        raise RuntimeError("the loop broke" + 5000 * "!")


def test_a_step_that_fails_is_not_part_of_the_replay(tmp_path):
    env = make("tag", seed=0)
    recording = marl_meta.record(env, tmp_path / "a")
    with pytest.raises(UserError, match="step needs an action"):
        steps(env, recording, dict.fromkeys(env.possible_agents, 1), {})
    assert recording.replay.record.episodes[0].steps == 1
    assert_same_again(recording.replay)
    game = tictactoe.raw_env()
    recording = marl_meta.record(game)
    with pytest.raises((AssertionError, ValueError, IndexError)):
        steps(game, recording, 0, 77)
    assert recording.replay.record.episodes[0].steps == 1
    assert_same_again(recording.replay)


def steps(env, recording, *actions):
    with recording:
        env.reset(seed=1)
        for action in actions:
            env.step(action)


def test_an_interrupted_loop_is_no_error():
    env = make("tag")
    with pytest.raises(KeyboardInterrupt), marl_meta.record(env) as recording:
        interrupt(env)
    assert set(recording.replay.record.status) == {"ACTIVE"} and recording.replay.record.logs is None


def interrupt(env):
    env.reset(seed=0)
    env.step(dict.fromkeys(env.agents, 1))
    raise KeyboardInterrupt


@EACH
def test_a_loop_may_be_broken_off(loop, name):
    env = opened(loop, name)
    with marl_meta.record(env) as recording:
        loop(env, seeds=(1, 2), most=4)
    record = recording.replay.record
    assert [episode.over for episode in record.episodes] == [True, False]
    assert record.episodes[1].steps == 4
    assert set(record.status) == {"ACTIVE"}
    assert_same_again(recording.replay)


def test_where_nothing_is_played_there_is_no_replay(tmp_path):
    env = make("tag")
    with marl_meta.record(env, tmp_path / "nothing") as recording:
        pass
    assert recording.replay is None
    env.reset(seed=1)
    with marl_meta.record(env, tmp_path / "nothing") as recording:
        env.step(dict.fromkeys(env.agents, 1))  # of an episode that began before
    assert recording.replay is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("loop", "name"), [(in_parallel, "simple_spread"), (in_turns, "connect_four")])
def test_a_recording_may_go_on_and_two_may_listen(loop, name):
    env = opened(loop, name)
    recording = marl_meta.record(env)
    with recording:
        loop(env, seeds=(1,))
        with pytest.raises(UserError, match="already under way"), recording:
            pass
    with recording, marl_meta.record(env) as other:
        loop(env, seeds=(2,))
    assert [episode.seed for episode in recording.replay.record.episodes] == [1, 2]
    assert [episode.seed for episode in other.replay.record.episodes] == [2]
    assert recording.replay.record.episodes[1].actions == other.replay.record.episodes[0].actions
    assert_same_again(recording.replay)
    assert_same_again(other.replay)
    assert not {"step", "reset", "observe"} & vars(env).keys()


@pytest.mark.parametrize("make_env", [mpe2.simple_tag_v3.parallel_env, lambda: make("tag", seed=4)])
def test_a_game_begun_nobody_knows_how_is_said_to_be(make_env):
    env = make_env()
    env.reset(seed=3)
    with marl_meta.record(env) as recording:
        in_parallel(env, seeds=(None,))
    with pytest.raises(UserError, match=r"its first episode was begun without a seed \(call env\.reset\(seed="):
        recording.replay.verify(trust=True)


def test_our_games_know_the_seed_that_they_were_made_with():
    for env, loop in ((make("tag", seed=4), in_parallel), (make("spread"), in_parallel), (make_aec("tag"), in_turns)):
        with marl_meta.record(env) as recording:
            loop(env, seeds=(None, None))
        assert_same_again(recording.replay)


def test_a_game_that_has_changed_is_told_by_its_first_step(monkeypatch):
    env = mpe2.simple_spread_v3.parallel_env(max_cycles=12)
    with marl_meta.record(env) as recording:
        in_parallel(env, seeds=(1, 2))
    scenario = sys.modules["mpe2.simple_spread.simple_spread"].Scenario
    true, asked = scenario.global_reward, []

    def changed(self, world):
        asked.append(0)
        return true(self, world) + (0.5 if len(asked) > 12 + 4 else 0.0)  # once a step, from the fifth of the second on

    monkeypatch.setattr(scenario, "global_reward", changed)
    found = recording.replay.verify(trust=True)
    assert (found.same, found.episode, found.step) == (False, 1, 5)
    assert "episode 2, step 5: the reward of agent_" in found.reason


def test_a_replay_that_was_changed_is_told():
    env = connect_four.env()
    with marl_meta.record(env) as recording:
        in_turns(env)
    record = recording.replay.record
    episode = record.episodes[0]
    other = episode.model_copy(update={"rewards": encode_rewards(2.0 * rewards_of(record, episode))})
    forged = record.model_copy(update={"episodes": [other, *record.episodes[1:]]})
    found = marl_meta.Replay(forged).verify(trust=True)
    assert not found.same and "episode 1" in found.reason


@pytest.mark.filterwarnings("ignore:.*[Ii]llegal:UserWarning")
def test_an_illegal_move_ends_the_game_here_as_there():
    def play(env):
        env.reset(seed=0)
        seen, moves = [], iter([0, 1, 0])
        for agent in env.agent_iter():
            _, reward, terminated, truncated, _ = env.last()
            seen.append((agent, reward, terminated, truncated))
            env.step(None if terminated or truncated else next(moves))
        return seen

    env = tictactoe.env()
    with marl_meta.record(env) as recording:
        seen = play(env)
    assert seen == play(tictactoe.env())
    record = recording.replay.record
    assert record.episodes[0].steps == 3 and record.episodes[0].over
    assert record.returns == [[-1.0, 0.0]]
    assert_same_again(recording.replay)


def test_titles_players_and_schemas_are_told():
    env = mpe2.simple_tag_v3.parallel_env(max_cycles=3)
    names = {"adversary": "hunters", "agent": "fleeing"}
    with marl_meta.record(env, title="The chase", players=names) as recording:
        in_parallel(env, seeds=(0,))
    record = recording.replay.record
    assert recording.replay.title == "The chase"
    assert {team.name: team.player for team in record.teams if team.name in names}.items() <= names.items()
    assert [agent.name for agent in record.agents] == env.possible_agents
    env = tictactoe.env()
    with marl_meta.record(env, players={"player_1": "me", "player_2": "you"}) as recording:
        in_turns(env, seeds=(0,))
    assert [(team.name, team.player) for team in recording.replay.record.teams] == [
        ("player_1", "me"),
        ("player_2", "you"),
    ]


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (tiny_games.Endless, "known by name"),
        (tiny_games.numbered, "known by name"),
        (lambda: tiny_games.Spaces(action=spaces.Text(3)), "The actions of 'player' cannot be recorded.*Text"),
        (lambda: "a game", "not a str"),
    ],
)
def test_what_cannot_be_recorded_is_refused_at_once(env, words):
    with pytest.raises(UserError, match=words):
        marl_meta.record(env())


def test_a_schema_needs_to_know_the_game():
    env = supersuit.dtype_v0(mpe2.simple_spread_v3.parallel_env(), np.float64)
    with pytest.raises(UserError, match="The schema 'simple_spread' can only be read where entry_point says"):
        marl_meta.record(env, schema="simple_spread")
    here = "mpe2.simple_spread_v3:parallel_env"
    env = mpe2.simple_spread_v3.parallel_env(max_cycles=4)
    with marl_meta.record(env, schema="simple_spread", entry_point=here, kwargs={"max_cycles": 4}) as recording:
        in_parallel(env)
    assert recording.replay.record.episodes[0].scene.kind == "particles"
    assert_same_again(recording.replay)


def test_a_folder_that_is_not_there_is_refused_at_once(tmp_path):
    with pytest.raises(UserError, match="There is no folder"):
        marl_meta.record(make("tag"), tmp_path / "there" / "game")


def test_arguments_reach_reset_as_they_are():
    class Simple(tiny_games.Countdown):
        def reset(self, seed=None):
            return super().reset(seed)

    env = Simple()
    with marl_meta.record(env) as recording:
        env.reset(3)
        env.reset(seed=4)
        env.reset()
    assert [episode.seed for episode in recording.replay.record.episodes] == [3, 4, None]
