"""Composing the configuration of a run from `configs/` and overrides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from marl_meta.config.complaints import validated
from marl_meta.config.sections import Config


def load_config(overrides: Sequence[str] = ()) -> Config:
    """Return the configuration that `configs/` and the overrides make together.

    An override is `group=option`, `key=value` or `~key`, as hydra writes them. `game=X` takes any family's
    name or path. A run without a name is called after its game, the time and its seed. Raises UserError for
    an unknown key, option or value.
    """
    from marl_meta._compose import compose  # hydra is slow to import and only needed here

    values = compose(overrides)
    if values.get("name") is None:
        values["name"] = _generated_name(values)
    return validated(Config, values, "Config key ")


def _generated_name(values: dict[str, Any]) -> str:
    game = values["game"] if isinstance(values.get("game"), dict) else {}
    path = Path(str(game.get("family")))
    stem = path.parent.name if path.name == "family.yaml" else path.stem
    if game.get("entry_point"):
        stem = str(game["entry_point"]).partition(":")[0].rpartition(".")[2]
    now = datetime.now().astimezone()
    name = f"{stem}-{now:%Y%m%d-%H%M%S}-seed{values.get('seed')}"
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")
