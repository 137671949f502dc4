"""What a run shows on W&B beside its curves: games to watch, and the files that came of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from marl_meta.config import Config
from marl_meta.files import atomic_write_text
from marl_meta.games import Family, load_family
from marl_meta.replay.animation import frames, gif
from marl_meta.tracking import STEP_METRIC, Tracker
from marl_meta.train.evaluating import evaluation_ground
from marl_meta.train.folder import RunFolder
from marl_meta.train.showing import Shown

VIDEO_SIZE = 240
"""Pixels of the side of a film: pages are what people look closely at."""


def track_games(tracker: Tracker, shown: Sequence[Shown], env_steps: int) -> None:
    """Send recorded games as pages, and the first one as a film too; does nothing where nobody tracks the run."""
    if not tracker.active or not shown:
        return
    pages = {f"replay/{number}": one.replay.page() for number, one in enumerate(shown, 1)}
    tracker.log_pages({"replay/html": pages.pop("replay/1"), **pages}, {STEP_METRIC: float(env_steps)})
    film = gif(frames([shown[0].replay.record], size=VIDEO_SIZE))
    tracker.log_film("replay/film", film, {STEP_METRIC: float(env_steps)})


def track_files(tracker: Tracker, config: Config, folder: RunFolder, made: Mapping[str, Any]) -> None:
    """Send what a run leaves behind as artifacts that name each other: its team, its variants, and its replays.

    `made` says how far the run is. Offline nothing can be linked on the server, so each says in its metadata what it
    was made of.
    """
    if not tracker.active:
        return
    team, variants, replays = f"team-{config.name}", None, f"replays-{config.name}"
    if config.game.family != "pettingzoo":
        family = load_family(config.game.family)
        variants = f"variants-{family.name}-{config.game.split or 'rules'}"
        with tempfile.TemporaryDirectory() as scratch:
            _write_variants(Path(scratch), config, family)
            tracker.log_folder(variants, "variants", Path(scratch), ["latest"], {"family": family.name})
    lineage = {**made, "run": config.name, "variants": variants}
    tracker.log_folder(team, "team", folder.team, ["latest", f"steps-{made['env_steps']}"], lineage)
    if folder.replays.is_dir():
        tracker.log_folder(replays, "replays", folder.replays, ["latest"], {**lineage, "team": team})


def _write_variants(folder: Path, config: Config, family: Family) -> None:
    """Write the variants of the training, and those that the run is evaluated on."""
    split = config.game.split
    trained = family.split(split) if split is not None else [family.variant(config.game.rules)]
    for name, rules in (("train", [one.rules for one in trained]), ("evaluate", evaluation_ground(config).rules)):
        variants = [family.variant(one) for one in rules]
        listed = [{"variant_id": one.variant_id, "family": one.family, "rules": one.rules} for one in variants]
        atomic_write_text(folder / f"{name}.json", json.dumps({"variants": listed}, indent=1) + "\n")
