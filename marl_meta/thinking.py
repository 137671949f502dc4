"""What a trained team thinks of a moment: what it looks at, what that changes, what it would do and expects."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from marl_meta.games.family import Family
from marl_meta.nets.inputs import InputStorage, PolicyInputs
from marl_meta.nets.knowledge import Block, Knowledge, Unknown
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


_EDGES = np.linspace(-1.0, 1.0, 9)
"""Beliefs about numbers, which are scaled to [-1, 1], are shown as the probabilities of the intervals between these."""
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
    """Return the probabilities [n,W'] that `believed_rules` names, of what is known [n,W]."""
    if knowledge is None:
        return None
    shares = [
        known[:, block.start : block.start + block.size] if block.size else _in_intervals(known[:, block.start :])
        for _, block in _shown(knowledge)
    ]
    return np.concatenate(shares, 1) if shares else None


def _shown(knowledge: Knowledge) -> list[tuple[Unknown, Block]]:
    """Return what of a belief can be shown: numbers that stand for no rule of the game (latents) would say nothing."""
    each = [(unknown, block) for unknown in knowledge.unknowns for block in unknown.blocks]
    return [(unknown, block) for unknown, block in each if block.size or knowledge.tellable]


def _in_intervals(believed: FloatArray) -> FloatArray:
    """Return how probable each interval is by means and deviations [n,2] of a number; the outer ones have no end."""
    mean, deviation = believed[:, :1], np.maximum(believed[:, 1:2], 1e-6)
    below = torch.special.ndtr(torch.from_numpy((_EDGES[1:-1] - mean) / deviation)).numpy()
    nobody, all_of_it = np.zeros_like(mean), np.ones_like(mean)
    probabilities: FloatArray = np.diff(np.concatenate([nobody, below, all_of_it], 1), axis=1).astype(np.float32)
    return probabilities


def believed_rules(knowledge: Knowledge, family: Family | None, hidden: FloatArray | None) -> list[BelievedRule]:
    """Return the hidden rules whose probabilities a thought of beliefs holds, in order.

    `family` says what their values are called, and `hidden` [R'] which ones are true, as far as the game has them. The
    values of a number that may be anything are intervals of its range.
    """
    told = hidden if hidden is not None and knowledge.tellable else None
    classes = None if told is None else knowledge.classes(told)
    numbers = None if told is None else knowledge.numbers(told)
    found = []
    for unknown, block in _shown(knowledge):
        rule = family.rules.get(unknown.rule) if family is not None else None
        alone = len(unknown.blocks) == 1
        name = unknown.rule if alone else f"{unknown.rule} of {' and '.join(block.kinds)}"
        place = knowledge.blocks.index(block)
        if block.size:
            plain = [f"{value:g}" for value in block.values] or [str(index) for index in range(block.size)]
            labels = rule.labels() if rule is not None else plain
            values = labels if len(labels) == block.size else plain
            truth = None if classes is None else int(classes[place])
        else:
            low, high = (-1.0, 1.0) if rule is None else (rule.low, rule.high)
            ends = [f"{low + 0.5 * (edge + 1.0) * (high - low):.3g}" for edge in _EDGES]
            values = [f"{start} to {end}" for start, end in itertools.pairwise(ends)]
            truth = None if numbers is None else int(np.searchsorted(_EDGES[1:-1], numbers[place]))
        found.append(BelievedRule(rule=unknown.rule, name=name, values=values, truth=truth))
    return found
