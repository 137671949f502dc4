"""Who takes part: trained teams and players that do not learn, which play many games at once, or foreign programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from marl_meta.evaluate.lineup import Player, by_roles, random_player, scripted_players, team_player
from marl_meta.games import Family
from marl_meta.team import ZOO, Team, load_team
from marl_meta.tournament.outsiders.limits import Limits
from marl_meta.tournament.outsiders.process import ExecPlayer, ForeignPlayer, open_player
from marl_meta.tournament.outsiders.specs import Spec, parse
from marl_meta.tournament.plan import EntrantPlan
from marl_meta.types import TeamLayout, UserError, VectorGame
from marl_meta.wording import listed

FOREIGN = ("python", "exec")
"""Kinds of entrants that run in processes of their own."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """Somebody who takes part."""

    name: str
    spec: Spec
    player: Player
    """Of an entrant from outside: random play, which takes its place where it may not play on."""
    team: Team | None = None
    """The trained team, where it is one."""

    @property
    def plan(self) -> EntrantPlan:
        """What is written down of it."""
        weights = None if self.team is None else self.team.fingerprint()
        return EntrantPlan(name=self.name, spec=self._lasting_spec(), weights=weights)

    def _lasting_spec(self) -> str:
        """Return a spec that means the same from every folder."""
        if self.spec.kind == "team":
            return self.spec.target
        if self.spec.kind == "python":
            return f"{self.spec.style}:{self.spec.target}" if self.spec.style else self.spec.target
        return self.spec.text

    def outsider(self, limits: Limits, seed: int) -> ForeignPlayer | ExecPlayer:
        """Return an entrant from outside, whose process has not begun."""
        return open_player(self.spec, limits, seed)


def load_entrants(
    plans: Sequence[EntrantPlan], family: Family | None, *, deterministic: bool = False
) -> dict[str, Entrant]:  # fmt: skip
    """Return the entrants by name; `family` is whose hand-written players may take part.

    Raises UserError for a spec that names nobody, and for a team that has changed.
    """
    found = {}
    for plan in plans:
        entrant = _entrant(plan.name, parse(f"{plan.name}={plan.spec}"), family, deterministic=deterministic)
        if plan.weights is not None and plan.weights != entrant.plan.weights:
            raise UserError(
                f"The entrant {plan.name!r} ({plan.spec}) has other weights than when the tournament began; "
                "put that team back, or begin a new tournament."
            )
        found[plan.name] = entrant
    return found


def _entrant(name: str, spec: Spec, family: Family | None, *, deterministic: bool) -> Entrant:
    match spec.kind:
        case "builtin":
            if family is None:
                raise UserError(
                    f"{spec.text!r} cannot play this game: hand-written players play families of ours, and third-party "
                    "games whose schema names one (--schema)."
                )
            scripted = {player.name: player for player in scripted_players(family)}
            chosen = spec.target.split("+")
            for one in chosen:
                if one not in scripted:
                    there = listed(scripted) or "none"
                    raise UserError(f"Family {family.name!r} has no hand-written player {one!r}; it has {there}.")
            return Entrant(name, spec, by_roles(name, [scripted[one] for one in chosen]))
        case "zoo" | "team":
            team = load_team(f"{ZOO}{spec.target}" if spec.kind == "zoo" else spec.target)
            return Entrant(name, spec, team_player(name, team, deterministic=deterministic), team)
        case _:
            return Entrant(name, spec, random_player())


def check_sides(entrants: Mapping[str, Entrant], game: VectorGame, sides: Iterable[str]) -> None:
    """Raise UserError unless every entrant can play every side of the game, and reads what it shows."""
    layouts: dict[str, TeamLayout] = {team.name: team for team in game.layout.teams}
    for entrant in entrants.values():
        for side in sides:
            if not entrant.player.can_play(layouts[side]):
                raise UserError(f"The entrant {entrant.name!r} cannot play {side!r} (role {layouts[side].kind!r}).")
            entrant.player.make(game, side, 0)
