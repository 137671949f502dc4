"""What a trained team thinks of a moment: what it looks at, what that changes, what it would do and expects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from marl_meta.games.family import Family
from marl_meta.nets.inputs import InputStorage, PolicyInputs
from marl_meta.nets.knowledge import Knowledge
from marl_meta.nets.policy import GraphTensors
from marl_meta.replay.record import BelievedRule
from marl_meta.replay.thoughts import Thought
from marl_meta.types import FloatArray, IntArray, Observation


class Output(Protocol):
    """What a policy makes of a moment."""

    @property
    def logits(self) -> Tensor:
        """[1,R,A]."""

    @property
    def attention(self) -> Tensor:
        """[1,R,H,E]."""


Run = Callable[[GraphTensors, Tensor, Tensor, Tensor], tuple[Output, Tensor | None]]
"""`(graph, state [R,H], starts bool [1,R], legal bool [1,R,A])` -> what it does, and values [R] in the game's units."""


@torch.no_grad()
def think(
    run: Run, inputs: PolicyInputs, observation: Observation, agents: IntArray, context: FloatArray,
    knowledge: FloatArray | None, state: Tensor, starts: Tensor,
) -> Thought:  # fmt: skip
    """Return what the agents [n] of a lone game think, without moving anybody's memory.

    `context` [1,n,C], `knowledge` [1,n,W], `state` [n,H] and `starts` [n] are what their mind holds. The influence of
    an entity is the total variation between what an agent would do with and without seeing it: one more game for each
    entity, all in one pass. Nobody can be kept from seeing itself. A flat encoder does not say whom it looks at.
    """
    flat = inputs.places is not None
    shown = observation if flat else _with_and_without(observation)
    games, entities = shown.present.shape
    sizes = (games, shown.private.shape[1], entities)
    storage = InputStorage(inputs, 1, sizes, agents, shown.sees is None, actor_only=True)
    storage.write(0, shown, context, None if knowledge is None else knowledge.repeat(games, 0))
    read = storage.read(slice(0, 1))
    output, value = run(read.graph, state.repeat(games, 1), starts.repeat(games)[None], read.action_mask)
    count = len(agents)
    probabilities = torch.softmax(output.logits[0], -1).unflatten(0, (games, count))
    acting = observation.acting[0, agents]
    thought = Thought(
        probabilities=probabilities[0].numpy() * acting[:, None],
        value=None if value is None else value[:count].numpy() * acting,
        beliefs=None if knowledge is None else _believed(inputs.knowledge, knowledge[0]),
    )
    if flat:
        return thought
    influence = 0.5 * (probabilities[1:] - probabilities[0]).abs().sum(-1).T
    sees = read.graph.mask[0, :count]
    attention = output.attention[0, :count] * sees[:, None]
    return replace(thought, attention=attention.numpy(), influence=(influence * sees).numpy() * acting[:, None])


def _with_and_without(observation: Observation) -> Observation:
    """Return a lone game's moment 1 + E times: as it is, and then as it is where nobody sees entity e."""
    slots, entities = observation.private.shape[1], observation.present.shape[1]
    times = 1 + entities
    seen = np.ones((1, slots, entities), bool) if observation.sees is None else observation.sees
    sees = seen.repeat(times, 0)
    sees[np.arange(1, times), :, np.arange(entities)] = False
    arrays = {one.name: getattr(observation, one.name) for one in fields(observation) if one.name != "sees"}
    repeated: dict[str, Any] = {name: None if one is None else one.repeat(times, 0) for name, one in arrays.items()}
    return Observation(**repeated, sees=sees)


def _believed(knowledge: Knowledge | None, known: FloatArray) -> FloatArray | None:
    """Return the columns [n,W'] of what is known [n,W] that are probabilities."""
    if knowledge is None:
        return None
    columns = [column for block in knowledge.blocks for column in range(block.start, block.start + block.size)]
    return known[:, columns] if columns else None


def believed_rules(knowledge: Knowledge, family: Family | None, hidden: FloatArray | None) -> list[BelievedRule]:
    """Return the hidden rules whose probabilities a thought of beliefs holds, in order.

    `family` says what their values are called, and `hidden` [R'] which ones are true, as far as the game has them.
    """
    truth = knowledge.classes(hidden) if hidden is not None and knowledge.tellable else None
    found = []
    for unknown in knowledge.unknowns:
        rule = family.rules.get(unknown.rule) if family is not None else None
        for block in unknown.blocks:
            if not block.size:
                continue
            plain = [f"{value:g}" for value in block.values] or [str(index) for index in range(block.size)]
            labels = rule.labels() if rule is not None else plain
            alone = len(unknown.blocks) == 1
            name = unknown.rule if alone else f"{unknown.rule} of {' and '.join(block.kinds)}"
            place = knowledge.blocks.index(block)
            found.append(
                BelievedRule(
                    rule=unknown.rule, name=name, values=labels if len(labels) == block.size else plain,
                    truth=None if truth is None else int(truth[place]),
                )
            )  # fmt: skip
    return found
