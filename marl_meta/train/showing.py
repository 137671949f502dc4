"""Games of a run that are recorded as it goes on, so that people can watch how its teams came to play."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from marl_meta.config import Config, TeamConfig
from marl_meta.evaluate.ground import Ground, family_ground
from marl_meta.evaluate.lineup import side_seed
from marl_meta.evaluate.play import sides_of
from marl_meta.evaluate.room import without_room
from marl_meta.evaluate.watching import Seat, recorded, recorder_of, team_seat
from marl_meta.replay import Replay
from marl_meta.replay.recorder import Who
from marl_meta.team import Team
from marl_meta.train.build import fixed_player, team_configs
from marl_meta.train.evaluating import evaluation_ground, on_cpu
from marl_meta.train.seeds import mixed_seed
from marl_meta.types import VectorGame

MOST_MOMENTS = 24
"""So often, at most, a run records games: what is kept and sent stays small however long it is."""

_SHARE = 1001
"""Number of the share of games that recorded ones are, far from those of the training and of evaluations."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A recorded game of a run."""

    replay: Replay
    path: Path


def is_shown(config: Config, iteration: int) -> bool:
    """Return whether games are recorded after an iteration: with its evaluation, or with some of them in long runs.

    After the last one they are recorded anyway, at the end of the run.
    """
    every = config.train.evaluate_every
    if not config.train.replays or not every or iteration % every:
        return False
    iterations = math.ceil(config.train.steps / (config.game.num_games * config.train.horizon))
    stride = math.ceil(iterations / every / MOST_MOMENTS)
    return iteration < iterations and iteration // every % max(stride, 1) == 0


def show_run(config: Config, team: Team, folder: Path, env_steps: int) -> list[Shown]:
    """Record a trial of each of `train.replays` variants, the same ones every time; returns them, in `folder`.

    Trained teams play each other, and the others are played as in the training. All is drawn from the run's seed alone.
    Variants that are too large for a flat encoder are left out.
    """
    ground = evaluation_ground(config)
    order = np.random.default_rng(mixed_seed(config.seed, 3001)).permutation(ground.num_variants)
    own = on_cpu(team)
    folder.mkdir(exist_ok=True)
    title = f"{config.name} after {env_steps:,} env-steps"
    roomy = (one for one in (_lone(ground, variant) for variant in order.tolist()) if not without_room(one, {"": own}))
    found = []
    for number, one in enumerate(itertools.islice(roomy, config.train.replays), 1):
        replay = _played(config, own, one, title)
        found.append(Shown(replay, replay.save(folder / f"{env_steps:010d}-{number}")))
    return found


def _lone(ground: Ground, variant: int) -> Ground:
    if ground.third_party is not None or ground.family is None:
        return ground
    return family_ground(ground.family, None, ground.rules[variant])


def _played(config: Config, team: Team, ground: Ground, title: str) -> Replay:
    seed, episodes = mixed_seed(config.seed, 3002) % 2**31, config.game.episodes_per_trial
    game = ground.open(1, episodes, seed)
    try:
        sides = team_configs(config, game.layout)
        seats = {
            side: _seat(config, team, game, side, sides[side], side_seed(seed, index))
            for index, side in enumerate(sides_of(game))
        }
        return recorded(game, seats, recorder_of(ground, game, seats, seed, title=title), episodes)
    finally:
        game.close()


def _seat(config: Config, team: Team, game: VectorGame, side: str, chosen: TeamConfig, seed: int) -> Seat:
    if chosen.controller == "learn":
        return team_seat(team, game, side, seed)
    player = fixed_player(config, game.layout, side, chosen, _SHARE)
    return Seat(player, Who(str(chosen.scripted or chosen.team or chosen.controller)))
