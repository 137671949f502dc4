"""Who can play which side of a game, and which match-ups show what a team is worth."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from marl_meta.games import Family
from marl_meta.games.scripted import Script, scripts_of
from marl_meta.players import RandomPlayer, scripted_player
from marl_meta.rollout import Controller
from marl_meta.team import Team
from marl_meta.types import TeamLayout, UserError, VectorGame
from marl_meta.wording import listed

Origin = Literal["team", "control", "random", "scripted"]
"""What a player is; a control is a trained team with something given to it or taken from it."""

RANDOM = "random"

Matchup = tuple[tuple[str, str], ...]
"""Pairs of a side and the name of who plays it, in the order of the sides."""


@dataclass(frozen=True, slots=True)
class Player:
    """Somebody who can play some sides of a game."""

    name: str
    origin: Origin
    can_play: Callable[[TeamLayout], bool]
    make: Callable[[VectorGame, str, int], Controller]
    """`make(game, side, seed)` returns a controller of that side of the game, not yet reset."""


def team_player(name: str, team: Team, *, deterministic: bool) -> Player:
    """Return a trained team as a player; it samples its actions unless it is `deterministic`."""

    def make(game: VectorGame, side: str, seed: int) -> Controller:
        return team.controller(game.layout, plays=side, seed=seed, deterministic=deterministic)

    return Player(name, "team", able(team), make)


def able(team: Team) -> Callable[[TeamLayout], bool]:
    """Return what says whether a trained team can play a side."""

    def can_play(side: TeamLayout) -> bool:
        try:
            team.policy_for(side)
        except UserError:
            return False
        return True

    return can_play


def random_player() -> Player:
    """Return the player of uniformly random legal actions."""
    return Player(RANDOM, "random", lambda _: True, lambda _, __, seed: RandomPlayer(seed))


def scripted_players(family: Family) -> list[Player]:
    """Return the hand-written players of a family."""
    return [_scripted(family, name, script) for name, script in scripts_of(family).items()]


def _scripted(family: Family, name: str, script: Script) -> Player:
    def can_play(side: TeamLayout) -> bool:
        return side.kind in script.plays

    def make(game: VectorGame, side: str, seed: int) -> Controller:  # noqa: ARG001 (it needs to know no more)
        return scripted_player(family, name, seed)

    return Player(name, "scripted", can_play, make)


def by_roles(name: str, players: Sequence[Player]) -> Player:
    """Return a player of all sides that any of the players can play, each of them played by the first who can."""

    def can_play(side: TeamLayout) -> bool:
        return any(player.can_play(side) for player in players)

    def make(game: VectorGame, side: str, seed: int) -> Controller:
        layout = next(team for team in game.layout.teams if team.name == side)
        return next(player for player in players if player.can_play(layout)).make(game, side, seed)

    return Player(name, players[0].origin, can_play, make)


def refuse_twins(players: Sequence[Player]) -> None:
    """Raise UserError where two players have one name, as where a team is called like a hand-written player."""
    names = [player.name for player in players]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise UserError(f"Players need names of their own; {listed(twins)} is there twice, as a team is called so.")


def matchups(sides: Sequence[TeamLayout], players: Sequence[Player]) -> list[Matchup]:
    """Return who plays whom: every player on every side that it can play, against each that can be its opponent.

    With one side that is each player by itself, with two sides all pairs. With more sides each player meets, on each
    side, all others in the hands of one opponent: a trained team where that can play them, else of random play.
    Raises UserError for a trained team that can play no side.
    """
    for player in players:
        if not any(player.can_play(side) for side in sides):
            raise UserError(
                f"The team {player.name!r} can play no side of this game; its sides are "
                f"{listed(f'{side.name} (role {side.kind})' for side in sides)}."
            )
    playing = {side.name: [player.name for player in players if player.can_play(side)] for side in sides}
    if len(sides) <= 2:
        return [tuple(zip(playing, chosen, strict=True)) for chosen in itertools.product(*playing.values())]
    found: dict[Matchup, None] = {}
    opponents = [player.name for player in players if player.origin != "scripted"]
    for side, names in playing.items():
        for name, opponent in itertools.product(names, opponents):
            others = {other: opponent if opponent in playing[other] else RANDOM for other in playing}
            found[tuple((other, name if other == side else others[other]) for other in playing)] = None
    return list(found)


def side_seed(seed: int, side: int) -> int:
    """Return the seed of the player of a side, far from those of other sides and of the game."""
    return int(np.random.SeedSequence([seed, 4000 + side]).generate_state(1, np.uint64)[0] >> 1)
