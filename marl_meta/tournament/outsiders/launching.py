"""Starting an entrant's process: a guardian, and below it the entrant, in an environment of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from marl_meta.tournament.outsiders.limits import MIB, Limits

_GUARDIAN = Path(__file__).with_name("guardian.py")
_PACKAGE = Path(__file__).resolve().parents[3]
"""The folder in which marl_meta lies, installed or not."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")
_KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
"""All of our environment that an entrant gets to see: no keys of anything."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A process that has been started, and our ends of its pipes; none of them blocks."""

    process: subprocess.Popen[bytes]
    """The guardian."""
    control: socket.socket
    """The guardian's words; when it is shut down, the guardian ends the entrant."""
    requests: int
    answers: int
    log: int
    home: str
    """A temporary folder, the entrant's."""


def launch(command: Sequence[str], folder: Path, limits: Limits, seed: int, *, standard: bool) -> Launched:
    """Start a command in a folder. Raises OSError, and leaves nothing behind then.

    With `standard`, requests and answers are its standard input and output, and its errors its log; else descriptors 3
    and 4, and all its output is its log. Any thread may do this: nothing of ours runs between fork and exec.
    """
    with ExitStack() as undo:
        home = tempfile.mkdtemp(prefix="marl-meta-entrant-")
        undo.callback(shutil.rmtree, home, ignore_errors=True)
        requests, ours_requests = _pipe(undo)
        ours_answers, answers = _pipe(undo)
        ours_log, log = _pipe(undo)
        ours, control = (undo.enter_context(end) for end in socket.socketpair())
        streams = (requests, answers, log, -1, -1) if standard else (-1, log, log, requests, answers)
        arguments = (
            os.getpid(), control.fileno(), *streams, limits.memory_mib * MIB, limits.processes,
            int(limits.grace_seconds * 1000), home, *command,
        )  # fmt: skip
        process = subprocess.Popen(  # noqa: S603 (running what is foreign is the point; that is why it is guarded)
            [sys.executable, "-I", "-S", str(_GUARDIAN), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            pass_fds=[control.fileno(), *(stream for stream in streams if stream >= 0)],
            start_new_session=True,
            cwd=folder,
            env=_environment(home, seed, standard=standard),
        )
        undo.pop_all()
    control.close()
    for descriptor in (requests, answers, log):
        os.close(descriptor)
    for descriptor in (ours_requests, ours_answers, ours_log):
        os.set_blocking(descriptor, False)
    ours.setblocking(False)
    return Launched(process, ours, ours_requests, ours_answers, ours_log, home)


def _pipe(undo: ExitStack) -> tuple[int, int]:
    """Return the ends of a pipe, which are closed when starting goes wrong."""
    ends = os.pipe()
    for end in ends:
        undo.callback(_close, end)
    return ends


def _close(descriptor: int) -> None:
    with suppress(OSError):
        os.close(descriptor)


def _environment(home: str, seed: int, *, standard: bool) -> dict[str, str]:
    """Return the environment of an entrant: a home of its own, one thread, and nothing that is ours."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    found = {} if standard else {"PYTHONPATH": str(_PACKAGE)}  # our host must be found, wherever it runs
    return {
        **found,
        "LANG": "C.UTF-8",
        **kept,
        **dict.fromkeys(_THREADS, "1"),
        "HOME": home,
        "TMPDIR": home,
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONHASHSEED": str(seed % (1 << 32)),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
