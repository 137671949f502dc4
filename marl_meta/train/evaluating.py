"""Evaluation while a run goes on: what its teams earn on unseen variants, as they are at that moment."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from marl_meta.config import Config, TeamConfig
from marl_meta.evaluate.ground import Ground, ThirdPartyGame, family_ground, held_out_split, third_party_ground
from marl_meta.evaluate.lineup import Player
from marl_meta.evaluate.run import evaluate_players
from marl_meta.games import load_family
from marl_meta.rollout import Controller
from marl_meta.team import Team
from marl_meta.train.build import fixed_player, team_configs
from marl_meta.train.seeds import mixed_seed
from marl_meta.types import TeamLayout, VectorGame

GAMES = 256
"""Games of ours that an evaluation plays, over all variants; of a third-party game it plays THIRD_PARTY_GAMES."""

THIRD_PARTY_GAMES = 16

_SHARE = 1000
"""Number of the share of games that an evaluation is, far from those of the training."""


def evaluate_run(config: Config, team: Team) -> dict[str, float]:
    """Return the mean return of an agent of every team, by metric: `evaluate/SPLIT/return/TEAM`.

    Trained teams play each other, and the others are played as in the training. The split is the held-out one beside
    that of the training; a run on fixed rules is evaluated on these, as the split `rules`. All is drawn from the run's
    seed alone and touches nothing of the run, so that it goes on as it would have without.
    """
    ground = evaluation_ground(config)
    games = max(2, (GAMES if config.game.family != "pettingzoo" else THIRD_PARTY_GAMES) // ground.num_variants)
    seed = mixed_seed(config.seed, 3000)
    own = on_cpu(team)
    sides = team_configs(config, team.layout)
    players = [_side_player(config, own, side, chosen) for side, chosen in sides.items()]
    found = evaluate_players(ground, players, config.game.episodes_per_trial, games, seed)
    (result,) = found.results
    return {
        f"evaluate/{ground.label}/return/{side}": float(np.mean(estimate.mean))
        for side, estimate in result.estimates.items()
    }


def on_cpu(team: Team) -> Team:
    """Return a copy of a team in training, as it is now and will stay."""
    policies = {name: copy.deepcopy(policy).to("cpu").eval() for name, policy in team.policies.items()}
    return replace(team, policies=policies)


def evaluation_ground(config: Config) -> Ground:
    """Return the variants that a run is evaluated on: held-out ones, or its own rules."""
    game = config.game
    if game.family == "pettingzoo":
        assert game.entry_point is not None
        return third_party_ground(ThirdPartyGame(game.entry_point, game.kwargs, game.observation_schema, game.sides))
    family = load_family(game.family)
    split = held_out_split(family, game.split)
    return family_ground(family, split, None if split is not None else game.rules)


def _side_player(config: Config, team: Team, side: str, chosen: TeamConfig) -> Player:
    """Return who plays a side in this run, as a player of that side alone."""

    def can_play(other: TeamLayout) -> bool:
        return other.name == side

    def make(game: VectorGame, _: str, seed: int) -> Controller:
        if chosen.controller == "learn":
            return team.controller(game.layout, plays=side, seed=seed)
        return fixed_player(config, game.layout, side, chosen, _SHARE)

    return Player(side, "team", can_play, make)
