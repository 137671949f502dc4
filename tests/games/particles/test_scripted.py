"""Hand-written players reach the returns that are known of their like, and cope with what they do not see."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from marl_meta.games import load_family, make_vec
from marl_meta.games.particles import scripted
from marl_meta.games.scripted import scripted_policy, scripts_of

GAMES = 400


def random_play(rng, observation, agents):
    return rng.integers(5, size=(len(observation.entities), len(agents)))


def mean_return(family, *players, **rules):
    """Return the mean return of an episode per agent of the first team, one player for each team (None is random)."""
    game = make_vec(family, num_games=GAMES, rules=rules, seed=1)
    rng = np.random.default_rng(2)
    teams = [
        (player or partial(random_play, rng), np.flatnonzero(game.agent_team == t)) for t, player in enumerate(players)
    ]
    observation, total = game.reset().observation, np.zeros((GAMES, game.num_agents))
    for _ in range(25):
        actions = np.zeros(total.shape, np.int64)
        for player, agents in teams:
            actions[:, agents] = player(observation, agents)
        step = game.step(actions)
        observation = step.observation
        total += step.reward
    return total[:, teams[0][1]].mean()


# Published or measured for mpe2's games with 2,000 episodes; here with fewer, hence the margins.
@pytest.mark.parametrize(
    ("family", "players", "rules", "low", "high"),
    [
        ("spread", (None,), {}, -27.5, -25.0),
        ("spread", (scripted.stay,), {}, -25.0, -22.8),
        ("spread", (scripted.cover,), {}, -9.2, -8.2),
        ("spread", (scripted.cover,), {"agents": 5}, -13.4, -11.9),
        ("tag", (None, None), {}, 2.7, 6.0),
        ("tag", (scripted.chase, None), {}, 41.0, 51.0),
        ("tag", (scripted.chase, scripted.flee), {}, 8.0, 14.0),
        ("tag", (None, scripted.flee), {}, 0.0, 1.3),
        ("harvest", (None,), {}, -0.3, 0.2),
        ("harvest", (scripted.stay,), {}, -0.1, 0.1),
        ("harvest", (scripted.gather,), {}, 5.0, 6.3),
        ("harvest", (scripted.gather,), {"payoff": [-1, 0, 1]}, -6.3, -5.0),
        ("harvest", (scripted.harvester([-1, 0, 1]),), {"payoff": [-1, 0, 1]}, 5.0, 6.3),
        ("harvest", (scripted.gather, None), {"teams": 2}, 4.3, 6.3),
        ("harvest", (scripted.gather, scripted.gather), {"teams": 2}, -0.4, 0.4),
    ],
)
def test_returns_are_as_known(family, players, rules, low, high):
    assert low < mean_return(family, *players, **rules) < high


def test_payoffs_may_differ_by_game():
    rules = [{"payoff": [1, 0, -1]}, {"payoff": [-1, 1, 0]}] * 100
    game = make_vec("harvest", num_games=200, rules=rules, seed=1)
    observation, total, agents = game.reset().observation, np.zeros(200), np.arange(3)
    policy = scripted.harvester(np.array([rule["payoff"] for rule in rules]))
    for _ in range(25):
        step = game.step(policy(observation, agents))
        observation, total = step.observation, total + step.reward[:, 0]
    assert total[0::2].mean() > 4.5 and total[1::2].mean() > 4.5


@pytest.mark.parametrize("family", ["spread", "tag", "harvest"])
@pytest.mark.parametrize("sight", [{}, {"vision_radius": 0.3}, {"nearest_objects": 1, "nearest_agents": 1}])
def test_every_player_plays_games_of_every_size(family, sight):
    size = {"spread": "agents", "tag": "adversaries", "harvest": "gatherers"}[family]
    rules = [{size: 1 + b % 4, **sight} for b in range(12)]
    game = make_vec(family, num_games=12, rules=rules)
    alone = [make_vec(family, num_games=1, rules=one, first_game=b) for b, one in enumerate(rules)]
    assert "stay" in scripts_of(load_family(family))
    for name in scripts_of(load_family(family)):
        policy = scripted_policy(family, name)
        observation, singles = game.reset(3).observation, [single.reset(3).observation for single in alone]
        for _ in range(10):
            actions = np.zeros((12, game.num_agents), np.int64)
            for team in set(game.agent_team.tolist()):
                agents = np.flatnonzero(game.agent_team == team)
                actions[:, agents] = policy(observation, agents)
            # Empty places beside the others change nobody's mind.
            for b, single in enumerate(alone):
                for team in set(game.agent_team.tolist()):
                    there, here = single.agent_team == team, (game.agent_team == team) & observation.acting[b]
                    found = policy(singles[b], np.flatnonzero(there))
                    np.testing.assert_array_equal(found[0], actions[b, here])
                singles[b] = single.step(actions[b : b + 1, observation.acting[b]]).observation
            observation = game.step(actions).observation


def test_who_sees_nothing_stands_still():
    game = make_vec("spread", num_games=5, rules={"vision_radius": 0.001})
    observation = game.reset().observation
    np.testing.assert_array_equal(scripted.cover(observation, np.arange(3)), 0)
    game = make_vec("tag", num_games=5, rules={"vision_radius": 0.001})
    observation = game.reset().observation
    np.testing.assert_array_equal(scripted.chase(observation, np.arange(3)), 0)
