"""Players that do not learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from marl_meta.games import load_family, make_vec
from marl_meta.games.scripted import scripted_policy, scripts_of
from marl_meta.players import RandomPlayer, ScriptedPlayer
from marl_meta.types import Observation, UserError

RECALL = Path(__file__).parent / "recall"


def observation(legal: list[list[bool]], games: int) -> Observation:
    """Return one of `games` games in which agent i may play what row i says."""
    agents = len(legal)
    return Observation(
        entities=np.zeros((games, agents, 0), np.float32),
        kind=np.zeros((games, agents), np.int8),
        team=np.zeros((games, agents), np.int8),
        present=np.ones((games, agents), np.bool_),
        private=np.zeros((games, agents, 0), np.float32),
        sees=None,
        acting=np.ones((games, agents), np.bool_),
        action_mask=np.tile(np.array(legal), (games, 1, 1)),
        rules=np.zeros((games, 0), np.float32),
    )


def test_random_plays_every_legal_action_alike_and_no_other() -> None:
    player = RandomPlayer(seed=1)
    player.reset(20_000, np.array([0, 2]))
    shown = observation([[True, True, True, True], [False, True, False, False], [True, False, True, False]], 20_000)
    actions = player.act(shown)
    assert actions.shape == (20_000, 2)
    for column, expected in zip(actions.T, ([0.25] * 4, [0.5, 0.0, 0.5, 0.0]), strict=True):
        share = np.bincount(column, minlength=4) / 20_000
        np.testing.assert_allclose(share, expected, atol=0.015)
        assert (share[np.array(expected) == 0] == 0).all()


def test_random_follows_its_seed_and_goes_on_from_a_snapshot() -> None:
    shown = observation([[True] * 4], 50)
    player, same, other = RandomPlayer(7), RandomPlayer(7), RandomPlayer(8)
    for one in (player, same, other):
        one.reset(50, np.array([0]))
    first = player.act(shown)
    np.testing.assert_array_equal(first, same.act(shown))
    assert (first != other.act(shown)).any()
    snapshot = player.snapshot()
    expected = [player.act(shown) for _ in range(3)]
    other.restore(snapshot)
    np.testing.assert_array_equal(expected, [other.act(shown) for _ in range(3)])
    player.reset(50, np.array([0]))
    np.testing.assert_array_equal(first, player.act(shown))


def test_scripted_player_plays_its_policy() -> None:
    game = make_vec(RECALL, num_games=5, rules={"players": 2})
    player = ScriptedPlayer(scripted_policy(load_family(RECALL), "knows"))
    player.reset(5, np.array([0, 1]))
    step = game.step(player.act(game.reset().observation))
    assert (step.reward == 1.0).all()
    player.observe(step)
    player.restore(player.snapshot())


def test_a_scripted_player_that_does_not_exist() -> None:
    family = load_family(RECALL)
    assert list(scripts_of(family)) == ["knows"]
    with pytest.raises(UserError, match=r"no scripted player 'know'.*knows"):
        scripted_policy(family, "know")


@pytest.mark.parametrize("name", ["spread", "tag", "harvest"])
def test_scripted_players_of_our_families_play(name: str) -> None:
    family = load_family(name)
    game = make_vec(family, num_games=3)
    shown = game.reset().observation
    for script in scripts_of(family):
        actions = scripted_policy(family, script)(shown, np.array([0, 1]))
        assert actions.shape == (3, 2)
        assert ((actions >= 0) & (actions < len(game.layout.actions))).all()
