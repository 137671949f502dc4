"""Tournaments on games of third parties: parallel and turn-based ones, of one, two and more sides."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marl_meta.evaluate.ground import ThirdPartyGame
from marl_meta.replay import load_replay
from marl_meta.tournament.drawing_up import draw_up
from marl_meta.tournament.partners import Partners
from marl_meta.tournament.plan import Plan, read_plan
from marl_meta.tournament.report import conclude, write_report
from marl_meta.tournament.results import read_results
from marl_meta.tournament.running import enter, resume, so_far, start
from marl_meta.tournament.standing import Standing
from marl_meta.types import UserError

GAMES = Path(__file__).parents[1] / "interop" / "tiny_games.py"
FOUR = "pettingzoo.classic.connect_four_v3:env"

KEEPS_FOUR = """
def policy(observation, agent):
    assert agent == f"player_{int(observation['observation'][1])}"
    want = int(observation["observation"][0]) % 4 - 1
    legal = [i for i in range(3) if observation["action_mask"][i]]
    return START + (want if want in legal else legal[0])
"""
GREEDY = """
def policy(observation, agent):
    return START + 2
"""
LOOKS = """
import json, pathlib
class Player:
    name = "looks"
    def start_series(self, info):
        self.seen = [info.record()]
    def reset(self, agents, info, seed): pass
    def act(self, observations, infos, step):
        self.seen.append([repr(observations), repr(infos)])
        return {agent: [2, 7] for agent in observations}
    def observe(self, rewards, terminations, truncations, observations):
        if observations is not None:
            self.seen.append(repr(observations))
    def close(self):
        pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(self.seen))
"""
PROGRAM = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    (agent, shown), = message["obs"].items()
    legal = [i for i, allowed in enumerate(shown["action_mask"]) if allowed]
    print(json.dumps({"action": legal[-1] + START}), flush=True)
"""


def code(folder: Path, name: str, text: str, begin: int = 0) -> Path:
    path = folder / f"{name}.py"
    path.write_text(text.replace("START", str(begin)))
    return path


def plan_of(teams: Sequence[str], symbol: str = "Pile", *kwargs: dict[str, Any], **options: Any) -> Plan:
    chosen = [
        ThirdPartyGame(f"{GAMES}:{symbol}", one, sides=options.get("sides", {})) for one in kwargs or ({},)
    ]  # fmt: skip
    values = {"games": 2, "seeds": 3, **{key: value for key, value in options.items() if key != "sides"}}
    return draw_up(teams=list(teams), game=chosen, **values)


def lines(folder: Path) -> list[str]:
    return sorted((folder / "results.jsonl").read_text().splitlines())


def test_a_turn_based_game_with_people_from_outside(tmp_path: Path) -> None:
    keeps, greedy = (code(tmp_path, name, text, 4) for name, text in (("keeps", KEEPS_FOUR), ("greedy", GREEDY)))
    program = code(tmp_path, "program", PROGRAM, 4)
    teams = [f"keeps={keeps}:policy", f"greedy={greedy}:policy", f"exec=exec:{sys.executable} {program}", "random"]
    plan = plan_of(teams, "Pile", {"start": 4}, {"start": 4, "size": 11}, seeds=6)
    played = start(plan, tmp_path / "t")
    found = conclude(played)
    assert isinstance(found, Standing)
    assert found.outcomes.names[found.order[0]] == "keeps"  # it plays perfectly
    assert list(found.forfeits) == ["greedy"] and list(found.forfeits["greedy"].kinds) == ["illegal"]
    reasons = {one.reason for result in played.results.values() for one in result.forfeits}
    assert all(re.search(r"action of player_\d is 6, which is not allowed now; allowed are 4", one) for one in reasons)
    assert found.title == "tiny_games, round robin"
    replays = [load_replay(path) for path in sorted((tmp_path / "t" / "replays").glob("*.gz"))]
    assert len(replays) == 4 * 3
    for replay in replays:
        assert replay.verify(trust=True).same
        series = replay.record.series
        assert series is not None
        returns = played.results[series.id].returns
        values = np.stack([returns[team.name][0, 0] for team in replay.record.teams], -1)
        np.testing.assert_allclose(np.where(np.isnan(values), replay.record.returns, values), replay.record.returns)
    page = write_report(found, tmp_path / "t")[0].read_text()
    links = re.findall(r'href="(replays/[^"]+)"', page)
    assert len(links) == 4 * 3 and all((tmp_path / "t" / link).is_file() for link in links)
    assert "tiny_games.py:Pile" in page and "player_1 (role player)" in page
    assert "an action that does not exist, or is not allowed now" in page
    assert json.dumps(found.record())


