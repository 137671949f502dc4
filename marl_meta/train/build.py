"""From a config to the objects that it names: games, learners, other players."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from marl_meta.config import BY_GRADIENTS, Config, TeamConfig
from marl_meta.games import load_family, make_vec
from marl_meta.games.family import Family
from marl_meta.games.scripted import scripts_of
from marl_meta.interop.vector import PettingZooVector
from marl_meta.meta.controller import GradientController
from marl_meta.nets.belief import BeliefNet
from marl_meta.nets.flat import room_of
from marl_meta.nets.inputs import BeliefDesign, PolicyDesign
from marl_meta.nets.outcomes import latent_rules
from marl_meta.nets.policy import RelationalPolicy
from marl_meta.players import RandomPlayer, scripted_player
from marl_meta.rl.sharding import Workers
from marl_meta.rollout import Collector, Controller, Seat
from marl_meta.team import load_team
from marl_meta.train.gradient import GradientLearner
from marl_meta.train.league import League, open_league
from marl_meta.train.learner import Learner
from marl_meta.train.schedule import Schedule
from marl_meta.train.seeds import mixed_seed
from marl_meta.train.trials import TrialCollector, TrialSeat
from marl_meta.types import BoundRule, IntArray, Layout, TeamLayout, UserError, VectorGame
from marl_meta.wording import listed

MOST_SHARES, FEWEST_GAMES = 8, 16
"""How many shares there are at most, and how many games each has at least, where a config leaves it open."""
INFERRING = ("belief", "episodic")
"""Meta-learners that learn to infer the hidden rules from the truth."""
_UNTOLD = {
    "rl2": "meta.tell=never leaves it to memory",
    **dict.fromkeys((*INFERRING, "oracle"), "meta=varibad or meta=rl2 meta.tell=never finds out without"),
    **dict.fromkeys(BY_GRADIENTS, "meta.tell=never meta.gradient.context=8 lets predictions find them"),
}
"""What to do where nobody knows the rules, by meta-learner."""
DENSE_ENTITIES = 256
"""Up to so many entities the dense path of a layer is the faster one."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays the teams of a game."""

    learners: Mapping[str, Learner | GradientLearner]
    collectors: Sequence[Collector | TrialCollector]
    """One per share of the games that is played in this process."""
    schedule: Schedule | None
    """Which variants the games draw how often; None where all are as likely."""
    league: League | None
    """Whom the learners play against beside each other; None for nobody."""


def resolve(config: Config) -> Config:
    """Return the config with what depends on this machine written out, so that a resumed run is the same run."""
    games = config.game.num_games
    threads = config.train.threads or min(os.cpu_count() or 1, MOST_SHARES, games // FEWEST_GAMES)
    threads = max(1, min(threads, games))
    device = config.train.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "Config key train.device is cuda, but PyTorch finds no CUDA device here; allowed is cpu or auto."
        )
    if device == "cuda":
        threads = 1
    train = config.train.model_copy(update={"threads": threads, "device": device})
    return config.model_copy(update={"train": train})


def open_games(config: Config) -> list[VectorGame]:
    """Return all shares of the games; together they play as one batch would."""
    shares = np.array_split(np.arange(config.game.num_games), config.train.threads)
    return [_open_share(config, len(share), int(share[0])) for share in shares]


def _open_share(config: Config, count: int, first: int) -> VectorGame:
    game = config.game
    episodes = game.episodes_per_trial
    if game.family == "pettingzoo":
        assert game.entry_point is not None  # the config refuses a third-party game without one
        return PettingZooVector(
            game.entry_point,
            game.kwargs,
            num_games=count,
            seed=config.seed,
            first_game=first,
            episodes_per_trial=episodes,
            schema=game.observation_schema,
            teams=game.sides,
        )
    return make_vec(
        game.family,
        num_games=count,
        split=game.split,
        rules=game.rules or None,
        seed=config.seed,
        episodes_per_trial=episodes,
        first_game=first,
    )


def varying_rules(family: Family, split: str | None) -> tuple[str, ...]:
    """Return the features of visible rules that differ between the variants of a split: what a policy should read."""
    if split is None:
        return ()
    encoded = np.stack([family.encode(variant.rules, hidden=False) for variant in family.split(split)])
    varies = np.ptp(encoded, axis=0) > 0
    columns = family.columns(hidden=False)
    return tuple(dict.fromkeys(bound.feature for bound, moves in zip(columns, varies, strict=True) if moves))


