"""`marl-meta replay verify|info|export|diff`: what there is to do with a recorded game but to watch it."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marl_meta.cli._options import AsJson

if TYPE_CHECKING:
    from marl_meta.replay import Replay
    from marl_meta.replay.difference import Difference

replay = typer.Typer(no_args_is_help=True, help="Verify, look into, export and compare recorded games.")

DIFFERS = 1
"""Exit code where a replay does not verify, or two are not the same."""

_TRUST = "Run whatever code the replays name as making their games; only for replays that you trust."

ReplayFile = Annotated[Path, typer.Argument(help="A replay, NAME.replay.json.gz.")]


class Form(StrEnum):
    """What a replay can be exported as."""

    GIF = "gif"
    MP4 = "mp4"
    PNG = "png"
    JSON = "json"
    CSV = "csv"
    HTML = "html"


@replay.command()
def verify(
    files: Annotated[list[Path], typer.Argument(help="Replays, or folders of them.")],
    family: Annotated[str | None, typer.Option(help="The family.yaml of the game, where it is not among ours.")] = None,
    trust: Annotated[bool, typer.Option("--trust", help=_TRUST)] = False,
    as_json: AsJson = False,
) -> None:
    """Play recorded games again, and say whether the same happens; else the first step that differs (exit code 1)."""
    from marl_meta.replay import load_replay
    from marl_meta.replay.verifying import verify as play_again
    from marl_meta.wording import printable

    found: list[dict[str, Any]] = []
    for file in _files(files):
        outcome = play_again(load_replay(file).record, family, trust=trust)
        found.append(
            {
                "file": str(file), "same": outcome.same, "steps": outcome.steps, "episode": outcome.episode,
                "step": outcome.step, "reason": outcome.reason,
            }
        )  # fmt: skip
        if not as_json:
            said = f"the same, {outcome.steps} steps" if outcome.same else f"DIFFERS: {outcome.reason}"
            typer.echo(printable(f"{file}: {said}"))
    if as_json:
        typer.echo(json.dumps({"replays": found}))
    if not all(one["same"] for one in found):
        raise typer.Exit(DIFFERS)


@replay.command()
def info(file: ReplayFile, as_json: AsJson = False) -> None:
    """Say what is in a replay: the game, its rules, who played, and what they earned."""
    from marl_meta.replay import load_replay

    loaded = load_replay(file)
    if as_json:
        typer.echo(json.dumps(_summary(loaded, file)))
        return
    _show_info(loaded, file)


@replay.command()
def export(
    file: ReplayFile,
    out: Annotated[Path | None, typer.Option(help="File to write; its ending says what: gif, mp4, png, ....")] = None,
    form: Annotated[Form | None, typer.Option("--as", help="What to write, where no name says it.")] = None,
    beside: Annotated[list[Path] | None, typer.Option(help="Another replay, shown beside it.")] = None,
    episode: Annotated[int | None, typer.Option(help="Only this episode, from 1.", min=1)] = None,
    step: Annotated[int, typer.Option(help="Of a PNG: the step, 0 for the start.", min=0)] = 0,
    size: Annotated[int, typer.Option(help="Pixels of a side of the picture.", min=64, max=2048)] = 320,
    speed: Annotated[float, typer.Option(help="Of GIF and MP4: 1 is ten steps a second.", min=0.05, max=20.0)] = 1.0,
) -> None:
    """Make a GIF, an MP4, a picture, a page, or a table of numbers of a replay."""
    from marl_meta.files import atomic_write_bytes
    from marl_meta.replay import load_replay
    from marl_meta.replay.reading import SUFFIX
    from marl_meta.types import UserError
    from marl_meta.wording import one_line

    chosen = form or _form_of(out)
    path = out or file.with_name(file.name.removesuffix(SUFFIX) + f".{chosen}")
    if path.exists() and out is None:
        raise UserError(f"{path} already exists and is not overwritten; say with --out where to write.")
    if episode is not None and chosen in {Form.JSON, Form.CSV, Form.HTML}:
        raise UserError(f"A {chosen} of a replay holds all its episodes; --episode is of gif, mp4 and png.")
    if beside and chosen in {Form.JSON, Form.CSV, Form.PNG}:
        raise UserError(f"A {chosen} is of one replay; --beside is of gif, mp4 and html.")
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent} to write {path.name} to.")
    shown = [load_replay(one) for one in (file, *(beside or ()))]
    if not all(one.record.episodes for one in shown):
        raise UserError("There is nothing to show in a replay without episodes.")
    if chosen is Form.MP4:
        from marl_meta.replay.animation import frames, write_mp4

        records = [one.record for one in shown]
        write_mp4(path, frames(records, size=size, speed=speed, episode=None if episode is None else episode - 1))
    else:
        data = _exported(chosen, shown, episode, step, size, speed)
        try:
            atomic_write_bytes(path, data)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {one_line(error)}.") from error
    typer.echo(f"written: {path}")


@replay.command()
def diff(
    one: ReplayFile, other: Annotated[Path, typer.Argument(help="Another one.")], as_json: AsJson = False
) -> None:  # fmt: skip
    """Compare two replays: rules, players, and in each episode the first step at which they part (exit code 1)."""
    from dataclasses import asdict

    from marl_meta.replay import load_replay
    from marl_meta.replay.difference import difference

    found = difference(load_replay(one).record, load_replay(other).record)
    if as_json:
        typer.echo(json.dumps({**asdict(found), "same": found.same}))
    else:
        _show_difference(found)
    if not found.same:
        raise typer.Exit(DIFFERS)


def _files(given: list[Path]) -> list[Path]:
    from marl_meta.replay.reading import SUFFIX
    from marl_meta.types import UserError

    found: list[Path] = []
    for path in given:
        inside = sorted(path.rglob(f"*{SUFFIX}")) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"There is no replay (*{SUFFIX}) in {path}.")
        found += inside
    return found


def _form_of(out: Path | None) -> Form:
    from marl_meta.types import UserError
    from marl_meta.wording import listed

    ending = "gif" if out is None else out.suffix.lstrip(".").lower()
    if ending not in list(Form):
        raise UserError(f"A replay cannot be exported as {ending!r}; allowed are {listed(Form)} (--as, or the ending).")
    return Form(ending)


def _exported(
    form: Form, shown: list[Replay], episode: int | None, step: int, size: int, speed: float
) -> bytes:  # fmt: skip
    import io

    from marl_meta.replay import watch_page
    from marl_meta.replay.animation import frames, gif, picture
    from marl_meta.replay.numbers import trajectory, trajectory_csv

    record = shown[0].record
    which = None if episode is None else episode - 1
    match form:
        case Form.GIF:
            return gif(frames([one.record for one in shown], size=size, speed=speed, episode=which))
        case Form.PNG:
            data = io.BytesIO()
            picture(record, which or 0, step, size).save(data, "PNG")
            return data.getvalue()
        case Form.JSON:
            return (json.dumps(trajectory(record)) + "\n").encode()
        case Form.CSV:
            return trajectory_csv(record).encode()
        case _:
            return watch_page(shown).encode()


def _summary(loaded: Replay, file: Path) -> dict[str, Any]:
    record = loaded.record
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        "title": loaded.title,
        "version": list(record.version),
        "made": record.made.model_dump(),
        "game": record.game.model_dump(mode="json"),
        "agents": [agent.model_dump() for agent in record.agents],
        "teams": [team.model_dump() for team in record.teams],
        "episodes": [{"steps": one.steps, "over": one.over, "scene": one.scene.kind} for one in record.episodes],
        "returns": record.returns,
        "status": record.status,
        "thoughts": any(one.notes for one in record.episodes),
        "digest": record.digest,
    }


def _show_info(loaded: Replay, file: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape as escape_markup
    from rich.table import Table

    from marl_meta.wording import printable

    def escape(text: str) -> str:
        return escape_markup(printable(text))

    record, console = loaded.record, Console(highlight=False)
    console.print(f"[bold]{escape(loaded.title)}[/bold]")
    game = record.game
    seed = "" if game.seed is None else f", seed {game.seed}"
    console.print(escape(f"{game.name}, {game.variant_id or game.entry_point or 'made by nobody knows what'}{seed}"))
    made = record.made
    console.print(
        f"{file.stat().st_size:,} bytes, format {record.version[0]}.{record.version[1]}, made by marl-meta "
        f"{escape(made.toolkit)}, Python {escape(made.python)}, {escape(made.platform)}"
    )
    if game.card:
        rules = Table(box=box.SIMPLE_HEAD, header_style="bold")
        for column in ("rule", "value", "default", ""):
            rules.add_column(column)
        for rule in game.card:
            hidden = "hidden" if rule.hidden else ""
            rules.add_row(escape(rule.name), escape(str(rule.value)), escape(str(rule.default)), hidden)
        console.print(rules)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("team")
    table.add_column("played by")
    for index in range(len(record.episodes)):
        table.add_column(f"return, ep. {index + 1}" if index == 0 else f"ep. {index + 1}", justify="right")
    for index, team in enumerate(record.teams):
        who = team.player + (f" ({team.learner})" if team.learner else "")
        table.add_row(escape(team.name), escape(who), *(f"{row[index]:.2f}" for row in record.returns))
    console.print(table)


def _show_difference(found: Difference) -> None:
    from marl_meta.wording import printable

    for sentence in found.about:
        typer.echo(printable(sentence))
    for episode in found.episodes:
        returns = " and ".join(" ".join(f"{value:.2f}" for value in side) or "none" for side in episode.returns)
        if episode.missing:
            said = "only in one of them"
        elif episode.step is None:
            said = "the same"
        else:
            said = "other from the start" if episode.step == 0 else f"they part at step {episode.step}"
        typer.echo(f"episode {episode.episode}: {said}; returns {returns}")
        for action in episode.actions:
            typer.echo(printable(f"  {action}"))
    if found.same:
        typer.echo("the same happened in both")
