"""Finding and reading a saved team, in a folder or among those that ship with the toolkit."""

from __future__ import annotations

from pathlib import Path

from marl_meta.resources import data_dirs, find
from marl_meta.team.card import CARD, read_card
from marl_meta.team.team import Team
from marl_meta.team.weights import WEIGHTS, Weights
from marl_meta.types import UserError
from marl_meta.wording import close_match, listed

ZOO = "zoo:"
"""What the name of a team that ships with the toolkit begins with."""


def load_team(path: str | Path) -> Team:
    """Return the team that a folder holds (or a run folder's `team`), or `zoo:NAME`. Runs no code from it.

    Raises UserError where the folder is not a team, is damaged, or was written by a newer version.
    """
    folder = _in_zoo(str(path)) if str(path).startswith(ZOO) else Path(path)
    if not (folder / CARD).is_file() and (folder / "team" / CARD).is_file():
        folder = folder / "team"
    if not (folder / CARD).is_file():
        raise UserError(f"{path} is not a team: a team is a folder with {CARD} and {WEIGHTS}.")
    card = read_card(folder / CARD)
    layout, designs = card.played_layout(), card.designs()
    weights = Weights.read(folder / WEIGHTS)
    policies, beliefs = weights.networks(layout, designs)
    adapters = weights.adapters(layout, designs, policies, card.adapter or {})
    starts = weights.starts(policies, beliefs)
    weights.refuse_strangers(policies, beliefs, adapters, starts)
    return Team(
        name=card.name, layout=layout, designs=designs, policies=policies, plays=card.plays,
        trained_on=card.trained_on, path=folder, beliefs=beliefs, adapters=adapters, starts=starts,
        adapted_to=card.adapted_to,
    )  # fmt: skip


def _in_zoo(path: str) -> Path:
    name = path.removeprefix(ZOO)
    there = sorted(card.parent.name for zoo in data_dirs("zoo") for card in zoo.glob(f"*/{CARD}"))
    if name not in there:
        raise UserError(f"There is no team {path!r}{close_match(name, there)}; the zoo has {listed(there)}.")
    return find("zoo", name)
