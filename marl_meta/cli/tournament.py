"""`marl-meta tournament run|resume|report`: who is best under rules that nobody has seen, and who learns them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marl_meta.cli._options import AsJson, PettingZoo, Schema, Seed, Sides, WandbMode, chosen_game
from marl_meta.types import UserError

if TYPE_CHECKING:
    from marl_meta.evaluate.ground import ThirdPartyGame
    from marl_meta.tournament.partners import Partners
    from marl_meta.tournament.running import Played
    from marl_meta.tournament.standing import Standing

tournament = typer.Typer(no_args_is_help=True, help="Let teams meet on variants that nobody has trained on.")

_TEAMS = (
    "Entrants: the folder of a team, zoo:NAME, random, or builtin:NAME (a hand-written player; one for each role: "
    "builtin:chase+flee), file.py:Symbol or pkg.mod:Symbol, or exec:COMMAND; NAME=SPEC gives a name of its own. Repeat "
    "the option, or separate them by commas (a comma within one is written twice)."
)
_SPLIT = "Split whose variants are played; by default the held-out one for as many sides as the format needs."
_KWARGS = "Arguments of the third-party game, as JSON; given several times, each is a variant."
_VARIANTS = "At most so many variants of the split, drawn by the seed; by default all."
_GAMES = "Games of a series: on one variant, against the same opponent, memory kept."
_SEEDS = "Series of each pairing on each variant and side."
_REFERENCE = "Of a gauntlet (or as background of the format focal): names of those whom all others meet."
_LIMIT = (
    "Limit of entrants from outside, as KEY=VALUE: act_seconds (1), bank_seconds (10, for a series), start_seconds, "
    "reset_seconds, memory_mib (4096), processes, ... Repeat the option for several."
)
_STOP = "Stop once the order is settled (sequential probability ratio test)."


class FormatName(StrEnum):
    """Formats of tournaments."""

    ROUND_ROBIN = "round_robin"
    GAUNTLET = "gauntlet"
    SWISS = "swiss"
    CROSS_PLAY = "cross_play"
    FOCAL = "focal"


Folder = Annotated[Path, typer.Argument(help="Folder of the tournament.")]
_WANDB = "Whether the standing also goes to W&B, whose files are kept in the tournament's folder."
Wandb = Annotated[WandbMode, typer.Option(help=_WANDB)]
Workers = Annotated[int, typer.Option(help="Processes that play side by side; the results are the same.", min=1)]

_TRUST = "Run whatever code the tournament's plan names, as game or as entrants; only for plans that you trust."
Trust = Annotated[bool, typer.Option("--trust", help=_TRUST)]


@tournament.command()
def run(  # noqa: PLR0913 (the options of a command)
    folder: Folder,
    teams: Annotated[list[str], typer.Option(help=_TEAMS)],
    game: Annotated[str | None, typer.Option(help="Family that is played.")] = None,
    pettingzoo: PettingZoo = None,
    kwargs: Annotated[list[str] | None, typer.Option(help=_KWARGS)] = None,
    schema: Schema = None,
    sides: Sides = None,
    split: Annotated[str | None, typer.Option(help=_SPLIT)] = None,
    form: Annotated[FormatName, typer.Option("--format", help="Who meets whom.")] = FormatName.ROUND_ROBIN,
    reference: Annotated[str, typer.Option(help=_REFERENCE)] = "",
    games: Annotated[int, typer.Option(help=_GAMES, min=1)] = 3,
    seeds: Annotated[int, typer.Option(help=_SEEDS, min=1)] = 4,
    variants: Annotated[int | None, typer.Option(help=_VARIANTS, min=1)] = None,
    rounds: Annotated[int, typer.Option(help="Of a Swiss tournament.", min=0)] = 0,
    seed: Seed = 0,
    deterministic: Annotated[bool, typer.Option("--deterministic", help="Teams take their likeliest action.")] = False,
    replays: Annotated[int, typer.Option(help="Series recorded of each pairing and seating.", min=0)] = 1,
    stop_early: Annotated[bool, typer.Option("--stop-early", help=_STOP)] = False,
    limit: Annotated[list[str] | None, typer.Option(help=_LIMIT)] = None,
    workers: Workers = 1,
    wandb: Wandb = WandbMode.OFF,
    as_json: AsJson = False,
) -> None:
    """Play a tournament, and write its report."""
    from marl_meta.cli._progress import progress_bar
    from marl_meta.tournament.drawing_up import draw_up
    from marl_meta.tournament.running import start

    plan = draw_up(
        teams=[one for text in teams for one in _apart(text)],
        game=_chosen_game(game, pettingzoo, kwargs or [None], schema, sides), split=split, form=form.value,
        reference=[one for one in reference.split(",") if one], games=games, seeds=seeds, variants=variants,
        rounds=rounds, seed=seed, deterministic=deterministic, replays=replays, stop_early=stop_early,
        limits=_chosen_limits(limit or ()),
    )  # fmt: skip
    with progress_bar("series") as advance:
        played = start(plan, folder, workers=workers, report=advance)
    _conclude(played, wandb, as_json=as_json)


def _apart(text: str) -> list[str]:
    """Return the specs that a text holds, separated by commas; a double one is a comma of a spec."""
    return [one.replace(",,", ",") for one in re.split(r"(?<!,),(?!,)", text)]


def _chosen_limits(texts: Sequence[str]) -> dict[str, float]:
    """Return the limits that KEY=VALUE say; raises UserError for what is no number."""
    found: dict[str, float] = {}
    for text in texts:
        key, _, value = text.partition("=")
        if key in found:
            raise UserError(f"--limit {key} is given twice.")
        try:
            found[key] = int(value) if value.strip().isdigit() else float(value)
        except ValueError as error:
            raise UserError(f"--limit takes KEY=VALUE, such as act_seconds=0.5, not {text!r}.") from error
    return found


def _chosen_game(
    game: str | None, pettingzoo: str | None, kwargs: Sequence[str | None], schema: str | None, sides: str | None
) -> str | list[ThirdPartyGame]:
    """Return the family, or the third-party game with each choice of its arguments."""
    from marl_meta.evaluate.ground import ThirdPartyGame

    chosen = [chosen_game(game, pettingzoo, one, schema, sides) for one in kwargs]
    third_party = [one for one in chosen if isinstance(one, ThirdPartyGame)]
    if third_party:
        return third_party
    if not isinstance(chosen[0], str):
        raise UserError("Say which game is played: --game names a family, --pettingzoo a third-party game.")
    return chosen[0]


@tournament.command()
def resume(
    folder: Folder, workers: Workers = 1, trust: Trust = False, wandb: Wandb = WandbMode.OFF, as_json: AsJson = False
) -> None:  # fmt: skip
    """Go on with a tournament that was stopped: what is missing is played, and the report written."""
    from marl_meta.cli._progress import progress_bar
    from marl_meta.tournament.running import resume as go_on

    with progress_bar("series") as advance:
        played = go_on(folder, workers=workers, trust=trust, report=advance)
    _conclude(played, wandb, as_json=as_json)


@tournament.command()
def report(folder: Folder, trust: Trust = False, wandb: Wandb = WandbMode.OFF, as_json: AsJson = False) -> None:
    """Write the report of what has been played so far, and print the standing."""
    from marl_meta.tournament.running import so_far

    _conclude(so_far(folder, trust=trust), wandb, as_json=as_json)


def _conclude(played: Played, wandb: WandbMode, *, as_json: bool) -> None:
    from marl_meta.config import TrackingConfig
    from marl_meta.tournament.report import conclude, write_report
    from marl_meta.tournament.tracked import track

    found = conclude(played)
    written = write_report(found, played.folder)
    if wandb is not WandbMode.OFF:
        tracking = TrackingConfig.model_validate({"wandb": wandb.value, "project": "marl-meta", "group": None})
        typer.echo(track(found, tracking, played.folder), err=True)
    if as_json:
        typer.echo(json.dumps(found.record()))
        return
    _show(found)
    for path in written:
        typer.echo(f"written: {path}")


def _show(found: Standing | Partners) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"[bold]{escape(found.title)}[/bold]\n{escape(found.about)}")
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for index, column in enumerate(found.columns):
        table.add_column(column, justify="left" if index == 1 else "right")
    for row in found.rows:
        table.add_row(*(escape(_cell(value)) for value in row))
    console.print(table)
    for remark in found.remarks:
        console.print(escape(remark))


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:g}"
