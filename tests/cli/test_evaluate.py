from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from marl_meta.cli.evaluate import evaluate
from marl_meta.evaluate.ground import ThirdPartyGame, third_party_ground
from marl_meta.evaluate.results import Evaluation
from marl_meta.games import make_vec
from marl_meta.nets.inputs import BeliefDesign, PolicyDesign, PolicyInputs
from marl_meta.team import Team
from marl_meta.types import UserError

app = typer.Typer()
app.command()(evaluate)

FEW = ("--games", "2")


@pytest.fixture(scope="module")
def teams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of an untrained team of each family."""
    folder = tmp_path_factory.mktemp("teams")
    torch.manual_seed(0)
    for family in ("spread", "tag"):
        layout = make_vec(family, num_games=1).layout
        design = PolicyDesign(hidden=8, heads=2, kinds=layout.kinds)
        sides = [team.name for team in layout.teams]
        Team(
            name=family,
            layout=layout,
            designs=dict.fromkeys(sides, design),
            policies={side: PolicyInputs(layout, design).build_policy() for side in sides},
            plays={side: side for side in sides},
            trained_on={"game": {"family": family, "split": "train", "rules": {}, "episodes_per_trial": 1}},
        ).save(folder / family)
    return {family: str(folder / family) for family in ("spread", "tag")}


def run(*arguments: str) -> str:
    """What the command prints on standard output; its error is raised here."""
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "120"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def run_json(*arguments: str) -> dict[str, Any]:
    """The one JSON object that it prints."""
    record: dict[str, Any] = json.loads(run(*arguments, "--json"))
    return record


def test_a_table_of_everybody(teams: dict[str, str]) -> None:
    text = run(teams["spread"], *FEW)
    assert text.startswith("spread on held_out (64 variants, 2 games of each): return of each agent\n")
    for player in ("spread", "random", "stay", "cover"):
        assert f"\n  {player} " in text
    assert text.index("\n  cover ") < text.index("\n  stay ")  # best first
    assert "over games" in text
    assert "over variants" in text


def test_a_cross_table_of_both_sides(teams: dict[str, str]) -> None:
    text = run(teams["tag"], "--rules", "{}", *FEW)
    assert "tag on rules (one variant, 2 games): return of each adversary" in text
    assert "return of each prey" in text
    assert "against flee" in text
    assert "against chase" in text


def test_json_has_what_was_asked_for(teams: dict[str, str]) -> None:
    record = run_json(teams["spread"], "--split", "held_out", "--split", "ood", "--seed", "3", *FEW)
    assert (record["game"], record["seed"], record["deterministic"]) == ("spread", 3, False)
    assert [team["split"] for team in record["teams"]] == ["held_out", "ood"]
    for team in record["teams"]:
        assert {"team", "split", "variants", "returns", "random", "scripted", "env_steps", "seconds"} <= set(team)
        assert not [key for key in team if key.startswith("S_")]
        assert len(team["returns"]) == len(team["random"]) == 1


def test_a_trial_of_several_episodes(teams: dict[str, str]) -> None:
    arguments = (teams["spread"], "--rules", '{"agents": 2, "episode_length": 4}', "--episodes", "3", *FEW)
    assert len(run_json(*arguments, "--deterministic")["teams"][0]["returns"]) == 3
    assert "ep. 3" in run(*arguments)


def test_a_third_party_game(teams: dict[str, str]) -> None:
    record = run_json(
        teams["spread"], "--pettingzoo", "mpe2.simple_spread_v3:parallel_env", "--schema", "simple_spread",
        "--kwargs", '{"N": 2, "max_cycles": 4}', *FEW,
    )  # fmt: skip
    assert record["game"] == "mpe2.simple_spread_v3:parallel_env"
    assert record["teams"][0]["env_steps"] == 2 * 4


def test_a_report_is_written_to_a_folder_of_its_own(teams: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "report"
    text = run(teams["spread"], "--rules", "{}", "--report", str(folder), *FEW)
    for name in ("evaluation.json", "evaluation.csv", "returns.png"):
        assert (folder / name).is_file()
        assert f"written: {folder / name}\n" in text
    before = (folder / "evaluation.json").read_text()
    with pytest.raises(UserError, match="already exists and is not overwritten"):
        run(teams["spread"], "--rules", "{}", "--report", str(folder), *FEW)
    assert (folder / "evaluation.json").read_text() == before


@pytest.fixture(scope="module")
def gatherers(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of an untrained team that can be told the hidden rules of harvest."""
    layout = make_vec("harvest", num_games=1).layout
    design = PolicyDesign(
        hidden=8, heads=2, kinds=layout.kinds, recurrent=True, unknowns=layout.hidden_rules, belief=BeliefDesign(8, 8)
    )
    torch.manual_seed(0)
    inputs = PolicyInputs(layout, design)
    belief = inputs.build_belief()
    assert belief is not None
    game = {"family": "harvest", "split": "train", "rules": {}, "episodes_per_trial": 4}
    trained_on = {"game": game, "meta": "belief", "seed": 0, "env_steps": 1000, "seconds": 2.0}
    folder = tmp_path_factory.mktemp("gatherers") / "team"
    own = {"gatherer": inputs.build_policy()}
    plays = {"gatherer": "gatherer"}
    Team("ours", layout, {"gatherer": design}, own, plays, trained_on, beliefs={"gatherer": belief}).save(folder)
    return str(folder)


