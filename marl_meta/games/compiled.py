"""CompiledGame: a batch of games of a simulator of compiled loops, as a `types.VectorGame`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from marl_meta.games.batch import check_snapshot
from marl_meta.games.buffers import Buffer
from marl_meta.games.catalog import Catalog
from marl_meta.games.deck import deal
from marl_meta.games.family import Family
from marl_meta.games.pace import Pace
from marl_meta.games.trials import Trials, new_trials
from marl_meta.types import FloatArray, IntArray, Snapshot, Step, UserError, Variant

Play = Callable[[], int]
"""Plays one step of all games; returns how many ended (and began again)."""

Plays = tuple[tuple[Play, Play], ...]
"""For each buffer: a step written to it, played by one thread and by all of them, to the same bits."""


class Simulator(Protocol):
    """What a simulator adds to what all batches have in common: its own state, and the kernels that play."""

    buffers: tuple[Buffer, Buffer]
    plays: Plays
    threaded_games: int
    """Smaller batches are played by one thread: waking the others would take longer than they save."""

    def begin(self) -> None:
        """Begin a new trial in every game."""

    def take(self, actions: npt.NDArray[np.integer[Any]], shown: Buffer) -> None:
        """Copy `actions` [B,N] to where the kernels read them; `shown` is what they answer to.

        Raises UserError when an acting agent's is none.
        """

    def show(self, turn: int) -> None:
        """Write what every game shows to the buffer of that number."""

    def snapshot(self) -> Snapshot:
        """Return a copy of its own state."""

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to its own part of a snapshot; raises UserError, and leaves all as it is, where that is none."""


class Tables(Protocol):
    """All that a simulator knows of the variants of a batch."""

    @property
    def catalog(self) -> Catalog:
        """What every simulator knows of them."""


_Tables = TypeVar("_Tables", bound=Tables)


def entry_point(
    compile_tables: Callable[[Family, Sequence[Variant]], _Tables],
    simulator: Callable[[_Tables, Trials], Simulator],
    record: np.dtype[Any],
) -> Callable[..., CompiledGame]:
    """Return what a family.yaml names as its entry point.

    Args:
        compile_tables: turns the rules of variants into numbers.
        simulator: makes the simulator of a batch.
        record: what the simulator keeps of a game, which holds `STATE_FIELDS`.
    """

    def make_game(
        family: Family,
        variants: Sequence[Variant],
        *,
        num_games: int,
        seed: int = 0,
        episodes_per_trial: int = 1,
        first_game: int = 0,
        fixed: bool = False,
    ) -> CompiledGame:
        """Return a batch of games, not yet reset; see `new_trials` for the arguments."""
        tables = compile_tables(family, variants)
        trials = new_trials(
            record,
            len(variants),
            num_games=num_games,
            seed=seed,
            episodes_per_trial=episodes_per_trial,
            first_game=first_game,
            fixed=fixed,
        )
        return CompiledGame(tables.catalog, trials, simulator(tables, trials))

    return make_game


class CompiledGame:
    """A batch of games, each under its own rules, with its own random stream (a `types.VectorGame`).

    Two sets of output buffers take turns, so that a Step stays valid until the second `step` after it; their records
    are made once.
    """

    def __init__(self, catalog: Catalog, trials: Trials, simulator: Simulator) -> None:
        self.layout = catalog.layout
        self.num_games = len(trials.games)
        self.num_agents = len(catalog.agent_names)
        self.num_entities = simulator.buffers[0].step.observation.present.shape[1]
        self.agent_names = catalog.agent_names
        self.agent_team = catalog.agent_team
        self.num_variants = len(catalog.variants)
        self._catalog = catalog
        self._trials = trials
        self._variant = trials.games["variant"]  # a view of them
        self._simulator = simulator
        self._buffers, self._plays = simulator.buffers, simulator.plays
        self._large = self.num_games >= simulator.threaded_games
        self._pace = Pace()
        self._turn = 0
        self._started = False

    @property
    def rules(self) -> list[dict[str, Any]]:
        """The rules of each game."""
        return [self._catalog.variants[v].rules for v in self._variant]

    @property
    def variant_ids(self) -> list[str]:
        """The variant of each game."""
        return [self._catalog.variants[v].variant_id for v in self._variant]

    @property
    def variant_numbers(self) -> IntArray:
        """[B] the variant of each game, as a number below `num_variants`."""
        numbers: IntArray = self._variant.astype(np.int64)
        return numbers

    @property
    def action_counts(self) -> IntArray:
        """[B,N] how many actions each agent has."""
        return np.repeat(self._catalog.action_counts[self._variant][:, None], self.num_agents, axis=1)

    @property
    def hidden_rules(self) -> FloatArray:
        """[B,R'] the hidden rules, scaled as visible ones are."""
        rules: FloatArray = self._catalog.hidden[self._variant]
        return rules

    def reset(self, seed: int | None = None) -> Step:
        """Start every game afresh, in a new trial; with a seed, the random streams start afresh too."""
        if seed is not None:
            self._trials.start_streams(seed)
        self._simulator.begin()
        return self._show()

    def deal(self, weights: npt.ArrayLike) -> None:
        """Let new trials draw their variants in proportion to weights [V]; each variant stays possible."""
        deal(self._trials.deck, weights)

    def step(self, actions: npt.NDArray[np.integer[Any]]) -> Step:
        """Play `actions` int [B,N] (ignored for absent agents); raises UserError when one is not an action."""
        if not self._started:
            raise UserError("These games have not begun; call reset before step.")
        self._simulator.take(actions, self._buffers[self._turn])
        turn = self._turn = 1 - self._turn
        buffer = self._buffers[turn]
        ended = self._pace.play(*self._plays[turn], large=self._large)
        return buffer.step_with_final if ended else buffer.step

    def snapshot(self) -> Snapshot:
        """Return a copy of all state: that of the trials and, after it, the simulator's own."""
        return self._trials.snapshot() | self._simulator.snapshot()

    def restore(self, snapshot: Snapshot) -> Step:
        """Go back to a snapshot of this game; returns the observation there, with zero reward."""
        check_snapshot(snapshot, self.snapshot(), self.num_variants)
        self._simulator.restore(snapshot)
        self._trials.restore(snapshot)
        return self._show()

    def close(self) -> None:
        """Nothing to release."""

    def _show(self) -> Step:
        self._started = True
        self._turn = 1 - self._turn
        buffer = self._buffers[self._turn]
        self._simulator.show(self._turn)
        for array in buffer.outcome:
            array[:] = 0
        return buffer.step