def test_they_see_the_game_itself_and_answer_in_its_own_terms(tmp_path: Path) -> None:
    looks = code(tmp_path, "looks", LOOKS)
    sides = {"*_0": "red", "*_1": "blue"}
    plan = plan_of([f"looks={looks}:Player", "random"], "Duel", {"length": 3}, sides=sides, games=1, seeds=1)
    assert plan.third_party is not None and plan.third_party.roles == {"red": "fighter", "blue": "fighter"}
    played = start(plan, tmp_path / "t")
    assert not any(result.forfeits for result in played.results.values())
    info, *moves, end = json.loads((tmp_path / "looks.json").read_text())
    assert end.startswith("{'fighter_1': (3, {")
    assert info["game"] == "tiny_games" and info["rules"] == {"length": 3}
    assert info["actions"] == {"fighter_1": {"shape": [2], "sizes": [2, 3], "starts": [1, 5]}}
    assert info["agents"] == {"fighter_0": "red", "fighter_1": "blue"}
    for time_, (shown, told) in enumerate(moves):
        assert re.fullmatch(
            rf"\{{'fighter_1': \({time_}, \{{'a': array\(\[ ?0\.\d+, -1\. +\]\), "
            r"'b': array\(\[1, 0, 1\], dtype=int8\)\}\)\}",
            shown,
        )
        assert told == "{'fighter_1': {'words': ['one', 'two']}}"
    for result in played.results.values():
        for seat, name in result.seating:
            if name == "looks":
                assert result.returns[seat].min() >= 0  # 2 and 7 is the most that there is


@pytest.mark.parametrize("answer", ["[3, 7]", "[2]", "7", "[2.0, 7.0]", "None"])
def test_actions_that_are_none_forfeit(tmp_path: Path, answer: str) -> None:
    bad = code(tmp_path, "bad", f"def policy(observation, agent):\n    return {answer}\n")
    plan = plan_of([f"bad={bad}:policy", "random"], "Duel", sides={"*": "*"}, games=1, seeds=1)
    for result in start(plan, tmp_path / "t").results.values():
        (fault,) = result.forfeits
        assert fault.kind == ("illegal" if answer == "[3, 7]" else "shape")


def test_a_game_that_pays_no_number_is_named(tmp_path: Path) -> None:
    steady = code(tmp_path, "steady", "def policy(observation, agent):\n    return START\n")
    plan = plan_of([f"steady={steady}:policy", "random"], "Spoilt", sides={"*": "*"}, games=1, seeds=1)
    with pytest.raises(UserError, match=r"paid the agent 'player_1' a reward of nan, which is not a number to count"):
        start(plan, tmp_path / "t")


def test_pictures_are_shown_to_people_from_outside(tmp_path: Path) -> None:
    looks = "    assert shown.shape == (99, 99, 3) and shown.dtype == 'uint8' and (shown >= 40).all()\n"
    sees = code(tmp_path, "sees", f"def policy(shown, agent):\n{looks}    return [1, 5]\n")
    plan = plan_of([f"sees={sees}:policy", "random"], "Duel", {"picture": 99}, sides={"*": "*"}, seeds=1)
    played = start(plan, tmp_path / "t")
    assert not any(result.forfeits for result in played.results.values())
    assert all(load_replay(path).verify(trust=True).same for path in (tmp_path / "t" / "replays").glob("*.gz"))


def test_teams_of_ours_play_the_original_of_their_game(tmp_path: Path) -> None:
    game = ThirdPartyGame("mpe2.simple_spread_v3:parallel_env", {"N": 2}, "simple_spread")
    teams = ["belief=zoo:spread-belief", "cover=builtin:cover"]
    plan = draw_up(teams=teams, game=[game], form="cross_play", games=1, seeds=6)
    assert [entrant.name for entrant in plan.entrants] == ["belief", "cover", "random"]
    found = conclude(start(plan, tmp_path / "t"))
    assert isinstance(found, Partners)
    assert found.score.max() == pytest.approx(1.0)
    replays = list((tmp_path / "t" / "replays").glob("*.gz"))
    assert replays and all(load_replay(path).verify().same for path in replays)  # of a well-known collection
    assert load_replay(replays[0]).record.episodes[0].scene.kind == "particles"


def test_hunters_and_prey_are_compared_on_their_sides(tmp_path: Path) -> None:
    game = ThirdPartyGame("mpe2.simple_tag_v3:parallel_env", {"max_cycles": 5}, "simple_tag")
    teams = ["chase=builtin:chase", "random"]
    with pytest.raises(UserError, match="cannot play 'prey'"):
        start(draw_up(teams=teams, game=[game]), tmp_path / "t")
    still = code(tmp_path, "still", "def policy(observation, agent):\n    return 0\n")
    plan = draw_up(teams=[f"still={still}:policy", "random"], game=[game], games=1, seeds=5)
    found = conclude(start(plan, tmp_path / "t"))
    assert isinstance(found, Standing)
    assert list(found.roles.values()) == ["adversary", "prey"]
    assert len(found.outcomes.score) == 2 * 5  # both sides of every seed


