"""`marl-meta bench`: what this machine does, beside peers where they are installed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from marl_meta.cli._options import AsJson
from marl_meta.types import UserError

if TYPE_CHECKING:
    from marl_meta.bench.machine import Machine
    from marl_meta.bench.report import Mark, Report, Table

bench = typer.Typer(help="Measure what this machine does, beside peers where they are installed.")

_NUM_GAMES = "Numbers of games, separated by commas."
_OVERRIDES = "Config overrides, as marl-meta train takes them."
_CURVE = "Also train for so many seconds, and say when which return was reached."
_Seconds = Annotated[float, typer.Option(min=0.001, help="How long each thing is measured, in all.")]
_Repeats = Annotated[int, typer.Option(min=1, help="In so many turns, of which the median counts.")]


@bench.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@bench.command()
def engine(
    games: Annotated[str, typer.Option(help="Families, separated by commas.")] = "spread,tag,harvest,connect",
    batches: Annotated[str, typer.Option(help=_NUM_GAMES)] = "64,512,4096,32768",
    seconds: _Seconds = 1.0,
    repeats: _Repeats = 7,
    as_json: AsJson = False,
) -> None:
    """Env-steps a second of the games by batch size, beside mpe2, VMAS, JaxMARL and PettingZoo."""
    from marl_meta.bench.engine import bench_engine

    names = [name.strip() for name in games.split(",")]
    sizes = _whole_numbers("--batches", batches)
    _show(bench_engine(names, sizes, seconds=seconds, repeats=repeats, say=_say), as_json)


@bench.command()
def policy(
    graphs: Annotated[int, typer.Option(min=2, help="Graphs of 6 and of 12 nodes that a layer goes over.")] = 1024,
    num_games: Annotated[str, typer.Option(help=_NUM_GAMES)] = "128,1024",
    seconds: _Seconds = 1.5,
    repeats: _Repeats = 7,
    as_json: AsJson = False,
) -> None:
    """The relational layer beside torch-geometric's, and the policy's update beside its matrix products."""
    from marl_meta.bench.policy import bench_policy

    sizes = _whole_numbers("--num-games", num_games)
    report = bench_policy(sizes, graphs=graphs, seconds=seconds, repeats=repeats, say=_say)
    _show(report, as_json)


@bench.command()
def train(
    overrides: Annotated[list[str] | None, typer.Argument(help=_OVERRIDES, metavar="KEY=VALUE...")] = None,
    num_games: Annotated[str, typer.Option(help=_NUM_GAMES)] = "128,1024",
    seconds: _Seconds = 10.0,
    curve: Annotated[float | None, typer.Option(min=1.0, help=_CURVE)] = None,
    as_json: AsJson = False,
) -> None:
    """Agent-steps a second of training spread, its memory, and how soon it reaches what others reach."""
    from marl_meta.bench.training import bench_training

    sizes = _whole_numbers("--num-games", num_games)
    report = bench_training(sizes, seconds=seconds, curve_seconds=curve, overrides=overrides or [], say=_say)
    _show(report, as_json)


@bench.command()
def meta(
    tasks: Annotated[int, typer.Option(min=2, help="Tasks of the meta-batch.")] = 20,
    seconds: _Seconds = 3.0,
    repeats: _Repeats = 7,
    as_json: AsJson = False,
) -> None:
    """A second-order meta-step over all tasks at once, beside a loop over tasks as learn2learn makes it."""
    from marl_meta.bench.meta import bench_meta

    _show(bench_meta(tasks, seconds=seconds, repeats=repeats, say=_say), as_json)


def _whole_numbers(option: str, text: str) -> list[int]:
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise UserError(f"{option} takes positive whole numbers separated by commas, not {text!r}.")
    return [int(number) for number in numbers]


def _say(message: str) -> None:
    typer.echo(message, err=True)


def _show(report: Report, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report.record()))
        return
    from rich.console import Console

    console = Console()
    console.print(_about(report.machine), highlight=False, markup=False)
    for table in report.tables:
        _print_table(table)
        for note in table.notes:
            console.print(note, style="dim", highlight=False, markup=False)
    if report.marks:
        _print_marks(report.marks)
    if report.machine.warning is not None:
        console.print(report.machine.warning, style="yellow", highlight=False)


def _about(machine: Machine) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items() if version is not None)
    load = " ".join(f"{load:.2f}" for load in machine.load_average)
    return (
        f"{machine.cpu}, {machine.cores} cores; Python {machine.python}, {versions}\n"
        f"allocator: {machine.allocator}; OpenMP waits: {machine.openmp_wait}; load average: {load}"
    )


def _print_table(table: Table) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid

    from marl_meta.bench.report import figure

    grid = Grid(title=table.title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
    for index, column in enumerate(table.columns):
        text = all(isinstance(row[index], str) for row in table.rows)
        grid.add_column(column.replace("_", " "), justify="left" if text else "right")
    for row in table.rows:
        grid.add_row(*(figure(cell) for cell in row))
    Console().print(grid)


def _print_marks(marks: list[Mark]) -> None:
    from marl_meta.bench.report import Table as Rows
    from marl_meta.bench.report import figure

    rows = [(mark.name, figure(mark.value), mark.wanted, "yes" if mark.met else "no") for mark in marks]
    _print_table(Rows("marks", "Marks", ("mark", "measured", "wanted", "met"), list(rows)))
