"""With default rules, spread and tag are mpe2's simple_spread_v3 and simple_tag_v3."""

from __future__ import annotations

import mpe2.simple_spread_v3
import mpe2.simple_tag_v3
import numpy as np
import pytest

from .mpe2_pair import Pair

SPREAD, TAG = (mpe2.simple_spread_v3, "spread"), (mpe2.simple_tag_v3, "tag")
GAMES = [
    *[(SPREAD, {"N": n}, {"agents": n}) for n in (1, 2, 3, 5, 10)],
    (SPREAD, {"N": 4, "local_ratio": 0.2, "max_cycles": 40}, {"agents": 4, "local_ratio": 0.2, "episode_length": 40}),
    *[
        (
            TAG,
            {"num_adversaries": adversaries, "num_good": prey, "num_obstacles": obstacles},
            {"adversaries": adversaries, "prey": prey, "obstacles": obstacles},
        )
        for adversaries, prey, obstacles in ((3, 1, 2), (1, 1, 0), (2, 3, 4), (6, 4, 5), (8, 7, 1))
    ],
]
IDS = [f"{family}-{'-'.join(map(str, kwargs.values()))}" for (_, family), kwargs, _ in GAMES]


@pytest.mark.parametrize(("game", "kwargs", "rules"), GAMES, ids=IDS)
@pytest.mark.parametrize("half_width", [1.2, 0.3], ids=["roomy", "crowded"])
def test_whole_episodes_are_the_same(game, kwargs, rules, half_width):
    play_episodes(game, kwargs, rules, half_width, episodes=3)


@pytest.mark.parametrize("game", [SPREAD, TAG], ids=["spread", "tag"])
@pytest.mark.parametrize(("agents", "objects"), [(1, 1), (2, 3), (4, 2), (9, 9), (0, 1), (2, 0)])
def test_the_nearest_are_seen(game, agents, objects):
    kwargs = {"num_agent_neighbors": agents or None, "num_landmark_neighbors": objects or None}
    rules = {"nearest_agents": agents, "nearest_objects": objects}
    if game is SPREAD:
        kwargs["N"] = rules["agents"] = 5
    else:
        kwargs |= {"num_adversaries": 3, "num_good": 2, "num_obstacles": 3}
        rules |= {"adversaries": 3, "prey": 2, "obstacles": 3}
    play_episodes(game, kwargs, rules, 0.8, episodes=2)


def test_the_game_ends_with_success():
    spread = ({"N": 1, "terminate_on_success": True}, {"agents": 1, "terminate_on_success": True})
    tag = (
        {"num_adversaries": 4, "num_good": 2, "terminate_on_success": True},
        {"adversaries": 4, "prey": 2, "terminate_on_success": True},
    )
    # From so small a square, chance wins some games and not others.
    assert 5 < play_episodes(SPREAD, *spread, 0.15, episodes=20) < 20
    assert 5 < play_episodes(TAG, *tag, 0.2, episodes=20) < 20


def play_episodes(game, kwargs, rules, half_width, episodes):
    """Play random actions in both, comparing everything; returns how many episodes were won."""
    pair = Pair(game[0], kwargs, game[1], rules)
    rng = np.random.default_rng(0)
    won = 0
    for episode in range(episodes):
        pair.assert_same_view(pair.reset(episode, half_width))
        over = False
        while not over:
            actions = rng.integers(5, size=(2, len(pair.names)))
            _, reward, terminated, truncated, _ = pair.theirs.step(dict(zip(pair.names, actions[1], strict=True)))
            step = pair.ours.step(actions)
            np.testing.assert_allclose(step.reward[1], list(reward.values()), rtol=0, atol=1e-5)
            assert step.terminated[1].tolist() == list(terminated.values())
            assert step.truncated[1].tolist() == list(truncated.values())
            over = bool(step.game_over[1])
            assert over == (not pair.theirs.agents)
            if not over:
                pair.assert_same_state()
            pair.assert_same_view(step.final if over else step.observation)
        won += step.terminated[1].all()
    return won
