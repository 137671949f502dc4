"""An entrant's process as the tournament holds it: messages with deadlines, its output, and its end."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from marl_meta.tournament.outsiders.launching import launch
from marl_meta.tournament.outsiders.limits import Limits
from marl_meta.tournament.outsiders.logs import Log
from marl_meta.tournament.outsiders.player import Fault

_CHUNK = 1 << 16
_WORDS_SECONDS = 0.5
"""How long to wait for word of how a process ended once it has closed its end."""
_CLEAR_SECONDS = 8.0
"""How long a guardian may take to end everything; it gives up by itself before that."""


class Channel:
    """A running entrant. Its requests and answers are lines; nothing waits for it without a deadline.

    With `standard`, requests and answers go through its standard input and output, and its errors are its log; else
    through descriptors 3 and 4, and all its output is its log. For one thread at a time. Raises Fault and OSError.
    """

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, limits: Limits, seed: int, *, standard: bool
    ) -> None:
        self.name, self._limits = name, limits
        self.log = Log(limits.log_bytes)
        self._owner = os.getpid()
        self._buffer, self._words = bytearray(), b""
        self._silent = False
        """Whether nobody can write to its log any more."""
        self._ended = False
        started = launch(command, folder, limits, seed, standard=standard)
        self._requests, self._answers, self._log = started.requests, started.answers, started.log
        self._control, self._process, self._home = started.control, started.process, started.home
        self._poller = select.poll()
        for ours in (self._answers, self._log, self._control.fileno()):
            self._poller.register(ours, select.POLLIN)

    @property
    def running(self) -> bool:
        """Whether nobody has ended it yet."""
        return not self._ended

    def exchange(self, message: bytes, seconds: float, late: Callable[[], Fault]) -> bytes:
        """Return the line that answers a message; raises what `late` returns when there is none in time."""
        if (parted := self._spoken()) is not None:
            raise parted
        if self._buffer:
            raise Fault("shape", f"{self.name} wrote more than the one answer that it was asked for.")
        deadline = time.monotonic() + seconds
        pending = memoryview(message)
        self._poller.register(self._requests, select.POLLOUT)
        try:
            while True:
                rest = deadline - time.monotonic()
                if rest <= 0:
                    raise late()
                for descriptor, _ in self._poller.poll(rest * 1000 + 1):
                    if descriptor == self._requests:
                        pending = pending[self._write(pending) :]
                        if not pending:
                            self._poller.unregister(self._requests)
                    elif descriptor == self._log:
                        self._drain()
                    elif (line := self._hear() if descriptor == self._control.fileno() else self._line()) is not None:
                        return line
        finally:
            with suppress(KeyError):
                self._poller.unregister(self._requests)

    def end(self, seconds: float) -> None:
        """Wait so long for it to end by itself, then end all its processes; close everything."""
        if self._ended or os.getpid() != self._owner:  # a fork of ours has no say in it
            return
        deadline = time.monotonic() + seconds
        while (rest := deadline - time.monotonic()) > 0 and not self._gone(rest):
            pass
        self.kill()

    def kill(self) -> None:
        """End all its processes, reap them, and close everything. May be called again."""
        if self._ended or os.getpid() != self._owner:
            return
        self._ended = True
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + self._limits.grace_seconds + _CLEAR_SECONDS
        while (rest := deadline - time.monotonic()) > 0 and not self._gone(rest):
            pass
        self._process.kill()
        self._process.wait()
        said = self._said()
        if b"pid" in said and b"done" not in said:  # its guardian was lost
            with suppress(OSError):
                os.killpg(said[b"pid"], signal.SIGKILL)
        self._drain(most=16)
        for ours in (self._requests, self._answers, self._log):
            os.close(ours)
        self._control.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def _write(self, pending: memoryview) -> int:
        try:
            return os.write(self._requests, pending)
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            raise self._parting() from None

    def _line(self) -> bytes | None:
        """Return the answer if it is complete."""
        try:
            data = os.read(self._answers, _CHUNK)
        except BlockingIOError:
            return None
        if not data:
            raise self._parting()
        before = len(self._buffer)
        self._buffer += data
        end = self._buffer.find(b"\n", before)
        if end > self._limits.message_bytes or (end < 0 and len(self._buffer) > self._limits.message_bytes):
            raise Fault("flood", f"The answer of {self.name} is longer than {self._limits.message_bytes} bytes.")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _drain(self, most: int = 4) -> None:
        """Take note of its output, so that it never waits for us to do so."""
        for _ in range(most):
            try:
                data = os.read(self._log, _CHUNK)
            except BlockingIOError:
                return
            if not data:
                if not self._silent:
                    self._poller.unregister(self._log)
                self._silent = True
                return
            self.log.add(data)

    def _hear(self) -> bytes | None:
        """Read what the guardian says; raises Fault when the entrant has ended, unless it has answered first."""
        gone = self._listen()
        fault = self._spoken() or (self._lost() if gone else None)
        if fault is None:
            return None
        line = None
        if fault.kind == "crash":
            with suppress(Fault):
                line = self._line()
        if line is None:
            raise fault
        return line

    def _listen(self) -> bool:
        """Read what the guardian says; returns whether it is gone."""
        try:
            data = self._control.recv(4096)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True
        self._words += data
        return not data

    def _gone(self, seconds: float) -> bool:
        """Wait so long at most for the guardian to say something; returns whether it is gone."""
        poller = select.poll()
        poller.register(self._control, select.POLLIN)
        if not self._silent:
            poller.register(self._log, select.POLLIN)
        events = [descriptor for descriptor, _ in poller.poll(seconds * 1000 + 1)]
        if self._log in events:
            self._drain()
        return self._control.fileno() in events and self._listen()

    def _said(self) -> dict[bytes, int]:
        lines = self._words.rpartition(b"\n")[0].splitlines()
        return {word: int(number) for word, _, number in (line.partition(b" ") for line in lines)}

    def _spoken(self) -> Fault | None:
        """Return what the guardian has said, as a fault."""
        said, limits = self._said(), self._limits
        if b"missing" in said:
            return Fault("start", f"The command of {self.name} cannot be run: {os.strerror(said[b'missing'])}.")
        if b"memory" in said:
            return Fault("memory", f"The processes of {self.name} hold more than {limits.memory_mib} MiB.")
        if b"processes" in said:
            return Fault("flood", f"{self.name} has more than {limits.processes} processes.")
        if b"exit" in said:
            return Fault("crash", f"The process of {self.name} ended {_ending(said[b'exit'])}.")
        return None

    def _parting(self) -> Fault:
        """Return how it ended, now that it has closed its end."""
        deadline = time.monotonic() + _WORDS_SECONDS
        while (rest := deadline - time.monotonic()) > 0 and self._spoken() is None:
            if self._gone(rest):
                return self._spoken() or self._lost()
        return self._spoken() or Fault("crash", f"The process of {self.name} closed its connection.")

    def _lost(self) -> Fault:
        return Fault("crash", f"The process of {self.name} was lost.")


def _ending(status: int) -> str:
    if status >= 0:
        return f"with exit status {status}"
    with suppress(ValueError):
        return f"by signal {signal.Signals(-status).name}"
    return f"by signal {-status}"
