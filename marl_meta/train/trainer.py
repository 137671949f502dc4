"""The training loop: collect, learn, write down, save."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.config import Config
from marl_meta.rl.sharding import Workers
from marl_meta.rollout import Collector, EpisodeTotals, Seat
from marl_meta.team import Team
from marl_meta.tracking import STEP_METRIC, Tracker
from marl_meta.train.build import Cast
from marl_meta.train.checkpoint import Checkpoint, newest_kept, oldest_kept, write_checkpoint
from marl_meta.train.evaluating import evaluate_run
from marl_meta.train.folder import RunFolder, open_lines
from marl_meta.train.learner import Arrays
from marl_meta.train.progress import ProgressDisplay
from marl_meta.train.schedule import Schedule
from marl_meta.train.showing import is_shown, show_run
from marl_meta.train.tracked import track_games
from marl_meta.train.trials import TrialCollector
from marl_meta.types import Snapshot, UserError

Metrics = dict[str, float | None]


class Trainer:
    """A run in memory: everything that a checkpoint holds, and the loop that moves it on."""

    def __init__(self, config: Config, folder: RunFolder, cast: Cast, workers: Workers | None = None) -> None:
        """`workers` are those that the cast was assembled for; None for threads, which work on all shares."""
        self.config, self.folder, self.cast = config, folder, cast
        self.workers = Workers(len(cast.collectors)) if workers is None else workers
        self.iteration = 0
        self.env_steps = 0
        self.seconds = 0.0
        self.tracker_id: str | None = None
        self._offsets = (0, 0)

    def loop(self, tracker: Tracker, display: ProgressDisplay, stopped: Mapping[str, bool]) -> None:
        """Go on until the configured number of steps, or until `stopped["asked"]`; ends with a checkpoint."""
        settings = self.config.train
        self.tracker_id = tracker.run_id
        metrics_file, timing_file = open_lines((self.folder.metrics, self.folder.timing), self._offsets)
        saved = time.monotonic()
        with metrics_file, timing_file:
            while self.env_steps < settings.steps and not stopped["asked"]:
                began = time.monotonic()
                metrics, timing = self.iterate()
                self.seconds += time.monotonic() - began
                metrics_file.write(metrics)
                timing_file.write({**timing, "seconds": self.seconds})
                self._offsets = (metrics_file.offset, timing_file.offset)
                tracker.log(_for_tracker(metrics, timing))
                display.update(self.env_steps, metrics)
                if is_shown(self.config, self.iteration):
                    self.show(tracker)
                by_count = settings.checkpoint_iterations and self.iteration % settings.checkpoint_iterations == 0
                by_time = settings.checkpoint_seconds and time.monotonic() - saved >= settings.checkpoint_seconds
                if by_count or by_time:
                    metrics_file.sync()
                    timing_file.sync()
                    self.save()
                    saved = time.monotonic()
        self.save()
        if settings.replays and self.env_steps >= settings.steps:
            self.show(tracker)

    def show(self, tracker: Tracker) -> None:
        """Record games of the teams as they are now, and show them wherever the run is tracked."""
        shown = show_run(self.config, self.team(), self.folder.replays, self.env_steps)
        track_games(tracker, shown, self.env_steps)

    def iterate(self) -> tuple[Metrics, Metrics]:
        """Play the horizon and improve every learner on it; returns the iteration's metrics and its timing."""
        self.workers.announce("iterate")
        config, began = self.config, time.monotonic()
        progress = min(self.env_steps / config.train.steps, 1.0)
        league = self.cast.league
        if league is not None:
            league.begin(self.iteration, self.team, self.folder.league)
        for collector in self.cast.collectors:
            for name, seat in collector.seats.items():
                seat.reveal = self.cast.learners[name].reveal(self.env_steps)
                if isinstance(seat, Seat):
                    seat.curiosity = config.meta.curiosity * (1.0 - progress)
        before = {name: (one.arrays(), one.order_state()) for name, one in self.cast.learners.items()}
        experience, totals = self._collect(_digest(before, self.cast.schedule) if self.workers.processes > 1 else 0)
        played = time.monotonic()
        metrics: Metrics = {}
        for name, learner in self.cast.learners.items():
            statistics = learner.improve([share[name] for share in experience], progress, self.workers)
            metrics |= {f"{name}/{key}": value for key, value in statistics.items()}
        steps = config.game.num_games * config.train.horizon
        metrics = {
            "iteration": self.iteration + 1,
            "env_steps": self.env_steps + steps,
            **self._returns(totals),
            **metrics,
        }
        if (trouble := _divergence(metrics)) is not None:
            kept = self._keep(before)
            raise UserError(f"Training diverged: {trouble}. {kept}; try a lower algorithm.learning_rate.")
        self.iteration, self.env_steps = self.iteration + 1, self.env_steps + steps
        metrics |= self._deal(totals)
        if league is not None:
            metrics |= league.end(self.iteration, totals, self.team, self.folder.league)
        learnt = time.monotonic()
        timing: Metrics = {
            "iteration": self.iteration,
            "env_steps": self.env_steps,
            "env_steps_per_second": steps / (learnt - began),
            "collect_seconds": played - began,
            "update_seconds": learnt - played,
        }
        due = config.train.evaluate_every and self.iteration % config.train.evaluate_every == 0
        if due and self.workers.leads:
            metrics |= evaluate_run(config, self.team())
            timing["evaluate_seconds"] = time.monotonic() - learnt
        return metrics, timing

    def _collect(self, learnt: int) -> tuple[list[dict[str, Any]], list[EpisodeTotals]]:
        """Play the horizon; returns the experience of this process's shares, and the ended episodes of all shares.

        Raises RuntimeError where the digest of what was learnt is another one in another process.
        """
        experience: dict[int, dict[str, Any]] = {}

        def play(item: tuple[int, Collector | TrialCollector]) -> tuple[EpisodeTotals, int]:
            share, collector = item
            experience[share], totals = collector.collect(self.config.train.horizon)
            return totals, learnt

        shares = self.workers.own(range(self.workers.count))
        found = self.workers.map(play, list(zip(shares, self.cast.collectors, strict=True)))
        if any(theirs != learnt for _, theirs in found):
            raise RuntimeError(f"the processes of {self.config.name} have learnt different things")
        return [experience[share] for share in shares], [totals for totals, _ in found]

    def _keep(self, before: Mapping[str, tuple[Arrays, dict[str, Any]]]) -> str:
        """Save the team as it was `before` an iteration that diverged; returns what is kept of the run, in words.

        Only the process that leads saves, and knows what is kept.

        That is the team and no checkpoint, for a run that went on from there would only diverge again.
        """
        if not self.workers.leads:
            return ""
        if not self.iteration:
            return "Nothing is kept, for nothing had been learnt by then"
        for name, learner in self.cast.learners.items():
            learner.restore(*before[name])
        self.team().save(self.folder.team)
        team = f"the team as it was after iteration {self.iteration}"
        last = newest_kept(self.folder.checkpoints)
        if last is None:
            return (
                f"T{team[1:]} is kept in {self.folder.team}, and no checkpoint, for the first was still to come "
                "(train.checkpoint_iterations has them sooner)"
            )
        return (
            f"The last good checkpoint, of iteration {last}, is kept in {self.folder.checkpoints}, and {team} in "
            f"{self.folder.team}"
        )

    def _deal(self, totals: Sequence[EpisodeTotals]) -> Metrics:
        """Deal the variants of the trials to come by what the ended ones earned; returns metrics of the deck."""
        schedule = self.cast.schedule
        if schedule is None:
            return {}
        schedule.note([trial for part in totals for trial in part.trials])
        for collector in self.cast.collectors:
            collector.game.deal(schedule.weights())
        return schedule.metrics()

    def _returns(self, totals: Sequence[EpisodeTotals]) -> Metrics:
        """Return the mean return of an agent of each team, and the mean of the team's sum, over the ended episodes.

        Those against members of a league are not among them.
        """
        game = self.cast.collectors[0].game
        returns = [row for part in totals for row in part.returns]
        lengths = [length for part in totals for length in part.lengths]
        metrics: Metrics = {"episodes": len(returns), "episode_length": float(np.mean(lengths)) if lengths else None}
        for index, team in enumerate(game.layout.teams):
            metrics[f"return/{team.name}"] = metrics[f"return_sum/{team.name}"] = None
            of_team = [row for row in (row[game.agent_team == index] for row in returns) if not np.isnan(row).all()]
            if of_team:  # the games in which the team has an agent
                agents = np.stack(of_team).astype(np.float64)
                metrics[f"return/{team.name}"] = float(np.nanmean(agents, 1).mean())
                metrics[f"return_sum/{team.name}"] = float(np.nansum(agents, 1).mean())
        return metrics

    def team(self) -> Team:
        """Return the team as it is now."""
        learners = self.cast.learners
        game = self.config.game
        return Team(
            name=self.config.name,
            layout=self.cast.collectors[0].game.layout,
            designs={name: learner.design for name, learner in learners.items()},
            policies={name: learner.portable() for name, learner in learners.items()},
            plays={team: name for name, learner in learners.items() for team in learner.teams},
            beliefs={name: learner.belief for name, learner in learners.items() if learner.belief is not None},
            adapters={name: learner.adapter for name, learner in learners.items() if learner.adapter is not None},
            trained_on={
                "game": game.model_dump(mode="json"),
                "algorithm": self.config.algorithm.name,
                "meta": self.config.meta.name,
                "env_steps": self.env_steps,
                "seconds": round(self.seconds, 1),
                "seed": self.config.seed,
            },
        )

    def save(self) -> None:
        """Write the team and a checkpoint; a team that cannot be saved leaves no checkpoint either."""
        self.team().save(self.folder.team)
        checkpoint = self.checkpoint()
        write_checkpoint(self.folder.checkpoints, self.iteration, checkpoint, self.config.train.keep)
        if self.cast.league is not None:
            self.cast.league.tidy(self.folder.league, oldest_kept(self.folder.checkpoints))

    def checkpoint(self) -> Checkpoint:
        """Return the whole state of the run."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, learner in self.cast.learners.items():
            arrays |= {f"learner/{name}/{key}": array for key, array in learner.arrays().items()}
        for index, snapshot in enumerate(self.snapshots()):
            arrays |= {f"share/{index}/{key}": array for key, array in snapshot.items()}
        if self.cast.schedule is not None:
            arrays |= {f"schedule/{key}": array for key, array in self.cast.schedule.snapshot().items()}
        values: dict[str, Any] = {
            "iteration": self.iteration,
            "env_steps": self.env_steps,
            "seconds": self.seconds,
            "tracker_id": self.tracker_id,
            "offsets": list(self._offsets),
            "orders": {name: learner.order_state() for name, learner in self.cast.learners.items()},
        }
        if self.cast.league is not None:
            values["league"] = self.cast.league.values()
        return Checkpoint(arrays, values)

    def snapshots(self) -> list[Snapshot]:
        """Return the state of every share, also of those of other processes."""
        self.workers.announce("snapshots")
        return self.workers.map(lambda collector: collector.snapshot(), self.cast.collectors)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a checkpoint of this run."""
        values = checkpoint.values
        self.iteration, self.env_steps, self.seconds = values["iteration"], values["env_steps"], values["seconds"]
        self.tracker_id = values["tracker_id"]
        self._offsets = tuple(values["offsets"])
        for name, learner in self.cast.learners.items():
            learner.restore(_below(checkpoint.arrays, f"learner/{name}/"), values["orders"][name])
        if self.cast.league is not None:
            self.cast.league.restore(values["league"], self.folder.league)
        shares = self.workers.own(range(self.workers.count))
        for index, collector in zip(shares, self.cast.collectors, strict=True):
            collector.restore(_below(checkpoint.arrays, f"share/{index}/"))
        if self.cast.schedule is not None:
            self.cast.schedule.restore(_below(checkpoint.arrays, "schedule/"))


