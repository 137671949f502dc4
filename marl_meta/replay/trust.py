"""Whether a replay may say which code makes its game.

To play somebody else's game again, its code has to be imported and called, and the replay names it. A file that came
from anywhere must not choose what runs here: so the names of well-known collections of games are taken, and others only
where the user says that the replay can be trusted.
"""

from __future__ import annotations

import re

from marl_meta.replay.record import GameRecord
from marl_meta.trust import is_well_known
from marl_meta.types import UserError
from marl_meta.wording import shorten

_WRAPPER = re.compile(r"supersuit:\w+_v\d+")


def check_trusted(game: GameRecord) -> None:
    """Raise UserError where a replay names code that is none of the well-known collections of games."""
    if game.family or game.entry_point is None:
        return
    strange = [game.entry_point] if not is_well_known(game.entry_point) else []
    strange += [str(one.get("wrapper")) for one in game.wrappers if not _WRAPPER.fullmatch(str(one.get("wrapper")))]
    if strange:
        raise UserError(
            f"To play the replay again, {shorten(strange[0])} would be imported and called, because the replay says "
            "so. Where you know what that is, say so: --trust (in Python: verify(trust=True))."
        )
