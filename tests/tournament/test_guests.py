"""Entrants from outside in whole tournaments: they play, and whatever they do wrong costs them and nobody else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import psutil
import pytest

from marl_meta.games import load_family
from marl_meta.replay import load_replay
from marl_meta.tournament.playing import play_chunk
from marl_meta.tournament.report import conclude, write_report
from marl_meta.tournament.running import enter, resume, start
from marl_meta.tournament.schedule import chunks, fixed_tables
from marl_meta.tournament.standing import Standing

from .conftest import MakePlan

NOBODY_MOVES = """
def policy(observation, agent):
    return 0
"""
FAILS_LATER = """
class Player:
    name = "fails"
    def start_series(self, info): self.games = info.games
    def reset(self, agents, info, seed): self.game = info["game"]
    def act(self, observations, infos, step):
        if self.game == 0 and step == 3:
            raise RuntimeError("broken")
        return {agent: 0 for agent in observations}
    def observe(self, rewards, terminations, truncations): pass
    def close(self): pass
"""
TELLS = """
import json, pathlib
class Player:
    name = "tells"
    def start_series(self, info):
        self.told = {"rules": dict(info.rules), "own": list(info.own), "agents": dict(info.agents), "games": info.games}
        self.shapes = set()
    def reset(self, agents, info, seed): self.rewards = 0.0
    def act(self, observations, infos, step):
        self.shapes |= {len(one) for one in observations.values()}
        return {agent: 1 for agent in observations}
    def observe(self, rewards, terminations, truncations):
        self.rewards += sum(rewards.values())
        path = pathlib.Path(__file__).with_suffix(".json")
        path.write_text(json.dumps({**self.told, "shapes": sorted(self.shapes), "rewards": self.rewards}))
    def close(self): pass