def _digest(learners: Mapping[str, tuple[Arrays, dict[str, Any]]], schedule: Schedule | None) -> int:
    """Return a number that tells apart what learners and a schedule have learnt, and the learners' random streams."""
    snapshot = {} if schedule is None else schedule.snapshot()
    found = 0
    for array in (*(array for arrays, _ in learners.values() for array in arrays.values()), *snapshot.values()):
        found = zlib.crc32(array.tobytes(), found)
    return zlib.crc32(repr([order for _, order in learners.values()]).encode(), found)


def _below(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _for_tracker(metrics: Metrics, timing: Metrics) -> dict[str, float]:
    named = {_chart(name): value for name, value in metrics.items() if name not in ("iteration", "env_steps")}
    named |= {f"time/{name}": value for name, value in timing.items() if name not in ("iteration", "env_steps")}
    named |= {STEP_METRIC: metrics["env_steps"], "global/iteration": metrics["iteration"]}
    return {name: float(value) for name, value in named.items() if value is not None}


def _chart(name: str) -> str:
    """Return the name of a metric's chart: those of evaluations and leagues have places of their own."""
    if name.startswith("league/"):
        return name
    if not name.startswith("evaluate/"):
        return f"train/{name}"
    _, split, metric = name.split("/", 2)
    return f"eval/{'heldout' if 'held_out' in split else 'seen'}/{metric}"


EXPLODED_KL = 50.0
"""In nats: after an update that moves a policy so far, it plays another game than the one that it learnt from. Small
batches of learners that adapt by gradients are estimated at a few nats while all is well."""


def _divergence(metrics: Metrics) -> str | None:
    """Return which number of an iteration says that nothing after it is good: not finite, or of a policy that jumped.

    None where all is well.
    """
    for name, value in metrics.items():
        if value is None:
            continue
        jumped = name.endswith("/kl") and value > EXPLODED_KL
        if not math.isfinite(value) or jumped:
            found = f"{value:.3g}, more than {EXPLODED_KL:g}," if jumped and math.isfinite(value) else str(value)
            return f"{name} is {found} at iteration {metrics['iteration']}"
    return None
