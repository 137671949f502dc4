from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from marl_meta.evaluate.lineup import random_player
from marl_meta.games import make_vec
from marl_meta.games.scripted import scripted_policy
from marl_meta.replay import load_replay
from marl_meta.tournament.plan import read_plan
from marl_meta.tournament.playing import chunk_seed, play_chunk, seats_of
from marl_meta.tournament.results import read_results
from marl_meta.tournament.running import enter, next_chunks, resume, so_far, start
from marl_meta.tournament.schedule import chunks, fixed_tables
from marl_meta.types import UserError

from .conftest import MakePlan


def lines(folder: Path) -> list[str]:
    return sorted((folder / "results.jsonl").read_text().splitlines())


def test_returns_are_what_the_games_paid(make_plan: MakePlan) -> None:
    plan = make_plan(teams=["random", "gather=builtin:gather"])
    hall = enter(plan)
    chunk = next(iter(chunks(plan, list(hall.roles), fixed_tables(plan, list(hall.roles)))))
    result, _ = play_chunk(hall, chunk)
    rules = [variant.rules for _ in chunk.seeds for variant in hall.variants]
    game = make_vec("harvest", num_games=6, rules=rules, seed=plan.seed, episodes_per_trial=2)
    slots = seats_of(game, chunk)
    random = random_player().make(game, "gatherer", chunk_seed(plan, chunk, 0))
    random.reset(6, slots["gatherer"])
    gather = scripted_policy("harvest", "gather")
    observation = game.reset().observation
    earned = {seat: np.zeros((6, 2)) for seat in slots}
    for game_number in range(2):
        for _ in range(25):
            actions = np.zeros((6, game.num_agents), np.int64)
            actions[:, slots["gatherer"]] = random.act(observation)
            actions[:, slots["rival"]] = gather(observation, slots["rival"])
            step = game.step(actions)
            observation = step.observation
            for seat, agents in slots.items():
                earned[seat][:, game_number] += step.reward[:, agents].sum(1)
    for seat, values in earned.items():
        expected = values.reshape(2, 3, 2).transpose(1, 0, 2)  # rows are seeds times variants
        np.testing.assert_allclose(result.returns[seat], expected, atol=1e-4)


def test_whoever_is_seated_games_begin_alike(make_plan: MakePlan) -> None:
    plan = make_plan()
    hall = enter(plan)
    starts = []
    for chunk in chunks(plan, list(hall.roles), fixed_tables(plan, list(hall.roles))):
        game = hall.arena.open(hall.arena.portions(chunk.seeds)[0])
        starts.append(game.reset().observation.entities.copy())
    assert all((one == starts[0]).all() for one in starts)


def test_a_tournament_is_played_and_recorded(make_plan: MakePlan, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    played = start(make_plan(), tmp_path / "t", report=lambda *what: told.append(what))
    assert len(played.results) == 6
    assert told[-1][:2] == (6 * 3 * 2, 6 * 3 * 2)
    replays = sorted((tmp_path / "t" / "replays").glob("*.replay.json.gz"))
    assert len(replays) == 6
    for path in replays:
        replay = load_replay(path)
        assert replay.verify().same
        series = replay.record.series
        assert series is not None
        returns = played.results[series.id].returns
        order = [team.name for team in replay.record.teams]
        np.testing.assert_allclose(
            replay.record.returns, np.stack([returns[seat][0, 0] for seat in order], -1), atol=1e-4
        )
    assert read_plan(tmp_path / "t") == played.plan


def test_workers_side_by_side_play_the_same(make_plan: MakePlan, tmp_path: Path) -> None:
    start(make_plan(), tmp_path / "one")
    start(make_plan(), tmp_path / "two", workers=2)
    assert lines(tmp_path / "one") == lines(tmp_path / "two")


def test_what_is_missing_is_played_and_nothing_else(make_plan: MakePlan, tmp_path: Path) -> None:
    start(make_plan(), tmp_path / "whole")
    start(make_plan(), tmp_path / "cut")
    file = tmp_path / "cut" / "results.jsonl"
    whole = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(whole[:3]) + whole[3][:40])  # torn in the middle of a line
    told: list[tuple[int, int, str]] = []
    resume(tmp_path / "cut", report=lambda *what: told.append(what))
    assert len(told) == 3
    assert file.read_bytes() == (tmp_path / "whole" / "results.jsonl").read_bytes()


