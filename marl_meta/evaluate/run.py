"""Evaluate teams: every match-up on every split, side by side with random and hand-written play."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from marl_meta.evaluate.adapted import adaptation, groups_of
from marl_meta.evaluate.controls import Lineup, adaptation_lineup
from marl_meta.evaluate.ground import Ground, ThirdPartyGame, family_ground, third_party_ground, trained_ground
from marl_meta.evaluate.lineup import (
    Matchup,
    Player,
    matchups,
    random_player,
    refuse_twins,
    scripted_players,
    side_seed,
    team_player,
)
from marl_meta.evaluate.play import Earned, play, sides_of
from marl_meta.evaluate.results import Evaluation, Result, SplitEvaluation
from marl_meta.evaluate.room import without_room
from marl_meta.evaluate.statistics import estimate
from marl_meta.evaluate.threads import single_threaded
from marl_meta.games import Family
from marl_meta.games.family import check_integer
from marl_meta.team import Team, load_team
from marl_meta.types import FloatArray, UserError
from marl_meta.wording import listed

DEFAULT_EPISODES = 5
"""K where nobody says, for teams that were trained on trials of several episodes."""

Report = Callable[[int, int, str], None]
"""Told how many episodes of how many have been played, and who plays."""


def unreported(done: int, total: int, name: str) -> None:
    """Tell nobody."""


def evaluate(  # noqa: PLR0913 (all that may be asked of an evaluation)
    teams: str | Path | Team | Sequence[str | Path | Team],
    *,
    game: str | Path | Family | ThirdPartyGame | None = None,
    split: str | Sequence[str] | None = None,
    rules: Mapping[str, Any] | str | None = None,
    episodes: int | None = None,
    games_per_variant: int | None = None,
    seed: int = 0,
    deterministic: bool = False,
    oracle: str | Path | Team | None = None,
    side: str | None = None,
    group: bool = False,
    report: Report = unreported,
) -> Evaluation:
    """Return what teams earn on all variants of a split, beside random play and the family's hand-written players.

    In games of several sides all of them meet all others. The same games, with the same starts, are played by all.
    Where hidden rules vary, and some team can be told them, each team is also scored by how well it adapts. Teams of
    flat encoders are left out of splits whose games are too large for them.

    Args:
        teams: folders of teams (or of the runs that trained them), or loaded teams.
        game: a family or a third-party game; by default the one that the teams were trained on.
        split: names of splits; by default the held-out one beside the split of the training.
        rules: instead of a split, the rules of one variant: values that differ from the defaults, or text
            (inline JSON, a file, a variant_id).
        episodes: K, how many episodes of one variant a team plays in a row, keeping its memory; by default
            DEFAULT_EPISODES, or 1 where all teams were trained on single episodes.
        games_per_variant: how many such trials of each variant are played, at least 2.
        seed: of the games and of everybody's draws.
        deterministic: whether trained teams take their likeliest action instead of sampling one.
        oracle: a team (trained with meta=oracle) which, told the hidden rules, scores 1; by default each team itself,
            told them.
        side: of a game of several sides the one on which adaptation is scored; by default the first on which a team
            can be told the hidden rules.
        group: whether teams of the same `meta` also count together, as seeds of one learner.
        report: is told of the progress.

    Raises UserError on bad input.
    """
    began = time.monotonic()
    loaded = load_teams(teams)
    grounds = chosen_grounds(list(loaded.values()), game, split, rules)
    length = check_integer("episodes", episodes if episodes is not None else _trial_length(loaded), low=1)
    if games_per_variant is not None:
        check_integer("games_per_variant (whose spread gives the intervals)", games_per_variant, low=2)
    check_integer("seed", seed, low=0)
    if group and not groups_of(loaded):
        raise UserError("Nothing to group: no two of the teams were trained with the same meta from different seeds.")
    teller = None if oracle is None else oracle if isinstance(oracle, Team) else load_team(oracle)
    absent = [_without_room(ground, loaded, teller) for ground in grounds]
    present = [{name: team for name, team in loaded.items() if name not in without} for without in absent]
    lineups = [
        adaptation_lineup(ground, there, teller, length, seed, side, deterministic=deterministic)
        for ground, there in zip(grounds, present, strict=True)
    ]
    parts: list[SplitEvaluation] = []
    with single_threaded():
        for index, (ground, lineup) in enumerate(zip(grounds, lineups, strict=True)):
            there = present[index]
            trained = [team_player(name, team, deterministic=deterministic) for name, team in there.items()]
            players = [*(lineup.players if lineup is not None else trained), *standing_players(ground)]
            part = evaluate_players(
                ground, players, length, games_per_variant or ground.games_per_variant, seed,
                _portion(report, index, len(grounds)), lineup,
            )  # fmt: skip
            part = replace(part, absent=absent[index])
            parts.append(part if lineup is None else _with_adaptation(part, ground, lineup, there, seed, group=group))
    return Evaluation(
        game=grounds[0].game,
        splits=tuple(parts),
        teams={name: str(team.path or "") for name, team in loaded.items()},
        episodes=length,
        seed=seed,
        deterministic=deterministic,
        env_steps=sum(result.env_steps for part in parts for result in part.results),
        seconds=time.monotonic() - began,
    )


def _without_room(ground: Ground, teams: Mapping[str, Team], oracle: Team | None) -> dict[str, str]:
    """Return why teams are too small for a ground, by their names; raises UserError where nothing is left to play."""
    found = without_room(ground, teams)
    alone = without_room(ground, {oracle.name: oracle}) if oracle is not None else {}
    if alone or found.keys() == teams.keys():
        name, reason = next(iter((alone or found).items()))
        raise UserError(f"The team {name!r} is too small for {ground.label!r} of {ground.game}: {reason}")
    return found


def _with_adaptation(
    part: SplitEvaluation, ground: Ground, lineup: Lineup, teams: Mapping[str, Team], seed: int, *, group: bool
) -> SplitEvaluation:
    """Return an evaluation with what returns on the scored side say about adaptation."""
    results = part.against(lineup.side, lineup.against)
    earned = {name: result.earned[lineup.side].total for name, result in results.items()}
    there = {name: team for name, team in teams.items() if name in lineup.oracles}
    found = adaptation(lineup, earned, (part.variant_ids, ground.rules), there, seed, group=group)
    return replace(part, adaptation=found)


def standing_players(ground: Ground) -> list[Player]:
    """Return those beside whom a team is seen on this ground: random play and the family's hand-written players."""
    return [random_player(), *(scripted_players(ground.family) if ground.family is not None else ())]


