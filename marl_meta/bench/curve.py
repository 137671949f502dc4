"""How soon training reaches given returns of simple_spread, on mpe2's own scale."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from marl_meta.allocator import keep_freed_memory
from marl_meta.config import load_config
from marl_meta.train.build import resolve
from marl_meta.train.folder import RunFolder
from marl_meta.train.replica import open_trainer
from marl_meta.train.trainer import Trainer

WITHIN = {-60.0: 30.0, -55.0: 60.0, -36.0: 600.0, -30.0: 1800.0}
"""Marks: seconds within which a return is to be reached (absolute, 2 cores)."""
THRESHOLDS = tuple(WITHIN)
REACHED_BY_OTHERS = {
    -60.0: {"JaxMARL IPPO, GRU 128": 98.0, "JaxMARL IPPO, MLP": 110.0, "SB3 PPO + SuperSuit": 237.0},
    -55.0: {"JaxMARL IPPO, GRU 128": 281.0},
}
"""Seconds, recorded elsewhere."""
EPISODES = 1000
"""A return is the mean of at least so many episodes in a row."""
_TRIAL_ITERATIONS = 6


@dataclass(frozen=True, slots=True)
class Curve:
    """What a training reached, and when."""

    reached: dict[float, float]
    """Seconds by threshold."""
    last: float
    """The mean return at the end."""
    env_steps: int
    seconds: float


def run_curve(overrides: Sequence[str], seconds: float) -> Curve:
    """Return what training with default rules reaches within `seconds`, its schedules laid out for that time."""
    keep_freed_memory()
    with _trainer(overrides, steps=None) as trainer:
        for _ in range(_TRIAL_ITERATIONS):
            timing = trainer.iterate()[1]
    speed = float(timing["env_steps_per_second"] or 1.0)
    with _trainer(overrides, steps=max(1, int(speed * seconds))) as trainer:
        return _follow(trainer, seconds)


def _trainer(overrides: Sequence[str], steps: int | None) -> AbstractContextManager[Trainer]:
    fixed = ["game=spread", "train.device=cpu", *overrides, *(() if steps is None else (f"train.steps={steps}",))]
    return open_trainer(resolve(load_config(fixed)), RunFolder(Path("unwritten")))


def _follow(trainer: Trainer, seconds: float) -> Curve:
    key = f"return_sum/{trainer.cast.collectors[0].game.layout.teams[0].name}"
    recent: deque[tuple[float, float]] = deque()
    reached: dict[float, float] = {}
    mean = float("-inf")
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        metrics = trainer.iterate()[0]
        episodes, value = metrics["episodes"], metrics[key]
        if not episodes or value is None:
            continue
        recent.append((episodes, value))
        while sum(count for count, _ in recent) - recent[0][0] >= EPISODES:
            recent.popleft()
        total = sum(count for count, _ in recent)
        mean = sum(count * value for count, value in recent) / total
        if total >= EPISODES:
            for threshold in THRESHOLDS:
                if mean >= threshold:
                    reached.setdefault(threshold, time.monotonic() - began)
    return Curve(reached, mean, trainer.env_steps, passed)
