"""What a measurement was taken on, and whether anybody else was using it."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from marl_meta.allocator import keep_freed_memory

BUSY = 0.15
"""The share of all cores that others may use before figures are called disturbed."""
_WATCH_SECONDS = 0.5
_PACKAGES = ("numpy", "numba", "torch", "torch-geometric", "mpe2", "vmas", "jaxmarl", "benchmarl")


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine and its setting during a benchmark."""

    cpu: str
    cores: int
    """That this process may use."""
    python: str
    versions: dict[str, str | None]
    """None: not installed."""
    allocator: str
    openmp_wait: str
    """How threads of parallel loops wait for each other; active ones lose a time slice to every other busy process."""
    load_average: tuple[float, float, float]
    used_by_others: float | None
    """Share of all cores that was in use just before the benchmark; None where it cannot be seen."""

    @property
    def warning(self) -> str | None:
        """What to say where others disturb the figures."""
        if self.used_by_others is None:
            busy = self.load_average[0] > BUSY * self.cores
            return f"The load average is {self.load_average[0]:.2f}: figures may be disturbed." if busy else None
        if self.used_by_others <= BUSY:
            return None
        return (
            f"Others were using {self.used_by_others:.0%} of this machine's cores: absolute figures are too low, "
            "processor times and ratios within a round say more."
        )


def inspect_machine() -> Machine:
    """Return the machine as it is now. Freed memory is kept from here on (`marl_meta.allocator`), as training does."""
    kept = keep_freed_memory()
    preload = os.environ.get("LD_PRELOAD")
    allocator = "keeps freed memory (mallopt)" if kept else "the platform's"
    if preload:
        allocator = f"LD_PRELOAD={preload}"
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)) if platform.system() == "Linux" else os.cpu_count() or 1,
        python=platform.python_version(),
        versions={name: _version(name) for name in _PACKAGES},
        allocator=allocator,
        openmp_wait=os.environ.get("OMP_WAIT_POLICY", "the runtime's default").lower(),
        load_average=os.getloadavg(),
        used_by_others=_used_share(),
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _used_share() -> float | None:
    """Return the share of all cores in use over half a second of our own rest."""
    if not Path("/proc/stat").is_file():
        return None
    before = _ticks()
    time.sleep(_WATCH_SECONDS)
    idle, total = (after - earlier for after, earlier in zip(_ticks(), before, strict=True))
    return 1.0 - idle / max(total, 1)


def _ticks() -> tuple[int, int]:
    """Return (idle, all) ticks since boot; time that the host took away counts as in use."""
    line = Path("/proc/stat").read_text(encoding="utf-8").partition("\n")[0]
    user, nice, system, idle, waiting, *rest = (int(number) for number in line.split()[1:9])
    return idle + waiting, user + nice + system + idle + waiting + sum(rest)
