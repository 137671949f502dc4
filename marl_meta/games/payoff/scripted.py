"""Hand-written players of the family `payoff`: what can be reached with a memory, and with a worse one.

Both are `marl_meta.games.scripted.RememberingPolicy`s: functions of what their agents see and what they remember. They
are made to look for a treasure; whatever pays anything is one to them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.types import BoolArray, IntArray, Observation


def sweep(
    observation: Observation, agents: IntArray, memory: IntArray, chance: npt.NDArray[np.float64]
) -> tuple[IntArray, IntArray]:
    """Try one joint action after another, and stay with the one that pays: the Bayes-optimal team.

    Nobody tells the others what to try: everybody counts the rounds that paid nothing, and the order of the joint
    actions is the one in which numbers of N digits are counted, of which each player plays the digit of its seat.
    It remembers the number that it tries, and whether that has paid. A result that it did not see, because the episode
    ended, counts for nothing, and is tried again in the trial's next episode.
    """
    del chance
    tried, paid = memory[..., 0], memory[..., 1]
    seen, _, rewarded = _last(observation, agents)
    paid = paid | (seen & rewarded)
    tried = tried + (seen & (paid == 0))
    players = observation.present.sum(1)[:, None]
    actions = _count(observation, agents)
    seat = observation.entities[:, agents].argmax(-1)
    digit = tried // actions ** np.maximum(players - 1 - seat, 0) % actions
    return digit, np.stack([tried, paid], -1)


def remember(
    observation: Observation, agents: IntArray, memory: IntArray, chance: npt.NDArray[np.float64]
) -> tuple[IntArray, IntArray]:
    """Play at random and repeat what paid: remembers success, forgets failures.

    It remembers the number of its action that paid, counted from 1.
    """
    seen, action, rewarded = _last(observation, agents)
    kept = np.where(seen & rewarded, action + 1, memory[..., 0])
    drawn = (chance * _count(observation, agents)).astype(np.int64)
    return np.where(kept > 0, kept - 1, drawn), kept[..., None]


def _last(observation: Observation, agents: IntArray) -> tuple[BoolArray, IntArray, BoolArray]:
    """Return for each agent [B,n] whether it saw a round before this one, its action in it, and if that was paid."""
    private: Any = observation.private[:, agents]
    actions = private[..., :-1]
    return actions.any(-1), actions.argmax(-1), private[..., -1] > 0


def _count(observation: Observation, agents: IntArray) -> IntArray:
    """Return how many actions each agent has [B,n]."""
    count: IntArray = observation.action_mask[:, agents].sum(-1)
    return count
