"""The chain of digests over what a game showed and paid (`replays/FORMAT.md`, Digests)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from marl_meta.types import IntArray, Observation

DIGEST_BYTES, CHECK_BYTES = 16, 2
CHECK_DIGITS = 2 * CHECK_BYTES


class Chain:
    """A digest that every moment moves on, and the checks of the moments so far."""

    def __init__(self, game: str, identity: str | None, agents: Sequence[str]) -> None:
        text = json.dumps([game, identity, list(agents)], separators=(",", ":"))
        self._state = blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()
        self._checks: list[str] = []

    def add(self, parts: Iterable[bytes]) -> None:
        """Move on over the bytes of one moment."""
        self._state = blake2b(b"".join((self._state, *parts)), digest_size=DIGEST_BYTES).digest()
        self._checks.append(self._state[:CHECK_BYTES].hex())

    def checks(self) -> str:
        """Return the checks since it was last asked."""
        checks = "".join(self._checks)
        self._checks.clear()
        return checks

    def digest(self) -> str:
        """Return the digest of everything so far."""
        return self._state.hex()


def shown(observation: Observation, b: int, agents: IntArray, entities: IntArray) -> list[bytes]:
    """Return the bytes of what game b shows of these slots of agents [n] and of entities [e]."""
    return [
        *_rows(observation.entities[b][entities]),
        *_rows(observation.private[b][agents]),
        observation.present[b][entities].tobytes(),
        *_rows(observation.action_mask[b][agents]),
    ]


def _rows(array: npt.NDArray[np.generic]) -> Iterable[bytes]:
    """Yield the bytes of each row without the zeros at its end, by which batches pad games of different sizes."""
    for row in array:
        yield row.tobytes().rstrip(b"\0")
