"""Visitors play a team in some games from trial to trial, and their rows teach nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from marl_meta.games import make_vec
from marl_meta.nets.inputs import PolicyDesign, PolicyInputs
from marl_meta.players import RandomPlayer, scripted_player
from marl_meta.rollout import Collector, Seat
from marl_meta.types import Observation, Step, VectorGame
from marl_meta.visitors import Visitor, of_games

RECALL = Path(__file__).parent / "recall"

GAMES = 6


def collector(horizon: int = 8, episodes: int = 1, **rules: Any) -> Collector:
    """Return a collector of games of one player and two rivals, with a learner for each."""
    rules = {"players": 1, "rivals": 2, "length": 4, **rules}
    game = make_vec(RECALL, num_games=GAMES, rules=rules, seed=3, episodes_per_trial=episodes)
    seats = {name: seat(game, agents, horizon) for name, agents in (("players", [0]), ("rivals", [1, 2]))}
    return Collector(game, seats, {}, torch.Generator().manual_seed(5), trials=episodes > 1)


def seat(game: VectorGame, agents: list[int], horizon: int) -> Seat:
    torch.manual_seed(agents[0])
    inputs = PolicyInputs(game.layout, PolicyDesign(hidden=8, heads=2, trial_inputs=True))
    return Seat(inputs.build_policy(), inputs, game, np.array(agents), horizon, shared_view=True)


def visitor(first: int, last: int, agents: list[int], name: str = "knows", seed: int = 0) -> Visitor:
    player = RandomPlayer(seed) if name == "random" else scripted_player(str(RECALL), name)
    return Visitor((name, str(agents)), slice(first, last), np.array(agents), player)


# slices of records


def test_of_games_slices_every_field_and_keeps_none() -> None:
    game = make_vec("tag", num_games=5, rules={"vision_radius": 0.8, "episode_length": 3}, seed=1)
    step = game.reset()
    actions = np.zeros((5, game.num_agents), np.int64)
    for _ in range(3):
        step = game.step(actions)
    assert step.final is not None
    some = of_games(step, slice(1, 3))
    assert some.final is not None
    for part, whole in ((some.observation, step.observation), (some.final, step.final)):
        for name in Observation.__dataclass_fields__:
            array = getattr(whole, name)
            np.testing.assert_array_equal(getattr(part, name), None if array is None else array[1:3])
    for name in ("reward", "terminated", "truncated", "game_over", "trial_over"):
        np.testing.assert_array_equal(getattr(some, name), getattr(step, name)[1:3])
    assert np.shares_memory(some.observation.entities, step.observation.entities)
    assert of_games(replace(step.observation, sees=None), slice(1, 3)).sees is None


def test_of_games_takes_links_and_targets_where_there_are_some() -> None:
    shown = make_vec("connect", num_games=4, seed=1).reset().observation
    some = of_games(shown, slice(2, 4))
    assert shown.links is not None and shown.targets is not None
    np.testing.assert_array_equal(some.links, shown.links[2:4])
    np.testing.assert_array_equal(some.targets, shown.targets[2:4])
    assert some.sees is None


def test_nothing_has_ended_where_no_game_of_the_slice_has() -> None:
    step = make_vec(RECALL, num_games=4, rules={}, seed=1).reset()
    ended = np.array([True, False, False, False])
    step = Step(step.observation, step.reward, step.terminated, step.truncated, ended, ended, step.observation)
    assert of_games(step, slice(0, 2)).final is not None
    assert of_games(step, slice(1, 4)).final is None


# what counts


def test_what_visitors_do_counts_for_nobody() -> None:
    playing = collector()
    playing.invite([visitor(2, 4, [1, 2]), visitor(4, 6, [0], "random")])
    experience, totals = playing.collect(8)
    assert experience["players"].weight.T.tolist() == [[1.0] * 8] * 4 + [[0.0] * 8] * 2
    rivals = experience["rivals"].weight.view(8, GAMES, 2)
    assert rivals[:, [0, 1, 4, 5]].eq(1.0).all()
    assert rivals[:, 2:4].eq(0.0).all()
    assert experience["rivals"].reward.view(8, GAMES, 2)[:, 2:4].eq(1.0).all()  # it knows every word
    # Two episodes of each game: those without visitors are the run's own, the others say whom they were against.
    assert len(totals.returns) == len(totals.lengths) == len(totals.trials) == 4
    assert [label for label, _ in totals.meetings] == [("knows", "[1, 2]")] * 2 + [("random", "[0]")] * 2 + (
        [("knows", "[1, 2]")] * 2 + [("random", "[0]")] * 2
    )
    for (name, _), row in totals.meetings:
        assert (row[1:].tolist() == [4.0, 4.0]) == (name == "knows")


def test_the_learners_play_the_other_games_as_they_did() -> None:
    alone, visited = collector(), collector()
    visited.invite([visitor(4, 6, [0])])
    one, other = alone.collect(8)[0], visited.collect(8)[0]
    for name in ("players", "rivals"):
        rows = 4 if name == "players" else 8
        for field in ("action", "reward", "value", "log_prob"):
            assert torch.equal(getattr(one[name], field)[:, :rows], getattr(other[name], field)[:, :rows]), field


@pytest.mark.parametrize(("episodes", "before", "left"), [(1, 6, 2), (2, 6, 2), (2, 3, 5)])
def test_a_trial_goes_on_with_whom_it_began(episodes: int, before: int, left: int) -> None:
    """An episode takes four steps."""
    playing = collector(horizon=12, episodes=episodes)
    playing.invite([visitor(3, 6, [0])])
    playing.collect(before)
    playing.invite([visitor(2, 5, [1, 2])])
    assert not playing.visitors.settled
    experience, totals = playing.collect(12)
    assert playing.visitors.settled
    players, rivals = (experience[side].weight.view(12, GAMES, -1)[..., 0].T.tolist() for side in ("players", "rivals"))
    first, then = [0.0] * left + [1.0] * (12 - left), [1.0] * left + [0.0] * (12 - left)
    assert players == [[1.0] * 12] * 3 + [first] * 3
    assert rivals == [[1.0] * 12] * 2 + [then] * 3 + [[1.0] * 12]
    ends = range(before // 4 * 4 + 4, before + 12 + 1, 4)
    met = {"[0]": 3 * sum(end - before <= left for end in ends), "[1, 2]": 3 * sum(end - before > left for end in ends)}
    assert {who: sum(label[1] == who for label, _ in totals.meetings) for who in met} == met
    for (_, agents), row in totals.meetings:
        assert (row[0] if agents == "[0]" else row[1]) == 4.0  # whole episodes of who knows
    assert len(totals.returns) + len(totals.meetings) == GAMES * len(ends)


def test_at_the_beginning_of_a_trial_all_change_at_once() -> None:
    playing = collector(horizon=4)
    playing.collect(4)
    playing.invite([visitor(3, 6, [0])])
    assert playing.visitors.settled
    assert len(playing.collect(4)[1].meetings) == 3
    playing.invite([])
    assert len(playing.collect(4)[1].returns) == GAMES


def test_a_snapshot_holds_who_plays_and_who_leaves() -> None:
    def begun() -> Collector:
        playing = collector(horizon=3, episodes=2)
        playing.invite([visitor(2, 4, [0], "random", 1), visitor(4, 6, [1, 2], "random", 2)])
        playing.collect(3)
        playing.invite([visitor(2, 4, [1, 2], "random", 3), visitor(4, 6, [0], "random", 4)])
        return playing

    one = begun()
    one.collect(3)
    assert not one.visitors.settled
    kept = one.snapshot()
    expected = [one.collect(3)[0]["players"] for _ in range(3)]
    other = begun()
    other.restore(kept)
    for experience in expected:
        found = other.collect(3)[0]["players"]
        for field in ("action", "reward", "weight", "value"):
            assert torch.equal(getattr(found, field), getattr(experience, field)), field
