from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from marl_meta.cli import demo as module
from marl_meta.cli.demo import demo, fresh_name, steps_in

app = typer.Typer()
app.command()(demo)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the story short: a small network, two games of a variant, a film of one game."""
    settings = ("game=spread", "game.split=train", "game.num_games=64", "policy.hidden=8", "policy.heads=2")
    monkeypatch.setattr(module, "SETTINGS", settings)
    monkeypatch.setattr(module, "GAMES_PER_VARIANT", 2)
    scenes = module._scenes
    monkeypatch.setattr(module, "_scenes", lambda family: scenes(family)[:1])


def test_the_whole_story(short: None, tmp_path: Path) -> None:  # noqa: ARG001 (it is short)
    result = CliRunner().invoke(
        app, ["--seconds", "0", "--runs-dir", str(tmp_path)], env={"COLUMNS": "120"}, catch_exceptions=False
    )
    assert result.exit_code == 0
    folder = tmp_path / "demo"
    for number in range(1, 6):
        assert f"{number}. " in result.stdout
    for said in ("3 to 5.2 or 6 to 7", "5.4 to 5.8", "spread on held_out (64 variants", "at random it earns"):
        assert said in result.stdout
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 1
    assert (folder / "team" / "team.json").is_file()
    record = json.loads((folder / "evaluation" / "evaluation.json").read_text())
    assert record["teams"][0]["team"] == "demo"
    with Image.open(folder / "held_out.gif") as picture:
        assert picture.n_frames == 26
    for path in (folder / "team", folder / "held_out.gif", folder / "evaluation" / "returns.png"):
        assert str(path) in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo"]


def test_an_earlier_demo_is_kept(tmp_path: Path) -> None:
    assert fresh_name(tmp_path, "demo") == "demo"
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo-2").mkdir()
    assert fresh_name(tmp_path, "demo") == "demo-3"


def test_steps_are_what_this_machine_can_do(short: None) -> None:  # noqa: ARG001 (it is short)
    assert steps_in(0.0) == 1600
    assert steps_in(20.0) >= 20 * 100  # every machine makes a hundred steps a second
