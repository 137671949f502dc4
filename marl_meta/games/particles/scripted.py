"""Hand-written players of the particle families: what a team should at least beat.

Each is a function of an observation and of the agent slots [n] that it plays, and returns their actions [B,n]. They
have no memory, use what their agents see, and reckon with the families' default physics.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from marl_meta.games.particles.parameters import DIRECTIONS
from marl_meta.games.particles.physics import TIME_STEP
from marl_meta.games.scripted import ScriptedPolicy
from marl_meta.types import BoolArray, FloatArray, IntArray, Observation

_MOVES: FloatArray = np.array(DIRECTIONS, np.float32)
_KEEP = 0.75
_FAR = np.float32(1e6)


def stay(observation: Observation, agents: IntArray) -> IntArray:
    """Never move."""
    return np.zeros((len(observation.entities), len(agents)), np.int64)


def cover(observation: Observation, agents: IntArray) -> IntArray:
    """Spread: pair agents and landmarks by short ways; each goes to its own and stops there."""
    landmark = observation.kind.max()  # the last kind
    goals = _pair_up(_distances(observation, agents, observation.kind == landmark), agents)
    return _go_to(observation, agents, goals, accel=5.0)


def chase(observation: Observation, agents: IntArray) -> IntArray:
    """Tag: run to the nearest opponent."""
    return _head(_to_nearest_opponent(observation, agents))


def flee(observation: Observation, agents: IntArray) -> IntArray:
    """Tag: of all moves, make the one after which opponents, obstacles and the edge of the arena are least near.

    Looks three steps ahead: what repels is 1 / distance to each opponent, more weakly obstacles, and the edge.
    """
    own = observation.private[:, agents]
    horizon = 3.0
    speed = own[:, :, None, 2:4] * _KEEP + 4.0 * TIME_STEP * _MOVES
    place = own[:, :, None, 0:2] + TIME_STEP * (own[:, :, None, 2:4] + horizon * speed)  # [B,n,A,2]
    seen = _seen(observation, agents)
    entities = observation.entities
    gap = np.linalg.norm(place[:, :, :, None] - entities[:, None, None, :, 0:2], axis=-1)
    gap = np.maximum(gap - entities[:, None, None, :, 4] - 0.05, 0.02)
    opponent = _opponents(observation, agents) & seen
    obstacle = (observation.team == -1)[:, None, :] & seen
    weight = 1.0 * opponent + 0.03 * obstacle
    danger = (weight[:, :, None] / gap).sum(-1) + 20.0 * np.maximum(np.abs(place) - 0.85, 0.0).sum(-1)
    moves: IntArray = danger.argmin(-1)
    return moves


def gather(observation: Observation, agents: IntArray) -> IntArray:
    """Harvest: collect red objects, as is right under the default rules, and go around blue ones."""
    return harvester((1.0, 0.0, -1.0))(observation, agents)


def harvester(payoff: Sequence[float] | FloatArray) -> ScriptedPolicy:
    """Return a harvest player that knows the payoffs of red, green and blue objects: [3], or [B,3] by game."""
    worth = np.asarray(payoff, np.float32)

    def policy(observation: Observation, agents: IntArray) -> IntArray:
        """Pair gatherers and paying objects by short ways; each goes to its own, around what costs."""
        first = observation.kind.max() - 2  # the last three kinds are red, green, blue
        kind = np.clip(observation.kind - first, 0, 2)
        value = np.take_along_axis(np.broadcast_to(worth, (len(kind), 3)), kind.astype(np.int64), 1)
        value = np.where(observation.kind >= first, value, 0.0)
        goals = _pair_up(_distances(observation, agents, value > 0), agents)
        return _go_to(observation, agents, goals, accel=4.0, avoid=value < 0)

    return policy


def _seen(observation: Observation, agents: IntArray) -> BoolArray:
    """Return which present entities these agents see [B,n,E]."""
    present = np.repeat(observation.present[:, None], len(agents), 1)
    if observation.sees is not None:
        present &= observation.sees[:, agents]
    return present


def _opponents(observation: Observation, agents: IntArray) -> BoolArray:
    """Return which entities are of another team than each of these agents [B,n,E]."""
    theirs = observation.team[:, None]
    opponents: BoolArray = (theirs != observation.team[:, agents, None]) & (theirs >= 0)
    return opponents


def _distances(observation: Observation, agents: IntArray, wanted: BoolArray) -> FloatArray:
    """Return the distance [B,n,E] of each agent to those entities that are wanted [B,E] and seen, very far to others.

    Agents that are absent from their game are very far from everything.
    """
    apart = observation.entities[:, None, :, 0:2] - observation.private[:, agents, None, 0:2]
    reached = _seen(observation, agents) & wanted[:, None] & observation.acting[:, agents, None]
    return np.where(reached, np.linalg.norm(apart, axis=-1), _FAR)


def _pair_up(distance: FloatArray, agents: IntArray) -> IntArray:
    """Return the entity [B,n] to which each agent goes, given their distances [B,n,E]; itself if there is none.

    Short ways, and as many different entities as there are: nearest pairs first, then any two agents swap where that
    makes their ways shorter together. Agents that are left over go to the nearest.
    """
    left = distance.copy()
    games, count, entities = left.shape
    rows = np.arange(games)
    goals: IntArray = np.where(distance.min(-1) < _FAR, distance.argmin(-1), agents)
    for _ in range(count):
        agent, entity = np.unravel_index(left.reshape(games, -1).argmin(-1), (count, entities))
        found = left[rows, agent, entity] < _FAR
        goals[rows[found], agent[found]] = entity[found]
        left[rows, agent] = _FAR
        left[rows, :, entity] = _FAR
    for _ in range(count):
        for i, j in itertools.combinations(range(count), 2):
            kept = distance[rows, i, goals[:, i]] + distance[rows, j, goals[:, j]]
            swapped = distance[rows, i, goals[:, j]] + distance[rows, j, goals[:, i]]
            better = swapped < kept
            goals[better, i], goals[better, j] = goals[better, j], goals[better, i]
    return goals


def _go_to(
    observation: Observation, agents: IntArray, goals: IntArray, accel: float, avoid: BoolArray | None = None
) -> IntArray:
    """Return the move [B,n] after which an agent that then lets go comes to rest nearest to its goal."""
    own = observation.private[:, agents]
    target = np.take_along_axis(observation.entities[:, :, 0:2], goals[:, :, None], 1)
    speed = own[:, :, None, 2:4] * _KEEP + accel * TIME_STEP * _MOVES
    start = own[:, :, None, 0:2] + TIME_STEP * own[:, :, None, 2:4]
    rest = start + speed * TIME_STEP / (1.0 - _KEEP)
    cost: FloatArray = np.linalg.norm(rest - target[:, :, None], axis=-1)
    if avoid is not None:
        ahead = start + speed * TIME_STEP  # [B,n,A,2] where it will be
        apart = ahead[:, :, :, None] - observation.entities[:, None, None, :, 0:2]
        near = apart[..., 0] ** 2 + apart[..., 1] ** 2 < 0.14**2
        cost += (near & (avoid[:, None] & _seen(observation, agents))[:, :, None]).sum(-1)
    moves: IntArray = cost.argmin(-1)
    return moves


def _to_nearest_opponent(observation: Observation, agents: IntArray) -> FloatArray:
    """Return where each agent's nearest opponent is from it [B,n,2]; zero for those who see none."""
    apart = observation.entities[:, None, :, 0:2] - observation.private[:, agents, None, 0:2]
    wanted = _seen(observation, agents) & _opponents(observation, agents)
    distance = np.where(wanted, np.linalg.norm(apart, axis=-1), _FAR)
    nearest = distance.argmin(-1)[:, :, None, None]
    return np.where(distance.min(-1)[..., None] < _FAR, np.take_along_axis(apart, nearest, 2)[:, :, 0], np.float32(0))


def _head(towards: FloatArray) -> IntArray:
    """Return the move [B,n] along the longer side of a way [B,n,2]; none where there is no way."""
    moves: IntArray = (towards @ _MOVES.T).argmax(-1)
    return moves
