"""Play a game to watch it: whole episodes as a replay, with what the players think where they say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from marl_meta.evaluate.ground import (
    Ground,
    ThirdPartyGame,
    family_ground,
    held_out_split,
    third_party_ground,
    trained_ground,
)
from marl_meta.evaluate.lineup import RANDOM, able, side_seed
from marl_meta.evaluate.play import sides_of
from marl_meta.evaluate.threads import single_threaded
from marl_meta.games import Family
from marl_meta.games.family import check_integer
from marl_meta.games.rewards import check_rewards
from marl_meta.games.scripted import scripts_of
from marl_meta.interop.board_sight import sight_of
from marl_meta.meta.controller import GradientController
from marl_meta.players import RandomPlayer, scripted_player
from marl_meta.replay import Replay
from marl_meta.replay.record import BelievedRule, GameRecord
from marl_meta.replay.recorder import Recorder, Who, family_game
from marl_meta.replay.thoughts import Thought
from marl_meta.resources import is_path
from marl_meta.rollout import Controller
from marl_meta.team import ZOO, Team, TeamController, load_team
from marl_meta.team.controllers import OracleController
from marl_meta.types import Observation, Step, TeamLayout, UserError, VectorGame
from marl_meta.wording import listed

Told = Callable[[int, int], None]
"""Is told how many of how many episodes were played."""

Entrant = str | Path | Team
"""A trained team, its folder or its name in the zoo; `random`, or one of the family's hand-written players."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Who plays a side of a lone game."""

    controller: Controller
    who: Who


def play(  # noqa: PLR0913 (all that may be asked of a game)
    entrants: Entrant | Mapping[str, Entrant],
    *,
    against: Entrant | None = None,
    game: str | Path | Family | ThirdPartyGame | None = None,
    rules: Mapping[str, Any] | str | None = None,
    split: str | None = None,
    episodes: int = 1,
    seed: int = 0,
    deterministic: bool = False,
    thoughts: bool = True,
    title: str | None = None,
    told: Told = lambda _, __: None,
) -> Replay:
    """Return the replay of `episodes` episodes of one variant, over which players may adapt.

    Args:
        entrants: who plays: one for all sides that it can play, or one for each side by name.
        against: who plays the sides that are left; by default they are played at random. With it, a team that can play
            all sides plays the first.
        game: a family or a third-party game; by default the one that the first trained team was trained on.
        rules: of the variant: values that differ from the defaults, or text (inline JSON, a file, a variant_id).
        split: draws the variant by `seed`; by default the held-out one beside that of the first team's training, where
            neither rules nor another game are given.
        episodes: of the trial.
        seed: of the game and of everybody's draws.
        deterministic: whether trained teams take their likeliest action.
        thoughts: whether trained teams are asked what they think, which takes longer than to play.
        title: a line for people.
        told: is told of the progress.

    Raises UserError on bad input.
    """
    check_integer("episodes", episodes, low=1)
    check_integer("seed", seed, low=0)
    given: Mapping[Any, Entrant] = entrants if isinstance(entrants, Mapping) else {None: entrants}
    loaded = {side: _loaded(entrant) for side, entrant in given.items()}
    ground = _ground(loaded, game, rules, split, seed)
    if ground.num_variants != 1:
        raise UserError("A replay is of one variant; say which by its rules.")
    batch = ground.open(1, episodes, seed)
    try:
        opponent = None if against is None else _loaded(against)
        seats = seats_for(ground, batch, loaded, seed, against=opponent, deterministic=deterministic)
        recorder = recorder_of(ground, batch, seats, seed, title=title, thoughts=thoughts)
        return recorded(batch, seats, recorder, episodes, told)
    finally:
        batch.close()


def recorded(
    game: VectorGame, seats: Mapping[str, Seat], recorder: Recorder, episodes: int, told: Told = lambda _, __: None
) -> Replay:  # fmt: skip
    """Return the replay of so many episodes of a lone game, just opened."""
    played = 0
    with single_threaded():
        for _, step in moves(game, {side: seat.controller for side, seat in seats.items()}, recorder):
            played += bool(step.game_over[0])
            told(played, episodes)
            if played == episodes:
                break
    return Replay(recorder.record())


