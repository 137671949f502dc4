"""A family of ours as a PettingZoo AECEnv, in which agents act one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pettingzoo import AECEnv
from pettingzoo.utils import parallel_to_aec

from marl_meta.games import Family
from marl_meta.interop.parallel import make
from marl_meta.interop.turn_game import in_turns


def make_aec(
    family: str | Path | Family,
    rules: Mapping[str, Any] | None = None,
    split: str | None = None,
    seed: int | None = None,
    render_mode: str | None = None,
) -> AECEnv:
    """Return one variant of a family as a PettingZoo AECEnv; arguments and errors are `make`'s.

    In board games agents act in turn, and `unwrapped` is a TurnGame. In all others they move at once, so the conversion
    is PettingZoo's own: a cycle collects every agent's action, the last one plays them, and until then everybody sees
    what the others saw; `unwrapped` is the ParallelGame.
    """
    game = make(family, rules, split, seed, render_mode)
    return in_turns(game) if game.takes_turns else parallel_to_aec(game)
