"""Rules become numbers: the tables that the kernels look up, one row for each variant of a batch.

Every batch has room for the largest board of its variants: cells have the first slots after the players, and the lines
of each kind the next ones, as many as any of the variants has. A cell's number is its slot, counted from the first
cell; so is a line's, counted from the first line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from marl_meta.games.batch import STATE_FIELDS
from marl_meta.games.catalog import Catalog, make_catalog
from marl_meta.games.connect.lines import (
    AROUND,
    COLUMN,
    KINDS,
    PLAYER,
    ROW,
    Line,
    Rules,
    counts,
    lines_of,
    neighbours,
)
from marl_meta.games.family import Family
from marl_meta.types import BoolArray, FloatArray, Layout, LinkArray, SmallIntArray, TeamLayout, Variant

AGENTS = ("player_0", "player_1")
TEAMS = (TeamLayout("first", KINDS[PLAYER]), TeamLayout("second", KINDS[PLAYER]))
MAX_ACTIONS = 100
"""Of the largest board without gravity. Actions are columns with gravity, else cells: from the left, from the top."""
ENTITY_FEATURES = (
    "row", "parity", "playable", "blocked", "last",
    "stones", "missing_1", "missing_2", "missing_3", "ready", "worth",
)  # fmt: skip
"""Of cells: height (0 bottom, 1 top), whether that is an odd row, whether a stone can be put there now, whether nobody
can ever, whether the last stone is there. Of lines, as shares of their length: stones on it, empty cells that are
playable; how many stones it lacks; and what completing it is worth, 0 unless players are told."""
HEIGHT, PARITY, PLAYABLE, BARRED, LAST, STONES, MISSING, _, _, READY, WORTH = range(len(ENTITY_FEATURES))
"""Columns of those; MISSING is the first of the MISSINGS that say how many stones a line lacks."""
MISSINGS = 3
PRIVATE_FEATURES = ("to_move",)

NOBODY = -1

RULE = np.dtype(
    [(name, "i8") for name in ("width", "cells", "in_a_row", "gravity", "blocked")]
    + [("actions", "u8"), ("pays", "f4")],
    align=True,
)
# `number` comes first, since numba would take records that begin with the fields of another simulator's for those.
GAME = np.dtype([("number", "i8"), *STATE_FIELDS, *((name, "i8") for name in ("free", "last", "before", "earlier"))])
"""`number` counts the games that were begun; `free` cells are left; then the cells of the last three stones."""


class Tables(NamedTuple):
    """What the kernels know of V variants, with C cells and Q lines at most."""

    rules: npt.NDArray[np.void]
    """[V]"""
    through: LinkArray
    """[V,C,M] the lines through each cell, then NOBODY."""
    valid: BoolArray
    """[V,Q] which lines count."""
    straight: BoolArray
    """[V,Q] which are rows and columns: they count under all rules."""
    ready: SmallIntArray
    """[V,Q] how many cells of each line are playable at first."""
    features: FloatArray
    """[V,R] visible rules."""
    links: LinkArray
    """[V,E,L]"""
    numbers: FloatArray
    """[V,E*F] the entities' features on an empty board, of which are also `present` and `targets`."""
    present: BoolArray
    """[V,E]"""
    targets: LinkArray
    """[V,A]"""
    counted: FloatArray
    """[length + 1, stones + 1, 1 + MISSINGS] what a line of that length shows that has so many stones."""


@dataclass(frozen=True, slots=True)
class Boards:
    """All that a batch of games knows of its variants."""

    catalog: Catalog
    tables: Tables
    kind: SmallIntArray
    """[E] of each slot, whether or not it is taken."""


def compile_tables(family: Family, variants: Sequence[Variant]) -> Boards:
    """Return the tables of some variants of the family. Their layout is that of every batch."""
    rules = [variant.rules for variant in variants]
    shown = [_shown(one) for one in rules]
    cells = max(one["width"] * one["height"] for one in rules)
    room = [max(sum(line.kind == kind for line in lines) for lines in shown) for kind in range(ROW, len(KINDS))]
    kind = np.repeat(np.arange(len(KINDS), dtype=np.int8), [len(AGENTS), cells, *room])
    layout = Layout(
        kinds=KINDS,
        teams=TEAMS,
        entity_features=ENTITY_FEATURES,
        private_features=PRIVATE_FEATURES,
        actions=tuple(f"place_{action}" for action in range(MAX_ACTIONS)),
        links=("above", *["adjacent"] * (len(AROUND) - 1)),
        completes="stones",
    )
    record = np.array([_record(one) for one in rules], RULE)
    agent_team = np.arange(len(AGENTS), dtype=np.int8)
    catalog = make_catalog(family, variants, layout, AGENTS, agent_team, record["actions"].astype(np.int64))
    most = max(max(Counter(cell for line in lines for cell in line.cells).values()) for lines in shown)
    tables = _blank(record, catalog.visible, cells, sum(room), most)
    for v, (one, lines) in enumerate(zip(rules, shown, strict=True)):
        _write_cells(tables, v, one)
        for kind_of_line, first in zip(range(ROW, len(KINDS)), np.cumsum([0, *room]).tolist(), strict=False):
            chosen = [line for line in lines if line.kind == kind_of_line]
            for number, line in enumerate(chosen, first):
                _write_line(tables, v, one, line, number)
    return Boards(catalog, tables, kind)