def varying_unknowns(family: Family, split: str | None) -> tuple[BoundRule, ...]:
    """Return the numbers of the hidden rules that differ between the variants of a split: what a team can find out."""
    if split is None:
        return ()
    encoded = np.stack([family.encode(variant.rules, hidden=True) for variant in family.split(split)])
    columns = family.columns(hidden=True)
    varies = {bound.rule for bound, moves in zip(columns, np.ptp(encoded, axis=0) > 0, strict=True) if moves}
    return tuple(bound for bound in columns if bound.rule in varies)


def design_policy(config: Config, layout: Layout) -> PolicyDesign:
    """Return the design that a config's policies have in a game of this layout."""
    game, policy, meta = config.game, config.policy, config.meta
    varying = () if game.family == "pettingzoo" else varying_unknowns(load_family(game.family), game.split)
    knows, told, guesses = meta.tell != "never" or meta.name in INFERRING, policy.critic == "told", meta.auxiliary > 0
    if (knows or told or guesses) and not varying:
        asked = f"meta={meta.name}" if knows else "policy.critic=told" if told else "meta.auxiliary"
        untold = _UNTOLD.get(meta.name, "meta.tell=never does without") if knows else None
        raise UserError(
            f"Config key {asked} needs hidden rules that differ between variants: game.split must name a split of the "
            f"family that has some{f', or, where nobody knows the rules, {untold}' if untold else ''}."
        )
    latent = meta.name == "varibad"
    if latent and meta.tell != "never":
        raise UserError(
            f"Config key meta.tell must be never for meta=varibad, which nobody tells the rules, not {meta.tell}."
        )
    unknowns = latent_rules(layout.kinds, meta.belief.latents) if latent else varying if knows else ()
    infers = BeliefDesign(
        meta.belief.hidden, meta.belief.memory, meta.belief.events, meta.belief.read, meta.belief.examples,
        meta.belief.latents if latent else 0,
    )  # fmt: skip
    rules = () if game.family == "pettingzoo" else varying_rules(load_family(game.family), game.split)
    return PolicyDesign(
        hidden=policy.hidden,
        heads=policy.heads,
        layers=policy.layers,
        recurrent=policy.recurrent == "gru",
        memory=policy.memory,
        critic=policy.critic,
        privileged=varying if told or guesses else (),
        guesses=guesses,
        kinds=layout.kinds,
        rules=rules,
        trial_inputs=policy.trial_inputs,
        clock=policy.clock,
        unknowns=unknowns,
        belief=infers if meta.name in INFERRING or latent else None,
        adapted=meta.gradient.context if meta.by_gradients else 0,
    )


def assemble(config: Config, workers: Workers | None = None) -> Cast:
    """Return the learners and the collectors of a resolved config, everything at its start.

    With `workers` the collectors are of those shares alone that they work on in this process.
    """
    games = open_games(config)
    layout = games[0].layout
    teams = team_configs(config, layout)
    learners = _learners(config, games[0], teams)
    collectors: list[Collector | TrialCollector] = []
    shares = list(enumerate(games))
    for index, game in shares if workers is None else workers.own(shares):
        fixed = {
            name: (_slots(game, [name]), fixed_player(config, layout, name, team, index))
            for name, team in teams.items()
            if team.controller != "learn"
        }
        seed = mixed_seed(config.seed, index)
        by_trials = {name: one for name, one in learners.items() if isinstance(one, GradientLearner)}
        if by_trials:
            places = {name: _trial_seat(config, game, one, seed) for name, one in by_trials.items()}
            collectors.append(TrialCollector(game, places, fixed))
            continue
        seats = {name: _seat(config, game, one) for name, one in learners.items() if isinstance(one, Learner)}
        generator = torch.Generator().manual_seed(seed)
        collectors.append(Collector(game, seats, fixed, generator, trials=config.game.episodes_per_trial > 1))
    schedule, league = open_schedule(config, games[0].num_variants), _league(config, layout, learners, collectors)
    return Cast(learners, collectors, schedule, league)


