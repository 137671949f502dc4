"""What a player can say about why it does what it does, moment by moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from marl_meta.replay.encoding import encode_shares, encode_values
from marl_meta.replay.packing import pack_deltas
from marl_meta.replay.record import Beliefs, BelievedRule, Notes
from marl_meta.types import FloatArray, IntArray, Observation

ATTENTION_LEVELS, INFLUENCE_LEVELS, PROBABILITY_LEVELS, BELIEF_LEVELS = 10, 20, 50, 50


@dataclass(frozen=True, slots=True, eq=False)
class Thought:
    """What the n agents of a team think of one moment, before they act; None for what they do not say."""

    attention: FloatArray | None = None
    """[n,H,E] how much each head looks at each entity slot."""
    influence: FloatArray | None = None
    """[n,E] total variation by which the action distribution moves where the agent does not see that entity."""
    probabilities: FloatArray | None = None
    """[n,A]"""
    value: FloatArray | None = None
    """[n] the return that is expected from here on."""
    beliefs: FloatArray | None = None
    """[n,W] probabilities of the values of `Thinker.believed`, one rule after the other."""
    updates: int | None = None
    """How many gradient steps were taken in this trial so far."""


class Thinker(Protocol):
    """A player that says what it thinks."""

    def believed(self) -> list[BelievedRule]:
        """Return the hidden rules that it believes something of; the same through a whole trial."""

    def think(self, observation: Observation) -> Thought:
        """Return what its agents think of game 0, which it plays alone; asked before it acts, it changes nothing."""


@dataclass(slots=True)
class NoteBook:
    """Thoughts of one team over an episode."""

    agents: IntArray
    """[n] which of the replay's agents they are."""
    entities: IntArray
    """[E'] entity slots of the replay's entities."""
    rules: list[BelievedRule]
    thoughts: list[Thought] = field(default_factory=list)

    def notes(self) -> Notes | None:
        """Return what was written down, packed; None where nothing was."""
        if not self.thoughts:
            return None
        attention = self._stacked("attention", self.entities)
        influence = self._stacked("influence", self.entities)
        probabilities, value, beliefs = (self._stacked(key) for key in ("probabilities", "value", "beliefs"))
        updates = [thought.updates for thought in self.thoughts]
        return Notes(
            agents=self.agents.tolist(),
            attention=None if attention is None else encode_shares(attention, ATTENTION_LEVELS, attention.shape[1]),
            influence=None if influence is None else encode_shares(influence, INFLUENCE_LEVELS),
            probabilities=None if probabilities is None else encode_shares(probabilities, PROBABILITY_LEVELS),
            value=None if value is None else encode_values(value),
            beliefs=self._beliefs(beliefs),
            updates=None if None in updates else pack_deltas(np.array(updates, np.int64)),
        )

    def _beliefs(self, beliefs: FloatArray | None) -> Beliefs | None:
        if beliefs is None or not self.rules:
            return None
        return Beliefs(levels=BELIEF_LEVELS, rules=self.rules, values=encode_shares(beliefs, BELIEF_LEVELS).values)

    def _stacked(self, key: str, entities: IntArray | None = None) -> FloatArray | None:
        """Return one kind of thought, times last, of the replay's entities alone; None where some have none."""
        found = [getattr(thought, key) for thought in self.thoughts]
        if any(one is None for one in found):
            return None
        stacked: FloatArray = np.stack(found, -1)
        return stacked if entities is None else stacked[..., entities, :]
