"""Turn-based games of third parties: whose turn it is, who has left, and what everybody earned."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from marl_meta import ThirdPartyGame, play
from marl_meta.interop.board_sight import sight_of
from marl_meta.interop.vector import PettingZooVector
from marl_meta.replay.decoding import cells_of
from marl_meta.types import Step, UserError

from . import tiny_games

HERE = Path(__file__).parent
CLASSICS = ("connect_four_v3", "tictactoe_v3", "go_v5", "leduc_holdem_v4", "texas_holdem_v4", "chess_v6", "hanabi_v5")


def pile(num_games: int = 1, **kwargs: object) -> PettingZooVector:
    return PettingZooVector("tiny_games.py:Pile", kwargs, folder=HERE, num_games=num_games, seed=3)


def legal(step: Step, draws: np.random.Generator) -> np.ndarray:
    mask = step.observation.action_mask
    return (draws.random(mask.shape) * mask).argmax(-1)


def turn_of(step: Step, b: int = 0) -> int:
    (slot,) = np.flatnonzero(step.observation.acting[b])
    return int(slot)


def test_one_acts_at_a_time_and_all_are_there() -> None:
    game = pile(num_games=3, players=3)
    step = game.reset()
    assert [team.name for team in game.layout.teams] == ["player_0", "player_1", "player_2"]
    assert {team.kind for team in game.layout.teams} == {"player"}
    for time in range(4):
        assert (step.observation.acting == (np.arange(3) == time % 3)).all()
        assert step.observation.present.all()
        # Everybody is shown the pile, and who is to move.
        assert (step.observation.private[:, :, 2] == time % 3).all()
        step = game.step(np.zeros((3, 3), int))


@pytest.mark.parametrize("masks", ["observation", "info"])
def test_what_is_not_there_cannot_be_taken(masks: str) -> None:
    game = pile(masks=masks)
    step, draws = game.reset(), np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        slot = turn_of(step)
        left = int(step.observation.private[0, slot, 0])
        assert step.observation.action_mask[0, slot].tolist() == [left > i for i in range(3)]
        assert step.observation.action_mask.any(-1).all()  # those of the others too
        seen.add(min(left, 3))
        step = game.step(legal(step, draws))
    assert seen == {1, 2, 3}


@pytest.mark.parametrize("options", [{}, {"players": 4, "knockout": True}, {"start": 2}, {"limit": 5}])
def test_everybody_earns_what_a_loop_of_turns_pays(options: dict[str, object]) -> None:
    """The reference is PettingZoo's own loop, with the same seeds and actions."""
    game, draws = pile(**options), np.random.default_rng(1)
    step = game.reset()
    for _ in range(8):
        env = tiny_games.Pile(**options)
        env.reset(seed=game._games[0].seed)
        sums = np.zeros(game.num_agents)
        ends: dict[str, tuple[bool, bool]] = {}
        earned = dict.fromkeys(env.possible_agents, 0.0)
        while not step.game_over.any() or not sums.any():
            actions = legal(step, draws)
            while True:
                _, reward, terminated, truncated, _ = env.last()
                earned[env.agent_selection] += reward
                if not (terminated or truncated):
                    break
                ends[env.agent_selection] = (terminated, truncated)
                env.step(None)
            slot = turn_of(step)
            assert env.agent_selection == game.agent_names[slot]
            env.step(int(actions[0, slot]) + env.start)
            step = game.step(actions)
            sums += step.reward[0]
            for i in np.flatnonzero(step.terminated[0] | step.truncated[0]):
                ends.setdefault(f"ours {i}", (bool(step.terminated[0, i]), bool(step.truncated[0, i])))
            if step.game_over[0]:
                break
        while env.agents:
            _, reward, terminated, truncated, _ = env.last()
            earned[env.agent_selection] += reward
            ends[env.agent_selection] = (terminated, truncated)
            env.step(None)
        assert sums.tolist() == list(earned.values())
        for i, agent in enumerate(env.possible_agents):
            assert ends[f"ours {i}"] == ends[agent]
        assert step.final is not None


def test_who_is_out_leaves_and_the_others_play_on() -> None:
    game = pile(players=3, knockout=True, size=3)
    step, draws = game.reset(), np.random.default_rng(2)
    out = np.zeros(3, bool)
    while not step.game_over[0]:
        assert not out[turn_of(step)]
        step = game.step(legal(step, draws))
        ended = step.terminated[0] | step.truncated[0]
        assert not (out & ended).any()
        assert (step.reward[0][out] == 0.0).all()
        out |= ended
        if not step.game_over[0]:
            # Who ended just now is shown a last time.
            assert step.observation.present[0].tolist() == (~out | ended).tolist()
    assert out.all()
    assert step.final is not None and step.final.present[0].sum() == 2  # the last two left together


