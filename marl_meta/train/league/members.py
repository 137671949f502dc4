"""Who is in a league: anchors that never leave, and snapshots of the learners, which are saved teams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from marl_meta.config import Config
from marl_meta.evaluate.lineup import RANDOM, Player, random_player, scripted_players, team_player
from marl_meta.files import sync_folder
from marl_meta.games import load_family
from marl_meta.rollout import Controller
from marl_meta.team import ZOO, Team, load_team
from marl_meta.team.controllers import OracleController
from marl_meta.types import TeamLayout, UserError, VectorGame
from marl_meta.wording import close_match, listed

PAST = "past"
"""What metrics call all snapshots together."""


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody whom the learners may meet."""

    player: Player
    team: Team | None = None
    """The saved team, where it is one."""
    born: int | None = None
    """The iteration after which the learners were so; None for an anchor."""
    told: bool = False
    """Whether it is told the hidden rules, as the learners are that it comes of."""

    @property
    def name(self) -> str:
        """What the league calls it; no two members are called alike."""
        return self.player.name

    @property
    def weights(self) -> str | None:
        """The fingerprint of its weights; None for who has none."""
        return None if self.team is None else self.team.fingerprint()

    def policy(self, side: TeamLayout) -> str:
        """Return who plays a side for it: the member's name, or that of the policy where it is a snapshot."""
        return self.name if self.team is None or self.born is None else self.team.policy_for(side)

    def controller(self, game: VectorGame, side: str, games: slice, seed: int) -> Controller:
        """Return who plays a side in some games of a batch, not yet reset."""
        if not self.told or self.team is None:
            return self.player.make(game, side, seed)
        knowledge = self.team.knowledge(game.layout, side)
        player = self.team.controller(game.layout, side, seed)
        return OracleController(player, knowledge, lambda: game.hidden_rules[games])


def read_anchors(config: Config) -> list[Member]:
    """Return the members that `league.anchors` names; raises UserError for one that nobody is called."""
    family = None if config.game.family == "pettingzoo" else load_family(config.game.family)
    scripted = {} if family is None else {player.name: player for player in scripted_players(family)}
    found = []
    for text in config.league.anchors:
        if text == RANDOM:
            found.append(Member(random_player()))
        elif text in scripted:
            found.append(Member(scripted[text]))
        elif text.startswith(ZOO) or Path(text).exists():
            team = load_team(text)
            name = text if text.startswith(ZOO) else team.name
            found.append(Member(team_player(name, team, deterministic=False), team))
        else:
            raise UserError(
                f"Config key league.anchors names {text!r}{close_match(text, [RANDOM, *scripted])}; allowed are "
                f"random, the scripted players of the game ({listed(scripted)}), folders of saved teams, and zoo:NAME."
            )
    _refuse_twins([PAST, *(member.name for member in found)])
    return found


def _refuse_twins(names: Sequence[str]) -> None:
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise UserError(
            f"Config key league.anchors needs members with names of their own, none of them {PAST!r}; {listed(twins)} "
            "is there twice."
        )


def take_snapshot(team: Team, folder: Path, born: int, *, told: bool) -> Member:
    """Return the learners as they are after the iteration `born`, saved below `folder` and read from there."""
    path = snapshot_path(folder, born)
    replace(team, name=f"{team.name}-{born:06d}").save(path)
    sync_folder(folder)
    return _snapshot(load_team(path), born, told=told)  # what plays is what a resumed run would find


def read_snapshot(folder: Path, born: int, weights: str, *, told: bool) -> Member:
    """Return the snapshot of an iteration; raises UserError where it is gone, damaged or not what it was."""
    path = snapshot_path(folder, born)
    try:
        member = _snapshot(load_team(path), born, told=told)
    except UserError as error:
        raise UserError(f"The run cannot go on without the member {path} of its league: {error}") from error
    if member.weights != weights:
        raise UserError(
            f"The run cannot go on: the weights of the member {path} of its league are not those that the run saved."
        )
    return member


def snapshot_path(folder: Path, born: int) -> Path:
    """Return where below `folder` the snapshot of an iteration lies."""
    return folder / f"{born:06d}"


def _snapshot(team: Team, born: int, *, told: bool) -> Member:
    return Member(team_player(f"@{born}", team, deterministic=False), team, born, told)


def superfluous(born: Sequence[int], size: int) -> list[int]:
    """Return which snapshots of the iterations `born`, in order, leave so that `size` stay.

    One by one the one leaves whose neighbours are closest to each other, the older of two: the first and the newest
    stay, and those between are spread as evenly as may be.
    """
    stay, leave = list(born), []
    while len(stay) > size:
        gaps = [after - before for before, after in zip(stay, stay[2:], strict=False)]
        leave.append(stay.pop(1 + gaps.index(min(gaps))))
    return leave
