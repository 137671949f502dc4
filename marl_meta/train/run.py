"""Start a training run, or go on with one."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from marl_meta.allocator import keep_freed_memory
from marl_meta.config import Config, load_config
from marl_meta.files import atomic_write_text, remove_torn
from marl_meta.tracking import open_tracker
from marl_meta.train.build import assemble, resolve
from marl_meta.train.checkpoint import read_newest
from marl_meta.train.folder import how_to_resume, open_folder, start_folder
from marl_meta.train.progress import ProgressDisplay
from marl_meta.train.replica import choose_workers, start_others
from marl_meta.train.tracked import track_files
from marl_meta.train.trainer import Trainer
from marl_meta.trust import refuse, strange_game
from marl_meta.types import UserError
from marl_meta.wording import one_line


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run left behind."""

    folder: Path
    team: Path
    env_steps: int
    seconds: float
    """Spent training, over all sittings."""
    finished: bool
    """False where it was interrupted; `resume(folder)` goes on."""


def train(overrides: Sequence[str] = (), quiet: bool = False) -> RunResult:
    """Train what the overrides say (`["game=tag", "train.steps=1e6"]`); returns where the team is.

    Raises UserError on bad input, before anything is written.
    """
    config = resolve(load_config(overrides))
    with closing(choose_workers(config)) as workers:
        cast = assemble(config, workers)
        folder = start_folder(config)
        return _run(Trainer(config, folder, cast, workers), quiet)


def resume(path: str | Path, overrides: Sequence[str] = (), quiet: bool = False, *, trust: bool = False) -> RunResult:
    """Go on with the run in a folder from its newest checkpoint, to the numbers that it would have reached unstopped.

    The only override is `train.steps`, to train for longer than was planned. With `trust` the folder may name any code
    as the game's, which is then run; else only ours and that of well-known collections. Raises UserError where the
    folder holds no run, or no checkpoint that can be read.
    """
    folder, config = open_folder(Path(path))
    strange = strange_game(config.game.model_dump())
    if strange is not None and not trust:
        refuse(strange, folder.config)
    remove_torn(folder.path)
    steps = _more_steps(overrides)
    if steps is not None:
        config = config.model_copy(update={"train": config.train.model_copy(update={"steps": steps})})
    config = resolve(config)
    checkpoint = read_newest(folder.checkpoints)
    with closing(choose_workers(config)) as workers:
        trainer = Trainer(config, folder, assemble(config, workers), workers)
        if checkpoint is not None:  # else it was killed before its first checkpoint, and starts over
            try:
                trainer.restore(checkpoint)
            except (KeyError, RuntimeError, TypeError, ValueError) as error:
                raise UserError(
                    f"The newest checkpoint in {folder.checkpoints} does not fit {folder.config}, which must stay as "
                    f"the run wrote it: {one_line(error)}."
                ) from error
        if steps is not None:  # else the next resume would stop at the old number
            atomic_write_text(folder.config, config.to_json())
        return _run(trainer, quiet)


def _more_steps(overrides: Sequence[str]) -> int | None:
    steps = None
    for override in overrides:
        if not override.startswith("train.steps="):
            raise UserError(
                f"A resumed run keeps its config: the override {override!r} is not allowed, only train.steps."
            )
        steps = load_config([override]).train.steps
    return steps


def _run(trainer: Trainer, quiet: bool) -> RunResult:
    keep_freed_memory()
    config, folder = trainer.config, trainer.folder
    tracker = open_tracker(config.tracking, folder.path, _values(config), config.name, resume_id=trainer.tracker_id)
    with (
        ExitStack() as ending,
        ProgressDisplay(config.name, config.train.steps, trainer.env_steps, quiet) as display,
        _interruptible(display) as stopped,
    ):
        ending.callback(tracker.finish)  # also where training diverges or is interrupted
        display.note(f"{tracker.status}")
        start_others(trainer.workers, config, folder)
        trainer.loop(tracker, display, stopped)
        finished = trainer.env_steps >= config.train.steps
        if finished:
            display.note(f"Trained {config.name}; the team is {folder.team}")
        else:
            display.note(f"Stopped and saved. Go on with: {how_to_resume(folder.path, config)}")
        track_files(
            tracker, config, folder, {"env_steps": trainer.env_steps, "seed": config.seed, "finished": finished}
        )
    return RunResult(folder.path, folder.team, trainer.env_steps, trainer.seconds, finished)


def _values(config: Config) -> dict[str, object]:
    return dict(config.model_dump(mode="json"))


@contextmanager
def _interruptible(display: ProgressDisplay) -> Iterator[dict[str, bool]]:
    """Turn the first Ctrl-C (or SIGTERM) into a request to stop after the iteration; the second one interrupts."""
    stopped = {"asked": False}

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (a signal handler's arguments)
        if stopped["asked"]:
            raise KeyboardInterrupt
        stopped["asked"] = True
        display.note("Stopping after this iteration; press Ctrl-C again to stop at once.")

    try:
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread, which alone may handle signals
        before = {}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
