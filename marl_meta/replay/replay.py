"""Replay: a recorded game to keep, to watch, to play again and to take numbers from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from marl_meta.replay.reading import encode, read, write
from marl_meta.replay.record import ReplayRecord
from marl_meta.replay.verifying import Verified, verify


@dataclass(frozen=True, slots=True)
class Replay:
    """A recorded game, trial or series. In a notebook it shows itself."""

    record: ReplayRecord
    """All that its file holds (`replays/FORMAT.md`)."""

    def save(self, path: str | Path) -> Path:
        """Write it to a file, whose name gets the ending `.replay.json.gz` where it lacks it; returns where it is."""
        return write(self.record, Path(path))

    def page(self, *beside: Replay, title: str | None = None) -> str:
        """Return one HTML page that needs no network, in which it can be watched, other replays beside it."""
        return watch_page((self, *beside), title)

    def verify(self, *, trust: bool = False) -> Verified:
        """Return whether it happens again when its actions are played again; see `replay.verifying`.

        With `trust` it may name any code that makes its game.
        """
        return verify(self.record, trust=trust)

    @property
    def title(self) -> str:
        """Its own title, or who played what."""
        players = " against ".join(dict.fromkeys(team.player for team in self.record.teams))
        return self.record.title or f"{self.record.game.name}: {players}"

    def _repr_html_(self) -> str:
        from marl_meta.replay.page import frame

        return frame(self.page())


def load_replay(path: str | Path) -> Replay:
    """Return the replay in a file; raises UserError where there is none that can be read. Runs no code from it."""
    return Replay(read(Path(path)))


def watch_page(replays: Sequence[Replay], title: str | None = None) -> str:
    """Return one HTML page in which replays can be watched side by side, on one clock."""
    from marl_meta.replay.page import page

    return page([encode(replay.record) for replay in replays], title or "")
