"""`marl-meta demo`: the whole story in a few minutes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from marl_meta.evaluate.results import Evaluation
    from marl_meta.games.family import Family
    from marl_meta.train.run import RunResult
    from marl_meta.types import Variant

FAMILY, TRAIN, HELD_OUT = "spread", "train", "held_out"

SETTINGS = (f"game={FAMILY}", f"game.split={TRAIN}", "game.num_games=64")
"""Few games at once make many updates of few samples, which is what learns fastest at the start."""

GAMES_PER_VARIANT = 8
FILM = "held_out.gif"

_STEPS_AN_ITERATION = 64 * 25
_PROBE_ITERATIONS = 4


def demo(
    seconds: Annotated[float, typer.Option(help="About how long to train.", min=0.0)] = 90.0,
    seed: Annotated[int, typer.Option(help="Everything random follows from it.", min=0)] = 0,
    runs_dir: Annotated[Path, typer.Option(help="Where the run's folder goes.")] = Path("runs"),
) -> None:
    """Train a team on a family of games, and see what it does under rules that it has never met."""
    from rich.console import Console

    from marl_meta.cli._progress import progress_bar
    from marl_meta.cli.evaluate import show
    from marl_meta.evaluate.report import write_report
    from marl_meta.evaluate.run import evaluate
    from marl_meta.files import claim_folder
    from marl_meta.games.family import load_family

    console = Console(highlight=False)
    family = load_family(FAMILY)
    name = fresh_name(runs_dir, "demo")
    _heading(console, 1, "One game, many rules")
    _show_family(console, family)

    _heading(console, 2, f"Train a team on the {len(family.split(TRAIN))} variants of the split {TRAIN}")
    steps = steps_in(seconds)
    run = _train(name, seed, runs_dir, steps)

    _heading(
        console, 3, f"Let it play the {len(family.split(HELD_OUT))} variants of {HELD_OUT}, which it has never met"
    )
    with progress_bar() as advance:
        evaluation = evaluate(run.team, split=HELD_OUT, games_per_variant=GAMES_PER_VARIANT, seed=seed, report=advance)
    show(evaluation)
    written = write_report(evaluation, claim_folder(run.folder / "evaluation", "remove it"))

    _heading(console, 4, "Watch it")
    _film(family, run, seed, run.folder / FILM)
    console.print(f"{run.folder / FILM}: the same games, begun alike, played at random (left) and by the team (right).")
    _conclude(console, run, evaluation, written)


def fresh_name(folder: Path, name: str) -> str:
    """Return `name`, or the first of name-2, name-3, ... that is not taken in `folder`."""
    number = 1
    chosen = name
    while (folder / chosen).exists():
        number += 1
        chosen = f"{name}-{number}"
    return chosen


def steps_in(seconds: float) -> int:
    """Return how many env-steps this machine trains in that time, found by a short run that leaves nothing behind.

    The run also compiles the kernels where that has not been done yet, so that its first iteration does not count.
    """
    from rich.console import Console

    from marl_meta.train.run import train

    with (
        Console(stderr=True).status("Seeing how fast this machine is (the first time, kernels are compiled) ..."),
        tempfile.TemporaryDirectory() as folder,
    ):
        steps = _PROBE_ITERATIONS * _STEPS_AN_ITERATION
        short = (f"train.steps={steps}", "tracking=off", "name=probe", f"runs_dir={folder}")
        probe = train([*SETTINGS, *short], quiet=True)
        lines = (probe.folder / "timing.jsonl").read_text(encoding="utf-8").splitlines()
    speeds = [float(json.loads(line)["env_steps_per_second"]) for line in lines[1:]]
    iterations = round(seconds * sum(speeds) / len(speeds) / _STEPS_AN_ITERATION)
    return max(iterations, 1) * _STEPS_AN_ITERATION


def _train(name: str, seed: int, runs_dir: Path, steps: int) -> RunResult:
    from marl_meta.train.run import train

    overrides = (*SETTINGS, f"train.steps={steps}", f"seed={seed}", f"name={name}", f"runs_dir={runs_dir}")
    typer.echo(f"marl-meta train {' '.join(overrides)}")
    return train(overrides)


def _heading(console: Console, number: int, text: str) -> None:
    console.print()
    console.rule(f"[bold]{number}. {text}", align="left")
    console.print()


def _show_family(console: Console, family: Family) -> None:
    """Print what the family is about, and which rules differ between the training's variants and the held-out ones."""
    from rich import box
    from rich.table import Table

    from marl_meta.games.splits import Domain

    console.print(f"[bold]{family.name}[/bold]: {family.title}. {family.description}")
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for column in ("rule", "in training", "held out", "what it is"):
        table.add_column(column)
    train, held_out = family.splits[TRAIN].domains, family.splits[HELD_OUT].domains
    for name, domain in train.items():
        rule = family.rules[name]
        other = held_out.get(name, Domain(values=(rule.default,)))
        style = "" if str(domain) == str(other) else "bold"
        table.add_row(name, str(domain), str(other), rule.about, style=style)
    console.print(table)
    hidden = [rule.name for rule in family.rules.values() if rule.hidden]
    console.print(
        f"{len(family.rules)} rules in all; those not named are at their default here, the hidden ones "
        f"({', '.join(hidden)}) too. More: marl-meta games {family.name}"
    )


def _film(family: Family, run: RunResult, seed: int, path: Path) -> None:
    from marl_meta.evaluate.film import film

    film(family, _scenes(family), {"random": "random", "the team": run.team}, seed, path)


def _scenes(family: Family) -> list[Variant]:
    """Return the first held-out variant of every team size."""
    first: dict[Any, Variant] = {}
    for variant in family.split(HELD_OUT):
        first.setdefault(variant.rules["agents"], variant)
    return [first[size] for size in sorted(first)]


def _conclude(console: Console, run: RunResult, evaluation: Evaluation, written: list[Path]) -> None:
    """Say what was found, where everything is, and what to do next."""
    (record,) = evaluation.record()["teams"]
    own, random = record["returns"][0], record["random"][0]
    text = f"Under rules that it has never met, each agent of the team earns {own:.1f}; at random it earns {random:.1f}"
    better = {name: returns[0] for name, returns in record["scripted"].items() if returns[0] > random}
    if better:
        best = max(better, key=lambda name: better[name])
        share = (own - random) / (better[best] - random)
        text += f", and {better[best]:.1f} hand-written ({best}): the team went {share:.0%} of that way"
    _heading(console, 5, "What came of it")
    console.print(f"{text}. It trained for {run.env_steps} steps, {run.seconds:.0f} seconds.\n")
    for path, what in (
        (run.team, "the team: copy the folder anywhere, marl_meta.load_team reads it"),
        (run.folder / "metrics.jsonl", "how the training went"),
        (written[-1], "the chart; beside it every number as JSON and CSV"),
        (run.folder / FILM, "the film"),
    ):
        console.print(f"  {path}  [dim]{what}[/dim]", soft_wrap=True)
    console.print("\nNext:")
    for command in (
        f"marl-meta watch {run.folder}",
        f"marl-meta train --resume {run.folder} train.steps={10 * run.env_steps}",
        f"marl-meta evaluate {run.folder} --split {HELD_OUT} --split ood",
        f"marl-meta evaluate {run.folder} --pettingzoo mpe2.simple_spread_v3:parallel_env --schema simple_spread",
        "marl-meta train game=tag game.split=train train.steps=1e6 name=tag",
    ):
        console.print(f"  {command}", soft_wrap=True)
