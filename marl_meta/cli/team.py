"""`marl-meta team`: what a team is, without loading a trainer."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marl_meta.cli._options import AsJson, TeamFolder

if TYPE_CHECKING:
    from rich.console import Console

    from marl_meta.evaluate.zoo import Published
    from marl_meta.meta.adapter import Adapter
    from marl_meta.team import Team

team = typer.Typer(
    help="What a team is: how it plays, what it was trained on, what it remembers.", no_args_is_help=True
)

_EXPORT_GAME = "Family that a script plays, by name or path; by default the one that the team was trained on."
_EXPORT_SPLIT = (
    "Of a script: splits whose visible rules it knows (repeat the option); by default all but those to train on."
)
_EXPORT_RULES = "Of a script: rules that it knows, as inline JSON, a file or a variant_id (repeat the option)."


@team.callback()
def _group() -> None:
    """What a team is: how it plays, what it was trained on, what it remembers."""


@team.command()
def inspect(
    folder: TeamFolder,
    as_json: AsJson = False,
) -> None:
    """Show what a team plays, how it adapts, what it was trained on, and what its episodic memory holds."""
    from marl_meta.team import load_team

    record = team_record(load_team(folder))
    if as_json:
        typer.echo(json.dumps(record))
        return
    _show(record)


@team.command()
def zoo(
    as_json: AsJson = False,
) -> None:
    """List the trained teams that ship with the toolkit (zoo:NAME), what they score and what made them."""
    from marl_meta.evaluate.zoo import published

    teams = published()
    if as_json:
        typer.echo(json.dumps({"teams": [{"team": f"zoo:{one.name}", **one.origin} for one in teams]}))
        return
    _show_zoo(teams)


class Style(StrEnum):
    """What comes last in a script, where tools look for the agent."""

    NATIVE = "native"
    KAGGLE = "kaggle"


@team.command()
def export(
    folder: TeamFolder,
    out: Annotated[Path, typer.Option(help="File to write: NAME.onnx, or NAME.py for a script that stands alone.")],
    game: Annotated[str | None, typer.Option(help=_EXPORT_GAME)] = None,
    side: Annotated[str | None, typer.Option(help="Side of the game that it plays; by default its first.")] = None,
    split: Annotated[list[str] | None, typer.Option(help=_EXPORT_SPLIT)] = None,
    rules: Annotated[list[str] | None, typer.Option(help=_EXPORT_RULES)] = None,
    style: Annotated[
        Style, typer.Option(help="What comes last in a script: Player, or agent(obs, config).")
    ] = Style.NATIVE,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="A script takes the likeliest action.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a team as an ONNX file, or as one Python script that needs numpy and onnxruntime alone."""
    from marl_meta.export.exporting import export_team
    from marl_meta.team import load_team

    typer.echo("exporting (this takes some seconds)", err=True)
    found = export_team(
        load_team(folder), out, game=game, side=side, splits=split or [], rules=rules or [], last=style.value,
        deterministic=deterministic,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(f"{out} ({found['bytes'] / 1000:.0f} kB) plays {found['side']}", err=True)
    for warning in found["notes"]:
        typer.echo(warning, err=True)


def _show_zoo(teams: list[Published]) -> None:
    from rich.console import Console

    console = Console()
    for one in teams:
        origin, score = one.origin, one.origin["score"]
        console.print(f"[bold]zoo:{one.name}[/bold]", highlight=False)
        where = origin["evaluation"].get("split", "its own rules")
        own, random = (", ".join(f"{value:.2f}" for value in score[key]) for key in ("returns", "random"))
        console.print(f"  return of each {score['side']} on {where}: {own} (random: {random})", highlight=False)
        if "S_iqm" in score:
            console.print(f"  S by episode: {', '.join(f'{value:.2f}' for value in score['S_iqm'])}", highlight=False)
        seconds = f", {origin['seconds'] / 60:.0f} min" if origin["seconds"] else ""
        console.print(f"  {origin['env_steps']:,} env-steps{seconds}, seed {origin['seed']}", highlight=False)
        console.print(f"  {origin['command']}", highlight=False, soft_wrap=True)


def team_record(loaded: Team) -> dict[str, Any]:
    """Return what is known of a team, as plain values."""
    return {
        "team": loaded.name,
        "path": str(loaded.path or ""),
        "game": loaded.trained_on.get("game"),
        "trained_on": {key: value for key, value in loaded.trained_on.items() if key != "game"},
        "adapted_to": loaded.adapted_to,
        "policies": {name: _policy_record(loaded, name) for name in loaded.policies},
    }


def _labels(loaded: Team) -> dict[str, list[str]]:
    """Return what people call the values of the rules of the family that a team was trained on; empty if unknown."""
    from marl_meta.games import load_family
    from marl_meta.types import UserError

    try:
        family = load_family(str((loaded.trained_on.get("game") or {}).get("family")))
    except UserError:  # it is a third-party game, or lies elsewhere
        return {}
    return {name: rule.labels() for name, rule in family.rules.items()}


def _plan_record(adapter: Adapter) -> dict[str, Any]:
    """Return how a team adapts by gradients, as plain values."""
    plan = adapter.plan
    return {
        "kind": plan.kind,
        "parts": list(plan.adapt),
        "loss": plan.inner,
        "fit": plan.fit,
        "experience": plan.experience,
        "window": plan.reads,
        "steps": plan.updates,
        "rates": adapter.rates(),
    }


def _policy_record(loaded: Team, name: str) -> dict[str, Any]:
    design, belief = loaded.designs[name], loaded.beliefs.get(name)
    networks = [loaded.policies[name], *([belief] if belief is not None else [])]
    return {
        "plays": [team for team, policy in loaded.plays.items() if policy == name],
        "parameters": sum(parameter.numel() for network in networks for parameter in network.parameters()),
        "encoder": "flat" if design.slots else "graph",
        "hidden": design.hidden,
        "heads": design.heads,
        "layers": design.layers,
        "recurrent": design.recurrent,
        "reads_rules": list(design.rules),
        "hidden_rules": sorted({bound.rule for bound in design.unknowns}),
        "infers_by": design.belief.read if design.belief is not None else None,
        "examples": belief.examples(_labels(loaded)) if belief is not None else {},
        "adapts": _plan_record(loaded.adapters[name]) if name in loaded.adapters else None,
        "remembers": name in loaded.starts,
    }


def _show(record: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    game = record["game"] or {}
    console.print(f"[bold]{record['team']}[/bold], trained on {game.get('entry_point') or game.get('family')}", end="")
    console.print(f" ({game['split']})" if game.get("split") else "")
    for key, value in record["trained_on"].items():
        console.print(f"  {key}: {value}", highlight=False)
    if record["adapted_to"]:
        console.print(f"  adapted to: {json.dumps(record['adapted_to'])}", highlight=False)
    for name, policy in record["policies"].items():
        table = Table(title=f"policy {name}", title_justify="left", box=box.SIMPLE_HEAD, show_header=False)
        for key, value in policy.items():
            if key not in ("examples", "adapts"):
                table.add_row(key.replace("_", " "), _words(value))
        console.print(table)
        if policy["adapts"]:
            _show_plan(console, policy["adapts"])
        if policy["examples"]:
            memory = Table(title="examples of past tasks", title_justify="left", box=box.SIMPLE_HEAD)
            for column in ("rule", "value", "examples"):
                memory.add_column(column, justify="right" if column == "examples" else "left")
            for rule, values in policy["examples"].items():
                for value, count in values.items():
                    memory.add_row(rule, value, str(count))
            console.print(memory)


def _show_plan(console: Console, plan: dict[str, Any]) -> None:
    """Print how a policy adapts by gradients: what moves, along which loss, how often and how far."""
    from rich import box
    from rich.table import Table

    table = Table(title="adapts after each episode", title_justify="left", box=box.SIMPLE_HEAD, show_header=False)
    for key, value in plan.items():
        if key != "rates":
            table.add_row(key, _words(value))
    for name, rate in plan["rates"].items():
        table.add_row(f"rate of {name}", f"{rate:.3g}")
    console.print(table)


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
