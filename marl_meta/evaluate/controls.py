"""What a team that adapts is seen beside: itself without its memory, and an oracle that is told the hidden rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from marl_meta.evaluate.calibration import Calibration, Watcher
from marl_meta.evaluate.ground import Ground
from marl_meta.evaluate.lineup import RANDOM, Player, able, scripted_players, team_player
from marl_meta.rollout import Controller
from marl_meta.team import Team, TeamController
from marl_meta.types import IntArray, Observation, Snapshot, Step, TeamLayout, UserError, VectorGame
from marl_meta.wording import listed


@dataclass(frozen=True, slots=True)
class Lineup:
    """Who plays where adaptation is measured, besides random and hand-written play."""

    side: str
    """The side whose play is scored."""
    against: str | None
    """Who plays the other sides where it is: the same for all who are scored. None in games of one side."""
    players: tuple[Player, ...]
    """The teams, and after each its controls."""
    watched: dict[str, Player]
    """By the name of a team that has beliefs: the same player, what it believes being counted."""
    oracles: dict[str, str]
    """By the name of a team or a control of it: the name of the player that its scores are measured by."""
    controls: dict[str, str]
    """By the name of a control: the team that it is made of."""
    hidden: tuple[str, ...]
    """The hidden rules that vary."""
    calibrations: dict[str, Calibration]
    """By the name of a team that has beliefs: what they were worth where it was scored, once it has played."""

    def scores(self, pairing: Mapping[str, str]) -> bool:
        """Return whether a match-up, players by side, is one that is scored."""
        others = {name for side, name in pairing.items() if side != self.side}
        return others == (set() if self.against is None else {self.against})


def adaptation_lineup(
    ground: Ground, teams: Mapping[str, Team], oracle: Team | None, episodes: int, seed: int, side: str | None = None,
    *, deterministic: bool,
) -> Lineup | None:  # fmt: skip
    """Return who plays where there is something to adapt to: hidden rules that vary, and a team that can be told them.

    None where there is not. Of a game of several sides `side` is scored (by default the first that a team can play and
    somebody be told the rules of), against the family's last hand-written player that can play the other, else against
    random play. Raises UserError where an `oracle` or a `side` is given and there is nothing to adapt to, where no team
    can play such a side, and for an oracle that cannot play it or be told the game's hidden rules.
    """
    hidden = hidden_rules(ground)
    if not hidden:
        if oracle is None and side is None:
            return None
        raise UserError(
            f"There is nothing to adapt to on {ground.label!r} of {ground.game}, where no hidden rules vary; leave out "
            f"--{'oracle' if side is None else 'side'}, or choose a split in which some do."
        )
    game = ground.open(1, episodes, seed)
    game.close()
    sides = [game.layout.teams[index] for index in sorted({int(team) for team in game.agent_team})]
    scored = _scored(game, sides, side, teams, oracle)
    if oracle is not None:
        _check(oracle, game, scored)
    tellers = [name for name, team in teams.items() if _can_be_told(team, game, scored)]
    if oracle is None and not tellers:
        if side is not None:
            raise UserError(f"None of the teams can play the side {side!r} and be told the hidden rules there.")
        return None
    infer = [name for name in tellers if teams[name].policy_for(scored) in teams[name].beliefs]
    calibrations = {name: Calibration(episodes) for name in infer}
    players: list[Player] = []
    watched: dict[str, Player] = {}
    oracles: dict[str, str] = {}
    controls: dict[str, str] = {}
    for name, team in teams.items():
        own = team_player(name, team, deterministic=deterministic)
        players.append(own)
        if name in infer:
            watched[name] = _watched(own, team, calibrations[name], deterministic=deterministic)
        if not own.can_play(scored):
            continue
        measure = told_name(oracle.name if oracle is not None else name if name in tellers else tellers[0])
        oracles[name] = measure
        if episodes > 1:
            players.append(reset_player(name, own))
            oracles[reset_name(name)], controls[reset_name(name)] = measure, name
        if oracle is None and name in tellers:
            players.append(told_player(name, team, deterministic=deterministic))
            oracles[measure], controls[measure] = measure, name
    if oracle is not None:
        players.append(told_player(oracle.name, oracle, deterministic=deterministic))
        oracles[told_name(oracle.name)] = told_name(oracle.name)
    against = _opponent(ground, sides, scored)
    return Lineup(scored.name, against, tuple(players), watched, oracles, controls, hidden, calibrations)


def _scored(
    game: VectorGame, sides: Sequence[TeamLayout], side: str | None, teams: Mapping[str, Team], oracle: Team | None
) -> TeamLayout:
    """Return the side to score: of those that a team can play the one that is asked for, else the first of use."""
    if side is not None and side not in [one.name for one in sides]:
        raise UserError(f"There is no side {side!r}; the sides are {listed(one.name for one in sides)}.")
    played = [one for one in sides if any(able(team)(one) for team in teams.values())]
    if side is not None:
        if side not in [one.name for one in played]:
            raise UserError(f"None of the teams can play the side {side!r}.")
        return next(one for one in played if one.name == side)
    tellers = [*teams.values()] if oracle is None else [oracle]
    of_use = (one for one in played if any(_can_be_told(team, game, one) for team in tellers))
    return next(of_use, (played or sides)[0])


def _opponent(ground: Ground, sides: Sequence[TeamLayout], scored: TeamLayout) -> str | None:
    """Return who plays the other sides where `scored` is."""
    others = [one for one in sides if one is not scored]
    if not others:
        return None
    if len(others) > 1 or ground.family is None:
        return RANDOM
    able_there = [one.name for one in scripted_players(ground.family) if one.can_play(others[0])]
    return able_there[-1] if able_there else RANDOM


def hidden_rules(ground: Ground) -> tuple[str, ...]:
    """Return the names of the hidden rules that vary over a ground's variants, in the family's order."""
    if ground.family is None:
        return ()
    hidden = [name for name, rule in ground.family.rules.items() if rule.hidden]
    return tuple(name for name in hidden if len({repr(rules[name]) for rules in ground.rules}) > 1)


def told_name(team: str) -> str:
    """Return what a team is called that is told the hidden rules."""
    return f"{team} (told)"


def reset_name(team: str) -> str:
    """Return what a team is called whose memory is cleared after every episode."""
    return f"{team} (reset)"


def told_player(name: str, team: Team, *, deterministic: bool) -> Player:
    """Return a team that is told the hidden rules of the games that it plays, as a player."""

    def make(game: VectorGame, side: str, seed: int) -> Controller:
        return team.oracle(game, plays=side, seed=seed, deterministic=deterministic)

    return Player(told_name(name), "control", able(team), make)


def reset_player(name: str, player: Player) -> Player:
    """Return a player whose memory is cleared after every episode."""

    def make(game: VectorGame, side: str, seed: int) -> Controller:
        return Forgetful(player.make(game, side, seed))

    return Player(reset_name(name), "control", player.can_play, make)


class Forgetful:
    """Plays as another does to whom every episode is a trial of its own."""

    def __init__(self, player: Controller) -> None:
        self._player = player

    def reset(self, games: int, agents: IntArray) -> None:
        """Get ready for `games` games in which it plays the agent slots `agents`."""
        self._player.reset(games, agents)

    def act(self, observation: Observation) -> IntArray:
        """Return its agents' actions [B,n]."""
        return self._player.act(observation)

    def observe(self, step: Step) -> None:
        """Take note of what its last actions led to, and forget what belongs to an episode that ended."""
        self._player.observe(replace(step, trial_over=step.game_over))

    def snapshot(self) -> Snapshot:
        """Return its memory and random stream."""
        return self._player.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        self._player.restore(snapshot)


def _watched(player: Player, team: Team, calibration: Calibration, *, deterministic: bool) -> Player:
    """Return the same player, what it believes being counted."""

    def make(game: VectorGame, side: str, seed: int) -> Controller:
        own = team.controller(game.layout, plays=side, seed=seed, deterministic=deterministic)
        assert isinstance(own, TeamController)  # those that adapt by gradients hold no beliefs
        return Watcher(own, team.knowledge(game.layout, side), game, calibration)

    return replace(player, make=make)


def _check(team: Team, game: VectorGame, side: TeamLayout) -> None:
    """Raise UserError unless the team can play a side of the game and be told its hidden rules."""
    team.controller(game.layout, side.name)
    team.knowledge(game.layout, side.name)


def _can_be_told(team: Team, game: VectorGame, side: TeamLayout) -> bool:
    try:
        _check(team, game, side)
    except UserError:
        return False
    return True
