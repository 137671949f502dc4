"""Timing by turns: everything that is compared runs in the same rounds, so that a busy machine slows all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

import numpy as np

MOST_CALLS = 1_000_000


def _nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """Something to time."""

    run: Callable[[], object]
    prepare: Callable[[], object] = _nothing
    """Called before each turn, not timed: how many threads torch may use, for example."""
    work: float = 1.0
    """How much one call does, in whatever unit speeds are told in."""


@dataclass(slots=True)
class Timing:
    """What one case took, in seconds a call, turn by turn."""

    work: float
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Of all threads of the process together: hardly disturbed by others on the machine."""

    @property
    def seconds(self) -> float:
        """Median wall-clock time of a call."""
        return median(self.wall)

    @property
    def cpu_seconds(self) -> float:
        """Median processor time of a call."""
        return median(self.cpu)

    @property
    def speed(self) -> float:
        """Work a second."""
        return self.work / self.seconds

    @property
    def spread(self) -> float:
        """Half the range between the quartiles of the wall-clock times, as a share of their median."""
        low, high = np.quantile(self.wall, (0.25, 0.75))
        return float((high - low) / 2 / self.seconds)


def slower(one: Timing, other: Timing) -> float:
    """Return how many times as long `one` takes as `other` for the same work: the median over the rounds."""
    return median(a / b for a, b in zip(one.wall, other.wall, strict=True)) / (one.work / other.work)


def interleave(cases: Mapping[str, Case], *, seconds: float, repeats: int) -> dict[str, Timing]:
    """Return the timing of each case over `repeats` rounds, about `seconds` in all per case.

    Each case is called twice before (compilation, caches), then as often a round as fills its share of the time.
    Every round takes the cases in another order.
    """
    if repeats < 1 or seconds <= 0:
        raise ValueError(f"repeats and seconds must be positive, not {repeats} and {seconds}")
    calls = {name: _calibrated(case, seconds / repeats) for name, case in cases.items()}
    timings = {name: Timing(case.work) for name, case in cases.items()}
    order = np.random.default_rng(0)
    names = list(cases)
    for _ in range(repeats):
        for index in order.permutation(len(names)):
            name = names[index]
            wall, cpu = _timed(cases[name], calls[name])
            timings[name].wall.append(wall)
            timings[name].cpu.append(cpu)
    return timings


def _calibrated(case: Case, seconds: float) -> int:
    """Return how many calls fill that time, after those that compile and warm up."""
    case.prepare()
    case.run()
    calls = 1
    while calls < MOST_CALLS:
        taken = _timed(case, calls)[0] * calls
        if taken >= seconds / 4:
            return max(1, round(calls * seconds / taken))
        calls *= 4
    return calls


def _timed(case: Case, calls: int) -> tuple[float, float]:
    case.prepare()
    run = case.run
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        run()
    return (time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls
