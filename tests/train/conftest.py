"""Small runs of a tiny game."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RECALL = Path(__file__).parents[1] / "recall"

SMALL = {
    "game.num_games": 6,
    "policy.hidden": 8,
    "policy.heads": 2,
    "algorithm.epochs": 2,
    "algorithm.minibatches": 2,
    "train.steps": 240,
    "train.horizon": 4,
    "train.threads": 2,
    "train.checkpoint_iterations": 3,
    "train.checkpoint_seconds": 0,
    "tracking": "off",
}
"""Ten iterations."""

Overrides = Callable[..., list[str]]


@pytest.fixture
def overrides(tmp_path: Path) -> Overrides:
    """Return the overrides of a small run of the recall game called NAME in tmp_path/runs, with others on top."""

    def build(name: str = "run", game: str | Path = RECALL, **changes: Any) -> list[str]:
        values = {**SMALL, "runs_dir": tmp_path / "runs", "name": name}
        values |= {key.replace("__", "."): value for key, value in changes.items()}
        return [f"game={game}", *(f"{key}={value}" for key, value in values.items())]

    return build


@pytest.fixture
def read_lines() -> Callable[[Path], list[dict[str, Any]]]:
    return lambda path: [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """Return a function that gives the bytes of every file below a folder."""
    return lambda folder: {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
