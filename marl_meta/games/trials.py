"""How far each game of a batch is, in which trial of which variant, and the deck that variants are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.games.batch import STATE_FIELDS
from marl_meta.games.deck import Deck, new_deck
from marl_meta.games.random import stream_keys
from marl_meta.types import Snapshot


@dataclass(frozen=True, slots=True)
class Trials:
    """What the state of every compiled simulator begins with; its kernels write to these arrays."""

    games: npt.NDArray[np.void]
    """[B] records that hold `STATE_FIELDS`."""
    deck: Deck
    """[D]"""
    episodes_per_trial: int
    first_game: int
    """Number of the first game's random stream."""

    def start_streams(self, seed: int) -> None:
        """Start the random stream of every game afresh: game b's depends on the seed and on `first_game` + b alone."""
        self.games["key"] = stream_keys(seed, self.first_game, len(self.games))
        self.games["draws"] = 0

    def snapshot(self) -> Snapshot:
        """Return copies: key, draws, variant, step, episode [B]; deck [D]."""
        fields: Snapshot = {name: self.games[name].copy() for name, _ in STATE_FIELDS}
        return fields | {"deck": self.deck.copy()}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        for name, _ in STATE_FIELDS:
            self.games[name] = snapshot[name]
        self.deck[:] = snapshot["deck"]


def new_trials(
    record: np.dtype[Any],
    variants: int,
    *,
    num_games: int,
    seed: int,
    episodes_per_trial: int,
    first_game: int,
    fixed: bool,
) -> Trials:
    """Return trials not yet begun.

    Args:
        record: what a simulator keeps of a game, which holds `STATE_FIELDS`.
        variants: V.
        num_games: B.
        seed: of the random streams.
        episodes_per_trial: after so many episodes a trial is over.
        first_game: number of the first game's stream.
        fixed: game b always plays variant b (counted around); else each trial's variant is drawn.
    """
    trials = Trials(np.zeros(num_games, record), new_deck(0 if fixed else variants), episodes_per_trial, first_game)
    trials.games["variant"] = np.arange(num_games) % variants
    trials.start_streams(seed)
    return trials
