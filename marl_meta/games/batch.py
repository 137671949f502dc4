"""What the compiled simulators have in common: whose turn of which trial it is, taking actions, checking snapshots."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.games.kernel import inner
from marl_meta.games.random import draw_index
from marl_meta.types import BoolArray, Snapshot, UserError

STATE_FIELDS = [("key", "u8"), ("draws", "u8"), ("variant", "u8"), ("step", "i8"), ("episode", "i8")]
"""What every game's record begins with: its random stream, its variant, and how far its trial is."""

_UNSIGNED = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


@inner
def begin_trial(game: Any, deck: Any) -> None:
    """Draw the variant of a game's next trial, a card of `deck` [D] (an empty one: it keeps the one that it has)."""
    game.episode = 0
    if len(deck) > 0:
        game.variant = np.uint64(deck[draw_index(game, len(deck))])


def unsigned(actions: npt.NDArray[np.integer[Any]], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return the actions of `shape` (games, agents) in a row as unsigned numbers, so that negative ones are too large.

    Raises UserError where they have another shape or are no integers.
    """
    if actions.shape != shape or actions.dtype.kind not in "iu":
        raise UserError(
            f"Actions must be integers of shape {shape} (games, agents), not {actions.dtype} of shape {actions.shape}."
        )
    if not actions.flags.carray:  # every memory layout would be compiled for on its own
        actions = np.array(actions, order="C")
    return actions.reshape(-1).view(_UNSIGNED[actions.itemsize])


def refuse_illegal(
    actions: npt.NDArray[np.integer[Any]], counts: npt.NDArray[Any], acting: BoolArray, names: tuple[str, ...]
) -> BoolArray:
    """Return which actions [B,N] are not below `counts` (of each game, [B] or a number) without mattering.

    Raises UserError naming the first that matters, since its agent acts.
    """
    most = np.broadcast_to(np.asarray(counts).reshape(-1, 1), actions.shape)
    wrong: BoolArray = (actions < 0) | (actions >= most)
    refused = wrong & acting
    if refused.any():
        b, agent = np.argwhere(refused)[0]
        raise UserError(
            f"The action of {names[agent]} in game {b} is {actions[b, agent]}; allowed is 0 to {most[b, agent] - 1}."
        )
    return wrong


def check_snapshot(snapshot: Snapshot, current: Snapshot, variants: int) -> None:
    """Raise UserError unless `snapshot` holds arrays like those of the `current` one, of `variants` variants."""
    for name, array in current.items():
        if name not in snapshot or snapshot[name].shape != array.shape:
            raise UserError(
                f"A snapshot to restore must hold {name!r} of shape {array.shape}, as snapshots of this game do."
            )
    for name in ("variant", "deck"):
        if not np.isin(snapshot[name], np.arange(variants)).all():
            raise UserError(f"A snapshot to restore must hold a {name} of numbers below {variants} everywhere.")