def evaluate_players(
    ground: Ground,
    players: Sequence[Player],
    episodes: int,
    games_per_variant: int,
    seed: int,
    report: Report = unreported,
    lineup: Lineup | None = None,
) -> SplitEvaluation:
    """Return what came of every match-up of `players` on a ground; controls play where the `lineup` scores them."""
    rounds = math.ceil(games_per_variant * ground.num_variants / max(ground.at_once, ground.num_variants))
    copies = math.ceil(games_per_variant / rounds)
    game = ground.open(1, episodes, seed)
    slots, variant_ids = sides_of(game), tuple(game.variant_ids)
    game.close()
    sides = [side for side in game.layout.teams if side.name in slots]
    refuse_twins(players)
    by_name = {player.name: player for player in players}
    pairings = [one for one in matchups(sides, players) if _of_use(dict(one), lineup, by_name)]
    total = len(pairings) * ground.num_variants * copies * rounds * episodes
    done = 0
    results = []
    for pairing in pairings:
        name = _title(pairing)
        report(done, total, name)

        def advance(count: int, name: str = name) -> None:
            nonlocal done
            done += count
            report(done, total, name)

        watched = lineup.watched if lineup is not None and lineup.scores(dict(pairing)) else {}
        sizes = (copies, rounds, episodes, games_per_variant)
        results.append(_play(ground, pairing, {**by_name, **watched}, sizes, seed, advance))
    return SplitEvaluation(
        game=ground.game,
        split=ground.label,
        variant_ids=variant_ids,
        games_per_variant=games_per_variant,
        sides=tuple(side.name for side in sides),
        origins={player.name: player.origin for player in players},
        results=tuple(results),
    )


