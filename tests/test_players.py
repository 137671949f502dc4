"""Players that do not learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from marl_meta.games import load_family, make_vec
from marl_meta.games.scripted import scripted_policy, scripts_of
from marl_meta.players import RandomPlayer, RememberingPlayer, ScriptedPlayer, scripted_player
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


@pytest.mark.parametrize("name", ["spread", "tag", "harvest", "payoff", "connect"])
def test_scripted_players_of_our_families_play(name: str) -> None:
    family = load_family(name)
    game = make_vec(family, num_games=3)
    shown = game.reset().observation
    for script in scripts_of(family):
        player = scripted_player(family, script)
        player.reset(3, np.array([0, 1]))
        actions = player.act(shown)
        assert actions.shape == (3, 2)
        assert np.take_along_axis(shown.action_mask[:, :2], actions[..., None], 2).all()


def count_up(
    observation: Observation, agents: np.ndarray, memory: np.ndarray, chance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Play how often it has played, plus 10 if the chance is high."""
    assert observation.present.shape[0] == len(memory) == len(chance)
    assert memory.shape[1] == chance.shape[1] == len(agents)
    return memory[..., 0] + 10 * (chance > 0.5), memory + 1


def test_a_remembering_player_forgets_after_a_trial_and_goes_on_from_a_snapshot() -> None:
    rules = [{"players": 2, "length": 2}, {"players": 2, "length": 3}]
    game = make_vec(RECALL, num_games=2, rules=rules, episodes_per_trial=2)
    player, same, other = (RememberingPlayer(count_up, width=1, seed=seed) for seed in (7, 7, 8))
    for one in (player, same, other):
        one.reset(2, np.array([0, 1]))
    step = game.reset()
    counts, seen = [], []
    for time in range(13):
        if time == 8:
            snapshot = player.snapshot()
        actions = player.act(step.observation)
        np.testing.assert_array_equal(actions, same.act(step.observation))
        counts.append(actions[:, 0] % 10)
        seen.append((actions, step))
        step = game.step(np.zeros((2, 2), np.int64))
        player.observe(step)
        same.observe(step)
    np.testing.assert_array_equal(counts, [(t % 4, t % 6) for t in range(13)])
    assert len({int(actions.sum()) for actions, _ in seen}) > 5  # chance has its say, and differs between agents
    assert any((actions[:, 0] // 10 != actions[:, 1] // 10).any() for actions, _ in seen)
    other.restore(snapshot)
    np.testing.assert_array_equal(other.act(step.observation), seen[8][0])
    player.reset(2, np.array([0, 1]))
    np.testing.assert_array_equal(player.act(step.observation), seen[0][0])
