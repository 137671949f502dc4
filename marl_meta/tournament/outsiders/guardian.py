"""The process between the tournament and an entrant: starts it under limits, and leaves nothing of it behind.

Run by path with only the standard library, so that it starts at once. It adopts whatever the entrant's processes leave
behind (as a subreaper), so that it can end and reap all of them, those that changed their session too. It ends them
when the tournament says so or is gone itself, when the entrant ends, and when there are too many of them.

    guardian.py PARENT CONTROL STDIN STDOUT LOG REQUESTS ANSWERS MEMORY PROCESSES GRACE HOME COMMAND...

Numbers are file descriptors (-1: none), bytes and milliseconds. On CONTROL, a socket, it says a word and a number a
line: `pid`, why it ended: `missing` (errno), `exit` (as os.waitstatus_to_exitcode has it), `memory` or `processes`,
and `done`.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress

_TICK_MS = 100
_GIVE_UP_SECONDS = 5.0
"""Processes that the kernel does not end by then (a dead network drive) are left to it."""
_DEATH_SIGNAL, _SUBREAPER = 1, 36  # prctl's PR_SET_PDEATHSIG and PR_SET_CHILD_SUBREAPER
_TARGETS = (0, 1, 2, 3, 4)


def main(arguments: list[str]) -> None:
    """Start the entrant, watch over it, and clear up."""
    parent, control, *streams, memory, processes, grace = (int(text) for text in arguments[:10])
    home, command = arguments[10], arguments[11:]
    for descriptor in (control, *streams):
        if descriptor > 2:
            os.set_inheritable(descriptor, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    _prctl(_SUBREAPER, 1)
    guardian = os.getpid()
    entrant = os.fork()
    if entrant == 0:
        _become(command, streams, memory, guardian, control)
    for descriptor in set(streams):
        if descriptor > 2:
            os.close(descriptor)
    _say(control, "pid", entrant)
    _watch(parent, control, woken, entrant, memory, processes)
    _clear(woken, entrant, grace / 1000)
    if os.path.isdir(home):  # noqa: PTH112 (pathlib takes a third of the time that starting takes)
        import shutil

        shutil.rmtree(home, ignore_errors=True)
    _say(control, "done", 0)


def _become(command: list[str], streams: list[int], memory: int, guardian: int, control: int) -> None:
    """Turn this process, a fork, into the entrant's."""
    try:
        os.setsid()
        _prctl(_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != guardian:
            os._exit(1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        with suppress(OSError), open("/proc/self/oom_score_adj", "wb", buffering=0) as file:  # noqa: PTH123
            file.write(b"1000")  # whoever runs out of memory all the same, it is not the tournament that ends
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        moved = [fcntl.fcntl(stream, fcntl.F_DUPFD_CLOEXEC, 10) if stream >= 0 else -1 for stream in streams]
        for stream, target in zip(moved, _TARGETS, strict=True):
            if stream >= 0:
                os.dup2(stream, target)
        os.execvp(command[0], command)  # noqa: S606 (no shell is what is wanted)
    except OSError as error:
        _say(control, "missing", error.errno or 0)
    finally:
        os._exit(127)


def _watch(parent: int, control: int, woken: int, entrant: int, memory: int, processes: int) -> None:
    """Return when it is time to end everything."""
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(woken, select.POLLIN)
    while True:
        events = poller.poll(_TICK_MS)
        if any(descriptor == control for descriptor, _ in events) or os.getppid() != parent:
            return
        status = _reap(woken, entrant)
        if status is not None:
            _say(control, "exit", status)
            return
        if events:
            continue
        there = _descendants()
        if len(there) > processes:
            _say(control, "processes", len(there))
            return
        if len(there) > 1 and sum(map(_held, there)) > memory:
            _say(control, "memory", len(there))
            return


def _clear(woken: int, entrant: int, grace: float) -> None:
    """End all processes, first by a signal that lets them clear up, and reap them."""
    started = time.monotonic()
    poller = select.poll()
    poller.register(woken, select.POLLIN)
    number = signal.SIGTERM
    while time.monotonic() < started + grace + _GIVE_UP_SECONDS and _left(woken):
        if number == signal.SIGTERM or time.monotonic() >= started + grace:
            with suppress(OSError):
                os.killpg(entrant, number)
            for process in _descendants():
                with suppress(OSError):
                    os.kill(process, number)
            number = signal.SIGKILL
        rest = started + grace - time.monotonic()
        poller.poll(rest * 1000 if rest > 0 else 10)


def _left(woken: int) -> bool:
    """Return whether there are processes that have not ended; reaps those that have."""
    with suppress(BlockingIOError):
        os.read(woken, 4096)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _reap(woken: int, entrant: int) -> int | None:
    """Reap what has ended; returns how the entrant ended, if it did."""
    with suppress(BlockingIOError):
        os.read(woken, 4096)
    ended = None
    with suppress(ChildProcessError):
        while True:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                break
            if process == entrant:
                ended = os.waitstatus_to_exitcode(status)
    return ended


def _descendants() -> list[int]:
    """Return all processes that the entrant has started and that are still there."""
    found: list[int] = []
    pending = [os.getpid()]
    while pending:
        process = pending.pop()
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{process}/task"):  # noqa: PTH208 (as above)
                with open(f"/proc/{process}/task/{thread}/children", "rb") as file:  # noqa: PTH123
                    pending += (children := [int(word) for word in file.read().split()])
                    found += children
    return found


def _held(process: int) -> int:
    """Return the bytes of memory that a process holds for itself, shared libraries left out."""
    try:
        with open(f"/proc/{process}/statm", "rb") as file:  # noqa: PTH123
            _, resident, shared, *_ = map(int, file.read().split())
    except (OSError, ValueError):
        return 0
    return (resident - shared) * resource.getpagesize()


def _say(control: int, word: str, number: int) -> None:
    with suppress(OSError):
        os.write(control, f"{word} {number}\n".encode())


def _prctl(option: int, value: int) -> None:
    """Set an option of this process, where the system has it."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
