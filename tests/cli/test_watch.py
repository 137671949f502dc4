"""`marl-meta watch` as somebody runs it: a page with recorded games, or with games that teams play now."""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from marl_meta.cli.app import main
from marl_meta.cli.watch import watch
from marl_meta.games import load_family, make_vec
from marl_meta.nets.inputs import PolicyDesign, PolicyInputs
from marl_meta.replay import Replay, load_replay
from marl_meta.replay.reading import decode
from marl_meta.replay.record import ReplayRecord
from marl_meta.team import Team
from marl_meta.train import train
from marl_meta.types import UserError
from tests.replay import handmade
from tests.replay.recorded import record_game, whole

app = typer.Typer()
app.command()(watch)

SHORT = '{"episode_length": 3}'


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that a browser was asked to open; none is, in tests."""
    asked: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: asked.append(url) or True)
    return asked


@pytest.fixture(autouse=True)
def no_browser(opened: list[str]) -> list[str]:
    return opened


@pytest.fixture
def tag(tmp_path: Path) -> Path:
    return Replay(record_game("tag", {"episode_length": 5}, seed=1)).save(tmp_path / "tag")


@pytest.fixture
def team(tmp_path: Path) -> str:
    layout = make_vec("spread", num_games=1).layout
    design = PolicyDesign(hidden=8, heads=2, kinds=layout.kinds)
    torch.manual_seed(0)
    policies = {"agent": PolicyInputs(layout, design).build_policy()}
    game = {"family": "spread", "split": "train", "rules": {}, "episodes_per_trial": 2}
    Team("ours", layout, {"agent": design}, policies, {"agent": "agent"}, {"game": game}).save(tmp_path / "ours")
    return str(tmp_path / "ours")


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "120"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def shown(page: Path) -> list[ReplayRecord]:
    """Return the replays that a page holds."""
    found = re.findall(r'class="replay">([^<]*)<', page.read_text())
    return [decode(base64.b64decode(one)) for one in found]


def test_a_recorded_game_is_shown_on_a_page_that_opens(tag: Path, opened: list[str]) -> None:
    text = run(tag)
    page = Path(text.removeprefix("opened: ").strip())
    assert opened == [page.as_uri()] and shown(page) == [load_replay(tag).record]


def test_a_page_that_is_named_does_not_open_unasked(tag: Path, tmp_path: Path, opened: list[str]) -> None:
    page = tmp_path / "page.html"
    assert run(tag, "--out", page) == f"written: {page}\n" and opened == []
    assert run(tag, "--out", page, "--open") == f"opened: {page}\n" and opened == [page.as_uri()]
    assert run(tag, "--no-open").startswith("written: ") and len(opened) == 1


def test_several_are_side_by_side(tag: Path, team: str, tmp_path: Path) -> None:
    run(tag, team, tag, "--rules", SHORT, "--out", tmp_path / "page.html")
    assert [record.game.name for record in shown(tmp_path / "page.html")] == ["tag", "spread", "tag"]


def test_a_team_plays_a_trial_of_a_held_out_variant(team: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    run(team, "--seed", 4, "--out", page)
    (record,) = shown(page)
    assert record.game.variant_id == load_family("spread").sample(4, split="held_out")[0].variant_id
    assert record.game.seed == 4 and record.teams[0].player == "ours" and len(record.episodes) == 3
    assert all(episode.notes for episode in record.episodes)


def test_options_of_the_game(team: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    run(team, "--rules", SHORT, "--episodes", 1, "--out", page)
    (record,) = shown(page)
    assert [episode.steps for episode in record.episodes] == [3] and record.game.rules == {"episode_length": 3}
    run(team, "--split", "ood", "--episodes", 1, "--out", page)
    assert shown(page)[0].num_agents in {5, 6}


def test_what_is_kept_is_no_page_alone(team: str, tag: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "kept"
    for _ in range(2):
        run(team, tag, "--rules", SHORT, "--episodes", 1, "--keep", folder, "--out", tmp_path / "page.html")
    names = sorted(path.name.removesuffix(".replay.json.gz") for path in folder.iterdir())
    assert names == ["spread-1", "spread-2", "tag-1", "tag-2"]  # the first ones are not overwritten
    kept = load_replay(folder / "spread-1.replay.json.gz")
    assert kept.record == shown(tmp_path / "page.html")[0] and kept.verify().same


@pytest.mark.parametrize("name", ["../../out", "/out", "a/b", "", "..", "x" * 400, "pkg.mod:make"])
def test_what_a_recorded_game_calls_itself_leads_nowhere(name: str, tmp_path: Path) -> None:
    file = whole(handmade.table(2))
    file["game"]["name"] = name
    path = tmp_path / "odd.replay.json.gz"
    path.write_bytes(handmade.packed(file))
    before = sorted(tmp_path.iterdir())
    run(path, "--keep", tmp_path / "kept", "--out", tmp_path / "page.html")
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "kept", tmp_path / "page.html"])
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_the_games_of_a_run_are_a_gallery(tmp_path: Path, opened: list[str]) -> None:
    settings = {
        "game": "spread", "game.num_games": 4, "train.horizon": 4, "train.steps": 32, "policy.hidden": 8,
        "policy.heads": 1, "train.threads": 1, "tracking": "off", "name": "short", "runs_dir": tmp_path,
        "train.replays": 1,
    }  # fmt: skip
    folder = train([f"{key}={value}" for key, value in settings.items()], quiet=True).folder
    text = run(folder)
    index = Path(text.removeprefix("opened: ").strip())
    assert opened == [index.resolve().as_uri()] and "short" in index.read_text()
    assert run(folder, "--no-open") == f"written: {index}\n"
    page = tmp_path / "page.html"
    for options in (("--rules", SHORT), ("--seed", 0), ("--against", "random"), ("--episodes", 1), ()):
        page.unlink(missing_ok=True)
        run(folder, *options, "--out", page)  # any option asks for a game, as of the team itself
        (record,) = shown(page)
        assert record.teams[0].player == "short"
    text = run(folder, "--rules", SHORT)
    (record,) = shown(Path(text.removeprefix("opened: ").strip()))
    assert record.game.rules == {"episode_length": 3}
    with pytest.raises(UserError, match="which --pettingzoo names"):
        run(folder, "--kwargs", "{}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing.replay.json.gz",), "There is no replay nothing.replay.json.gz"),
        (("nobody",), "nobody"),
        (("zoo:nobody",), "nobody"),
        (("TAG", "--out", "no/where.html"), "There is no folder no to write where.html to"),
        (("TAG", "--out", "."), "cannot be written"),
        (("TAG", "--keep", "TAG"), "cannot be made"),
        (("TEAM", "--rules", "{"), "not JSON"),
        (("TEAM", "--rules", "{}", "--split", "ood"), "Either rules or a split"),
        (("TEAM", "--split", "none"), "none"),
        (("TEAM", "--episodes", "0"), "episodes cannot be 0"),
        (("TEAM", "--seed", "-1"), "seed"),
        (("TEAM", "--game", "tag"), "none of the game's teams"),
        (("TEAM", "--against", "nobody"), "There is no player 'nobody'"),
        (("TEAM", "--kwargs", "{}"), "which --pettingzoo names"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: tuple[str, ...], said: str, tag: Path, team: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tag.parent)
    known = {"TAG": str(tag), "TEAM": team}
    with pytest.raises(UserError, match=said) as caught:
        run(*(known.get(one, one) for one in arguments))
    assert str(caught.value).endswith(".")
    assert {path.name for path in tag.parent.iterdir()} == {tag.name, "ours"}


def test_bad_input_is_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.replay.json.gz"
    path.write_bytes(json.dumps({}).encode())
    monkeypatch.setattr(sys, "argv", ["marl-meta", "watch", str(path)])
    with pytest.raises(SystemExit) as caught:
        main()
    said = capsys.readouterr()
    assert caught.value.code == 2 and said.out == ""
    assert said.err.startswith(f"marl-meta: error: {path} is not a replay") and said.err.count("\n") == 1