def test_a_time_limit_is_no_end() -> None:
    game = pile(size=40, limit=4)
    step = game.reset()
    for _ in range(4):
        step = game.step(np.zeros((1, 2), int))
    assert step.game_over[0] and step.truncated[0].all() and not step.terminated.any()
    assert step.final is not None
    assert (step.final.private[0, :, 0] < 80 - 3).all()
    assert step.final.acting[0].tolist() == [False, True]  # who acted in the last step
    assert step.observation.acting[0].tolist() == [True, False]


def test_snapshots_and_rows_are_as_of_any_game() -> None:
    game, alone = pile(num_games=3), PettingZooVector("tiny_games.py:Pile", {}, folder=HERE, seed=3, first_game=2)
    draws = np.random.default_rng(4)
    step, other = game.reset(), alone.reset()
    kept, rewards = None, []
    for time in range(30):
        if time == 7:
            kept = game.snapshot()
        actions = legal(step, draws)
        step, other = game.step(actions), alone.step(actions[2:])
        np.testing.assert_array_equal(step.observation.private[2:], other.observation.private)
        if time >= 7:
            rewards.append((actions, step.reward.copy()))
    assert kept is not None
    game.restore(kept)
    for actions, reward in rewards:
        np.testing.assert_array_equal(game.step(actions).reward, reward)


def test_a_game_that_lets_nobody_leave_is_named() -> None:
    game = pile(size=1, stays=True)
    game.reset()
    with pytest.raises(UserError, match="does not leave it on the action None"):
        game.step(np.zeros((1, 2), int))


def test_teams_and_original_observations() -> None:
    teams = {"player_[02]": "even", "*": "odd"}
    game = PettingZooVector("tiny_games.py:Pile", {"players": 4, "start": 5}, folder=HERE, teams=teams)
    step = game.reset()
    assert game.agent_names == ("player_0", "player_2", "player_1", "player_3")
    assert [game.layout.teams[team].name for team in game.agent_team] == ["even", "even", "odd", "odd"]
    assert turn_of(step) == 0
    step = game.step(np.zeros((1, 4), int))
    assert turn_of(step) == 2
    shown, info = game.original(0, 2)
    assert set(shown) == {"observation", "action_mask"} and info == {}
    assert shown["action_mask"].tolist() == [1, 1, 1]
    assert game.codec(0, 2).encode(np.int64(6)) == 1 and game.codec(0, 2).decode(1) == 6


@pytest.mark.filterwarnings("ignore:The old environment creation API:DeprecationWarning")
@pytest.mark.parametrize("name", CLASSICS)
def test_pettingzoos_own_turn_based_games_are_played(name: str) -> None:
    needs = {"leduc_holdem_v4": "rlcard", "texas_holdem_v4": "rlcard", "chess_v6": "chess", "hanabi_v5": "shimmy"}
    if needs.get(name) and find_spec(needs[name]) is None:
        pytest.skip(f"{needs[name]} is not installed")
    kwargs = {"board_size": 5} if name == "go_v5" else {}
    game = PettingZooVector(f"pettingzoo.classic.{name}:env", kwargs, num_games=2)
    step, draws = game.reset(), np.random.default_rng(0)
    games, total = 0, np.zeros((2, game.num_agents))
    for _ in range(400):
        assert (step.observation.acting.sum(-1) == 1).all()
        step = game.step(legal(step, draws))
        total += step.reward
        games += int(step.game_over.sum())
    assert games > 1
    if name != "hanabi_v5":
        np.testing.assert_allclose(total.sum(-1), 0.0, atol=1e-5)  # what one wins the others lose


@pytest.mark.filterwarnings("ignore:The old environment creation API:DeprecationWarning")
def test_boards_are_drawn_to_the_last_move() -> None:
    game = PettingZooVector("pettingzoo.classic.tictactoe_v3:env", {}, num_games=2, seed=1)
    sight = sight_of(game, 1)
    assert sight is not None
    game.reset()
    sight.look(over=False)
    for move in (0, 1, 3, 4, 6):  # the first player has a column
        step = game.step(np.full((2, 2), move))
        sight.look(over=bool(step.game_over[1]))
    assert step.game_over.all() and step.reward[1].tolist() == [1.0, -1.0]
    scene = sight.scene()
    assert (scene.kind, scene.style, scene.width, scene.height) == ("board", "board", 3, 3)
    sight.look(over=False)
    assert sight._moments[0].sum() == 0  # the next game begins with an empty board
    assert sight_of(pile(), 0) is None


@pytest.mark.filterwarnings("ignore:The old environment creation API:DeprecationWarning")
def test_a_recorded_board_game_shows_its_board_and_verifies() -> None:
    four = ThirdPartyGame("pettingzoo.classic.connect_four_v3:env")
    replay = play({"player_0": "random", "player_1": "random"}, game=four)
    (episode,) = replay.record.episodes
    assert episode.scene.kind == "board"
    boards = cells_of(episode)
    assert len(boards) == episode.steps + 1
    assert [np.count_nonzero(board) for board in boards] == list(range(episode.steps + 1))
    assert replay.verify().same
