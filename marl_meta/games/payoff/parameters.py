"""Rules become numbers: the tables that the kernels look up, one row for each variant of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from marl_meta.games.batch import STATE_FIELDS
from marl_meta.games.catalog import Catalog, make_catalog
from marl_meta.games.family import Family
from marl_meta.games.payoff.structures import MAX_ACTIONS, MAX_PLAYERS, payoffs
from marl_meta.types import FloatArray, Layout, TeamLayout, Variant

KIND = "player"
SEATS = tuple(f"seat_{seat}" for seat in range(MAX_PLAYERS))
"""Public features: each player's place, so that players can agree on who does what."""
ACTIONS = tuple(f"action_{action}" for action in range(MAX_ACTIONS))
LAST_ACTIONS = tuple(f"last_{action}" for action in ACTIONS)
LAST_REWARD = "last_reward"
"""Private features are the player's last action and its last reward, zero in the first round of an episode."""

RULE = np.dtype([("players", "u8"), ("actions", "u8"), ("episode_length", "i8")], align=True)
GAME = np.dtype(STATE_FIELDS)


@dataclass(frozen=True, slots=True)
class Tables:
    """All that a batch of games knows of its V variants, with N seats."""

    catalog: Catalog
    rules: npt.NDArray[np.void]
    """[V]"""
    payoffs: FloatArray
    """[V,J,N] by joint action, the first player's action counting most; J is the largest number of joint actions."""


def compile_tables(family: Family, variants: Sequence[Variant]) -> Tables:
    """Return the tables of some variants of the family. Their layout is that of every batch."""
    rules = np.zeros(len(variants), RULE)
    for name in RULE.names or ():
        rules[name] = [variant.rules[name] for variant in variants]
    players = int(rules["players"].max())
    each = [payoffs(variant.rules) for variant in variants]
    table = np.zeros((len(variants), max(one.size // one.shape[-1] for one in each), players), np.float32)
    for v, one in enumerate(each):
        rows = one.reshape(-1, one.shape[-1])
        table[v, : rows.shape[0], : rows.shape[1]] = rows
    layout = Layout(
        kinds=(KIND,),
        teams=(TeamLayout(name=KIND, kind=KIND),),
        entity_features=SEATS,
        private_features=(*LAST_ACTIONS, LAST_REWARD),
        actions=ACTIONS,
    )
    agent_names = tuple(f"{KIND}_{seat}" for seat in range(players))
    action_counts = rules["actions"].astype(np.int64)
    catalog = make_catalog(family, variants, layout, agent_names, np.zeros(players, np.int8), action_counts)
    return Tables(catalog=catalog, rules=rules, payoffs=table)
