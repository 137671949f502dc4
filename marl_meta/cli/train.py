"""`marl-meta train`: train a team, or go on with a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

_RESUME = "Go on with the run in this folder; the only override allowed is train.steps."
_TRUST = "Run whatever code the resumed folder names as its game's; only for folders that you trust."
_OVERRIDES = "Config overrides such as game=tag game.split=train train.steps=2e6 policy.hidden=128 seed=1 name=first."


def train(
    overrides: Annotated[list[str] | None, typer.Argument(help=_OVERRIDES, metavar="KEY=VALUE...")] = None,
    resume: Annotated[Path | None, typer.Option(help=_RESUME)] = None,
    trust: Annotated[bool, typer.Option("--trust", help=_TRUST)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object that says what came of it.")] = False,
) -> None:
    """Train a team; everything that it leaves behind is in runs/NAME."""
    from marl_meta.train import run

    lines = overrides or []
    result = run.resume(resume, lines, quiet, trust=trust) if resume is not None else run.train(lines, quiet)
    if as_json:
        values = {
            "folder": str(result.folder),
            "team": str(result.team),
            "env_steps": result.env_steps,
            "seconds": result.seconds,
            "finished": result.finished,
        }
        typer.echo(json.dumps(values))