KILLED = """
import sys
from marl_meta.tournament.running import resume
resume(sys.argv[1])
"""


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_the_same(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = make_plan(seeds=6, variants=8)
    start(plan, tmp_path / "whole")
    folder = tmp_path / "killed"
    (folder / "replays").mkdir(parents=True)
    (folder / "plan.json").write_text((tmp_path / "whole" / "plan.json").read_text())
    draws = np.random.default_rng(0)
    done = 0
    for _ in range(20):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)])
        time.sleep(float(draws.uniform(0.1, 2.0)))
        os.kill(process.pid, signal.SIGKILL)
        done += process.wait() == 0
    resume(folder)
    assert lines(folder) == lines(tmp_path / "whole")
    whole, killed = (read_results(one, plan)[0] for one in (tmp_path / "whole", folder))
    assert whole.keys() == killed.keys()
    names = {path.name for path in (folder / "replays").iterdir()}
    assert names == {path.name for path in (tmp_path / "whole" / "replays").iterdir()}
    for path in (folder / "replays").iterdir():
        assert path.read_bytes() == (tmp_path / "whole" / "replays" / path.name).read_bytes()


def test_a_swiss_tournament_goes_round_by_round(make_plan: MakePlan, tmp_path: Path) -> None:
    names = ["a=random", "b=builtin:gather", "c=builtin:stay", "d=random", "e=builtin:gather"]
    plan = make_plan(teams=names, form="swiss", rounds=3, games=1, seeds=1)
    played = start(plan, tmp_path / "t")
    assert len(played.results) == 3 * 2 * 2
    assert next_chunks(plan, enter(plan).roles, played.results) == []
    met = {frozenset(name for _, name in one.seating) for one in played.results.values()}
    assert len(met) == 6


def test_it_stops_once_the_order_is_settled(make_plan: MakePlan, tmp_path: Path) -> None:
    names = ["belief=zoo:harvest-belief", "stay=builtin:stay"]
    plan = make_plan(teams=names, variants=20, seeds=20, games=2, stop_early=True, replays=0)
    played = start(plan, tmp_path / "t")
    assert played.settled
    assert 0 < len(played.results) < 20  # of 2 seatings in 10 groups


def test_other_weights_than_at_the_start_are_refused(make_plan: MakePlan, tmp_path: Path) -> None:
    start(make_plan(teams=["zoo:payoffs-belief", "random"], variants=1, seeds=1), tmp_path / "t")
    file = tmp_path / "t" / "plan.json"
    plan = json.loads(file.read_text())
    assert len(plan["entrants"][0]["weights"]) == 64
    plan["entrants"][0]["weights"] = "0" * 64
    file.write_text(json.dumps(plan))
    with pytest.raises(UserError, match="other weights"):
        resume(tmp_path / "t")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teams": ["builtin:nobody", "random"]}, "no hand-written player 'nobody'"),
        ({"game": "tag", "split": "hidden_held_out", "teams": ["zoo:tag-belief", "random"]}, "cannot play 'prey'"),
        ({"split": "held_out"}, "is for games of two sides"),
        ({"form": "cross_play", "split": "two_teams_held_out"}, "is for games of one side"),
    ],
)
def test_what_cannot_be_played(make_plan: MakePlan, tmp_path: Path, changes: dict[str, object], said: str) -> None:
    plan = make_plan(**changes)
    with pytest.raises(UserError, match=said):
        start(plan, tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_hand_written_players_of_several_roles_are_one_entrant(make_plan: MakePlan, tmp_path: Path) -> None:
    names = ["chase-and-flee=builtin:chase+flee", "random"]
    plan = make_plan(game="tag", split="held_out", teams=names, variants=4, seeds=4, games=1, replays=0)
    played = start(plan, tmp_path / "t")
    hunted = next(r for r in played.results.values() if dict(r.seating)["adversary"] == "chase-and-flee")
    fled = next(r for r in played.results.values() if dict(r.seating)["prey"] == "chase-and-flee")
    assert hunted.returns["adversary"].mean() > 5 * fled.returns["adversary"].mean()
    with pytest.raises(UserError, match="no hand-written player 'run'"):
        start(make_plan(game="tag", split="held_out", teams=["builtin:chase+run", "random"]), tmp_path / "u")


def test_a_folder_that_is_none(tmp_path: Path, make_plan: MakePlan) -> None:
    with pytest.raises(UserError, match=r"plan\.json"):
        resume(tmp_path)
    start(make_plan(variants=1, seeds=1, games=1), tmp_path / "t")
    with pytest.raises(UserError, match="already exists"):
        start(make_plan(), tmp_path / "t")
    (tmp_path / "t" / "results.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match=r"results\.jsonl, line 1"):
        so_far(tmp_path / "t")