"""


def write(folder: Path, name: str, code: str) -> str:
    path = folder / f"{name}.py"
    path.write_text(code)
    return str(path)


def test_a_guest_plays_as_our_own_player_does(make_plan: MakePlan, tmp_path: Path) -> None:
    still = write(tmp_path, "still", NOBODY_MOVES)
    ours = make_plan(teams=["still=builtin:stay", "gather=builtin:gather"], variants=2)
    theirs = make_plan(teams=[f"still={still}:policy", "gather=builtin:gather"], variants=2)
    for plan in (ours, theirs):
        hall = enter(plan)
        found = [
            play_chunk(hall, one)[0] for one in chunks(plan, list(hall.roles), fixed_tables(plan, list(hall.roles)))
        ]
        if plan is ours:
            expected = found
    for one, other in zip(expected, found, strict=True):
        assert other.forfeits == ()
        for seat, values in one.returns.items():
            np.testing.assert_allclose(other.returns[seat], values, atol=1e-4)


def test_who_fails_forfeits_that_game_and_plays_on(make_plan: MakePlan, tmp_path: Path) -> None:
    fails = write(tmp_path, "fails", FAILS_LATER)
    plan = make_plan(teams=[f"fails={fails}:Player", "builtin:stay"], variants=2, seeds=1, games=2)
    played = start(plan, tmp_path / "t")
    for result in played.results.values():
        seat = next(seat for seat, name in result.seating if name == "fails")
        other = next(seat for seat, name in result.seating if name != "fails")
        assert np.isnan(result.returns[seat][..., 0]).all() and not np.isnan(result.returns[seat][..., 1]).any()
        assert not np.isnan(result.returns[other]).any()
        assert [(one.seat, one.game, one.kind) for one in result.forfeits] == [(seat, 0, "crash")] * 2
        assert "broken" in result.forfeits[0].reason
    replays = [load_replay(path) for path in sorted((tmp_path / "t" / "replays").glob("*.gz"))]
    assert len(replays) == 2 and all(replay.verify().same for replay in replays)
    assert all(set(replay.record.status) == {"DONE"} for replay in replays)  # the last game went well
    found = conclude(played)
    assert isinstance(found, Standing)
    assert dict(found.forfeits["fails"].kinds) == {"crash": 4}
    (remark,) = (one for one in found.remarks if "fails forfeited 4 games: 4 by crash" in one)
    assert "RuntimeError: broken" in remark
    texts = {path.name: path.read_text() for path in write_report(found, tmp_path / "t")}
    assert "forfeited 4 games" in texts["report.html"]
    assert all("broken" in texts[name] for name in ("report.html", "report.md", "series.csv", "standing.json"))


def test_a_replay_says_who_failed_and_what_it_wrote(make_plan: MakePlan, tmp_path: Path) -> None:
    noisy = write(tmp_path, "noisy", "def policy(observation, agent):\n    print('help')\n    raise ValueError('no')\n")
    plan = make_plan(teams=[f"noisy={noisy}:policy", "builtin:stay"], variants=1, seeds=1, games=1)
    start(plan, tmp_path / "t")
    for path in (tmp_path / "t" / "replays").glob("*.gz"):
        record = load_replay(path).record
        side = next(index for index, team in enumerate(record.teams) if team.player == "noisy")
        for agent, status in zip(record.agents, record.status, strict=True):
            assert status == ("ERROR" if agent.team == side else "DONE")
        assert record.logs is not None and "help" in record.logs[record.teams[side].name]
        assert load_replay(path).verify().same


def test_a_guest_is_told_what_is_shown_and_nothing_hidden(make_plan: MakePlan, tmp_path: Path) -> None:
    import json

    tells = write(tmp_path, "tells", TELLS)
    plan = make_plan(teams=[f"tells={tells}:Player", "builtin:stay"], variants=1, seeds=1, games=1)
    start(plan, tmp_path / "t")
    told = json.loads((tmp_path / "tells.json").read_text())
    assert not set(told["rules"]) & {"payoff", "control", "agents_needed", "collision_sign"}
    assert {"teams", "gatherers"} <= set(told["rules"])
    assert told["games"] == 1 and set(told["own"]) <= set(told["agents"])
    assert len(told["shapes"]) == 1


CHOOSES = """
import json, pathlib
import numpy as np
class Player:
    name = "chooses"
    def start_series(self, info):
        self.actions = {agent: [space.n, len(space.names)] for agent, space in info.actions.items()}
        self.told, self.sizes = dict(info.rules), set()
    def reset(self, agents, info, seed): self.rng, self.turns = np.random.default_rng(seed), 0
    def act(self, observations, infos, step):
        chosen = {}
        for agent, observation in observations.items():
            mask = infos[agent].get("action_mask", np.ones(self.actions[agent][0]))
            self.sizes.add((len(observation), len(mask), int(observation.sum())))
            chosen[agent] = int(self.rng.choice(np.flatnonzero(mask)))
        return chosen
    def observe(self, rewards, terminations, truncations):
        self.turns += 1
        written = {"actions": self.actions, "told": self.told, "sizes": sorted(self.sizes), "turns": self.turns}
        pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(written))
    def close(self): pass
