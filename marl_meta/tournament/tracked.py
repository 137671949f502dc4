"""A tournament on W&B: the standing and the scores as tables, and everything that it left behind as an artifact."""

from __future__ import annotations

import tempfile
from pathlib import Path

from marl_meta.config import TrackingConfig
from marl_meta.files import atomic_write_bytes
from marl_meta.tournament.partners import Partners
from marl_meta.tournament.plan import FILE as PLAN
from marl_meta.tournament.report import JSON_FILE, MARKDOWN, PAGE, SERIES, STANDING
from marl_meta.tournament.results import FILE as RESULTS
from marl_meta.tournament.running import REPLAYS
from marl_meta.tournament.standing import Standing
from marl_meta.tracking import open_tracker


def track(found: Standing | Partners, config: TrackingConfig, folder: Path) -> str:
    """Send a tournament, whose report is written, to W&B, whose files go to its folder; returns a line that says where.

    It never raises for W&B's sake.
    """
    name = folder.resolve().name
    tracker = open_tracker(config, folder, found.plan.model_dump(mode="json"), name, job_type="tournament")
    status = tracker.status
    try:
        tracker.log_table("tournament/standing", [head or "place" for head in found.columns], found.rows)
        tracker.log_table("tournament/scores", ["entrant", "against", "score", "low", "high"], score_rows(found))
        if tracker.active:
            with tempfile.TemporaryDirectory() as scratch:
                kept = [folder / one for one in (PLAN, RESULTS, PAGE, MARKDOWN, STANDING, SERIES, JSON_FILE)]
                kept += sorted((folder / REPLAYS).glob("*"))
                for path in kept:
                    copy = Path(scratch) / path.relative_to(folder)
                    copy.parent.mkdir(exist_ok=True)
                    atomic_write_bytes(copy, path.read_bytes())
                about = {"game": found.plan.game, "split": found.plan.split, "format": found.plan.format}
                tracker.log_folder(f"tournament-{name}", "tournament", Path(scratch), ["latest"], about)
    finally:
        tracker.finish()
    return status


def score_rows(found: Standing | Partners) -> list[list[object]]:
    """Return the scores of all pairs with their intervals."""
    if isinstance(found, Standing):
        rows, columns = found.outcomes.names, found.outcomes.names
        matrices = (found.payoffs.mean, found.payoffs.low, found.payoffs.high)
    else:
        rows, columns, matrices = found.names, found.partners, (found.score, found.low, found.high)
    return [
        [row, column, *(float(matrix[i, j]) for matrix in matrices)]
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
        if matrices[0][i, j] == matrices[0][i, j]
    ]
