"""What all players from outside have in common: a process under limits, and a bank of time."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from marl_meta.tournament.outsiders.answers import checked
from marl_meta.tournament.outsiders.channel import Channel
from marl_meta.tournament.outsiders.limits import Limits
from marl_meta.tournament.outsiders.player import Action, Fault, SeriesInfo


class Outsider:
    """A process that is started when it is needed, and a bank of time.

    Every Fault ends the process. The next `reset` starts another one, and tells it about the series again. One thread
    at a time may use it. It is closed too when nobody holds it any more, and when the interpreter ends.
    """

    def __init__(self, name: str, command: list[str], folder: Path, limits: Limits | None, seed: int) -> None:
        self.name = name
        self.limits = limits or Limits()
        self._command, self._folder, self._seed = command, folder, seed
        self._channel: Channel | None = None
        self._end = weakref.finalize(self, lambda: None)
        self._info: SeriesInfo | None = None
        self._bank = self.limits.bank_seconds

    @property
    def bank(self) -> float:
        """Seconds that are left in its bank."""
        return self._bank

    @property
    def logs(self) -> str:
        """What its last process has printed, as far as it is kept."""
        return self._channel.log.text() if self._channel is not None else ""

    @property
    def running(self) -> bool:
        """Whether it has a process."""
        return self._channel is not None and self._channel.running

    def start_series(self, info: SeriesInfo) -> None:
        """Fill up its bank, and get it ready for a series."""
        self._bank = self.limits.bank_seconds
        self._info = replace(info, limits=self.limits.record())
        self._begin()

    def _begin(self) -> None:
        """Get its process ready for the series."""
        raise NotImplementedError

    def _open(self, *, standard: bool) -> Channel:
        """Start its process."""
        self._end()
        try:
            channel = Channel(
                self.name, self._command, self._folder, self.limits, self._seed, standard=standard
            )  # fmt: skip
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Fault("start", f"{self.name} cannot be started: {error.strerror}: {error.filename}.") from error
        self._channel = channel
        self._end = weakref.finalize(self, channel.kill)
        return channel

    def _fail(self, fault: Fault) -> Fault:
        """Return the fault, now that the process has ended."""
        self._end()
        return fault

    def _series(self) -> SeriesInfo:
        if self._info is None:
            raise RuntimeError(f"{self.name} plays no series; start_series comes first.")
        return self._info

    def _take(self, message: bytes, step: int, extra: float = 0.0) -> bytes:
        """Return the answer to a request for a move; takes what is too long out of the bank."""
        if self._channel is None or not self._channel.running:
            raise RuntimeError(f"{self.name} plays no game; reset comes first.")
        free = self.limits.act_seconds + extra
        begun = time.monotonic()

        def late() -> Fault:
            return Fault(
                "timeout",
                f"{self.name} did not answer at step {step} within {free + self._bank:.2f} s: "
                f"{free:g} s a move, and {self._bank:.2f} s that were left in its bank.",
            )

        try:
            line = self._channel.exchange(message, free + self._bank, late)
        except Fault as fault:
            if fault.kind == "timeout":
                self._bank = 0.0
            raise self._fail(fault) from None
        self._bank = max(0.0, self._bank - max(0.0, time.monotonic() - begun - free))
        return line

    def _checked(self, actions: object, masks: Mapping[str, object]) -> dict[str, Action]:
        try:
            return checked(self.name, actions, self._series().actions, masks)
        except Fault as fault:
            raise self._fail(fault) from None