def _league(
    config: Config, layout: Layout, learners: Mapping[str, Learner | GradientLearner],
    collectors: Sequence[Collector | TrialCollector],
) -> League | None:  # fmt: skip
    if config.league.name == "none":
        return None
    plain = [collector for collector in collectors if isinstance(collector, Collector)]
    if len(plain) < len(collectors):
        raise UserError(
            f"Config key league must be none for meta={config.meta.name}, which learns from whole trials, not "
            f"{config.league.name}."
        )
    sides = {side: name for name, learner in learners.items() for side in learner.teams}
    return open_league(config, layout, sides, plain)


def open_schedule(config: Config, variants: int) -> Schedule | None:
    """Return the curriculum over so many variants that a config asks for, None for none; UserError without a split."""
    schedule, split = config.schedule, config.game.split
    if schedule.name == "uniform":
        return None
    if split is None or config.game.family == "pettingzoo":
        raise UserError(
            f"Config key schedule={schedule.name} chooses among the variants of a split, and game.split names none; "
            "allowed without one is schedule=uniform."
        )
    return Schedule(schedule.name, variants, schedule.uniform_share, schedule.fast_decay, schedule.slow_decay)


def team_configs(config: Config, layout: Layout) -> dict[str, TeamConfig]:
    """Return who plays each team of the game; raises UserError where the config names one that it does not have."""
    names = [team.name for team in layout.teams]
    for name in config.teams:
        if name not in names:
            raise UserError(f"Config key teams.{name} names no team of the game; its teams are {listed(names)}.")
    return {name: config.teams.get(name, TeamConfig()) for name in names}


def _learners(
    config: Config, game: VectorGame, teams: Mapping[str, TeamConfig]
) -> Mapping[str, Learner | GradientLearner]:
    members: dict[str, list[str]] = {}
    for name, team in teams.items():
        if team.controller == "learn":
            members.setdefault(team.learner or name, []).append(name)
    if not members:
        raise UserError("No team of the game learns; set teams.NAME.controller=learn for at least one.")
    design = design_policy(config, game.layout)
    if config.policy.encoder == "flat":
        design = replace(design, slots=room_of(game.reset().observation.kind, len(game.layout.kinds)))
    if config.meta.by_gradients and config.train.device != "cpu":
        raise UserError(f"Config key train.device must be cpu for meta={config.meta.name}, not {config.train.device}.")
    learners: dict[str, Learner | GradientLearner] = {}
    for index, (name, played) in enumerate(members.items()):
        parts = (game.layout, design, config.algorithm, config.meta, tuple(played), _slots(game, played))
        seed = mixed_seed(config.seed, 1000 + index)
        learner = (
            GradientLearner(*parts, seed) if config.meta.by_gradients else Learner(*parts, seed, config.train.device)
        )
        starts = {teams[team].team for team in played} - {None}
        if len(starts) > 1:
            raise UserError(
                f"The learner {name!r} cannot start from several teams: {listed(sorted(map(str, starts)))}."
            )
        for start in starts:
            _start_from(learner, str(start))
        if config.policy.alike:
            _tie(learner, config)
        learners[name] = learner
    return learners


def _tie(learner: Learner | GradientLearner, config: Config) -> None:
    """Have what a learner decides and infers be the same of alike kinds, now and after every step of an optimiser."""
    nodes, events = learner.inputs.alike()
    if not nodes or config.policy.encoder == "flat":
        raise UserError(
            f"Config key policy.alike must be false for meta={config.meta.name} policy.encoder={config.policy.encoder} "
            "on this split: no nodes say what is known of a hidden ordering of their kinds."
        )
    parts: list[tuple[RelationalPolicy | BeliefNet, torch.optim.Optimizer, list[list[int]]]]
    parts = [(learner.policy, learner.optimiser, nodes)]
    if isinstance(learner, Learner) and learner.belief is not None and learner.belief_optimiser is not None:
        parts.append((learner.belief, learner.belief_optimiser, events))
    for net, optimiser, groups in parts:

        def tie(*_: object, net: RelationalPolicy | BeliefNet = net, groups: list[list[int]] = groups) -> None:
            for columns in groups:
                net.tie(columns)

        tie()
        optimiser.register_step_post_hook(tie)


