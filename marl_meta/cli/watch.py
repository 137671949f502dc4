"""`marl-meta watch`: a page on which a team's games, a recorded game, or all recorded games of a run can be watched."""

from __future__ import annotations

import itertools
import re
import tempfile
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marl_meta.cli._options import Game, Kwargs, PettingZoo, Schema, Seed, Sides, chosen_game

if TYPE_CHECKING:
    from marl_meta.evaluate.ground import ThirdPartyGame
    from marl_meta.replay import Replay

_WHAT = (
    "A replay, a team (its folder, or zoo:NAME), or a run's folder: its gallery, or, with any option but --open and "
    "--no-open, a game that its team plays. Several are shown side by side."
)
_RULES = "Rules of the variant that teams play: inline JSON, a YAML or JSON file, or a variant_id."
_SPLIT = "Draw the variant by the seed from this split; by default from the one that was held out."
_EPISODES = "Episodes that teams play; by default 3 of teams that adapt."
_AGAINST = "Who plays the other teams of the game: another team, random, or a hand-written player."
_OUT = "The page to write; by default one in a temporary folder, and of a gallery those in the run's folder."
_KEEP = "Keep the games that teams play here as replays, in this folder."
_OPEN = "Open the page in the browser. By default, unless --out is given."


def watch(  # noqa: PLR0913 (the options of a command)
    context: typer.Context,
    what: Annotated[list[str], typer.Argument(help=_WHAT)],
    rules: Annotated[str | None, typer.Option(help=_RULES)] = None,
    split: Annotated[str | None, typer.Option(help=_SPLIT)] = None,
    episodes: Annotated[int | None, typer.Option(help=_EPISODES)] = None,
    against: Annotated[str | None, typer.Option(help=_AGAINST)] = None,
    seed: Seed = 0,
    deterministic: Annotated[bool, typer.Option(help="Teams take their likeliest action.")] = False,
    game: Game = None,
    pettingzoo: PettingZoo = None,
    kwargs: Kwargs = None,
    schema: Schema = None,
    sides: Sides = None,
    out: Annotated[Path | None, typer.Option(help=_OUT)] = None,
    keep: Annotated[Path | None, typer.Option(help=_KEEP)] = None,
    open_page: Annotated[bool | None, typer.Option("--open/--no-open", help=_OPEN)] = None,
) -> None:
    """Watch what a team does, and why: a page that plays its games, or recorded ones."""
    from marl_meta.files import atomic_write_text
    from marl_meta.replay import watch_page
    from marl_meta.replay.reading import SUFFIX
    from marl_meta.train.gallery import is_run, write_gallery
    from marl_meta.types import UserError
    from marl_meta.wording import one_line

    if len(what) == 1 and is_run(Path(what[0])) and not _asks_for_a_game(context):
        _finish(write_gallery(Path(what[0])), open_page if open_page is not None else True)
        return
    played = chosen_game(game, pettingzoo, kwargs, schema, sides)
    shown = [
        _recorded(Path(one)) if one.endswith(SUFFIX) or Path(one).is_file()
        else _play(one, played, rules, split, episodes, against, seed, deterministic=deterministic)
        for one in what
    ]  # fmt: skip
    if keep is not None:
        for kept in _kept(shown, keep):
            typer.echo(f"written: {kept}")
    path = out if out is not None else Path(tempfile.mkdtemp(prefix="marl-meta-")) / "watch.html"
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent} to write {path.name} to.")
    try:
        atomic_write_text(path, watch_page(shown))
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise UserError(f"{path} cannot be written: {one_line(error)}.") from error
    _finish(path, open_page if open_page is not None else out is None)


def _asks_for_a_game(context: typer.Context) -> bool:
    """Return whether any option was given that says what is played, or where that is kept."""
    options = set(context.params) - {"what", "open_page"}
    return any(
        source is not None and source.name == "COMMANDLINE" for source in map(context.get_parameter_source, options)
    )


def _recorded(path: Path) -> Replay:
    from marl_meta.replay import load_replay

    return load_replay(path)


def _kept(shown: Sequence[Replay], folder: Path) -> Iterator[Path]:
    """Save replays in a folder, under names that are not taken; yields where they are."""
    from marl_meta.replay.reading import SUFFIX
    from marl_meta.types import UserError
    from marl_meta.wording import one_line

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {one_line(error)}.") from error
    for replay in shown:
        # A recorded game may call itself anything; nothing of that may lead out of the folder.
        name = re.sub(r"[^\w-]+", "_", replay.record.game.name)[:80]
        taken = (folder / f"{name}-{number}{SUFFIX}" for number in itertools.count(1))
        yield replay.save(next(path for path in taken if not path.exists()))


def _play(
    team: str, game: ThirdPartyGame | str | None, rules: str | None, split: str | None, episodes: int | None,
    against: str | None, seed: int, *, deterministic: bool,
) -> Replay:  # fmt: skip
    from marl_meta.cli._progress import progress_bar
    from marl_meta.evaluate.watching import play, trial_length
    from marl_meta.team import load_team

    loaded = load_team(team)
    with progress_bar() as advance:
        return play(
            loaded, game=game, rules=rules, split=split, seed=seed, deterministic=deterministic, against=against,
            episodes=episodes if episodes is not None else trial_length(loaded),
            told=lambda done, total: advance(done, total, loaded.name),
        )  # fmt: skip


def _finish(page: Path, open_page: bool) -> None:
    opened = open_page and webbrowser.open(page.resolve().as_uri())
    typer.echo(f"{'opened' if opened else 'written'}: {page}")
