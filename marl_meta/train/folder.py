"""The run folder: its config, what was measured, checkpoints, the team, past selves, and games to watch.

`metrics.jsonl` holds what depends on the run alone and is the same, byte for byte, however often it was killed and
resumed; what a clock measured is in `timing.jsonl`, line by line beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from marl_meta.config import Config
from marl_meta.files import JsonLines, atomic_write_text, claim_folder
from marl_meta.trust import strange_game
from marl_meta.types import UserError
from marl_meta.wording import one_line


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of a run's files."""

    path: Path

    @property
    def config(self) -> Path:
        """Every setting of the run."""
        return self.path / "config.json"

    @property
    def metrics(self) -> Path:
        """One line an iteration, the same in every repetition of the run."""
        return self.path / "metrics.jsonl"

    @property
    def timing(self) -> Path:
        """One line an iteration, of what a clock measured."""
        return self.path / "timing.jsonl"

    @property
    def checkpoints(self) -> Path:
        """What the run resumes from."""
        return self.path / "checkpoints"

    @property
    def replays(self) -> Path:
        """Games recorded on the way."""
        return self.path / "replays"

    @property
    def gallery(self) -> Path:
        """Pages on which they can be watched."""
        return self.path / "gallery"

    @property
    def league(self) -> Path:
        """The snapshots that are members of its league, each a team."""
        return self.path / "league"

    @property
    def team(self) -> Path:
        """The trained team, renewed with every checkpoint."""
        return self.path / "team"


def start_folder(config: Config) -> RunFolder:
    """Return the folder of a new run, with its config written; raises UserError when it exists and is not empty."""
    advice = f"give the run another name (name=NAME), or go on with it ({how_to_resume(config.run_dir, config)})"
    folder = RunFolder(claim_folder(config.run_dir, advice))
    atomic_write_text(folder.config, config.to_json())
    return folder


def open_folder(path: Path) -> tuple[RunFolder, Config]:
    """Return the folder of a run that exists, and its config; raises UserError where it is not a run folder."""
    folder = RunFolder(path)
    if not path.is_dir():
        raise UserError(f"There is no run folder {path}; marl-meta train starts a run.")
    if not folder.config.is_file():
        raise UserError(f"{path} is not a run folder, or the run was stopped before it began: it has no config.json.")
    try:
        text = folder.config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{folder.config} cannot be read as a text file: {one_line(error)}.") from error
    config = Config.from_json(text, str(folder.config))
    # A folder may have been renamed or moved since: the run is where it lies now.
    moved = config.model_copy(update={"runs_dir": path.parent, "name": path.resolve().name})
    return folder, moved


def how_to_resume(path: Path, config: Config) -> str:
    """Return the command that goes on with the run in a folder."""
    trust = " --trust" if strange_game(config.game.model_dump()) is not None else ""
    return f"marl-meta train --resume {quote(str(path))}{trust}"


def open_lines(paths: Sequence[Path], offsets: Sequence[int]) -> list[JsonLines]:
    """Return the files of lines, each cut to its offset; raises UserError when one lacks bytes."""
    return [JsonLines(path, offset) for path, offset in zip(paths, offsets, strict=True)]
