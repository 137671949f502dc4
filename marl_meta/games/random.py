"""The random stream of each game: a hash of the game's key and the number of draws so far.

Nothing is shared between games, so game b of a batch draws what it would draw alone. The hash is the
finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from marl_meta.games.kernel import inner

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
_SECOND_FACTOR = np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31, _SHIFT_11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 2.0**-53


@inner
def mix(bits: Any) -> Any:
    """Return 64 well mixed bits, a one-to-one function of the 64 bits given."""
    bits = (bits ^ (bits >> _SHIFT_30)) * _FIRST_FACTOR
    bits = (bits ^ (bits >> _SHIFT_27)) * _SECOND_FACTOR
    return bits ^ (bits >> _SHIFT_31)


@inner
def draw(game: Any) -> Any:
    """Return a number uniform over [0, 1), of 53 bits; the record `game` counts it."""
    game.draws += np.uint64(1)
    return np.float64(mix(game.key + game.draws * _GOLDEN) >> _SHIFT_11) * _UNIT


@inner
def draw_index(game: Any, count: Any) -> Any:
    """Return one of 0..count-1, each as likely."""
    return min(np.int64(draw(game) * count), count - 1)


def stream_keys(seed: int, first_game: int, num_games: int) -> npt.NDArray[np.uint64]:
    """Return the keys [B] of the streams of games first_game, first_game + 1, ...; the seed is any integer."""
    base = mix.py_func(np.full(num_games, seed % 2**64, np.uint64) + _GOLDEN)  # type: ignore[attr-defined]
    games = np.arange(first_game + 1, first_game + 1 + num_games, dtype=np.uint64)
    return mix.py_func(base + games * _GOLDEN)  # type: ignore[attr-defined,no-any-return]
