"""The packed parts of an episode as arrays; each raises UserError where they are not what the replay says."""

from __future__ import annotations

import binascii
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from marl_meta.replay.packing import MOST_NUMBERS, unpack, unpack_deltas, unpack_moves
from marl_meta.replay.record import EpisodeRecord, Levels, Notes, ReplayRecord
from marl_meta.types import BoolArray, FloatArray, IntArray, UserError

MOST_CELLS = 2**25
"""Of a board over all its moments: what a reader makes of a short text stays small."""

MOST_DIMENSIONS = 8
"""Of an action that is an array of numbers."""

_LARGEST_CELL = np.iinfo(np.int16).max


@dataclass(frozen=True, slots=True, eq=False)
class GroupActions:
    """What the n agents of a group did in T steps."""

    agents: IntArray
    """[n]"""
    acts: BoolArray
    """[n,T] who acted."""
    chosen: IntArray | None
    """[n,T] numbers of actions, -1 where an agent did not act; None for actions that are lists of numbers."""
    numbers: npt.NDArray[np.generic] | None
    """[n,T,*shape], zero where an agent did not act."""


def actions_of(record: ReplayRecord, episode: EpisodeRecord) -> list[GroupActions]:
    """Return what was done in an episode, group by group."""
    return [_group(record, episode, index) for index in range(len(episode.actions))]


def _group(record: ReplayRecord, episode: EpisodeRecord, index: int) -> GroupActions:
    group, steps = episode.actions[index], episode.steps
    agents, where = np.array(group.agents, np.int64), f"actions.{index}"
    shape = (len(agents), steps)
    if group.chosen is not None:
        chosen = _named(f"{where}.chosen", lambda: unpack(group.chosen or "", len(agents) * steps)).reshape(shape) - 1
        most = len(record.actions)
        if chosen.size and (int(chosen.min()) < -1 or (most and int(chosen.max()) >= most)):
            raise UserError(f"{where}.chosen holds a number that is no action.")
        return GroupActions(agents, chosen >= 0, chosen, None)
    if group.dtype is None or group.shape is None or group.acts is None or group.numbers is None:
        raise UserError(f"{where} must have chosen, or dtype, shape, acts and numbers.")
    acts = _named(f"{where}.acts", lambda: unpack(group.acts or "", len(agents) * steps)).reshape(shape) == 1
    try:
        data = binascii.a2b_base64(group.numbers, strict_mode=True)
    except ValueError as error:
        raise UserError(f"{where}.numbers is not base64.") from error
    if len(group.shape) > MOST_DIMENSIONS:
        raise UserError(f"{where}.shape has more than {MOST_DIMENSIONS} dimensions.")
    dtype, size = np.dtype(group.dtype).newbyteorder("<"), math.prod(group.shape)
    if size * max(acts.size, 1) > MOST_NUMBERS:
        raise UserError(f"{where}.shape is of more numbers than are read ({MOST_NUMBERS}).")
    if len(data) != int(acts.sum()) * size * dtype.itemsize:
        raise UserError(f"{where}.numbers does not hold {size} numbers for every action.")
    # What nobody did is zero, and has no place in the file: it must not be larger than the file by much.
    if acts.size * size > 64 * (len(data) + len(group.acts) + 1):
        raise UserError(f"{where} says that next to nobody acts.")
    numbers = np.zeros((*shape, *group.shape), group.dtype)
    numbers[acts] = np.frombuffer(data, dtype).reshape(-1, *group.shape)
    return GroupActions(agents, acts, None, numbers)


def rewards_of(record: ReplayRecord, episode: EpisodeRecord) -> npt.NDArray[np.float64]:
    """Return the rewards [N,T]."""
    shape = (record.num_agents, episode.steps)
    steps = _named("rewards.values", lambda: unpack_deltas(episode.rewards.values, shape))
    return steps.astype(np.float64) * episode.rewards.unit


def places_of(record: ReplayRecord, episode: EpisodeRecord) -> FloatArray:
    """Return where entities are in a scene of particles [E,2,T+1]."""
    scene = episode.scene
    if scene.places is None or scene.unit is None or scene.keyframe is None:
        raise UserError("scene must have unit, keyframe and places.")
    text, unit, keyframe = scene.places, scene.unit, scene.keyframe
    shape = (record.num_entities, 2, episode.steps + 1)
    places: FloatArray = (_named("scene.places", lambda: unpack_moves(text, shape, keyframe)) * unit).astype(np.float32)
    return places


def presence_of(record: ReplayRecord, episode: EpisodeRecord) -> BoolArray:
    """Return who is there in a scene of particles [E,T+1]."""
    shape = (record.num_entities, episode.steps + 1)
    if episode.scene.present is None:
        return np.broadcast_to(np.True_, shape)
    text = episode.scene.present
    present: BoolArray = _named("scene.present", lambda: unpack(text, shape[0] * shape[1])).reshape(shape) == 1
    return present