def test_whoever_stops_and_goes_on_and_plays_side_by_side_gets_the_same(tmp_path: Path) -> None:
    keeps = code(tmp_path, "keeps", KEEPS_FOUR)
    plan = plan_of([f"keeps={keeps}:policy", "random", "other=random"], "Pile", {}, {"size": 11}, seeds=20)
    start(plan, tmp_path / "whole")
    start(plan, tmp_path / "two", workers=2)
    assert lines(tmp_path / "two") == lines(tmp_path / "whole")
    start(plan, tmp_path / "cut")
    file = tmp_path / "cut" / "results.jsonl"
    whole = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(whole[:2]) + whole[2][:40])
    resume(tmp_path / "cut", trust=True)
    assert file.read_bytes() == b"".join(whole)


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_the_same(tmp_path: Path) -> None:
    keeps = code(tmp_path, "keeps", KEEPS_FOUR)
    plan = plan_of([f"keeps={keeps}:policy", "random", "other=random"], "Pile", {}, {"size": 11}, seeds=10)
    start(plan, tmp_path / "whole")
    folder = tmp_path / "killed"
    (folder / "replays").mkdir(parents=True)
    (folder / "plan.json").write_text((tmp_path / "whole" / "plan.json").read_text())
    killed = "import sys; from pathlib import Path; from marl_meta.tournament.running import resume; "
    killed += "resume(Path(sys.argv[1]), trust=True)"
    draws = np.random.default_rng(0)
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", killed, str(folder)])
        time.sleep(float(draws.uniform(0.5, 4.0)))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    resume(folder, trust=True)
    assert lines(folder) == lines(tmp_path / "whole")
    for path in (tmp_path / "whole" / "replays").iterdir():
        assert (folder / "replays" / path.name).read_bytes() == path.read_bytes()


MARKED = """
from pathlib import Path
Path(__file__).with_suffix(".ran").touch()
from pettingzoo.classic.tictactoe_v3 import env
"""


