"""From a config to the league of its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from marl_meta.config import Config
from marl_meta.rollout import Collector
from marl_meta.train.league.league import League, blocks, sides_of_members
from marl_meta.train.league.members import Member, read_anchors
from marl_meta.types import Layout, UserError
from marl_meta.wording import listed


def open_league(config: Config, layout: Layout, learners: Mapping[str, str], collectors: Sequence[Collector]) -> League:
    """Return the league that a config asks for; `learners` names who learns which side.

    Raises UserError where nobody can be met: in a game of one team, and where no member can play against who learns.
    """
    asked = f"Config key league={config.league.name}"
    if len(layout.teams) < 2:
        raise UserError(f"{asked} needs a game in which teams meet; this one has one team, {layout.teams[0].name}.")
    if config.schedule.name != "uniform":
        _leave_some(config, collectors)
    anchors, sides = read_anchors(config), sides_of_members(layout, learners)
    for anchor in anchors:
        _check_anchor(anchor, layout, sides, collectors[0])
    kinds = {side.kind for side in layout.teams if side.name in learners}
    nobody = [
        side.name
        for side in layout.teams
        if side.name in sides
        and side.name not in learners
        and side.kind not in kinds
        and not any(anchor.player.can_play(side) for anchor in anchors)
    ]
    sides = [side for side in sides if side not in nobody]
    if not sides:
        raise UserError(
            f"{asked} has nobody to play against {listed(learners)}: past selves cannot play {listed(nobody)}; name "
            "members that can in league.anchors, or let that team learn too."
        )
    return League(
        config.league, layout, learners, sides, collectors, anchors, config.seed, told=config.meta.tell == "always"
    )


def _check_anchor(anchor: Member, layout: Layout, sides: Sequence[str], collector: Collector) -> None:
    """Raise UserError unless an anchor can play one of the sides, and can read the game."""
    able = [side.name for side in layout.teams if side.name in sides and anchor.player.can_play(side)]
    if not able:
        roles = listed(f"{side.name} (role {side.kind})" for side in layout.teams if side.name in sides)
        raise UserError(f"Config key league.anchors names {anchor.name!r}, who can play none of {roles}.")
    for side in able:
        anchor.player.make(collector.game, side, 0)


def _leave_some(config: Config, collectors: Sequence[Collector]) -> None:
    for collector in collectors:
        games, league = collector.game.num_games, config.league
        if blocks(games, league.share, league.opponents)[0].start == 0:
            raise UserError(
                f"Config key league.share is {league.share:g}, which leaves no game of a thread's {games} for "
                f"schedule={config.schedule.name} to learn from; allowed is less, or schedule=uniform."
            )
