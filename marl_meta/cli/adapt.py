"""`marl-meta adapt`: let a team find out about one variant, episode by episode, and save what it became."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marl_meta.cli._options import AsJson, Game, Kwargs, PettingZoo, Schema, Seed, Sides, TeamFolder, chosen_game
from marl_meta.cli._progress import progress_bar

if TYPE_CHECKING:
    from marl_meta.evaluate.adapting import Adapted

_RULES = "Rules of the variant: inline JSON, a YAML or JSON file, or a variant_id. Others are at their default."
_OUT = "Folder, new or empty, for the adapted team."
_REPLAY = "File for a replay of the episodes, to be watched with `marl-meta watch`."
_SIDE = "Team of the game that it plays; by default the first that it can play."


def adapt(  # noqa: PLR0913 (the options of a command)
    team: TeamFolder,
    rules: Annotated[str | None, typer.Option(help=_RULES)] = None,
    episodes: Annotated[int, typer.Option(help="How many episodes it plays.")] = 5,
    out: Annotated[Path | None, typer.Option(help=_OUT)] = None,
    replay: Annotated[Path | None, typer.Option(help=_REPLAY)] = None,
    side: Annotated[str | None, typer.Option(help=_SIDE)] = None,
    seed: Seed = 0,
    game: Game = None,
    pettingzoo: PettingZoo = None,
    kwargs: Kwargs = None,
    schema: Schema = None,
    sides: Sides = None,
    as_json: AsJson = False,
) -> None:
    """Let a team play some episodes of one variant, and save it with what it found out."""
    from marl_meta.evaluate.adapting import adapt as run
    from marl_meta.files import claimed_folder, finite
    from marl_meta.replay.reading import target

    played = chosen_game(game, pettingzoo, kwargs, schema, sides)
    wanted = target(replay) if replay is not None else None
    # Claimed before anything is played: what was found out would be lost with nowhere to keep it.
    with claimed_folder(out, "give the adapted team a folder of its own") if out is not None else nullcontext():
        with progress_bar() as advance:
            adapted = run(
                team, rules=rules, game=played, episodes=episodes, side=side, seed=seed, watch=replay is not None,
                report=advance,
            )  # fmt: skip
        if out is not None:
            adapted.team.save(out)
    saved = adapted.replay.save(wanted) if adapted.replay is not None and wanted is not None else None
    if as_json:
        made = {"out": None if out is None else str(out), "replay": None if saved is None else str(saved)}
        typer.echo(json.dumps(finite({**adapted.record(), **made}), allow_nan=False))
        return
    _show(adapted)
    if saved is not None:
        typer.echo(f"written: {saved}")
    if out is not None:
        typer.echo(f"written: {out}")


def _show(adapted: Adapted) -> None:
    """Print what the team earned, episode by episode, beside random play."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(header_style="bold", box=box.SIMPLE_HEAD)
    for column in ("episode", f"return of each {adapted.side}", "random play"):
        table.add_column(column, justify="right")
    for index, (own, random) in enumerate(zip(adapted.returns, adapted.random, strict=True), 1):
        table.add_row(str(index), f"{own:.2f}", f"{random:.2f}")
    Console().print(table)
