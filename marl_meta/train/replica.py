"""The other processes of a run in which every share of the games has its own (`marl_meta.rl.processes`).

Each builds the run from its config, follows the process that leads step by step, and ends when that one does.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

from marl_meta.allocator import keep_freed_memory
from marl_meta.config import Config
from marl_meta.rl.processes import Ended, FollowingProcess, LeadingProcess, Other
from marl_meta.rl.sharding import Workers
from marl_meta.train.build import assemble
from marl_meta.train.checkpoint import read_newest
from marl_meta.train.folder import RunFolder
from marl_meta.train.trainer import Trainer
from marl_meta.types import UserError

MANY_STEPS = 200_000
"""For so many env-steps, processes are worth the seconds that they take to start."""
_PROGRAM = """\
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from marl_meta.train.replica import follow
follow(*map(int, sys.argv[2:]))
"""


@contextmanager
def open_trainer(config: Config, folder: RunFolder) -> Iterator[Trainer]:
    """Yield the trainer of a new run, with the processes that it has, until it is left."""
    with closing(choose_workers(config)) as workers:
        trainer = Trainer(config, folder, assemble(config, workers), workers)
        start_others(workers, config, folder)
        yield trainer


def choose_workers(config: Config) -> Workers:
    """Return who works on the shares of a run; its numbers are the same either way.

    A league, whose members play in all shares, stays in one process, and so do short runs, and games whose code is in
    the very script that trains: no other process has it.
    """
    shares, script = config.train.threads, (config.game.entry_point or "").startswith("__main__:")
    able = shares > 1 and config.league.name == "none" and not script and os.name == "posix"
    return LeadingProcess(shares) if able and config.train.steps >= MANY_STEPS else Workers(shares)


def start_others(workers: Workers, config: Config, folder: RunFolder) -> None:
    """Start the processes of the other shares, where there are to be some, from the folder's newest checkpoint."""
    if isinstance(workers, LeadingProcess):
        for share in range(1, workers.count):
            try:
                workers.join(_start(config, folder, share))
            except OSError as error:
                raise UserError(
                    f"No process can be started for share {share + 1} of the games: {error}. A run with "
                    "train.threads=1 needs none."
                ) from error


def _start(config: Config, folder: RunFolder, share: int) -> Other:
    ours, theirs = socket.socketpair()
    paths = json.dumps([path for path in sys.path if isinstance(path, str)])
    numbers = map(str, (theirs.fileno(), share, config.train.threads))
    with ours, theirs:
        process = subprocess.Popen(  # noqa: S603 (ourselves)
            [sys.executable, "-P", "-c", _PROGRAM, paths, *numbers],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the process that leads, which also tells when SIGTERM ends a run
        )
        connection = Connection(ours.detach())
    with suppress(OSError):  # who has ended already is found out when the first result is waited for
        connection.send_bytes(json.dumps([config.to_json(), str(folder.path)]).encode())
    return Other(process, connection)


def follow(descriptor: int, share: int, count: int) -> None:
    """Be the process of a share: do what the leading one does until it ends."""
    os.set_inheritable(descriptor, False)
    keep_freed_memory()
    with closing(FollowingProcess(share, count, Connection(descriptor))) as workers:
        try:
            text, path = json.loads(workers.next_order())
            _follow(workers, Config.from_json(text, "the run's config"), RunFolder(Path(path)))
        except Ended:
            return
        except Exception as error:  # noqa: BLE001 (who leads tells it)
            workers.report(error)


def _follow(workers: FollowingProcess, config: Config, folder: RunFolder) -> None:
    trainer = Trainer(config, folder, assemble(config, workers), workers)
    checkpoint = read_newest(folder.checkpoints)
    if checkpoint is not None:
        trainer.restore(checkpoint)
    orders = {"iterate": trainer.iterate, "snapshots": trainer.snapshots}
    while True:
        orders[workers.next_order()]()
