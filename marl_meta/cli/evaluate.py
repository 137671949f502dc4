"""`marl-meta evaluate`: what teams earn on variants that they have never met."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marl_meta.cli._options import AsJson, Game, Kwargs, PettingZoo, Schema, Seed, Sides, WandbMode, chosen_game
from marl_meta.cli._progress import progress_bar
from marl_meta.types import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from marl_meta.evaluate.adapted import Adaptation
    from marl_meta.evaluate.results import Evaluation, SplitEvaluation
    from marl_meta.evaluate.statistics import Estimate

_SPLIT = "Split to play on (may be repeated); by default the held-out one beside the split of the training."
_RULES = "Instead of a split, the rules of one variant: inline JSON, a YAML or JSON file, or a variant_id."
_EPISODES = (
    "Episodes of one variant that are played in a row, memory kept; by default 5 for teams trained on several, else 1."
)
_GAMES = "How many such trials of each variant are played, at least 2; by default about a thousand in all."
_REPORT = "Folder, new or empty, for a page (report.html, where teams can adapt), tables and charts."
_ORACLE = (
    "Team (trained with meta=oracle) that scores 1, told the hidden rules; by default each team itself, told them."
)
_SIDE = (
    "Of a game of several sides the one on which adaptation is scored, the others being played by a hand-written "
    "player, else at random; by default the first on which a team can be told the hidden rules."
)
_REPLAYS = "With --report: recorded trials of each team and split to watch, on its worst to its best variants."
_WANDB = "Whether the numbers also go to W&B: a run for each team, whose files are kept in the report's folder."
_GROUP = "Count teams that were trained with the same meta also together, as seeds of one learner."


def evaluate(  # noqa: PLR0913 (the options of a command)
    teams: Annotated[list[Path], typer.Argument(help="Folders of teams, or of the runs that trained them.")],
    split: Annotated[list[str] | None, typer.Option(help=_SPLIT)] = None,
    rules: Annotated[str | None, typer.Option(help=_RULES)] = None,
    episodes: Annotated[int | None, typer.Option(help=_EPISODES)] = None,
    games: Annotated[int | None, typer.Option(help=_GAMES, min=2)] = None,
    seed: Seed = 0,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Teams take their likeliest action instead of sampling one.")
    ] = False,
    game: Game = None,
    pettingzoo: PettingZoo = None,
    kwargs: Kwargs = None,
    schema: Schema = None,
    sides: Sides = None,
    oracle: Annotated[Path | None, typer.Option(help=_ORACLE)] = None,
    side: Annotated[str | None, typer.Option(help=_SIDE)] = None,
    group: Annotated[bool, typer.Option("--group", help=_GROUP)] = False,
    report: Annotated[Path | None, typer.Option(help=_REPORT)] = None,
    replays: Annotated[int, typer.Option(help=_REPLAYS, min=0)] = 3,
    wandb: Annotated[WandbMode, typer.Option(help=_WANDB)] = WandbMode.OFF,
    project: Annotated[str, typer.Option(help="W&B project.")] = "marl-meta",
    as_json: AsJson = False,
) -> None:
    """Say what teams earn, and how well they adapt, with confidence intervals, beside random and hand-written play."""
    from marl_meta.config import TrackingConfig
    from marl_meta.evaluate.report import write_report
    from marl_meta.evaluate.run import chosen_grounds, load_teams
    from marl_meta.evaluate.run import evaluate as run
    from marl_meta.evaluate.showcase import showcase
    from marl_meta.evaluate.tracked import track
    from marl_meta.files import claimed_folder, finite

    played = chosen_game(game, pettingzoo, kwargs, schema, sides)
    if wandb is not WandbMode.OFF and report is None:
        raise UserError(f"--wandb {wandb.value} needs --report: W&B's files are kept in the report's folder.")
    with claimed_folder(report, "give the report a folder of its own") if report is not None else nullcontext():
        with progress_bar() as advance:
            evaluation = run(
                list(teams),
                game=played,
                split=split or None,
                rules=rules,
                episodes=episodes,
                games_per_variant=games,
                seed=seed,
                deterministic=deterministic,
                oracle=oracle,
                side=side,
                group=group,
                report=advance,
            )
        written = []
        if report is not None:
            loaded = load_teams(list(teams))
            grounds = chosen_grounds(list(loaded.values()), played, split or None, rules)
            with progress_bar() as advance:
                shown = showcase(evaluation, grounds, loaded, replays, advance)
            written = write_report(evaluation, report, shown)
            tracking = TrackingConfig(wandb=wandb.value, project=project, group=None)
            for status in track(evaluation, tracking, report, shown) if wandb is not WandbMode.OFF else ():
                typer.echo(status, err=True)
    if as_json:
        typer.echo(json.dumps(finite(evaluation.record()), allow_nan=False))
        return
    show(evaluation)
    for path in written:
        typer.echo(f"written: {path}")


def show(evaluation: Evaluation) -> None:
    """Print an evaluation as tables: one for each split, or where sides meet, for each side of it."""
    from rich.console import Console

    console = Console()
    for split in evaluation.splits:
        for side in split.sides:
            console.print(_title(split, side), highlight=False)
            console.print(_cross_table(split, side) if len(split.sides) > 1 else _table(split, side))
        for name, reason in split.absent.items():
            console.print(f"{_shown(name)} did not play on {_shown(split.split)}: {_shown(reason)}", highlight=False)
        if split.adaptation is not None:
            console.print(f"[bold]How well they adapt[/bold] to {_shown(_ground(split.adaptation))}", highlight=False)
            if any(one.curve is not None for one in split.adaptation.learners):
                console.print(_score_table(split.adaptation))
            for line in _remarks(split.adaptation):
                console.print(line, highlight=False)
    several = any(len(split.variant_ids) > 1 for split in evaluation.splits)
    note = "Intervals: 95 %, by bootstrap over games: of the mean over exactly these variants"
    console.print(f"{note}{'; over variants: of the mean over all of their kind' if several else ''}.", style="dim")


def _ground(adaptation: Adaptation) -> str:
    """Return what is to be found out, and of several sides who plays against whom."""
    hidden = ", ".join(adaptation.hidden)
    return hidden if adaptation.against is None else f"{hidden}: {adaptation.side}, against {adaptation.against}"


def _score_table(adaptation: Adaptation) -> Table:
    """Return the table of scores: 0 is random play, 1 a team that is told the hidden rules."""
    from marl_meta.evaluate.page import episodes_text

    table = _new_table("player")
    episodes = next((len(one.curve.iqm) for one in adaptation.learners if one.curve is not None), 0)
    for column in (*(f"S_{k + 1}" for k in range(episodes)), "area", "to 0.9"):
        table.add_column(column, justify="right", min_width=5)  # on a narrow terminal, intervals go below the scores
    for one in adaptation.learners:
        if (found := one.curve) is None:
            continue
        scores = [f"{found.iqm[k]:.2f} ±{(found.high[k] - found.low[k]) / 2:.2f}" for k in range(episodes)]
        others = [f"{found.area.value:.2f}", episodes_text(found.episodes_to_enough, episodes)]
        table.add_row(_shown(one.name), *scores, *others, style="bold cyan" if one.role in ("team", "group") else "")
    return table


def _remarks(adaptation: Adaptation) -> Iterator[str]:
    """Yield what else there is to say about adaptation, a line each."""
    for pair in adaptation.better:
        last = pair.probability[-1]
        ends = f"{last.low:.2f} to {last.high:.2f}"
        names = f"{_shown(pair.name)} earns more than {_shown(pair.other)}"
        yield f"On a variant, {names} in the last episode with probability {last.value:.2f} ({ends})."
    for name, calibration in adaptation.calibrations.items():
        yield f"Beliefs of {_shown(name)}: expected calibration error {calibration.reliability().error:.3f}."
    for one in adaptation.learners:
        if one.role not in ("team", "group"):
            continue
        if one.curve is not None:
            gain = one.curve.gain
            yield (
                f"{_shown(one.name)}, measured by {_shown(one.oracle)}: gains {gain.value:.2f} "
                f"({gain.low:.2f} to {gain.high:.2f}) in a trial; 20th percentile over variants "
                f"{one.curve.lowest[-1]:.2f} in the end."
            )
        if left_out := adaptation.left_out(one):
            which = _shown(", ".join(left_out)) if one.curve is not None else "all"
            yield (
                f"Left out for {_shown(one.name)}, because {_shown(one.oracle)} hardly earns more than random play "
                f"there: {len(left_out)} of {len(adaptation.variant_ids)} variants ({which})."
            )


def _table(split: SplitEvaluation, side: str) -> Table:
    """Return the table of a game of one side: its players, best first."""
    table = _new_table("player")
    several = len(split.variant_ids) > 1
    results = split.against(side, None)
    episodes = len(next(iter(results.values())).estimates[side].mean)
    if episodes == 1:
        columns = ("return", "over games", *(("over variants",) if several else ()))
    else:
        columns = tuple(f"ep. {episode + 1}" for episode in range(episodes))
    for column in (*columns, "team's sum"):
        table.add_column(column, justify="right", no_wrap=episodes == 1, min_width=6)
    for name, result in sorted(results.items(), key=lambda item: -item[1].estimates[side].mean[-1]):
        estimate = result.estimates[side]
        cells = _cells(estimate) if episodes == 1 else [_short(estimate, episode) for episode in range(episodes)]
        total = float(result.earned[side].total[:, :, -1].mean())
        table.add_row(_shown(name), *cells, f"{total:.2f}", style=_style(split, name))
    return table


def _cells(estimate: Estimate) -> list[str]:
    """Return the cells of a single episode: the mean and its intervals in full."""
    cells = [f"{estimate.mean[0]:.2f}", f"{estimate.low[0]:.2f} to {estimate.high[0]:.2f}"]
    if estimate.variants_low is not None and estimate.variants_high is not None:
        cells.append(f"{estimate.variants_low[0]:.2f} to {estimate.variants_high[0]:.2f}")
    return cells


def _cross_table(split: SplitEvaluation, side: str) -> Table:
    """Return the table of one side of a game of several: its players by their opponents."""
    table = _new_table(side)
    opponents = split.opponents_of(side)
    for opponent in opponents:
        table.add_column(f"against {_shown(opponent)}", justify="right")
    for name in split.players_of(side):
        found = [split.against(side, opponent).get(name) for opponent in opponents]
        cells = [_first_to_last(result.estimates[side]) if result is not None else "" for result in found]
        table.add_row(_shown(name), *cells, style=_style(split, name))
    return table


def _first_to_last(estimate: Estimate) -> str:
    """Return an estimate in one cell: of the first episode of a trial and, below it, of the last."""
    return "\n".join(_short(estimate, episode) for episode in sorted({0, len(estimate.mean) - 1}))


def _short(estimate: Estimate, episode: int) -> str:
    """Return an estimate in one cell: the mean, and half of the interval over games."""
    return f"{estimate.mean[episode]:.2f} ±{(estimate.high[episode] - estimate.low[episode]) / 2:.2f}"


def _new_table(first: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(header_style="bold", box=box.SIMPLE_HEAD)
    table.add_column(first, no_wrap=True)
    return table


def _title(split: SplitEvaluation, side: str) -> str:
    count, games = len(split.variant_ids), split.games_per_variant
    variants = f"{count} variants, {games} games of each" if count > 1 else f"one variant, {games} games"
    text = f"[bold]{_shown(split.game)}[/bold] on {_shown(split.split)} ({variants}): return of each {_shown(side)}"
    if len(split.sides) > 1 and len(split.results[0].estimates[side].mean) > 1:
        return f"{text}, in the first and the last episode of a trial"
    return text


def _style(split: SplitEvaluation, name: str) -> str:
    return "bold cyan" if split.origins[name] == "team" else ""


def _shown(text: str) -> str:
    from rich.markup import escape

    return escape(text)
