from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from marl_meta.cli.tournament import _apart, tournament
from marl_meta.types import UserError

app = typer.Typer()
app.add_typer(tournament, name="tournament")

SMALL = ["--game", "harvest", "--teams", "random,builtin:gather", "--variants", "2", "--seeds", "2", "--games", "2"]


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["tournament", *arguments], catch_exceptions=False, env={"COLUMNS": "120"})
    assert result.exit_code == 0
    return result.stdout


def test_run_report_and_resume(tmp_path: Path) -> None:
    folder = str(tmp_path / "t")
    shown = invoke("run", folder, *SMALL)
    assert "harvest, round robin on two_teams_held_out" in shown
    assert "random" in shown and "gather" in shown and "report.html" in shown
    record = json.loads(invoke("report", folder, "--json"))
    assert {one["name"] for one in record["entrants"]} == {"random", "gather"}
    assert record["series"] == 2 * 2 * 2
    assert json.loads(invoke("resume", folder, "--json")) == record


def test_names_may_be_given_and_options_repeated(tmp_path: Path) -> None:
    shown = invoke(
        "run", str(tmp_path / "t"), "--game", "harvest", "--teams", "one=random", "--teams", "two=random", "--variants",
        "1", "--seeds", "1", "--games", "1", "--json",
    )  # fmt: skip
    assert {one["name"] for one in json.loads(shown)["entrants"]} == {"one", "two"}


def test_limits_of_entrants_from_outside(tmp_path: Path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text("import time\n\n\ndef agent(observation, agent):\n    time.sleep(0.05)\n    return 0\n")
    game = ["--game", "harvest", "--teams", f"random,slow={slow}:agent", "--variants", "1", "--seeds", "1"]
    limits = ["--limit", "act_seconds=0.01", "--limit", "bank_seconds=0", "--limit", "memory_mib=2048"]
    record = json.loads(invoke("run", str(tmp_path / "t"), *game, "--games", "1", *limits, "--json"))
    assert record["plan"]["limits"] == {"act_seconds": 0.01, "bank_seconds": 0, "memory_mib": 2048}
    forfeits = {one["name"]: one["forfeits"] for one in record["entrants"]}
    assert forfeits["slow"] and not forfeits["random"]
    wrongs = [
        ("act_seconds=soon", "KEY=VALUE"),
        ("patience=1", "no limit 'patience'"),
        ("act_seconds=1e12", "to 86400"),
    ]
    for wrong, said in wrongs:
        with pytest.raises(UserError, match=said):
            invoke("run", str(tmp_path / "u"), *game, "--limit", wrong)
    with pytest.raises(UserError, match="--limit act_seconds is given twice"):
        invoke("run", str(tmp_path / "u"), *game, "--limit", "act_seconds=1", "--limit", "act_seconds=2")
    assert not (tmp_path / "u").exists()


def test_a_comma_within_a_spec_is_written_twice() -> None:
    assert _apart("random,zoo:tag") == ["random", "zoo:tag"]
    assert _apart("e=exec:./agent --at 1,,2,random") == ["e=exec:./agent --at 1,2", "random"]


@pytest.mark.filterwarnings("ignore:The old environment creation API:DeprecationWarning")
def test_a_third_party_game_and_its_arguments(tmp_path: Path) -> None:
    folder, go = str(tmp_path / "t"), ["--teams", "a=random,b=random", "--games", "1", "--seeds", "2"]
    game = [
        "--pettingzoo",
        "pettingzoo.classic.go_v5:env",
        "--kwargs",
        '{"board_size": 5}',
        "--kwargs",
        '{"board_size": 6}',
    ]
    shown = invoke("run", folder, *game, *go)
    assert "go_v5, round robin" in shown and "2 variants, 8 series of one game" in shown
    record = json.loads(invoke("resume", folder, "--json"))
    assert record["plan"]["third_party"]["kwargs"] == [{"board_size": 5}, {"board_size": 6}]
    assert record["plan"]["third_party"]["roles"] == {"black_0": "black", "white_0": "white"}
    sides = ["--pettingzoo", "pettingzoo.classic.rps_v2:parallel_env", "--sides", "each"]
    record = json.loads(invoke("run", str(tmp_path / "u"), *sides, *go, "--json"))
    assert record["plan"]["third_party"]["roles"] == {"player_0": "player", "player_1": "player"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "Say which game is played"),
        (["--game", "harvest", "--pettingzoo", "a:b"], "both cannot be played at once"),
        (["--game", "harvest", "--sides", "each"], "are of a third-party game"),
        (["--pettingzoo", "a:b", "--sides", "[1]"], "--sides must be a JSON object"),
        (["--pettingzoo", "a:b", "--sides", '{"a": 1}'], "names of sides"),
        (["--pettingzoo", "nowhere.at_all:env"], "cannot be imported"),
    ],
)
def test_which_game_is_played(tmp_path: Path, options: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        invoke("run", str(tmp_path / "t"), "--teams", "a=random,b=random", *options)
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--split", "nowhere"], "no split 'nowhere'"),
        (["--game", "nothing"], "no family 'nothing'"),
        (["--teams", "nobody"], "names no entrant"),
        (["--format", "gauntlet"], "needs a reference"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(tmp_path: Path, changes: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        invoke("run", str(tmp_path / "t"), *SMALL, *changes)
    assert not (tmp_path / "t").exists()


def test_it_goes_to_wandb_and_stays_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    invoke("run", str(folder), *SMALL, "--wandb", "offline")
    runs = list((folder / "wandb").glob("offline-run-*"))
    assert len(runs) == 1
    tables = {path.name.split("_")[0] for path in (runs[0] / "files" / "media" / "table" / "tournament").iterdir()}
    assert tables == {"standing", "scores"}
    logged = next(runs[0].glob("*.wandb")).read_bytes()
    assert b"tournament-t" in logged