def _start_from(learner: Learner | GradientLearner, path: str) -> None:
    team, layout = load_team(path), learner.inputs.layout
    name = team.policy_for(next(one for one in layout.teams if one.name == learner.teams[0]))
    team.check(layout, team.designs[name])
    theirs, ours = team.designs[name], learner.design
    if theirs.belief is None or ours.belief is None:
        # Who is told the rules and who infers them are one network: what infers them stands beside it.
        theirs = replace(theirs, belief=ours.belief)
    if theirs != ours:
        had, wanted = _differences(_entries(theirs), _entries(ours))
        raise UserError(f"The learner cannot start from {path}: that team's policy has {had}, this run's {wanted}.")
    learner.policy.load_state_dict(team.policies[name].state_dict())
    if learner.belief is not None and name in team.beliefs:
        learner.belief.load_state_dict(team.beliefs[name].state_dict())
    if learner.adapter is not None and name in team.adapters:
        if learner.adapter.plan != team.adapters[name].plan:
            had, wanted = _differences(dict(team.adapters[name].plan), dict(learner.adapter.plan))
            raise UserError(f"The learner cannot start from {path}: that team adapts by {had}, this run's by {wanted}.")
        learner.adapter.load_state_dict(team.adapters[name].state_dict())


def _differences(theirs: Mapping[str, object], ours: Mapping[str, object]) -> tuple[str, str]:
    """Return what two records of one class, by field, have where they differ."""
    had, wanted = [], []
    for name, value in theirs.items():
        if value != ours[name]:
            short, other = _in_short(value), _in_short(ours[name])
            same = short == other
            had.append(f"{name}={repr(value) if same else short}")
            wanted.append(f"{name}={repr(ours[name]) if same else other}")
    return ", ".join(had), ", ".join(wanted)


def _entries(design: PolicyDesign) -> dict[str, object]:
    return {field.name: getattr(design, field.name) for field in fields(design)}


def _in_short(value: object) -> str:
    """Return a value as complaints have it: of hidden rules, their names."""
    if isinstance(value, tuple) and value and all(isinstance(one, BoundRule) for one in value):
        return f"[{', '.join(dict.fromkeys(one.rule for one in value))}]"
    return repr(value)


def _trial_seat(config: Config, game: VectorGame, learner: GradientLearner, seed: int) -> TrialSeat:
    player = GradientController(learner.policy, learner.inputs, learner.adapter, seed, room=config.train.horizon)
    algorithm = config.algorithm
    return TrialSeat(player, learner.agents, game.num_games, algorithm.gamma, algorithm.gae_lambda)


def _seat(config: Config, game: VectorGame, learner: Learner) -> Seat:
    shared_view = game.reset().observation.sees is None
    path = {"dense": "fused", "sparse": "sparse"}.get(config.policy.path)
    if path is None:
        path = "fused" if game.num_entities <= DENSE_ENTITIES else "sparse"
    if path == "fused" and config.train.device != "cpu":
        path = "plain"
    return Seat(
        learner.policy, learner.inputs, game, learner.agents, config.train.horizon, shared_view,
        learner.belief, config.train.device, path,
    )  # fmt: skip


def _slots(game: VectorGame, teams: list[str]) -> IntArray:
    numbers = [index for index, team in enumerate(game.layout.teams) if team.name in teams]
    return np.flatnonzero(np.isin(game.agent_team, numbers))


def fixed_player(config: Config, layout: Layout, name: str, team: TeamConfig, share: int) -> Controller:
    """Return who plays the team called `name` that does not learn, in one share of the games."""
    side = next(index for index, one in enumerate(layout.teams) if one.name == name)
    seed = mixed_seed(config.seed, 2000 + share, side)
    match team.controller:
        case "frozen":
            return load_team(Path(str(team.team))).controller(layout, plays=name, seed=seed)
        case "scripted":
            return _scripted(config, layout.teams[side], str(team.scripted), seed)
        case _:
            return RandomPlayer(seed)


def _scripted(config: Config, team: TeamLayout, name: str, seed: int) -> Controller:
    if config.game.family == "pettingzoo":
        raise UserError(
            f"Config key teams.{team.name}.controller is scripted, but a third-party game has no hand-written players; "
            "allowed are learn, frozen and random."
        )
    player = scripted_player(config.game.family, name, seed)
    plays = scripts_of(load_family(config.game.family))[name].plays
    if team.kind not in plays:
        raise UserError(
            f"Config key teams.{team.name}.scripted is {name!r}, which plays {listed(plays)}; "
            f"the team's role is {team.kind}."
        )
    return player