def _of_use(pairing: Mapping[str, str], lineup: Lineup | None, players: Mapping[str, Player]) -> bool:
    """Return whether no control plays in a match-up, or it is what scores the control."""
    scored = lineup is None or lineup.scores(pairing)
    return scored or all(players[name].origin != "control" for name in pairing.values())


def _play(
    ground: Ground, pairing: Matchup, players: Mapping[str, Player], sizes: tuple[int, int, int, int], seed: int,
    advance: Callable[[int], None],
) -> Result:  # fmt: skip
    """Return what one match-up comes to: the same games as in all others, from their start."""
    began = time.monotonic()
    copies, rounds, episodes, games_per_variant = sizes
    game = ground.open(copies, episodes, seed)
    controllers = {
        side: players[name].make(game, side, side_seed(seed, index)) for index, (side, name) in enumerate(pairing)
    }
    try:
        played = play(game, controllers, ground.num_variants, rounds, episodes, advance)
    finally:
        game.close()

    def wanted(returns: FloatArray) -> FloatArray:
        return returns[:, :games_per_variant]  # whole rounds of whole copies may be a few games more

    earned = {side: Earned(wanted(one.per_agent), wanted(one.total)) for side, one in played.earned.items()}
    return Result(
        players=dict(pairing),
        earned=earned,
        estimates={side: estimate(one.per_agent, seed) for side, one in earned.items()},
        env_steps=played.env_steps,
        seconds=time.monotonic() - began,
    )


def _title(pairing: Matchup) -> str:
    return " against ".join(name for _, name in pairing)


def load_teams(teams: str | Path | Team | Sequence[str | Path | Team]) -> dict[str, Team]:
    """Return the teams by names that tell them apart: their own, or where several have one, their folders'."""
    given = [teams] if isinstance(teams, str | Path | Team) else list(teams)
    if not given:
        raise UserError("An evaluation needs at least one team: the folder of a team, or of the run that trained it.")
    loaded = [team if isinstance(team, Team) else load_team(team) for team in given]
    names = [team.name for team in loaded]
    labels = [
        name if names.count(name) == 1 else str(team.path or name) for name, team in zip(names, loaded, strict=True)
    ]
    if len(set(labels)) < len(labels):
        raise UserError(f"Each team can be given once, or under a name of its own; given are {listed(labels)}.")
    return dict(zip(labels, loaded, strict=True))


def chosen_grounds(
    teams: Sequence[Team],
    game: str | Path | Family | ThirdPartyGame | None,
    split: str | Sequence[str] | None,
    rules: Mapping[str, Any] | str | None,
) -> list[Ground]:
    """Return where teams are evaluated, a ground for each split; arguments and errors are `evaluate`'s."""
    splits = [split] if isinstance(split, str) or split is None else list(split)
    if isinstance(game, ThirdPartyGame):
        if splits != [None] or rules is not None:
            raise UserError("A third-party game has no splits and no rules; its arguments are given with --kwargs.")
        return [third_party_ground(game)]
    if game is not None:
        return [family_ground(game, name, rules) for name in splits]
    first = teams[0].trained_on
    known = {_game_of(team.trained_on) for team in teams}
    if len(known) > 1:
        raise UserError(
            f"The teams were trained on different games ({listed(sorted(known))}); say which to play (--game)."
        )
    return [trained_ground(first, name, rules) for name in splits]


def _game_of(trained_on: Mapping[str, Any]) -> str:
    game = trained_on.get("game") or {}
    return str(game.get("entry_point") or game.get("family"))


def _trial_length(teams: Mapping[str, Team]) -> int:
    """Return how many episodes a trial has where nobody says: 1 for teams that were trained on single episodes."""
    trained = max(int((team.trained_on.get("game") or {}).get("episodes_per_trial", 1)) for team in teams.values())
    return DEFAULT_EPISODES if trained > 1 else 1


def _portion(report: Report, index: int, parts: int) -> Report:
    """Return a report of one part of several that are about as long: told as a share of them all."""
    return lambda done, total, name: report(index * total + done, parts * total, name)