def moves(
    game: VectorGame, players: Mapping[str, Controller], recorder: Recorder | None = None
) -> Iterator[tuple[Observation, Step]]:
    """Yield what a game shows and, after everybody has acted on it, what came of that; it never ends.

    `players` are by side, and are reset first. A recorder writes the only game down. Raises UserError where the game
    pays what is no finite number.
    """
    sides = sides_of(game)
    for side, agents in sides.items():
        players[side].reset(game.num_games, agents)
    observation = game.reset().observation
    if recorder is not None:
        recorder.begin(observation)
    actions = np.zeros((game.num_games, game.num_agents), np.int64)
    while True:
        if recorder is not None:
            recorder.think(observation)
        for side, agents in sides.items():
            actions[:, agents] = players[side].act(observation)
        if recorder is not None:
            recorder.choose(observation, actions)
        step = game.step(actions)
        check_rewards(game, step.reward)
        for side in sides:
            players[side].observe(step)
        if recorder is not None:
            recorder.note(step)
        yield observation, step
        observation = step.observation


def seats_for(
    ground: Ground, game: VectorGame, entrants: Mapping[str | None, Entrant], seed: int, *,
    against: Entrant | None = None, deterministic: bool = False,
) -> dict[str, Seat]:  # fmt: skip
    """Return who plays each side of a game, see `play`: under None is who plays whatever it can.

    Raises UserError for a side that the game does not have, and for whoever cannot play.
    """
    sides = {team.name: team for team in game.layout.teams if team.name in sides_of(game)}
    strange = [side for side in entrants if side is not None and side not in sides]
    if strange:
        raise UserError(f"The game has no team {strange[0]!r}; its teams are {listed(sides)}.")
    if against is not None:  # whom nobody knows is refused even where no side is left to play
        any(_can_play(ground, team, against) for team in sides.values())
    chosen: dict[str, Entrant] = {side: entrant for side, entrant in entrants.items() if side is not None}
    if None in entrants:
        able_sides = [
            side for side, team in sides.items() if side not in chosen and _can_play(ground, team, entrants[None])
        ]
        if not able_sides:
            raise UserError(f"{_name(entrants[None])!r} can play none of the game's teams: {listed(sides)}.")
        chosen |= dict.fromkeys(able_sides if against is None else able_sides[:1], entrants[None])
    seats = {}
    for index, (side, team) in enumerate(sides.items()):
        entrant = chosen.get(side, against if against is not None else RANDOM)
        if not _can_play(ground, team, entrant):
            raise UserError(f"{_name(entrant)!r} cannot play {side!r} (role {team.kind!r}).")
        seats[side] = _seat(ground, game, side, entrant, side_seed(seed, index), deterministic=deterministic)
    return seats


def recorder_of(
    ground: Ground, game: VectorGame, seats: Mapping[str, Seat], seed: int, *, title: str | None = None,
    thoughts: bool = True,
) -> Recorder:  # fmt: skip
    """Return what writes down a game of one variant, made by the ground with that seed."""
    who = {side: seat.who for side, seat in seats.items()}
    if thoughts:
        for side, seat in seats.items():
            if isinstance(seat.controller, TeamController | GradientController | OracleController):
                who[side].thinker = _Speaker(seat.controller, game, ground.family)
    return Recorder(game, game_record(ground, game, seed), who, title=title, sight=sight_of(game, 0))


def game_record(ground: Ground, game: VectorGame, seed: int) -> GameRecord:
    """Return what makes the first game of a ground again."""
    if ground.third_party is None:
        assert ground.family is not None
        return family_game(ground.family, game.rules[0], seed=seed)
    third = ground.third_party
    return GameRecord(
        name=ground.game, family=False, api="vector", entry_point=third.entry_point, kwargs=dict(third.kwargs),
        schema=third.schema, sides=dict(third.sides) or None, seed=seed, first_game=0,
    )  # fmt: skip


