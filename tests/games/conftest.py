"""A small family that tests change one line at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from marl_meta.games.family import Family, load_family

TOY = """
family: toy
title: A toy
entry_point: "game.py:make_game"
agents: [walker, runner]
objects: [red, green, blue]
rules:
  damping: {kind: float, range: [0.05, 0.6], default: 0.25, unit: 1/step, binds: game, about: Velocity lost.}
  walkers: {kind: int, range: [1, 8], default: 3, binds: walker, about: How many walk.}
  control: {kind: choice, options: [plain, turned, 3], default: plain, hidden: true, binds: agents, about: Moves.}
  payoff:
    kind: permutation
    values: [1, 0, -1]
    default: [1, 0, -1]
    hidden: true
    binds: [red, green, blue]
    about: What each pays.
  walls: {kind: flag, default: false, binds: game, about: Whether there are walls.}
splits:
  hash: {rules: [payoff, control], salt: 1}
  train:
    share: [0.0, 0.7]
    rules: {walkers: [2, 3], damping: {intervals: [[0.1, 0.2], [0.3, 0.4]]}}
    variants: 40
    seed: 1
  held_out: {share: [0.7, 1.0], variants: all}
  ood: {rules: {walkers: [5, 6], payoff: [[0, 1, -1]], control: [plain]}, variants: all}
"""

GAME = """
def make_game(family, variants, **settings):
    return family.name, [variant.rules for variant in variants], settings
"""

WriteFamily = Callable[..., Path]


@pytest.fixture
def write_family(tmp_path: Path) -> WriteFamily:
    """Write the toy family, with one text replaced by another; returns its file."""

    def write(old: str = "", new: str = "", name: str = "toy") -> Path:
        assert old in TOY
        folder = tmp_path / "families" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "family.yaml").write_text(TOY.replace(old, new) if old else TOY)
        (folder / "game.py").write_text(GAME)
        return folder / "family.yaml"

    return write


@pytest.fixture
def toy(write_family: WriteFamily) -> Family:
    return load_family(write_family())
