"""Whether a tournament's plan may say which code is run.

A plan names entrants and a game, and whoever goes on with it runs their code. Who starts a tournament has named them
himself. But a folder may come from anywhere, and must not choose what runs here: then the user has to say so.
"""

from __future__ import annotations

from pathlib import Path

from marl_meta.resources import is_path
from marl_meta.tournament.entrants import FOREIGN
from marl_meta.tournament.outsiders.specs import parse
from marl_meta.tournament.plan import FILE, Plan
from marl_meta.trust import is_well_known, refuse


def check_trusted(plan: Plan, folder: Path, *, plays: bool = True) -> None:
    """Raise UserError where a plan names code that is none of ours and in none of the well-known collections of games.

    Where nobody `plays`, entrants and third-party games are not run; of a family that a path names, the rules are read.
    """
    strange = []
    if plan.third_party is None:
        strange += [plan.game] if is_path(plan.game) else []
    elif plays:
        strange += [] if is_well_known(plan.third_party.entry_point) else [plan.third_party.entry_point]
    if plays:
        strange += [one.spec for one in plan.entrants if parse(f"{one.name}={one.spec}").kind in FOREIGN]
    if strange:
        refuse(strange[0], folder / FILE)