def cells_of(episode: EpisodeRecord) -> npt.NDArray[np.int16]:
    """Return what is on the cells of a board [T+1,height,width]."""
    scene = episode.scene
    if scene.width is None or scene.height is None or scene.keyframe is None or scene.cells is None:
        raise UserError("scene must have width, height, keyframe and cells.")
    if len(scene.cells) != episode.steps + 1:
        raise UserError("scene.cells must have an entry for every moment.")
    size = scene.width * scene.height
    if size * len(scene.cells) > MOST_CELLS:
        raise UserError(f"scene.cells: a board of so many cells and moments is too large; {MOST_CELLS} are allowed.")
    moments = np.zeros((len(scene.cells), size), np.int16)
    now = moments[0]
    for time, text in enumerate(scene.cells):
        listed = _named(f"scene.cells.{time}", partial(unpack, text))
        whole = time % scene.keyframe == 0
        values = listed if whole else listed[1::2]
        if values.size and int(np.abs(values).max()) > _LARGEST_CELL:
            raise UserError(f"scene.cells.{time} holds a number that is too large.")
        if whole:
            if len(listed) != size:
                raise UserError(f"scene.cells.{time} must hold every cell.")
            now = listed.astype(np.int16)
        elif len(listed):
            pairs = listed.reshape(-1, 2) if len(listed) % 2 == 0 else None
            if pairs is None or int(pairs[:, 0].min()) < 0 or int(pairs[:, 0].max()) >= size:
                raise UserError(f"scene.cells.{time} names a cell that is not there.")
            now = now.copy()
            now[pairs[:, 0]] = pairs[:, 1]
        moments[time] = now
    return moments.reshape(-1, scene.height, scene.width)


def attention_of(record: ReplayRecord, episode: EpisodeRecord, notes: Notes) -> FloatArray | None:
    """Return how much each head looks at each entity [n,H,E,T]; None where that is not written down."""
    heads = notes.attention.heads if notes.attention is not None else None
    if notes.attention is not None and heads is None:
        raise UserError("notes.attention.heads is missing.")
    return _shares("attention", notes.attention, (len(notes.agents), heads or 0, record.num_entities, episode.steps))


def influence_of(record: ReplayRecord, episode: EpisodeRecord, notes: Notes) -> FloatArray | None:
    """Return how far the actions' probabilities move without each entity [n,E,T]; None where that is not known."""
    return _shares("influence", notes.influence, (len(notes.agents), record.num_entities, episode.steps))


def probabilities_of(record: ReplayRecord, episode: EpisodeRecord, notes: Notes) -> FloatArray | None:
    """Return the probability of each action [n,A,T]; None where that is not written down."""
    return _shares("probabilities", notes.probabilities, (len(notes.agents), len(record.actions), episode.steps))


def value_of(episode: EpisodeRecord, notes: Notes) -> npt.NDArray[np.float64] | None:
    """Return the return that agents expected [n,T]; None where that is not written down."""
    if notes.value is None:
        return None
    text, unit = notes.value.values, notes.value.unit
    steps = _named("notes.value", lambda: unpack_deltas(text, (len(notes.agents), episode.steps)))
    return steps.astype(np.float64) * unit


def beliefs_of(episode: EpisodeRecord, notes: Notes) -> FloatArray | None:
    """Return the probability of each value of the hidden rules [n,W,T]; None where nobody believes anything."""
    beliefs = notes.beliefs
    if beliefs is None:
        return None
    for rule in beliefs.rules:
        if rule.truth is not None and rule.truth >= len(rule.values):
            raise UserError(f"notes.beliefs: the true value of {rule.name!r} is none of its values.")
    width = sum(len(rule.values) for rule in beliefs.rules)
    return _shares(
        "beliefs", Levels(levels=beliefs.levels, values=beliefs.values), (len(notes.agents), width, episode.steps)
    )


def updates_of(episode: EpisodeRecord, notes: Notes) -> IntArray | None:
    """Return how many steps of adaptation had been taken [T]; None where there are none."""
    if notes.updates is None:
        return None
    text = notes.updates
    return _named("notes.updates", lambda: unpack_deltas(text, (episode.steps,)))


def _shares(name: str, levels: Levels | None, shape: tuple[int, ...]) -> FloatArray | None:
    if levels is None:
        return None
    numbers = _named(f"notes.{name}", lambda: unpack_deltas(levels.values, shape))
    if numbers.size and (int(numbers.min()) < 0 or int(numbers.max()) > levels.levels):
        raise UserError(f"notes.{name} holds a number beyond its {levels.levels} levels.")
    shares: FloatArray = (numbers / levels.levels).astype(np.float32)
    return shares


def _named(key: str, decode: Callable[[], IntArray]) -> IntArray:
    """Return what `decode` does, whose complaints are about the key."""
    try:
        return decode()
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
