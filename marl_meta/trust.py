"""Whether a file that came from anywhere may say which code is run.

Teams, replays and plans name the game that they are of, and to play it its code is imported and called. Ours and that
of well-known collections of games is taken by name; of any other the user has to say that it is what he wants to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marl_meta.resources import is_path
from marl_meta.types import UserError
from marl_meta.wording import shorten

_COLLECTIONS = ("mpe2", "pettingzoo.classic", "pettingzoo.butterfly", "pettingzoo.sisl", "pettingzoo.atari", "magent2")
_MAKERS = ("env", "raw_env", "parallel_env")


def is_well_known(entry_point: str) -> bool:
    """Return whether an entry point is that of a game in a well-known collection."""
    module, _, symbol = entry_point.partition(":")
    return any(module == one or module.startswith(f"{one}.") for one in _COLLECTIONS) and symbol in _MAKERS


def strange_game(game: Mapping[str, Any]) -> str | None:
    """Return the code that would be run to play a `family`, or the `entry_point` of one that is called pettingzoo.

    It is None where that is ours, or in a well-known collection.
    """
    third_party = game.get("family") == "pettingzoo"
    code = game.get("entry_point" if third_party else "family")
    if not isinstance(code, str):
        return None
    known = is_well_known(code) if third_party else not is_path(code)
    return None if known else code


def refuse(code: str, file: Path) -> None:
    """Raise UserError saying that code would be run because a file names it, and how to allow it."""
    raise UserError(
        f"To go on, the code of {shorten(code, 300)} would be run, because {file} says so. Where you know what that "
        "is, say so: --trust (in Python: trust=True)."
    )


def trained_game(trained_on: Mapping[str, Any], say: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the game that a team's file says it was trained on (`Team.trained_on`), empty where it does not say.

    Raises UserError where that is somebody's own code. `say` is how a user names a `family` and an `entry_point`.
    """
    game = trained_on.get("game")
    if not isinstance(game, Mapping):
        return {}
    key = "entry_point" if game.get("family") == "pettingzoo" else "family"
    if not isinstance(game.get(key), str):
        return {}
    code = strange_game(game)
    if code is not None:
        raise UserError(
            f"The team's file says that it was trained on {shorten(code)}, whose code would be run. Where you know "
            f"what that is, name it yourself: {say[key].format(code)}."
        )
    return game
