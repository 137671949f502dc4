"""The command `marl-meta`: puts the commands together, and turns bad input into one line and exit code 2.

Every command lives in a file of its own beside this one. Those files import what they need inside the command,
so that asking for help takes no longer than Python itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated

import typer

from marl_meta.types import UserError

COMMANDS = (
    ("demo", "demo", "Start here"),
    ("games", "games", "Games"),
    ("games", "variants", "Games"),
    ("train", "train", "Teams"),
    ("evaluate", "evaluate", "Teams"),
    ("adapt", "adapt", "Teams"),
    ("watch", "watch", "Watch"),
    ("replay", "replay", "Watch"),
    ("team", "team", "Teams"),
    ("tournament", "tournament", "Tournaments"),
    ("bench", "bench", "This machine"),
    ("doctor", "doctor", "This machine"),
)
"""Module of marl_meta.cli, the command in it, and the panel of the help page that lists it."""

INTERRUPTED = 130
BAD_INPUT = 2

app = typer.Typer(
    name="marl-meta",
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"marl-meta {version('marl-meta')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Teams that have met many rule books learn a new one in a few games.

    Train them on families of games with adjustable rules, and see what they do with rules they have never met.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _register() -> None:
    for module, name, panel in COMMANDS:
        if find_spec(f"marl_meta.cli.{module}") is None:
            continue
        command: Callable[..., None] | typer.Typer = getattr(import_module(f"marl_meta.cli.{module}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, rich_help_panel=panel)
        else:
            app.command(name, rich_help_panel=panel)(command)


_register()


def main() -> None:
    """Run the command that the arguments name, and exit: with 2 on bad input, 130 when interrupted."""
    try:
        code = app(prog_name="marl-meta", standalone_mode=False)
    except (UserError, typer.TyperException) as error:
        text = error.format_message() if isinstance(error, typer.TyperException) else str(error)
        typer.echo(f"marl-meta: error: {' '.join(text.split())}", err=True)
        sys.exit(BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)
