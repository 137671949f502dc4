from __future__ import annotations

import pytest
import torch

from marl_meta.meta.parameters import PARTS, detached, for_tasks, of_task, parameters_of, select, split
from marl_meta.types import UserError

from .tasks import relational

NAMES = list(parameters_of(relational(layers=2, recurrent=True)))


def test_parts_of_the_relational_policy() -> None:
    assert select(NAMES, ["policy_head"]) == ["actor.weight", "actor.bias"]
    assert select(NAMES, ["edges"]) == ["encoder.lower.0.conv.lin_edge.weight", "encoder.last.conv.lin_edge.weight"]
    assert select(NAMES, ["norms"]) == ["encoder.norm.weight", "encoder.norm.bias"]
    together = select(NAMES, ["edges", "norms", "heads"])
    assert select(NAMES, ["edges_norms_heads"]) == together
    assert together == [name for name in NAMES if name in together] and len(together) == 10
    assert select(NAMES, ["all"]) == NAMES
    assert select([*NAMES, "context"], ["context"]) == ["context"]
    assert all(select([*NAMES, "context"], [part]) for part in PARTS)


def test_patterns_and_names() -> None:
    assert select(NAMES, ["memory.weight_*", "actor.bias"]) == ["memory.weight_ih", "memory.weight_hh", "actor.bias"]


def test_a_pattern_that_matches_nothing_names_what_there_is() -> None:
    with pytest.raises(UserError) as caught:
        select(["actor.weight", "actor.bias"], ["actr.weight"])
    said = str(caught.value)
    assert said.startswith("No parameter is called 'actr.weight' (did you mean 'actor.weight'?); allowed are")
    assert said.endswith("and names (with * and ?) out of actor.weight, actor.bias.")
    with pytest.raises(UserError, match="'context'"):
        select(NAMES, ["heads", "context"])


def test_a_split_keeps_everything_once() -> None:
    parameters = parameters_of(relational())
    head, body = split(parameters, ["heads"])
    assert head.keys() | body.keys() == parameters.keys() and not head.keys() & body.keys()
    assert all(part[name] is parameters[name] for part in (head, body) for name in part)


def test_tasks_share_memory_until_they_move() -> None:
    shared = {"theta": torch.arange(3.0)}
    many = for_tasks(shared, 4)
    assert many["theta"].shape == (4, 3) and many["theta"].data_ptr() == shared["theta"].data_ptr()
    assert torch.equal(of_task(many, 2)["theta"], shared["theta"])
    copy = detached({"theta": shared["theta"].requires_grad_()})
    assert not copy["theta"].requires_grad and copy["theta"].data_ptr() != shared["theta"].data_ptr()
