"""The numbers of an evaluation on W&B: a run for each team, so that the same chart shows all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from marl_meta.config import TrackingConfig
from marl_meta.evaluate.report import SCORE_COLUMNS, score_rows
from marl_meta.evaluate.results import Evaluation, SplitEvaluation
from marl_meta.evaluate.showcase import ShownTrial
from marl_meta.tracking import STEP_METRIC, Page, open_tracker


def track(
    evaluation: Evaluation, config: TrackingConfig, folder: Path, shown: Sequence[ShownTrial] = ()
) -> list[str]:  # fmt: skip
    """Send an evaluation to W&B, whose files go to `folder`; returns a line for each team that says where.

    It never raises for W&B's sake. The metrics are `adapt/*` for the first split, and for each `eval/heldout/*` or
    `eval/SPLIT/*`. The table `adapt/games` holds the recorded trials, each with its page.
    """
    statuses = []
    for name, path in evaluation.teams.items():
        values = {"team": name, "path": path, "game": evaluation.game, "episodes": evaluation.episodes}
        label = name.strip("/").replace("/", "-") or name
        tracker = open_tracker(config, folder, {**values, "seed": evaluation.seed}, label, job_type="evaluate")
        try:
            tracker.log(dict(team_metrics(evaluation, name)))
            for split in evaluation.splits:
                rows = [[row[column] for column in SCORE_COLUMNS] for row in _rows(split, name)]
                if rows:
                    tracker.log_table(f"eval/{_label(split)}/variants", SCORE_COLUMNS, rows)
            games = [one for one in shown if one.team == name]
            if games:
                columns = ("split", "variant_id", *(f"return_ep{k + 1}" for k in range(evaluation.episodes)), "game")
                cells = [[one.split, one.variant_id, *one.returns, Page(one.replay.page())] for one in games]
                tracker.log_table("adapt/games", columns, cells)
            statuses.append(f"{name}: {tracker.status}")
        finally:
            tracker.finish()
    return statuses


def team_metrics(evaluation: Evaluation, team: str) -> Iterator[tuple[str, float]]:
    """Yield the metrics of a team by name, the env-steps of its training among them where they are known."""
    for index, split in enumerate(evaluation.splits):
        for record in split.records():
            if record["team"] != team:
                continue
            side = f"{record['side']}/" if len(split.sides) > 1 else ""
            found = dict(_metrics(record))
            if index == 0:
                yield from ((f"adapt/{side}{name}", value) for name, value in found.items())
                if "trained" in record and record["trained"]["env_steps"] is not None:
                    yield STEP_METRIC, float(record["trained"]["env_steps"])
            yield from ((f"eval/{_label(split)}/{side}{name}", value) for name, value in found.items())


def _metrics(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for episode, value in enumerate(record["return_sum"]):
        yield f"return_ep{episode + 1}", value
    if record.get("S_iqm") is not None:
        for episode, value in enumerate(record["S_iqm"]):
            yield f"score_ep{episode + 1}", value
        yield "auc", record["auc"]["value"]
        yield "gain", record["gain"]["value"]


def _rows(split: SplitEvaluation, team: str) -> Iterator[dict[str, Any]]:
    if split.adaptation is not None:
        yield from (row for row in score_rows(split.split, split.adaptation) if row["learner"] == team)


def _label(split: SplitEvaluation) -> str:
    return "heldout" if "held_out" in split.split else split.split
