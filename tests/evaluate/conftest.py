"""Small untrained teams, as folders, since evaluation mostly does not ask how good they are; and one that is good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from marl_meta.games import make_vec
from marl_meta.nets.inputs import BeliefDesign, PolicyDesign, PolicyInputs
from marl_meta.team import Team
from marl_meta.train import train

MakeTeam = Callable[..., Path]

GUESS = Path(__file__).parents[1] / "guess"
"""A game in which one rule is hidden, and whoever is told it can always be right."""

QUICK: dict[str, Any] = {
    "meta": "oracle", "game.split": "train", "game.num_games": 16, "game.episodes_per_trial": 3, "policy.hidden": 16,
    "policy.heads": 2, "algorithm.epochs": 4, "algorithm.minibatches": 2, "algorithm.learning_rate": 1e-2,
    "algorithm.gamma": 0.9, "algorithm.gae_lambda": 0.8, "algorithm.entropy": 0.03, "train.horizon": 8,
    "train.steps": 16 * 8 * 40, "train.threads": 2, "train.checkpoint_iterations": 0, "train.checkpoint_seconds": 0,
    "tracking": "off", "name": "wise",
}  # fmt: skip


@pytest.fixture(scope="session")
def wise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a team that plays GUESS well once it is told the hidden rule, trained in seconds."""
    settings = {**QUICK, "runs_dir": tmp_path_factory.mktemp("wise")}
    return train([f"game={GUESS}", *(f"{key}={value}" for key, value in settings.items())], quiet=True).folder / "team"


@pytest.fixture
def make_learner(tmp_path: Path) -> MakeTeam:
    """Write an untrained team with a memory, and where `believes` beliefs about hidden rules; returns its folder."""

    def make(
        family: str | Path, name: str = "learner", seed: int = 0, *, believes: bool = False, side: str = "",
        rules: dict[str, Any] | None = None,
    ) -> Path:  # fmt: skip
        layout = make_vec(family, num_games=1, rules=rules).layout
        unknowns = layout.hidden_rules if believes else ()
        belief = BeliefDesign(hidden=8, memory=8) if believes else None
        design = PolicyDesign(
            hidden=8, heads=2, kinds=layout.kinds, recurrent=True, trial_inputs=True, unknowns=unknowns, belief=belief
        )
        torch.manual_seed(seed)
        inputs = PolicyInputs(layout, design)
        policy, net = inputs.build_policy(), inputs.build_belief()
        side = side or layout.teams[0].name
        with torch.no_grad():
            for network in (policy, net):
                for parameter in network.parameters() if network is not None else ():
                    parameter.add_(0.3 * torch.randn_like(parameter))
        game = {"family": str(family), "split": "train", "rules": {}, "episodes_per_trial": 3}
        trained_on = {"game": game, "meta": "belief" if believes else "rl2", "seed": seed, "env_steps": 1000}
        beliefs = {side: net} if net is not None else {}
        team = Team(name, layout, {side: design}, {side: policy}, {side: side}, trained_on, beliefs=beliefs)
        team.save(tmp_path / "learners" / name)
        return tmp_path / "learners" / name

    return make


@pytest.fixture
def make_team(tmp_path: Path) -> MakeTeam:
    """Write a team that plays all sides of a family (or only some); returns its folder."""

    def make(family: str, name: str = "first", plays: tuple[str, ...] = (), **trained_on: object) -> Path:
        layout = make_vec(family, num_games=1).layout
        design = PolicyDesign(hidden=8, heads=2, kinds=layout.kinds)
        sides = plays or tuple(team.name for team in layout.teams)
        torch.manual_seed(len(name))
        policies = {side: PolicyInputs(layout, design).build_policy() for side in sides}
        game = {"family": family, "split": "train", "rules": {}, "episodes_per_trial": 1, **trained_on}
        team = Team(
            name=name,
            layout=layout,
            designs=dict.fromkeys(sides, design),
            policies=policies,
            plays={side: side for side in sides},
            trained_on={"game": game},
        )
        folder = tmp_path / "teams" / name
        team.save(folder)
        return folder

    return make