def _shown(rules: Rules) -> list[Line]:
    """Return the lines that players see: those that count, or where they are not told all that might."""
    lines = lines_of(rules["width"], rules["height"], rules["in_a_row"])
    return [line for line in lines if counts(line.kind, rules) or not rules["told"]]


def _record(rules: Rules) -> tuple[float, ...]:
    cells = rules["width"] * rules["height"]
    actions = rules["width"] if rules["gravity"] else cells
    flags = (rules["in_a_row"], rules["gravity"], rules["blocked"])
    return rules["width"], cells, *flags, actions, -1.0 if rules["misere"] else 1.0


def _blank(rules: npt.NDArray[np.void], features: FloatArray, cells: int, lines: int, most: int) -> Tables:
    """Return tables of boards without cells and lines; a cell is on `most` lines."""
    variants, entities = len(rules), len(AGENTS) + cells + lines
    links = max(most, int(rules["in_a_row"].max())) + len(AROUND)
    present = np.zeros((variants, entities), np.bool_)
    present[:, : len(AGENTS)] = True
    return Tables(
        rules=rules,
        through=np.full((variants, cells, most), NOBODY, np.int16),
        valid=np.zeros((variants, lines), np.bool_),
        straight=np.zeros((variants, lines), np.bool_),
        ready=np.zeros((variants, lines), np.int8),
        features=features,
        links=np.full((variants, entities, links), NOBODY, np.int16),
        numbers=np.zeros((variants, entities * len(ENTITY_FEATURES)), np.float32),
        present=present,
        targets=np.full((variants, MAX_ACTIONS), NOBODY, np.int16),
        counted=_counted(int(rules["in_a_row"].max())),
    )


def _counted(longest: int) -> FloatArray:
    """Return what lines show of their stones: the share of their cells, and which of MISSINGS numbers they lack."""
    shown = np.zeros((longest + 1, longest + 1, 1 + MISSINGS), np.float32)
    for length in range(1, longest + 1):
        for stones in range(length + 1):
            shown[length, stones, 0] = stones / length
            shown[length, stones, 1:] = np.arange(1, MISSINGS + 1) == length - stones
    return shown


def _entities(tables: Tables, v: int) -> FloatArray:
    """Return the features [E,F] of a variant's empty board, to be written to."""
    entities: FloatArray = tables.numbers[v].reshape(tables.present.shape[1], -1)
    return entities


def _write_cells(tables: Tables, v: int, rules: Rules) -> None:
    """Write the cells of a variant's empty board."""
    width, height, agents = rules["width"], rules["height"], len(AGENTS)
    playable, entities = _playable(rules), _entities(tables, v)
    for cell in range(width * height):
        level = height - 1 - cell // width
        entity = agents + cell
        tables.present[v, entity] = True
        entities[entity, [HEIGHT, PARITY, PLAYABLE]] = level / max(height - 1, 1), level % 2, cell in playable
        around = neighbours(cell, width, height, wrap=rules["told"] and rules["wrap"])
        tables.links[v, entity, -len(AROUND) :] = [NOBODY if one < 0 else agents + one for one in around]
    tables.targets[v, : len(playable)] = [agents + cell for cell in playable]


def _write_line(tables: Tables, v: int, rules: Rules, line: Line, number: int) -> None:
    """Write a line of a variant's empty board."""
    first = tables.links.shape[1] - tables.valid.shape[1]
    entity, length = first + number, len(line.cells)
    ready = sum(cell in _playable(rules) for cell in line.cells)
    tables.valid[v, number] = counts(line.kind, rules)
    tables.straight[v, number] = line.kind in (ROW, COLUMN)
    tables.ready[v, number] = ready
    tables.present[v, entity] = True
    shown = _entities(tables, v)[entity]
    shown[STONES : MISSING + MISSINGS] = tables.counted[length, 0]
    shown[READY], shown[WORTH] = ready / length, rules["told"] * (-1.0 if rules["misere"] else 1.0)
    tables.links[v, entity, :length] = [len(AGENTS) + cell for cell in line.cells]
    for cell in line.cells:
        place = int((tables.through[v, cell] != NOBODY).sum())
        tables.through[v, cell, place] = number
        tables.links[v, len(AGENTS) + cell, place] = entity


def _playable(rules: Rules) -> range:
    """Return the cells on which the first stone can be put, in the order of the actions."""
    width, cells = rules["width"], rules["width"] * rules["height"]
    return range(cells - width, cells) if rules["gravity"] else range(cells)