def team_seat(team: Team, game: VectorGame, side: str, seed: int, *, deterministic: bool = False) -> Seat:
    """Return a trained team's seat."""
    controller = team.controller(game.layout, plays=side, seed=seed, deterministic=deterministic)
    learner = team.trained_on.get("meta")
    who = Who(team.name, str(learner) if learner is not None else None, team.fingerprint(), seed)
    return Seat(controller, who)


@dataclass(frozen=True, slots=True)
class _Speaker:
    """A trained team that is asked what it thinks (`replay.thoughts.Thinker`)."""

    player: TeamController | GradientController | OracleController
    game: VectorGame
    family: Family | None

    def believed(self) -> list[BelievedRule]:
        hidden = self.game.hidden_rules[0] if self.game.layout.hidden_rules else None
        return self.player.believed(self.family, hidden)

    def think(self, observation: Observation) -> Thought:
        return self.player.think(observation)


def _seat(ground: Ground, game: VectorGame, side: str, entrant: Entrant, seed: int, *, deterministic: bool) -> Seat:
    if isinstance(entrant, Team):
        return team_seat(entrant, game, side, seed, deterministic=deterministic)
    if entrant == RANDOM:
        return Seat(RandomPlayer(seed), Who(RANDOM, seed=seed))
    assert ground.family is not None
    return Seat(scripted_player(ground.family, str(entrant), seed), Who(str(entrant), seed=seed))


def _can_play(ground: Ground, side: TeamLayout, entrant: Entrant) -> bool:
    if isinstance(entrant, Team):
        return able(entrant)(side)
    if entrant == RANDOM:
        return True
    scripts = scripts_of(ground.family) if ground.family is not None else {}
    if entrant not in scripts:
        raise UserError(
            f"There is no player {str(entrant)!r}: allowed are the folder of a team, zoo:NAME, "
            f"{listed((RANDOM, *scripts))}."
        )
    return side.kind in scripts[str(entrant)].plays


def _name(entrant: Entrant) -> str:
    return entrant.name if isinstance(entrant, Team) else str(entrant)


def _loaded(entrant: Entrant) -> Entrant:
    """Return a team where the entrant names one; other names are left to be those of players that do not learn."""
    if isinstance(entrant, Team) or entrant == RANDOM:
        return entrant
    if str(entrant).startswith(ZOO) or Path(entrant).exists() or is_path(entrant):
        return load_team(entrant)
    return str(entrant)


def trial_length(team: Team) -> int:
    """Return how many episodes show what a team does: three of one that was trained on trials of several."""
    return 3 if int((team.trained_on.get("game") or {}).get("episodes_per_trial", 1)) > 1 else 1


def _ground(
    entrants: Mapping[str | None, Entrant], game: str | Path | Family | ThirdPartyGame | None,
    rules: Mapping[str, Any] | str | None, split: str | None, seed: int,
) -> Ground:  # fmt: skip
    team = next((entrant for entrant in entrants.values() if isinstance(entrant, Team)), None)
    if game is None and team is None:
        raise UserError("Say which game to play: none of the players was trained on one.")
    if split is not None and rules is not None:
        raise UserError("Either rules or a split says which variant is played, not both.")
    ground = trained_game(team, game, rules)
    trained = (team.trained_on.get("game") or {}).get("split") if team is not None and game is None else None
    chosen = split or (held_out_split(ground.family, trained) if ground.family is not None and trained else None)
    if rules is not None or chosen is None or ground.third_party is not None:
        if split is not None:
            raise UserError("A third-party game has no splits.")
        return ground
    assert ground.family is not None
    return family_ground(ground.family, None, ground.family.sample(seed, split=chosen)[0].rules)


def trained_game(
    team: Team | None, game: str | Path | Family | ThirdPartyGame | None, rules: Mapping[str, Any] | str | None
) -> Ground:
    """Return one variant of a game, or of the game that a team was trained on where none is given."""
    if isinstance(game, ThirdPartyGame):
        if rules is not None:
            raise UserError("A third-party game has no rules of ours; its arguments are given with --kwargs.")
        return third_party_ground(game)
    if game is not None:
        return family_ground(game, None, rules or {})
    assert team is not None
    family = (team.trained_on.get("game") or {}).get("family")
    return trained_ground(team.trained_on, None, None if family == "pettingzoo" else rules if rules is not None else {})