def test_adaptation_as_json(gatherers: str, teams: dict[str, str]) -> None:
    record = run_json(gatherers, "--split", "ood", "--episodes", "2", *FEW)
    (team,) = record["teams"]
    wanted = {"S_iqm", "S_low", "S_high", "S_p20", "auc", "gain", "episodes_to_0.9", "oracle", "oracle_player"}
    assert wanted <= set(team)
    assert (team["team"], team["split"], team["variants"]) == ("ours", "ood", 58)
    assert len(team["oracle"]) == len(team["random"]) == len(team["returns"]) == 2
    known = {"meta": "belief", "seed": 0, "env_steps": 1000, "seconds": 2.0}
    assert team["trained"] == {**known, "encoder": "graph"}
    names = [learner["name"] for learner in record["adaptation"][0]["learners"]]
    assert set(names) == {"ours", "ours (told)", "ours (reset)", "random"}
    assert record["adaptation"][0]["calibration"]["ours"]["error"] >= 0
    assert run_json(teams["spread"], *FEW)["adaptation"] == []  # nothing is hidden there


def test_adaptation_as_tables_and_a_page(gatherers: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    text = run(gatherers, "--split", "ood", "--episodes", "2", "--report", str(folder), *FEW)
    assert "How well they adapt to" in text
    assert f"written: {folder / 'report.html'}\n" in text
    assert (folder / "report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--episodes", "0"), "episodes cannot be 0"),
        (("--oracle", "nowhere"), "is not a team"),
        (("--split", "unseen"), "has no split 'unseen'"),
        (("--group",), "Nothing to group"),
    ],
)
def test_bad_input_writes_nothing(arguments: tuple[str, ...], said: str, gatherers: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        run(gatherers, *arguments, "--report", str(tmp_path / "new" / "report"), *FEW)
    assert list(tmp_path.iterdir()) == []


def test_an_oracle_of_another_game(gatherers: str, teams: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"The team 'spread' cannot play"):
        run(gatherers, "--oracle", teams["spread"], *FEW)
    with pytest.raises(UserError, match="no hidden rules vary"):
        run(teams["spread"], "--oracle", gatherers, *FEW)


def test_wandb_needs_a_folder(gatherers: str) -> None:
    with pytest.raises(UserError, match="--wandb offline needs --report"):
        run(gatherers, "--wandb", "offline", *FEW)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--split", "unseen"), "Family 'spread' has no split 'unseen'"),
        (("--rules", '{"agnts": 3}'), "has no rule 'agnts' (did you mean 'agents'?)"),
        (("--rules", "{}", "--split", "ood"), "either a split or rules"),
        (("--kwargs", "{}"), "which --pettingzoo names"),
        (("--pettingzoo", "a:b", "--game", "tag"), "both cannot be played at once"),
        (("--pettingzoo", "a:b", "--kwargs", "{"), "--kwargs '{' is not JSON"),
        (("--pettingzoo", "a:b", "--kwargs", "[]"), "must be a JSON object"),
        (("--pettingzoo", "mpe2.simple_spread_v3:parallel_env", "--schema", "spread"), "There is no schema 'spread'"),
        (("--pettingzoo", "mpe2.simple_spread_v3:parallel_env"), "cannot play this game"),
        (("--game", "tag"), "can play no side of this game"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], said: str, teams: dict[str, str]) -> None:
    with pytest.raises(UserError) as caught:
        run(teams["spread"], *arguments)
    assert said in str(caught.value)
    assert str(caught.value).endswith(".")


def test_the_number_of_games_is_complained_about_by_its_name(teams: dict[str, str]) -> None:
    result = CliRunner().invoke(app, [teams["spread"], "--games", "1"], env={"COLUMNS": "120"})
    assert result.exit_code == 2
    assert "Invalid value for '--games'" in result.output and "2" in result.output
    assert "at least 2" in CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).output


@pytest.mark.parametrize("report", [False, True])
def test_a_game_that_pays_no_numbers_is_one_sentence(tmp_path: Path, report: bool) -> None:
    spoilt = f"{Path(__file__).parents[1] / 'interop' / 'tiny_games.py'}:Spoilt"
    layout = third_party_ground(ThirdPartyGame(spoilt)).open(1, 1, 0).layout
    design = PolicyDesign(hidden=8, heads=2, kinds=layout.kinds)
    policies = {"all": PolicyInputs(layout, design).build_policy()}
    Team("ours", layout, {"all": design}, policies, {"player": "all"}).save(tmp_path / "ours")
    where = ("--report", str(tmp_path / "report")) if report else ("--json",)
    with pytest.raises(UserError, match="The game 'tiny_games' paid the agent 'player_1' a reward of nan"):
        run(str(tmp_path / "ours"), "--pettingzoo", spoilt, *FEW, *where)
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


def test_json_has_null_where_it_has_no_number(
    teams: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Evaluation, "record", lambda _: {"odd": [float("nan")], "even": 2})
    assert run_json(teams["spread"], "--rules", "{}", *FEW) == {"odd": [None], "even": 2}
    run(teams["spread"], "--rules", "{}", "--report", str(tmp_path / "report"), *FEW)
    assert json.loads((tmp_path / "report" / "evaluation.json").read_text()) == {"odd": [None], "even": 2}


def test_what_is_no_team_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a team"):
        run(str(tmp_path))
