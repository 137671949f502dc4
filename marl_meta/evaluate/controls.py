"""What a team that adapts is seen beside: itself without its memory, and an oracle that is told the hidden rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from marl_meta.evaluate.calibration import Calibration, Watcher
from marl_meta.evaluate.ground import Ground
from marl_meta.evaluate.lineup import Player, able, team_player
from marl_meta.rollout import Controller
from marl_meta.team import Team, TeamController
from marl_meta.types import IntArray, Observation, Snapshot, Step, UserError, VectorGame
from marl_meta.wording import listed


@dataclass(frozen=True, slots=True)
class Lineup:
    """Who plays where adaptation is measured, besides random and hand-written play."""

    players: tuple[Player, ...]
    """The teams, and after each its controls."""
    oracles: dict[str, str]
    """By the name of a team or a control of it: the name of the player that its scores are measured by."""
    controls: dict[str, str]
    """By the name of a control: the team that it is made of."""
    hidden: tuple[str, ...]
    """The hidden rules that vary."""
    calibrations: dict[str, Calibration]
    """By the name of a team that has beliefs: what they were worth, once it has played."""


def adaptation_lineup(
    ground: Ground, teams: Mapping[str, Team], oracle: Team | None, episodes: int, seed: int, *, deterministic: bool
) -> Lineup | None:
    """Return who plays where there is something to adapt to: hidden rules that vary, and a team that can be told them.

    None where there is not, or where several sides meet. Raises UserError where an `oracle` is given and there is not,
    or where it cannot play the game or be told its hidden rules.
    """
    hidden = hidden_rules(ground)
    if not hidden and oracle is None:
        return None
    game = ground.open(1, episodes, seed)
    game.close()
    sides = [game.layout.teams[index] for index in sorted({int(team) for team in game.agent_team})]
    something = bool(hidden) and len(sides) == 1
    if oracle is not None:
        if not something:
            reason = "several sides meet" if hidden else "no hidden rules vary"
            raise UserError(
                f"An oracle has nothing to tell on {ground.label!r} of {ground.game}, where {reason}; leave out "
                "--oracle, or choose a split of a game of one side in which hidden rules vary."
            )
        _check(oracle, game)
    tellers = [name for name, team in teams.items() if _can_be_told(team, game)]
    if not something or (oracle is None and not tellers):
        return None
    watched = [name for name in tellers if teams[name].policy_for(sides[0]) in teams[name].beliefs]
    calibrations = {name: Calibration(episodes) for name in watched}
    players: list[Player] = []
    oracles: dict[str, str] = {}
    controls: dict[str, str] = {}
    for name, team in teams.items():
        measure = told_name(oracle.name if oracle is not None else name if name in tellers else tellers[0])
        own = team_player(name, team, deterministic=deterministic)
        players.append(_watched(own, team, calibrations[name], deterministic=deterministic) if name in watched else own)
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
    _refuse_twins(players)
    return Lineup(tuple(players), oracles, controls, hidden, calibrations)


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


def _check(team: Team, game: VectorGame) -> None:
    """Raise UserError unless the team can play the only side of the game and be told its hidden rules."""
    side = game.layout.teams[int(game.agent_team[0])].name
    team.controller(game.layout, side)
    team.knowledge(game.layout, side)


def _can_be_told(team: Team, game: VectorGame) -> bool:
    try:
        _check(team, game)
    except UserError:
        return False
    return True


def _refuse_twins(players: list[Player]) -> None:
    names = [player.name for player in players]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise UserError(f"Players need names of their own; {listed(twins)} is there twice, as a team is called so.")
