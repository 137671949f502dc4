"""Engine games, flattened for one side, beside the team that plays them directly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from marl_meta.export.sights import Seen, family_sight
from marl_meta.games import load_family, make_vec
from marl_meta.games.flat import flattener
from marl_meta.meta.controller import GradientController
from marl_meta.nets.inputs import BeliefDesign, PolicyDesign, PolicyInputs
from marl_meta.team import Team, load_team
from marl_meta.team.controllers import TeamController
from marl_meta.types import Observation, Step

SEED = 5

TRIALS: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "zoo:harvest-belief": ("harvest", {"gatherers": 2, "teams": 2, "control": 180, "agents_needed": 2}, "rival"),
    "zoo:payoffs-oracle": ("harvest", {"collision_reward": 0}, None),
    "zoo:payoffs-varibad": ("harvest", {"collision_reward": 0, "payoff": [-1, 0, 1]}, None),
    "zoo:payoffs-episodic": ("harvest", {"collision_reward": 0, "payoff": [-1, 0, 1]}, None),
    "zoo:payoffs-rl2": ("harvest", {"collision_reward": 0}, None),
    "zoo:tag-belief": ("tag", {"walls": True, "agents_needed": 2}, None),
    "zoo:spread-belief": ("spread", {"agents": 3, "walls": True, "control": 90}, None),
    "zoo:treasure-rl2": ("payoff", {"players": 3, "episode_length": 30}, None),
    "zoo:treasure-belief": ("payoff", {"players": 3, "episode_length": 30}, None),
}
"""Teams, a game that each can play, and the side."""
GRADIENT_TRIALS: dict[str, tuple[str, dict[str, Any], str | None]] = {
    name: ("harvest", {"collision_reward": 0, "payoff": [-1, 0, 1]}, None)
    for name in ("zoo:payoffs-cavia", "zoo:payoffs-leo", "zoo:payoffs-maml")
}


FULL: dict[str, Any] = {"gatherers": 2, "teams": 2, "objects_per_kind": 2}
"""As many entities as the flat ones of `NETWORKS` have places for."""
NETWORKS: dict[str, dict[str, Any]] = {
    "flat": {"slots": (4, 0, 2, 2, 2)},
    "flat, two layers, remembering": {"slots": (4, 0, 2, 2, 2), "layers": 2, "recurrent": True, "memory": "query"},
    "two layers": {"layers": 2},
    "three layers, remembering": {"layers": 3, "recurrent": True},
}
"""Designs of networks, on the graph and off it."""


def network_team(name: str, *, infers: bool = True) -> Team:
    """Return an untrained team, which infers payoffs or is not told them, with a network of `NETWORKS`."""
    layout = make_vec("harvest", num_games=1).layout
    unknowns = tuple(one for one in load_family("harvest").columns(hidden=True) if one.rule == "payoff")
    chosen = {"hidden": 8, "heads": 2, "kinds": layout.kinds, "recurrent": False, **NETWORKS[name]}
    design = PolicyDesign(**chosen, unknowns=unknowns, belief=BeliefDesign(hidden=8, memory=4) if infers else None)
    inputs = PolicyInputs(layout, design)
    torch.manual_seed(0)
    policy, belief = inputs.build_policy(), inputs.build_belief()
    with torch.no_grad():
        policy.actor.weight.normal_()
    return Team(
        "tiny", layout, {"gatherer": design}, {"gatherer": policy}, {"gatherer": "gatherer", "rival": "gatherer"},
        {"game": {"family": "harvest"}}, beliefs={"gatherer": belief} if belief is not None else {},
    )  # fmt: skip


@dataclass
class Played:
    """One step of a game that a team plays in the engine."""

    episode: int
    observation: Observation
    actions: dict[str, int]
    """What the team's own agents do."""
    step: Step
    over: bool


class Table:
    """A game in the engine: a deterministic team on one side, others at random."""

    def __init__(self, name: str | Team, family: str, rules: dict[str, Any], side: str | None) -> None:
        self.team: Team = load_team(name) if isinstance(name, str) else name
        self.game = make_vec(family, num_games=1, rules=rules, seed=SEED, episodes_per_trial=9)
        self.rules = self.game.rules[0]
        self.seen: Seen = family_sight(family, self.rules)
        self.side = side or self.seen.sight.teams[0]
        self.own = tuple(self.seen.sight.side(self.side))
        self.slots = np.array([self.seen.sight.agents.index(agent) for agent in self.own])
        self.controller: TeamController | GradientController = self.team.controller(
            self.game.layout, self.side, deterministic=True
        )
        self.controller.reset(1, self.slots)
        self._first = self.game.reset(SEED).observation
        self._flatten = flattener(self.game.layout, self._first, self.rules)

    def flat(self, observation: Observation) -> dict[str, Any]:
        """What each of the team's agents sees as a vector."""
        return {
            agent: self._flatten(observation, 0, int(slot)) for agent, slot in zip(self.own, self.slots, strict=True)
        }

    def rewards(self, step: Step) -> dict[str, float]:
        return {agent: float(step.reward[0, slot]) for agent, slot in zip(self.own, self.slots, strict=True)}

    def play(self, episodes: int) -> Iterator[Played]:
        draws, shown = np.random.default_rng(0), self._first
        for episode in range(episodes):
            over = False
            while not over:
                chosen = self.controller.act(shown)
                legal = shown.action_mask[0].sum(-1)
                actions = draws.integers(0, legal)[None]
                actions[:, self.slots] = chosen
                step = self.game.step(actions)
                over = bool(step.game_over[0])
                own = dict(zip(self.own, chosen[0].tolist(), strict=True))
                yield Played(episode, shown, own, step, over)
                self.controller.observe(step)
                shown = step.observation
