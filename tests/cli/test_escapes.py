"""Names in a file of somebody else must not command the terminal."""

from __future__ import annotations

from pathlib import Path

import typer
from typer.testing import CliRunner

import marl_meta
from marl_meta.cli.replay import replay

app = typer.Typer()
app.add_typer(replay, name="replay")


def test_control_characters_are_not_printed(tmp_path: Path) -> None:
    shown = marl_meta.play("random", game="spread", title="\x1b]0;owned\x07\x1b[31mred", thoughts=False)
    other = marl_meta.play("random", game="spread", seed=1, thoughts=False)
    paths = [str(one.save(tmp_path / name)) for name, one in (("a", shown), ("b", other))]
    for arguments in (["info", paths[0]], ["diff", *paths], ["verify", paths[0]]):
        result = CliRunner().invoke(app, ["replay", *arguments])
        assert result.exit_code in (0, 1)
        assert "\x1b]" not in result.stdout and "\x07" not in result.stdout and "\x1b[31m" not in result.stdout
    assert "?]0;owned" in CliRunner().invoke(app, ["replay", "info", paths[0]]).stdout