@pytest.mark.filterwarnings("ignore:The old environment creation API:DeprecationWarning")
def test_a_plan_from_anywhere_runs_no_code_unasked(tmp_path: Path) -> None:
    mine = code(tmp_path, "mine", MARKED)
    game = [ThirdPartyGame(f"{mine}:env")]
    start(draw_up(teams=["a=random", "b=random"], game=game, games=1, seeds=1), tmp_path / "t")
    (tmp_path / "mine.ran").unlink()
    sys.modules.pop(next(name for name in sys.modules if name.startswith("marl_meta_file_mine")))
    with pytest.raises(UserError, match=r"mine\.py.* would be run, because .*plan\.json says so.*--trust"):
        resume(tmp_path / "t")
    assert write_report(conclude(so_far(tmp_path / "t")), tmp_path / "t")  # a report needs no game
    assert not (tmp_path / "mine.ran").exists()
    resume(tmp_path / "t", trust=True)
    assert (tmp_path / "mine.ran").exists()
    start(draw_up(teams=["a=random", "b=random"], game=[ThirdPartyGame(FOUR)], games=1, seeds=1), tmp_path / "known")
    resume(tmp_path / "known")
    plan = json.loads((tmp_path / "known" / "plan.json").read_text())
    plan["entrants"][0]["spec"] = f"exec:touch {tmp_path / 'mine.ran'}"
    (tmp_path / "known" / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(UserError, match=r"exec:touch .* would be run"):
        resume(tmp_path / "known")


def test_three_sides_are_level_for_equals_and_show_who_is_better(tmp_path: Path) -> None:
    """In this game it matters who moves before whom: equals come out level only if places are balanced."""
    keeps = code(tmp_path, "keeps", KEEPS_FOUR)
    teams = ["a=random", f"keeps={keeps}:policy", "b=random", "c=random"]
    plan = plan_of(teams, "Pile", {"players": 3}, games=1, seeds=40, replays=0)
    played = start(plan, tmp_path / "t")
    assert played.series == 4 * 6 * 40  # three of four, in all orders
    found = conclude(played)
    assert isinstance(found, Standing)
    rating = dict(zip(found.outcomes.names, found.ratings.rating, strict=True))
    low = dict(zip(found.outcomes.names, found.ratings.low, strict=True))
    others = [rating[name] for name in "abc"]
    assert np.ptp(others) < 60 and low["keeps"] > max(others)
    assert found.ratings.side.value == 0.0
    page = write_report(found, tmp_path / "t")[0].read_text()
    assert "At a table sit as many entrants as there are sides" in page


def test_with_fewer_entrants_than_sides_somebody_has_several(tmp_path: Path) -> None:
    plan = plan_of(["a=random", "b=random"], "Pile", {"players": 3}, games=1, seeds=1)
    played = start(plan, tmp_path / "t")
    seated = sorted("".join(name for _, name in one.seating) for one in played.results.values())
    assert seated == ["aab", "aba", "abb", "baa", "bab", "bba"]
    assert isinstance(conclude(played), Standing)
    with pytest.raises(UserError, match="needs as many entrants at least, not 2"):
        start(plan_of(["a=random", "b=random"], "Pile", {"players": 3}, form="swiss"), tmp_path / "u")


def test_a_swiss_tournament_of_three_sides(tmp_path: Path) -> None:
    teams = [f"{name}=random" for name in "abcdefg"]
    played = start(plan_of(teams, "Pile", {"players": 3}, games=1, seeds=1, form="swiss", rounds=3), tmp_path / "t")
    tables = {frozenset(name for _, name in one.seating) for one in played.results.values()}
    assert len(tables) == 3 * 2 and all(len(table) == 3 for table in tables)
    assert len(played.results) == 3 * 2 * 6
    out = {name for name in "abcdefg" if sum(name in table for table in tables) == 3}
    assert len(out) == 4  # each round left another one out
    assert read_results(tmp_path / "t", played.plan)[0].keys() == played.results.keys()


REACHES = """
def policy(observation, agent):
    return observation
"""
TOO_FAR = """
def policy(observation, agent):
    return observation + 3
"""


def test_continuous_actions_are_played_as_they_are_answered(tmp_path: Path) -> None:
    """Who says just where the point is earns all that there is to earn, as far as 24 bits say where that is."""
    reaches, far = (code(tmp_path, name, text) for name, text in (("reaches", REACHES), ("far", TOO_FAR)))
    teams = [f"exact={reaches}:policy", f"again={reaches}:policy", f"far={far}:policy", "random"]
    played = start(plan_of(teams, "Reach", {"span": 1.0}, {"span": 2.0}, seeds=2), tmp_path / "t")
    found = conclude(played)
    assert isinstance(found, Standing)
    assert set(found.forfeits) == {"far"}
    reasons = [one.reason for result in played.results.values() for one in result.forfeits]
    said = r"far's action of \w+_0 has [-.\d]+, which is not between -(1 and 1|2 and 2)"
    assert all(re.search(said, one) for one in reasons)
    twins = [one for one in played.results.values() if {name for _, name in one.seating} == {"exact", "again"}]
    assert twins
    for series in twins:
        np.testing.assert_allclose(list(series.returns.values()), 0.0, atol=1e-5)
    for path in sorted((tmp_path / "t" / "replays").glob("*.gz")):
        replay = load_replay(path)
        assert replay.verify(trust=True).same
        for side, team in enumerate(replay.record.teams):  # who answers in numbers is shown to have
            (group,) = [group for group in replay.record.episodes[0].actions if side in group.agents]
            assert (group.numbers is not None) == (team.player in ("exact", "again")) or team.player == "far"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "held_out"}, "A third-party game has no splits"),
        ({"variants": 3}, "A third-party game has no splits"),
        ({"kwargs": ({}, {})}, "one of them is given twice"),
        ({"kwargs": ({}, {"players": 3})}, "must have the same sides"),
        ({"kwargs": ({"colour": 1},)}, "refuses colour=1"),
        ({"sides": {"*": "a|b"}}, "names of sides are without"),
        ({"symbol": "nothing"}, "has no 'nothing'"),
        ({"symbol": "unbounded"}, "continuous actions without bounds"),
        ({"symbol": "Duel"}, "is for games of two sides or more; tiny_games has fighter; who is on which side"),
        ({"form": "cross_play"}, "is for games of one side"),
        ({"teams": ["builtin:chase", "random"]}, "hand-written players play families of ours"),
        ({"teams": ["zoo:spread-belief", "random"]}, "cannot play"),
    ],
)
def test_what_cannot_be_played(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    given = dict(options)
    teams, symbol = given.pop("teams", ["a=random", "b=random"]), given.pop("symbol", "Pile")
    kwargs = given.pop("kwargs", ())
    with pytest.raises(UserError, match=said):
        start(plan_of(teams, symbol, *kwargs, **given), tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_the_game_must_be_the_one_that_was_planned(tmp_path: Path) -> None:
    start(plan_of(["a=random", "b=random"], games=1, seeds=1), tmp_path / "t")
    plan = read_plan(tmp_path / "t")
    assert plan.third_party is not None
    other = plan.third_party.model_copy(update={"roles": {"white": "player", "black": "player"}})
    with pytest.raises(UserError, match="another version of the game"):
        enter(plan.model_copy(update={"third_party": other}))
