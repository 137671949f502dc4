"""Whether beliefs can be trusted: what a team gives a probability of p should be true in a share p of the cases.

Every probability that an agent gives to a value of a hidden rule, at every step of a trial, falls into one of ten bins;
the expected calibration error is the mean over all of them of |mean probability - share that was true| of their bin
(Naeini, Cooper and Hauskrecht 2015). A belief about a number that may be anything says how probable it is that the
number lies below any other: counted are its quantiles at the middle of each bin (Kuleshov, Fenner and Ermon 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.nets.knowledge import Knowledge
from marl_meta.team import TeamController
from marl_meta.types import BoolArray, FloatArray, IntArray, Observation, Snapshot, Step, VectorGame

BINS = 10
_LEVELS = (np.arange(BINS, dtype=np.float32) + 0.5) / BINS
_QUANTILES = np.array([NormalDist().inv_cdf(float(level)) for level in _LEVELS])
"""Of a standard normal distribution."""

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """The bins of a reliability diagram, [bins] each."""

    count: Doubles
    predicted: Doubles
    """Mean probability; NaN where the bin is empty."""
    observed: Doubles
    """Share of the values that were true; NaN where the bin is empty."""

    @property
    def error(self) -> float:
        """The expected calibration error, 0 for perfect beliefs; NaN without any."""
        filled = self.count > 0
        if not filled.any():
            return float("nan")
        gaps = np.abs(self.predicted[filled] - self.observed[filled])
        return float(np.average(gaps, weights=self.count[filled]))


class Calibration:
    """Counts of what a team believed and what was true, by rule and by episode of a trial."""

    def __init__(self, episodes: int) -> None:
        """Count nothing yet; trials have `episodes` episodes (K)."""
        self.episodes = episodes
        self._sums: dict[str, Doubles] = {}

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that something was believed about."""
        return tuple(self._sums)

    def note(self, rule: str, episode: IntArray, probabilities: FloatArray, truth: IntArray) -> None:
        """Count m beliefs: `probabilities` [m,C] of a rule's values in `episode` [m]; the true ones are `truth` [m]."""
        self._count(rule, episode, probabilities, np.arange(probabilities.shape[1]) == truth[:, None])

    def note_number(self, rule: str, episode: IntArray, believed: FloatArray, truth: FloatArray) -> None:
        """Count m beliefs about a number: its means and deviations [m,2] in `episode` [m]; the true ones are [m]."""
        below = truth[:, None] <= believed[:, :1] + _QUANTILES * believed[:, 1:]
        self._count(rule, episode, np.broadcast_to(_LEVELS, below.shape), below)

    def _count(self, rule: str, episode: IntArray, probabilities: FloatArray, true: BoolArray) -> None:
        """Count what was claimed, with `probabilities` [m,C]: which of it is `true` [m,C]."""
        sums = self._sums.setdefault(rule, np.zeros((3, self.episodes, BINS)))
        bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
        place = (episode[:, None] * BINS + bins).reshape(-1)
        for row, weights in enumerate((np.ones_like(probabilities), probabilities, true.astype(np.float32))):
            counted = np.bincount(place, weights.reshape(-1).astype(np.float64), self.episodes * BINS)
            sums[row] += counted.reshape(self.episodes, BINS)

    def reliability(self, rule: str | None = None, episode: int | None = None) -> Reliability:
        """Return the bins of one rule or all of them, of one episode (from 0) or all of them."""
        chosen = [sums for name, sums in self._sums.items() if rule in (None, name)]
        total = np.sum(chosen, axis=0) if chosen else np.zeros((3, self.episodes, BINS))
        count, predicted, true = total.sum(1) if episode is None else total[:, episode]
        with np.errstate(invalid="ignore"):
            return Reliability(count, predicted / count, true / count)

    def record(self) -> dict[str, Any]:
        """Return the diagram and its errors as plain values; None in the place of what an empty bin has not."""
        whole = self.reliability()
        return {
            "error": _finite(whole.error),
            "error_by_episode": [_finite(self.reliability(episode=k).error) for k in range(self.episodes)],
            "error_by_rule": {rule: _finite(self.reliability(rule).error) for rule in self.rules},
            "count": [int(number) for number in whole.count],
            "predicted": [_finite(number) for number in whole.predicted],
            "observed": [_finite(number) for number in whole.observed],
        }


class Watcher:
    """Plays as a team does, and counts what it believes meanwhile (a `marl_meta.rollout.Controller`)."""

    def __init__(
        self, player: TeamController, knowledge: Knowledge, game: VectorGame, calibration: Calibration
    ) -> None:
        self._player, self._knowledge, self._game, self._calibration = player, knowledge, game, calibration
        self.reset(0, np.empty(0, np.int64))

    def reset(self, games: int, agents: IntArray) -> None:
        """Get ready for `games` games in which it plays the agent slots `agents`."""
        self._agents, self._episode = agents, np.zeros(games, np.int64)
        self._player.reset(games, agents)

    def act(self, observation: Observation) -> IntArray:
        """Return its agents' actions [B,n]."""
        believed = self._player.knowledge()
        if believed is not None:
            self._count(believed, observation.acting[:, self._agents])
        return self._player.act_on(observation, believed)

    def _count(self, believed: FloatArray, acting: BoolArray) -> None:
        game, agent = np.nonzero(acting)
        hidden = self._game.hidden_rules
        classes, numbers = self._knowledge.classes(hidden), self._knowledge.numbers(hidden)
        episode = np.minimum(self._episode, self._calibration.episodes - 1)[game]
        index = 0
        for unknown in self._knowledge.unknowns:
            for block in unknown.blocks:
                own = believed[game, agent, block.start :]
                if block.size:
                    self._calibration.note(unknown.rule, episode, own[:, : block.size], classes[game, index])
                else:
                    self._calibration.note_number(unknown.rule, episode, own[:, :2], numbers[game, index])
                index += 1

    def observe(self, step: Step) -> None:
        """Take note of what its last actions led to."""
        self._player.observe(step)
        self._episode = np.where(step.trial_over, 0, self._episode + step.game_over)

    def snapshot(self) -> Snapshot:
        """Return its memory and random stream, and how far its trials are."""
        return {**self._player.snapshot(), "episode": self._episode.copy()}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        self._player.restore(snapshot)
        self._episode = snapshot["episode"].copy()


def _finite(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
