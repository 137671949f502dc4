"""Teams in other people's loops: PettingZoo's, kaggle-environments', Stable-Baselines3's, and other people's games."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mpe2 import simple_adversary_v3, simple_spread_v3, simple_tag_v3

from marl_meta import UserError, load_team, make, make_aec

from .tables import TRIALS, Table

CONTROL = {"gatherers": 3, "control": 90, "payoff": [0, 1, -1]}


def aec_returns(team, env, episodes, *, told):
    """What a team earns in a loop in turns, game by game."""
    policy = team.as_policy(env, deterministic=True)
    returns = []
    for episode in range(episodes):
        env.reset(seed=episode)
        policy.reset()
        total = 0.0
        for agent in env.agent_iter():
            observation, reward, terminated, truncated, _ = env.last()
            total += reward / env.max_num_agents
            over = terminated or truncated
            if told:
                env.step(policy(observation, agent, reward, over))
            else:
                env.step(None if over else policy(observation, agent))
        returns.append(total)
    return returns


def test_a_loop_in_turns_that_tells_rewards_lets_it_adapt():
    team = load_team("zoo:harvest-belief")
    told = aec_returns(team, make_aec("harvest", CONTROL, seed=1), 6, told=True)
    blind = aec_returns(team, make_aec("harvest", CONTROL, seed=1), 6, told=False)
    assert np.mean(told[2:]) > np.mean(blind[2:]) + 2.0


@pytest.mark.parametrize("name", ["zoo:payoffs-oracle", "zoo:treasure-rl2"])
def test_each_agent_plays_as_in_the_engine(name):
    table = Table(name, *TRIALS[name])
    policy = table.team.as_policy(game=table.seen.sight.game, rules=table.rules, deterministic=True)
    rewards: dict[str, float] = {}
    for played in table.play(2):
        for agent, vector in table.flat(played.observation).items():
            assert policy(vector, agent, rewards.get(agent)) == played.actions[agent]
        rewards = table.rewards(played.step)
        if played.over:
            for agent, vector in table.flat(played.step.final).items():
                assert policy(vector, agent, rewards[agent], over=True) is None


def test_it_plays_games_of_mpe2_as_they_are():
    env = simple_spread_v3.parallel_env(N=3)
    policy = load_team("zoo:spread-belief").as_policy(env)
    earned = []
    for episode in range(6):
        shown, _ = env.reset(seed=episode)
        policy.reset()
        rewards, total = dict.fromkeys(env.agents), 0.0
        while env.agents:
            actions = {agent: policy(shown[agent], agent, rewards[agent]) for agent in env.agents}
            shown, rewards, *_ = env.step(actions)
            total += sum(rewards.values())
        for agent, vector in shown.items():
            policy(vector, agent, rewards[agent], over=True)
        earned.append(total)
    assert np.mean(earned[1:]) > -45, f"random play earns -80, greedy play -26: {earned}"


def test_one_side_of_a_game_of_mpe2():
    env = simple_tag_v3.parallel_env()
    policy = load_team("zoo:tag-belief").as_policy(env)
    caught, draws = 0.0, np.random.default_rng(0)
    for episode in range(5):
        shown, _ = env.reset(seed=episode)
        policy.reset()
        rewards = dict.fromkeys(env.agents)
        while env.agents:
            actions = {a: policy(shown[a], a, rewards[a]) for a in env.agents if a.startswith("adversary")}
            actions["agent_0"] = int(draws.integers(5))
            shown, rewards, *_ = env.step(actions)
            caught += rewards["adversary_0"] / 5
    assert caught > 15, "random adversaries earn 4.4"


def test_what_it_cannot_read_is_refused():
    with pytest.raises(UserError, match="do not say which entity is which"):
        load_team("zoo:spread-belief").as_policy(simple_adversary_v3.parallel_env())
    policy = load_team("zoo:payoffs-oracle").as_policy(make("harvest"))
    with pytest.raises(UserError, match="no agent 'adversary_0'"):
        policy(np.zeros(4), "adversary_0")
    with pytest.raises(UserError, match="cannot play"):
        load_team("zoo:payoffs-oracle").as_model(game="tag")


def test_code_that_only_the_teams_file_names_is_not_run():
    team = load_team("zoo:payoffs-oracle")
    strange = {"family": "pettingzoo", "entry_point": "strange:parallel_env", "kwargs": {}, "schema": None}
    named = replace(team, trained_on={"game": strange})
    with pytest.raises(UserError, match="whose code would be run"):
        named.as_policy()
    with pytest.raises(UserError, match="strange"):
        named.as_policy(game="strange:parallel_env")


def test_a_function_keeps_what_it_finds_out_for_the_games_of_a_series():
    table = Table("zoo:payoffs-episodic", *TRIALS["zoo:payoffs-episodic"])
    agent = table.team.as_function(game="harvest", rules=table.rules, deterministic=True)
    rewards: dict[str, float] = {}
    step, same, total = 0, 0, 0
    for played in table.play(2):
        for name, vector in table.flat(played.observation).items():
            obs = {"observation": vector, "step": step, "agent": name, "reward": rewards.get(name)}
            same += agent(obs, {"episodes": 2}) == played.actions[name]
            total += 1
        rewards = table.rewards(played.step)
        step = 0 if played.over else step + 1
    assert same / total > 0.9, "all but what the end of a game would have told"


def test_a_model_predicts_for_one_game_or_several():
    table = Table("zoo:payoffs-oracle", *TRIALS["zoo:payoffs-oracle"])
    model = table.team.as_model(game="harvest", rules=table.rules, agent="gatherer_1")
    state, place = None, table.own.index("gatherer_1")
    for played in table.play(1):
        vector = table.flat(played.observation)["gatherer_1"]
        action, state = model.predict(vector, state, np.array([False]), deterministic=True)
        assert action == played.actions[table.own[place]]
        several, _ = model.predict(np.stack([vector, vector]), None, None, deterministic=True)
        assert several.tolist() == [action, action]


def test_a_model_keeps_its_memory_with_the_caller():
    table = Table("zoo:treasure-rl2", *TRIALS["zoo:treasure-rl2"])
    model = table.team.as_model(game="payoff", rules=table.rules)
    vector = table.flat(table._first)[model.agent]
    first, one = model.predict(vector, deterministic=True)
    _, two = model.predict(vector, one, np.array([False]), deterministic=True)
    again, anew = model.predict(vector, two, np.array([True]), deterministic=True)
    assert again == first
    assert np.allclose(anew.memory.state, one.memory.state)
    assert not np.allclose(two.memory.state, one.memory.state)
    for action in range(3):
        assert model.predict(vector, one, action_masks=np.eye(3)[action])[0] == action
    with pytest.raises(UserError, match="numbers"):
        model.predict(np.zeros(3))
