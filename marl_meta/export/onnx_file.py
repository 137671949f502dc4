"""A team's policy as an ONNX file: one function of what agents see and remember, for any runtime of any language.

Inputs are those of `portable.Told` (`links` and `targets` on boards alone) and, called `memory_NAME`, the parts of
`portable.Memory` that the team has; outputs `logits`, `known` and `next_memory_NAME`. Any number of agents R and
entities E. The file's metadata says in JSON what the columns mean, and how each part of a memory begins: as zeros, or
as `Contents.start` has it.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from marl_meta.export.portable import Memory, Portable, Told
from marl_meta.files import atomic_write_bytes
from marl_meta.team.team import Team
from marl_meta.types import TeamLayout, UserError

NEEDED = ("onnx", "onnxscript", "onnxruntime")
_ROWS, _ENTITIES, _LINKS = 3, 7, 11
"""Sizes of the example that the file is made from; any others will do for the file."""
KEY = "marl_meta"
"""Of the metadata."""


@dataclass(frozen=True, slots=True)
class Contents:
    """An ONNX file, and what there is to know of it."""

    model: bytes
    description: dict[str, Any]
    """What the metadata holds, as plain values."""


class _Plain(nn.Module):
    """A portable policy as a function of tensors in a row, without the parts of a memory that it does not have."""

    def __init__(self, portable: Portable, parts: tuple[str, ...], empty: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.portable, self.parts, self.empty = portable, parts, dict(empty)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        count = len(self.portable.told)
        told = Told(*tensors[:count])
        rows = told.reward
        given = dict(zip(self.parts, tensors[count:], strict=True))
        left_out = {name: rows.new_zeros(rows.shape[0], *shape) for name, shape in self.empty.items()}
        logits, known, memory = self.portable(told, Memory(**given, **left_out))
        changed = memory._asdict()
        return (logits, known, *(changed[name] for name in self.parts))


def memory_parts(portable: Portable) -> tuple[str, ...]:
    """Return the names of the parts of a memory that a policy has."""
    memory = portable.start(1, 1)._asdict()
    clock = portable.inputs.design.clock
    return tuple(name for name, part in memory.items() if part.numel() and (name != "passed" or clock))


def make_onnx(team: Team, side: TeamLayout) -> Contents:
    """Return the ONNX file of the policy that plays a side; takes ten seconds or more.

    Raises UserError for a team whose network cannot be exported, and where a package that this takes is missing.
    """
    for package in NEEDED:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"To export a team takes the package {package!r}, which is missing: pip install 'marl-meta[onnx]'."
            )
    portable = Portable(team, side).eval()
    parts = memory_parts(portable)
    example, names = _example(portable, parts)
    empty = {name: tuple(part.shape[1:]) for name, part in portable.start(1, 1)._asdict().items() if name not in parts}
    outputs = ["logits", "known", *(f"next_memory_{name}" for name in parts)]
    description = _describe(team, side, portable, parts)
    with _quiet():
        program = torch.onnx.export(
            _Plain(portable, parts, empty).eval(), example, input_names=names, output_names=outputs,
            dynamic_shapes=(_dynamic(names),), dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(description)
    return Contents(proto.SerializeToString(), description)


def write_onnx(team: Team, side: TeamLayout, path: Path) -> dict[str, Any]:
    """Write the ONNX file of the policy that plays a side; returns what its metadata says. Errors are `make_onnx`'s."""
    contents = make_onnx(team, side)
    atomic_write_bytes(path, contents.model)
    return contents.description


def _example(portable: Portable, parts: tuple[str, ...]) -> tuple[tuple[Tensor, ...], list[str]]:
    """Return tensors to trace the policy with, and what they are called."""
    layout, rows, count = portable.layout, _ROWS, _ENTITIES
    told = Told(
        entities=torch.zeros(rows, count, len(layout.entity_features)),
        kind=torch.zeros(rows, count, dtype=torch.int64),
        team=torch.zeros(rows, count, dtype=torch.int64),
        seen=torch.ones(rows, count, dtype=torch.bool),
        me=torch.arange(rows),
        rules=torch.zeros(rows, len(layout.visible_rules)),
        private=torch.zeros(rows, len(layout.private_features)),
        legal=torch.ones(rows, len(layout.actions), dtype=torch.bool),
        phase=torch.ones(rows, dtype=torch.int64),
        action=torch.zeros(rows, dtype=torch.int64),
        reward=torch.zeros(rows),
        links=torch.full((rows, count, _LINKS), -1),
        targets=torch.zeros(rows, len(layout.actions), dtype=torch.int64),
    )._asdict()
    memory = portable.start(rows, count)._asdict()
    example = (*(told[name] for name in portable.told), *(memory[name] for name in parts))
    return example, [*portable.told, *(f"memory_{name}" for name in parts)]


def _dynamic(names: list[str]) -> tuple[dict[int, Any], ...]:
    """Return which axes may have any size: the first is the agents', the second the entities' where it has theirs."""
    agents, entities = Dim("agents"), Dim("entities")
    by_entity = ("entities", "kind", "team", "seen", "links", "memory_entities", "memory_seen")
    found = []
    for name in names:
        axes = {0: agents}
        if name in by_entity:
            axes[1] = entities
        if name == "links":
            axes[2] = Dim("linked")
        found.append(axes)
    return tuple(found)


def _describe(team: Team, side: TeamLayout, portable: Portable, parts: tuple[str, ...]) -> dict[str, Any]:
    layout, knowledge = portable.layout, portable.inputs.knowledge
    start = portable.start(1, 0)._asdict()
    begun = team.starts.get(team.policy_for(side))
    return {
        "team": team.name,
        "side": side.name,
        "kinds": list(portable.kinds),
        "entity_features": list(layout.entity_features),
        "private_features": list(layout.private_features),
        "rules": [bound.name for bound in layout.visible_rules],
        "actions": list(layout.actions),
        "links": list(layout.links) if portable.linked else [],
        "places": dict(zip(portable.kinds, portable.inputs.design.slots, strict=False)),
        "known": [name for block in knowledge.blocks for name in _columns_of(block)] if knowledge is not None else [],
        "phases": {"first": 0, "mid": 1, "last": 2},
        "memory": {
            name: ["agents", *(["entities"] if name in ("entities", "seen") else []),
                   *start[name].shape[2 if name in ("entities", "seen") else 1 :]]
            for name in parts
        },
        "start": {} if begun is None else {
            name: getattr(begun, name).tolist() for name in ("state", "evidence") if name in parts
        },
    }  # fmt: skip


def _columns_of(block: Any) -> list[str]:
    of = ",".join(block.kinds)
    return [f"{name} of {of}" for name in block.names]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says of packages that it does not need to itself."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
