"""Shares of games in processes of their own: each goes through the whole run, and works on one share of it.

All of them hold the same learners. What a share comes to (gradients, returns, what is to be saved) goes to the process
of the first share, which combines it in the order of the shares and sends the outcome to everybody, so that all take
the same steps, bit for bit as threads in one process do. Interpreters that have a lock each do not wait for each other.
"""

from __future__ import annotations

import io
import pickle
import signal
import subprocess
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch
from torch import Tensor

from marl_meta.rl.sharding import Workers
from marl_meta.types import UserError

_PATIENCE = 10.0
"""Seconds that another process has to end when it is asked to."""
_GLANCE = 5.0
"""Seconds after which, while a result is waited for, it is looked whether the other process is still there."""
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What is sent in place of a result by a process in which something was raised."""

    error: Exception

    @classmethod
    def of(cls, error: Exception) -> _Trouble:
        """Return the trouble with an error, which takes along where it was raised: tracebacks do not travel."""
        if not isinstance(error, UserError):
            error.add_note("".join(traceback.format_tb(error.__traceback__)))
        return cls(error)


@dataclass(frozen=True, slots=True)
class Other:
    """A process that another share is worked on in, as the leading one knows it."""

    process: subprocess.Popen[bytes]
    connection: Connection


class LeadingProcess(Workers):
    """The process of the first share: it combines, and it alone writes what the run leaves behind."""

    def __init__(self, count: int) -> None:
        """The others of `count` processes are still to come (`join`)."""
        super().__init__(count, processes=count)
        self._others: list[Other] = []

    def join(self, other: Other) -> None:
        """Work with another process from now on; they come in the order of the shares but the first."""
        self._others.append(other)

    def own(self, items: Sequence[_Item]) -> list[_Item]:
        """Return the first share's item."""
        return [items[0]]

    def reduce(
        self,
        function: Callable[[_Item], _Result],
        items: Iterable[_Item],
        combine: Callable[[list[_Result]], _Outcome],
    ) -> _Outcome:
        """Return `combine` of what `function` returns of every process's own item, in the order of the shares.

        Raises what was raised in any of them, and UserError where one of them has ended.
        """
        parts = [_attempt(function, items), *(self._receive(share) for share in range(1, self.count))]
        raised = next((part for part in parts if isinstance(part, _Trouble)), None)
        found = _attempt(combine, [parts]) if raised is None else raised
        message = _packed(found)
        for other in self._others:
            with suppress(OSError):  # who has ended is found out when the next result is waited for
                other.connection.send_bytes(message)
        outcome: _Outcome = _opened(found)
        return outcome

    def announce(self, order: str) -> None:
        """Have the other processes do what this one is about to do, by the name that they know it by."""
        for other in self._others:
            with suppress(OSError):
                other.connection.send_bytes(order.encode())

    def _receive(self, share: int) -> Any:
        other = self._others[share - 1]
        with suppress(EOFError, OSError):
            while not other.connection.poll(_GLANCE) and other.process.poll() is None:
                pass
            if other.connection.poll():  # else it has ended, and what it had started holds on to its end of the socket
                return pickle.loads(other.connection.recv_bytes())  # noqa: S301 (from our own process)
        with suppress(subprocess.TimeoutExpired):
            other.process.wait(_PATIENCE)
        raise UserError(
            f"The process that plays share {share + 1} of {self.count} of the games has ended "
            f"({_how(other.process.returncode)}); what the run's last checkpoint holds is kept."
        )

    def close(self) -> None:
        """Have the other processes end, and leave this one as it was."""
        for other in self._others:
            other.connection.close()
        for other in self._others:
            try:
                other.process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                other.process.kill()
                other.process.wait()
        self._others = []
        super().close()


def _how(code: int | None) -> str:
    """Return how a process has ended, in words."""
    if code is None:
        return "nobody knows why"
    if code == -signal.SIGKILL:
        return "it was killed, perhaps because memory ran out: fewer game.num_games or train.threads take less"
    return f"by signal {-code}" if code < 0 else f"status {code}"


class Ended(Exception):  # noqa: N818 (it is how a run ends)
    """The leading process has."""


class FollowingProcess(Workers):
    """The process of one of the other shares; whatever waits for the leading one raises Ended once it has."""

    def __init__(self, index: int, count: int, connection: Connection) -> None:
        super().__init__(count, processes=count)
        self._index, self._connection = index, connection

    @property
    def leads(self) -> bool:
        """Whether this process writes what the run leaves behind."""
        return False

    def own(self, items: Sequence[_Item]) -> list[_Item]:
        """Return this share's item."""
        return [items[self._index]]

    def reduce(
        self,
        function: Callable[[_Item], _Result],
        items: Iterable[_Item],
        combine: Callable[[list[_Result]], _Outcome],  # noqa: ARG002 (done by who leads)
    ) -> _Outcome:
        """Return what the leading process combines."""
        self._send(_attempt(function, items))
        outcome: _Outcome = _opened(pickle.loads(self._receive()))  # noqa: S301 (from our own process)
        return outcome

    def next_order(self) -> str:
        """Return what the leading process announces next."""
        return self._receive().decode()

    def report(self, error: Exception) -> None:
        """Tell the leading process what was raised here, in place of what it waits for next."""
        with suppress(Ended):
            self._send(_Trouble.of(error))

    def _send(self, value: Any) -> None:
        try:
            self._connection.send_bytes(_packed(value))
        except OSError as error:
            raise Ended from error

    def _receive(self) -> bytes:
        try:
            return self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise Ended from error


def _attempt(function: Callable[[Any], Any], items: Iterable[Any]) -> Any:
    """Return `function` of the only item, or the trouble that there was."""
    (item,) = items
    try:
        return function(item)
    except Exception as error:  # noqa: BLE001 (whatever it is, every process raises it)
        return _Trouble.of(error)


def _opened(outcome: Any) -> Any:
    if isinstance(outcome, _Trouble):
        raise outcome.error
    return outcome


class _Pickler(pickle.Pickler):
    """Tensors travel as arrays, which takes a tenth of the time."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return torch.from_numpy, (value.detach().numpy(),)
        return NotImplemented


def _packed(value: Any) -> bytes:
    """Return a value as bytes; an error that cannot travel is told in words."""
    if not isinstance(value, _Trouble):
        return _dumped(value)
    try:
        message = _dumped(value)
        pickle.loads(message)  # noqa: S301 (errors may be packed well, and fail to be opened)
    except Exception:  # noqa: BLE001 (whatever an error's class does)
        told = RuntimeError(f"{type(value.error).__name__}: {value.error}")
        for note in getattr(value.error, "__notes__", ()):
            told.add_note(note)
        message = _dumped(_Trouble(told))
    return message


def _dumped(value: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()
