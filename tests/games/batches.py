"""Batches of every family whose games are small, differ in all that may differ, and end soon."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from marl_meta.games import load_family
from marl_meta.games.connect import vector as boards
from marl_meta.games.particles import vector as particles
from marl_meta.games.payoff import vector as payoffs
from marl_meta.types import IntArray, Step, VectorGame

MODULES: dict[str, ModuleType] = {
    "spread": particles, "tag": particles, "harvest": particles, "payoff": payoffs, "connect": boards,
}  # fmt: skip
"""Where each family's batch is written."""
FAMILIES = tuple(MODULES)
_STRUCTURES = load_family("payoff").rules["structure"].options
_EARLY = {"terminate_on_success": True}
RULES: dict[str, list[dict[str, Any]]] = {
    # Short episodes of unequal length, teams of several sizes, partial sight and early ends.
    "spread": [
        {"agents": 2 + i % 3, "obstacles": i % 2, "nearest_agents": i % 3, "episode_length": 1 + i, **_EARLY}
        for i in range(9)
    ],
    "tag": [
        {"prey": 1 + i % 3, "adversaries": 4 - i % 2, "vision_radius": i % 2, "episode_length": 1 + i, **_EARLY}
        for i in range(9)
    ],
    "harvest": [{"gatherers": 1 + i % 3, "teams": 1 + i % 2, "arena": 0.5, "episode_length": 1 + i} for i in range(9)],
    # All sizes, short episodes of unequal length.
    "payoff": [
        {
            "players": 2 + i % 3,
            "actions": 2 + i // 3 % 3,
            "episode_length": 1 + i % 5,
            "structure": _STRUCTURES[i % 5],
            "treasure_0": i % 4,
            "swap_1": i % 2 == 0,
        }
        for i in range(15)
    ],
    # Small boards, so that games are short and of unequal length.
    "connect": [
        {
            "width": 2 + i % 5,
            "height": 1 + i % 4,
            "in_a_row": 2 + i % 3,
            "gravity": i % 2 == 0,
            "blocked": i % 3,
            "wrap": i % 4 == 1,
            "misere": i % 5 == 2,
            "told": i % 3 != 1,
        }
        for i in range(15)
    ],
}


def drawn_game(name: str, **settings: Any) -> VectorGame:
    """Return games that draw their variants from RULES, two episodes a trial."""
    family = load_family(name)
    variants = [family.variant(rules) for rules in RULES[name]]
    game: VectorGame = family.load_entry_point()(family, variants, episodes_per_trial=2, **settings)
    return game


def random_actions(step: Step, rng: np.random.Generator) -> IntArray:
    """Return legal actions [B,N], drawn at random."""
    legal = step.observation.action_mask
    actions: IntArray = np.where(legal, rng.random(legal.shape), -1.0).argmax(-1)
    return actions
