"""A film of games: the same starts, played by several players side by side, as an animated GIF."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from marl_meta.evaluate.watching import Entrant, play
from marl_meta.files import atomic_write_bytes
from marl_meta.games import Family
from marl_meta.replay.animation import frames, gif
from marl_meta.replay.record import ReplayRecord
from marl_meta.types import Variant


def film(family: Family, variants: Sequence[Variant], entrants: Mapping[str, Entrant], seed: int, path: Path) -> None:
    """Write an animated GIF of one episode of each variant, in which every entrant, by its title, plays all sides."""

    def takes(variant: Variant) -> list[ReplayRecord]:
        return [
            play(entrant, game=family, rules=variant.rules, seed=seed, thoughts=False, title=title).record
            for title, entrant in entrants.items()
        ]

    shown = itertools.chain.from_iterable(frames(takes(variant)) for variant in variants)
    atomic_write_bytes(path, gif(shown))
