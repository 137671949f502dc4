"""`marl-meta team`: what a team is, without loading a trainer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from marl_meta.cli._options import AsJson, TeamFolder

if TYPE_CHECKING:
    from marl_meta.evaluate.zoo import Published
    from marl_meta.team import Team

team = typer.Typer(
    help="What a team is: how it plays, what it was trained on, what it remembers.", no_args_is_help=True
)


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
        "examples": belief.examples() if belief is not None else {},
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
            if key != "examples":
                shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
                table.add_row(key.replace("_", " "), shown)
        console.print(table)
        if policy["examples"]:
            memory = Table(title="examples of past tasks", title_justify="left", box=box.SIMPLE_HEAD)
            for column in ("rule", "value", "examples"):
                memory.add_column(column, justify="right" if column == "examples" else "left")
            for rule, values in policy["examples"].items():
                for value, count in values.items():
                    memory.add_row(rule, value, str(count))
            console.print(memory)
