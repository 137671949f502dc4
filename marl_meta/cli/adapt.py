"""`marl-meta adapt`: let a team find out about one variant, episode by episode, and save what it became."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marl_meta.types import UserError

if TYPE_CHECKING:
    from marl_meta.evaluate.adapting import Adapted

_RULES = "Rules of the variant: inline JSON, a YAML or JSON file, or a variant_id. Others are at their default."
_GAME = "Family to play; by default the one that the team was trained on."
_OUT = "Folder, new or empty, for the adapted team."
_SIDE = "Team of the game that it plays; by default the first that it can play."


def adapt(  # noqa: PLR0913 (the options of a command)
    team: Annotated[Path, typer.Argument(help="Folder of the team, or of the run that trained it.")],
    rules: Annotated[str | None, typer.Option(help=_RULES)] = None,
    episodes: Annotated[int, typer.Option(help="How many episodes it plays.")] = 5,
    out: Annotated[Path | None, typer.Option(help=_OUT)] = None,
    side: Annotated[str | None, typer.Option(help=_SIDE)] = None,
    seed: Annotated[int, typer.Option(help="Seed of the game and of everybody's draws.")] = 0,
    game: Annotated[str | None, typer.Option(help=_GAME)] = None,
    pettingzoo: Annotated[str | None, typer.Option(help="Third-party game of the same layout to play instead.")] = None,
    kwargs: Annotated[str | None, typer.Option(help="Arguments of the third-party game, as JSON.")] = None,
    schema: Annotated[str | None, typer.Option(help="What the third-party game's flat observations mean.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")
    ] = False,
) -> None:
    """Let a team play some episodes of one variant, and save it with what it found out."""
    from marl_meta.cli.evaluate import progress_bar, third_party_game
    from marl_meta.evaluate.adapting import adapt as run
    from marl_meta.files import claim_folder

    third_party = third_party_game(pettingzoo, kwargs, schema)
    if third_party is not None and game is not None:
        raise UserError("Either --game names a family or --pettingzoo a third-party game, not both.")
    with progress_bar() as advance:
        adapted = run(
            team, rules=rules, game=third_party or game, episodes=episodes, side=side, seed=seed, report=advance
        )
    if out is not None:
        claim_folder(out, "give the adapted team a folder of its own")
        adapted.team.save(out)
    if as_json:
        typer.echo(json.dumps({**adapted.record(), "out": None if out is None else str(out)}))
        return
    _show(adapted)
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
