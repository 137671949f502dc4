"""Which variants a run plays how often: a curriculum by what the learners earn on each.

A trial's score is what an agent of the learners earns in one of its episodes, on average. Of each variant the schedule
keeps two running averages of its trials' scores, a fast one of what is earned now and a slow one of what was earned a
while ago, and the best score. From these follows a priority:

- progress: |fast - slow|, absolute learning progress, less what chance alone makes of it. Variants that are being
  learnt, or forgotten, come before those that are mastered or out of reach (Portelas et al. 2020, "Teacher algorithms
  for curriculum learning of deep RL in continuously parameterized environments"; two averages as in Kanitscheider et
  al. 2021, "Multi-task curriculum learning in a complex, visual, hard-exploration domain"). Without the deduction, the
  variants whose scores hang most on chance would come first in the end.
- regret: best - fast. What was once earned stands in for the best that can be, so that this is what is lost now
  (Dennis et al. 2020, "Emergent complexity and zero-shot transfer via unsupervised environment design"; the best return
  so far in place of the optimal one is MaxMC in Jiang et al. 2021, "Replay-guided adversarial environment design").

A share of the trials is drawn uniformly all the same, since scores of what is never played grow old. Where what all
learners earn sums to nothing (both sides of a zero-sum game learn), scores say nothing, and all stay as likely.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.games.deck import CARDS, apportion
from marl_meta.types import IntArray, Snapshot

Numbers = npt.NDArray[np.float64]


_ERRORS = 2.0
"""A difference of averages counts as far as it is above so many of its standard errors."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What the trials of each of V variants have earned."""

    fast_decay: float
    slow_decay: float
    """Of the running averages, a trial."""
    count: IntArray
    """[V] trials."""
    fast: Numbers
    """[V] running average; 0 before the first trial."""
    slow: Numbers
    """[V] running average over more trials."""
    best: Numbers
    """[V] highest score of a trial; 0 before the first one."""
    last: Numbers
    """[V] score of the last trial."""
    noise: Numbers
    """[V] variance of a score: half the mean square of the difference of two in a row; learning adds little."""


def no_scores(variants: int, fast_decay: float, slow_decay: float) -> Scores:
    """Return the scores before the first trial."""
    return Scores(fast_decay, slow_decay, np.zeros(variants, np.int64), *(np.zeros(variants) for _ in range(5)))


def with_trials(scores: Scores, trials: Sequence[tuple[int, float]]) -> Scores:
    """Return the scores after more trials, each a variant and its score.

    An average of n scores x_1..x_n weighs x_i by decay^(n-i), and its weights sum to 1: so both averages begin at the
    first score, and differ only by what has changed since.
    """
    state: dict[str, Any] = {name: array.copy() for name, array in arrays_of(scores).items()}
    count, fast, slow, best, last, noise = state.values()
    for variant, score in trials:
        count[variant] += 1
        trial = int(count[variant])
        fast[variant] += _share(scores.fast_decay, trial) * (score - fast[variant])
        slow[variant] += _share(scores.slow_decay, trial) * (score - slow[variant])
        best[variant] = score if trial == 1 else max(score, best[variant])
        if trial > 1:
            square = 0.5 * (score - last[variant]) ** 2
            noise[variant] += _share(scores.slow_decay, trial - 1) * (square - noise[variant])
        last[variant] = score
    return replace(scores, **state)


def arrays_of(scores: Scores) -> Snapshot:
    """Return the arrays of the scores by name."""
    return {name: getattr(scores, name) for name in ("count", "fast", "slow", "best", "last", "noise")}


def _share(decay: float, trial: int) -> float:
    """Return the weight of the latest of so many scores in their running average."""
    return (1.0 - decay) / (1.0 - decay**trial)


def progress(scores: Scores) -> Numbers:
    """Return the absolute learning progress [V]: |fast - slow|, as far as it is more than two standard errors.

    Of averages with decays f and s over many independent scores of variance v, the variance of the difference is
    v [(1-f)/(1+f) + (1-s)/(1+s) - 2 (1-f)(1-s)/(1-fs)].
    """
    f, s = scores.fast_decay, scores.slow_decay
    factor = (1 - f) / (1 + f) + (1 - s) / (1 + s) - 2 * (1 - f) * (1 - s) / (1 - f * s)
    found: Numbers = np.maximum(np.abs(scores.fast - scores.slow) - _ERRORS * np.sqrt(factor * scores.noise), 0.0)
    return found


def regret(scores: Scores) -> Numbers:
    """Return how far [V] the recent scores fall short of the best: best - fast."""
    return np.maximum(scores.best - scores.fast, 0.0)


PRIORITIES: dict[str, Callable[[Scores], Numbers]] = {"progress": progress, "regret": regret}


def weights_of(scores: Scores, priority: Callable[[Scores], Numbers], uniform_share: float) -> Numbers:
    """Return how likely [V] each variant is to be drawn: in part all alike, for the rest by priority; they sum to 1.

    A variant that was never played has the highest priority of all that were.
    """
    priorities = priority(scores)
    priorities[scores.count == 0] = priorities.max()
    total = priorities.sum()
    even = np.full(len(priorities), 1.0 / len(priorities))
    return even if total == 0.0 else uniform_share * even + (1.0 - uniform_share) * priorities / total


class Schedule:
    """The curriculum of one run over V variants; the same trials in the same order lead to the same weights."""

    def __init__(self, name: str, variants: int, uniform_share: float, fast_decay: float, slow_decay: float) -> None:
        """Start without scores; `name` is one of PRIORITIES."""
        self._priority, self._uniform_share = PRIORITIES[name], uniform_share
        self.scores = no_scores(variants, fast_decay, slow_decay)

    def note(self, trials: Sequence[tuple[int, float]]) -> None:
        """Take note of trials that ended, each a variant and its score."""
        self.scores = with_trials(self.scores, trials)

    def weights(self) -> Numbers:
        """Return how likely [V] each variant should be drawn, what `VectorGame.deal` takes."""
        return weights_of(self.scores, self._priority, self._uniform_share)

    def metrics(self) -> dict[str, float | None]:
        """Return the entropy (nats) of the deck that is dealt by the weights, and who has most and least cards of it.

        Variants go by their number in the split; of several with as many cards, the first.
        """
        variants = len(self.scores.count)
        share = apportion(self.weights(), CARDS * variants) / (CARDS * variants)
        most, least = int(share.argmax()), int(share.argmin())
        return {
            "schedule/entropy": float(-(share * np.log(share)).sum()),
            "schedule/most": most,
            "schedule/most_share": float(share[most]),
            "schedule/least": least,
            "schedule/least_share": float(share[least]),
        }

    def snapshot(self) -> Snapshot:
        """Return the whole state as arrays."""
        return arrays_of(self.scores)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        state: dict[str, Any] = {name: snapshot[name].copy() for name in arrays_of(self.scores)}
        self.scores = replace(self.scores, **state)