"""


def test_a_guest_of_a_board_game_knows_all_actions_and_plays_legal_ones(make_plan: MakePlan, tmp_path: Path) -> None:
    """The first mask of a board with blocked cells lacks actions that later games of the series have."""
    import json

    file = tmp_path / "family.yaml"
    ours = Path(load_family("connect").path).read_text()
    only = "splits:\n  few: {rules: {width: [4], height: [4], gravity: [false], blocked: [5]}, variants: all}\n"
    file.write_text(ours[: ours.index("splits:")] + only)
    chooses = write(tmp_path, "chooses", CHOOSES)
    plan = make_plan(
        teams=[f"chooses={chooses}:Player", "builtin:one_ply"], game=str(file), split="few", variants=1, seeds=2,
        games=3,
    )  # fmt: skip
    played = start(plan, tmp_path / "t")
    assert all(result.forfeits == () for result in played.results.values())
    written = json.loads((tmp_path / "chooses.json").read_text())
    assert list(written["actions"].values()) == [[16, 16]]
    assert {tuple(one[:2]) for one in written["sizes"]} == {(4 * 4 * 3, 16)}
    seen = {one[2] for one in written["sizes"]}
    assert min(seen) in (5, 6) and len(seen) > 3  # blocked cells, and stones of both
    assert written["told"]["misere"] is False and written["told"]["width"] == 4  # it is told all
    earned = [returns for result in played.results.values() for returns in result.returns.values()]
    assert set(np.abs(earned).ravel()) <= {0, 1}
    for path in (tmp_path / "t" / "replays").glob("*.gz"):
        assert load_replay(path).record.episodes[0].scene.kind == "board"


SEES_ENDS = """
import json, pathlib
import numpy as np
class Player:
    name = "sees"
    def __init__(self): self.ends = []
    def start_series(self, info): pass
    def reset(self, agents, info, seed): pass
    def act(self, observations, infos, step):
        self.shown = {agent: float(np.sum(one)) for agent, one in observations.items()}
        return {agent: int(np.argmax(infos[agent].get("action_mask", [1]))) for agent in observations}
    def observe(self, rewards, terminations, truncations, observations):
        if observations is not None:
            over = [terminations[agent] or truncations[agent] for agent in observations]
            shown = {agent: float(np.sum(one)) for agent, one in observations.items()}
            self.ends.append([self.shown, shown, all(over)])
            pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(self.ends))
    def close(self): pass
"""


def test_a_guest_sees_how_a_game_ended(make_plan: MakePlan, tmp_path: Path) -> None:
    """Which line counted, and for whom, shows on the last board alone."""
    import json

    sees = write(tmp_path, "sees", SEES_ENDS)
    plan = make_plan(
        teams=[f"sees={sees}:Player", "builtin:one_ply"], game="connect", split="held_out", variants=1, seeds=1, games=3
    )
    played = start(plan, tmp_path / "t")
    assert all(result.forfeits == () for result in played.results.values())
    ends = json.loads((tmp_path / "sees.json").read_text())
    assert len(ends) == 3  # of the series that its process played last
    for shown, last, over in ends:
        (agent,) = shown
        assert over
        assert last[agent] > shown[agent]  # one stone more, or two
    text = SEES_ENDS.replace("truncations, observations)", "truncations, observed=None)")
    text = text.replace("if observations", "observations = observed\n        if observations")
    says = write(tmp_path, "says", text)
    plan = make_plan(teams=[f"says={says}:Player", "builtin:one_ply"], game="connect", variants=1, seeds=1, games=1)
    played = start(plan, tmp_path / "u")  # an argument of its own, which nobody else fills
    assert not (tmp_path / "says.json").exists()
    assert all(result.forfeits == () for result in played.results.values())


def test_nothing_is_left_of_guests(make_plan: MakePlan, tmp_path: Path) -> None:
    still = write(tmp_path, "still", NOBODY_MOVES)
    before = psutil.Process()
    children, files = len(before.children(recursive=True)), before.num_fds()
    plan = make_plan(teams=[f"one={still}:policy", f"two={still}:policy"], variants=4, seeds=4, games=2)
    start(plan, tmp_path / "t")
    assert len(before.children(recursive=True)) == children
    assert before.num_fds() <= files + 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_tournament_with_guests_goes_on(make_plan: MakePlan, tmp_path: Path, workers: int) -> None:
    still = write(tmp_path, "still", NOBODY_MOVES)
    plan = make_plan(teams=[f"still={still}:policy", "random", "builtin:gather"], variants=2, seeds=1)
    start(plan, tmp_path / "whole")
    start(plan, tmp_path / "cut", workers=workers)
    file = tmp_path / "cut" / "results.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:2]))
    resume(tmp_path / "cut", workers=workers, trust=True)
    whole = (tmp_path / "whole" / "results.jsonl").read_bytes().splitlines()
    assert sorted(file.read_bytes().splitlines()) == sorted(whole)
