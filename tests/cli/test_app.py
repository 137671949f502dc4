from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from marl_meta.cli import app as app_module
from marl_meta.cli.app import app, main
from marl_meta.types import UserError


def commands() -> list[str]:
    """Return the names of the commands and of the groups of commands."""
    return [str(entry.name) for entry in (*app.registered_commands, *app.registered_groups)]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `marl-meta` with these arguments; returns its exit code."""

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["marl-meta", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        assert isinstance(caught.value.code, int)
        return caught.value.code

    return call


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Add a command `fail` that raises what it is given."""

    def add(error: BaseException) -> None:
        def fail() -> None:
            raise error

        monkeypatch.setattr(app, "registered_commands", [*app.registered_commands])
        app.command("fail")(fail)

    return add


def test_help_lists_every_command(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    for name in commands():
        assert f"│ {name} " in shown


def test_every_file_beside_the_app_is_registered() -> None:
    folder = Path(app_module.__file__).parent
    files = {path.stem for path in folder.glob("[!_]*.py")} - {"app"}
    assert files <= {module for module, _, _ in app_module.COMMANDS}
    assert {"games", "variants", "train", "doctor"} <= set(commands())


def test_no_arguments_show_the_help(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert "Usage:" in capsys.readouterr().out


def test_version(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == "marl-meta 0.1.0\n"


def test_every_command_has_help(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    for name in commands():
        assert run(name, "--help") == 0
        assert f"marl-meta {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["doctr"], "marl-meta: error: No such command 'doctr'. Did you mean 'doctor'?\n"),
        (["doctor", "--fast"], "marl-meta: error: No such option: --fast\n"),
        (["doctor", "now"], "marl-meta: error: Got unexpected extra argument(s) (now)\n"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", said)


def test_bad_input_is_one_line_and_exit_code_2(
    failing: Callable[[BaseException], None], run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(UserError("There is no family\n'nope'."))
    assert run("fail") == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "marl-meta: error: There is no family 'nope'.\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()])
def test_interrupt_is_130(
    error: BaseException, failing: Callable[[BaseException], None], run: Callable[..., int]
) -> None:
    failing(error)
    assert run("fail") == 130


def test_exit_code_of_a_command_is_kept(failing: Callable[[BaseException], None], run: Callable[..., int]) -> None:
    failing(typer.Exit(3))
    assert run("fail") == 3


def test_a_bug_keeps_its_traceback(failing: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch) -> None:
    failing(ZeroDivisionError())
    monkeypatch.setattr(sys, "argv", ["marl-meta", "fail"])
    with pytest.raises(ZeroDivisionError):
        main()


def test_help_is_fast_because_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, marl_meta.cli.app\n"
        "heavy = {'torch', 'numba', 'wandb', 'hydra', 'pydantic', 'pettingzoo', 'gymnasium', 'scipy', 'PIL'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"imported for nothing: {done.stderr}"
    assert time.monotonic() - started < 5  # about 0.3 s; the bound is for a busy machine
