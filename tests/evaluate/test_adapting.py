from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from marl_meta.cli.adapt import adapt as command
from marl_meta.evaluate import adapting
from marl_meta.evaluate.adapting import adapt
from marl_meta.evaluate.ground import ThirdPartyGame, third_party_ground
from marl_meta.games import make_vec
from marl_meta.mind import Start
from marl_meta.nets.inputs import BeliefDesign, PolicyDesign, PolicyInputs
from marl_meta.replay import load_replay
from marl_meta.team import Team, load_team
from marl_meta.types import UserError

RULES = {"control": 90, "gatherers": 2, "object_size": 0.2, "objects_per_kind": 5}


def make_team(family: str = "harvest", **design: Any) -> Team:
    """Return an untrained team whose networks are not at their bland start."""
    layout = make_vec(family, num_games=1).layout
    unknowns = layout.hidden_rules if design.get("belief") else ()
    chosen = PolicyDesign(**{"hidden": 8, "heads": 2, "kinds": layout.kinds, "unknowns": unknowns, **design})
    inputs = PolicyInputs(layout, chosen)
    torch.manual_seed(0)
    policy, belief = inputs.build_policy(), inputs.build_belief()
    with torch.no_grad():
        for module in (policy, belief):
            for parameter in module.parameters() if module is not None else ():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return Team(
        name="untrained",
        layout=layout,
        designs={"all": chosen},
        policies={"all": policy},
        plays={team.name: "all" for team in layout.teams},
        trained_on={"game": {"family": family, "split": "train", "rules": {}, "episodes_per_trial": 2}},
        beliefs={"all": belief} if belief is not None else {},
    )


BELIEF: dict[str, Any] = {"belief": BeliefDesign(16, 8), "recurrent": False}
LEARNERS = {"belief": BELIEF, "rl2": {"trial_inputs": True}, "both": {**BELIEF, "recurrent": True}}


@pytest.mark.parametrize("learner", LEARNERS)
def test_an_adapted_team_goes_on_from_what_it_found_out(learner: str, tmp_path: Path) -> None:
    team = make_team(**LEARNERS[learner])
    before = {key: value.clone() for key, value in team.policies["all"].state_dict().items()}
    adapted = adapt(team, rules=RULES, episodes=3, seed=4)
    assert adapted.returns.shape == adapted.random.shape == (3,)
    assert adapted.env_steps == 75 and adapted.rules["control"] == 90
    assert team.starts == {} and team.adapted_to is None
    assert all(torch.equal(value, before[key]) for key, value in team.policies["all"].state_dict().items())
    adapted.team.save(tmp_path / "team")
    loaded = load_team(tmp_path / "team")
    assert loaded.adapted_to == adapted.team.adapted_to and loaded.adapted_to is not None
    assert loaded.adapted_to["rules"] == adapted.rules and loaded.adapted_to["episodes"] == 3
    game = make_vec("harvest", num_games=3, rules=RULES, episodes_per_trial=2, seed=0)
    player = loaded.controller(game.layout)
    player.reset(3, np.arange(2))
    start = adapted.team.starts["all"]
    assert torch.equal(player.learnt(1).state, start.state)
    assert torch.equal(player.learnt(1).evidence, start.evidence)
    moved = start.evidence if learner == "belief" else start.state
    assert moved.abs().sum() > 0
    observation = game.reset().observation
    for _ in range(50):
        step = game.step(player.act(observation))
        player.observe(step)
        observation = step.observation
    assert step.trial_over.all()
    assert torch.equal(player.learnt(2).state, start.state)  # the next trial begins where this one did
    assert torch.equal(player.learnt(2).evidence, start.evidence)


def test_the_team_plays_from_what_it_remembers() -> None:
    team = make_team(**BELIEF)
    adapted = adapt(team, rules=RULES, episodes=2).team
    game = make_vec("harvest", num_games=8, rules=RULES, seed=0)
    chances = []
    for one in (team, adapted):
        player = one.controller(game.layout, deterministic=True)
        player.reset(8, np.arange(2))
        observation = game.reset(seed=3).observation
        chances.append(np.stack([player.act(observation) for _ in range(2)]))
    assert not np.array_equal(chances[0], chances[1])


def test_other_team_sizes_share_the_memory() -> None:
    adapted = adapt(make_team(**BELIEF), rules=RULES, episodes=1).team
    game = make_vec("harvest", num_games=2, rules={**RULES, "gatherers": 5}, seed=0)
    player = adapted.controller(game.layout)
    player.reset(2, np.arange(5))
    evidence, start = player.learnt(1).evidence, adapted.starts["all"].evidence
    assert torch.equal(evidence, start[[0, 1, 0, 1, 0]])


def test_the_same_seed_gives_the_same_team() -> None:
    team = make_team(**BELIEF)
    one, two = (adapt(team, rules=RULES, episodes=2, seed=7) for _ in range(2))
    assert one.returns.tolist() == two.returns.tolist()
    assert torch.equal(one.team.starts["all"].evidence, two.team.starts["all"].evidence)


def test_both_sides_of_a_game() -> None:
    adapted = adapt(make_team("tag", trial_inputs=True), rules={}, side="prey", episodes=1)
    assert adapted.side == "prey" and np.isfinite(adapted.returns).all()


def test_a_third_party_game_of_the_same_layout() -> None:
    team = make_team("spread", trial_inputs=True)
    game = ThirdPartyGame("mpe2.simple_spread_v3:parallel_env", {"N": 2}, "simple_spread")
    adapted = adapt(team, game=game, episodes=1)
    assert adapted.game == "mpe2.simple_spread_v3:parallel_env" and adapted.team.starts["all"].state.abs().sum() > 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"episodes": 0}, "episodes"),
        ({"rules": {"gatherer": 2}}, "no rule 'gatherer'"),
        ({"side": "prey"}, "no team 'prey'; its teams are gatherer"),
        ({"game": "tag"}, "cannot play"),
    ],
)
def test_bad_input(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        adapt(make_team(**BELIEF), **{"rules": None, **arguments})


@pytest.mark.parametrize("design", [{}, {"recurrent": False, "trial_inputs": True}])
def test_a_team_that_does_not_adapt(design: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="does not adapt"):
        adapt(make_team(**design), rules=RULES)


def test_a_memory_that_does_not_fit(tmp_path: Path) -> None:
    adapt(make_team(**BELIEF), rules=RULES, episodes=1).team.save(tmp_path)
    weights = load_file(tmp_path / "weights.safetensors")
    weights["all:start/evidence"] = weights["all:start/evidence"][:, :, :3].contiguous()
    save_file(weights, tmp_path / "weights.safetensors")
    with pytest.raises(UserError, match="memory of policy 'all' that does not fit"):
        load_team(tmp_path)


def test_a_reward_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    team = make_team(**BELIEF)

    def broken(*arguments: Any) -> Any:
        ground = trained(*arguments)

        def opened(copies: int, episodes: int, seed: int) -> Any:
            game = ground.open(copies, episodes, seed)
            step = game.step

            def spoilt(actions: Any) -> Any:
                found = step(actions)
                return replace(found, reward=found.reward * np.float32(np.nan))

            game.step = spoilt  # type: ignore[method-assign]
            return game

        return replace(ground, open=opened)

    trained = adapting.trained_game
    monkeypatch.setattr(adapting, "trained_game", broken)
    with pytest.raises(UserError, match="The game 'harvest' paid the agent 'gatherer_0' a reward of nan"):
        adapt(team, rules=RULES)


app = typer.Typer()
app.command()(command)


def test_the_command(tmp_path: Path) -> None:
    make_team(**BELIEF).save(tmp_path / "team")
    arguments = [str(tmp_path / "team"), "--rules", json.dumps(RULES), "--episodes", "2"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "new"), "--json"], catch_exceptions=False)
    record = json.loads(result.stdout)
    assert record["episodes"] == len(record["returns"]) == len(record["random"]) == 2
    assert record["rules"]["control"] == 90
    assert load_team(tmp_path / "new").starts.keys() == {"all"}
    shown = CliRunner().invoke(app, arguments, catch_exceptions=False).stdout
    assert "return of each gatherer" in shown and "random play" in shown
    with pytest.raises(UserError, match="new"):
        CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "new")], catch_exceptions=False)


def test_where_the_team_goes_is_settled_before_it_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_team(**BELIEF).save(tmp_path / "team")
    arguments = [str(tmp_path / "team"), "--rules", json.dumps(RULES), "--out"]
    played = []

    def failing(*_: object, **__: object) -> None:
        played.append(1)
        raise UserError("The game failed.")

    monkeypatch.setattr(adapting, "adapt", failing)
    with pytest.raises(UserError, match="already exists"):
        CliRunner().invoke(app, [*arguments, str(tmp_path / "team")], catch_exceptions=False)
    assert played == []
    with pytest.raises(UserError, match="The game failed"):
        CliRunner().invoke(app, [*arguments, str(tmp_path / "new" / "deep")], catch_exceptions=False)
    assert played == [1] and [path.name for path in tmp_path.iterdir()] == ["team"]  # nothing is left half-written


SPOILT = Path(__file__).parents[1] / "interop" / "tiny_games.py"


def test_what_a_game_shows_that_is_no_number_ruins_no_team(tmp_path: Path) -> None:
    played = ThirdPartyGame(f"{SPOILT}:Spoilt", {"shows": True})
    ground = third_party_ground(played)
    game = ground.open(1, 2, 0)
    design = PolicyDesign(hidden=8, heads=2, kinds=game.layout.kinds, trial_inputs=True)
    policies = {"all": PolicyInputs(game.layout, design).build_policy()}
    team = Team("ours", game.layout, {"all": design}, policies, {"player": "all"})
    with pytest.raises(UserError, match="shows the agent 'player_1' an observation that holds nan"):
        adapt(team, game=played, episodes=2)
    start = Start(torch.full((2, 8), torch.nan), torch.zeros(2, 0, 0))
    with pytest.raises(UserError, match=r"is not saved in .*: its tensor 'all:start/state' holds numbers that are not"):
        replace(team, starts={"all": start}).save(tmp_path / "team")
    assert list(tmp_path.iterdir()) == []


def test_the_command_keeps_a_replay(tmp_path: Path) -> None:
    make_team(**BELIEF).save(tmp_path / "team")
    arguments = [str(tmp_path / "team"), "--rules", json.dumps(RULES), "--episodes", "2", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--replay", str(tmp_path / "a")], catch_exceptions=False)
    plain = CliRunner().invoke(app, arguments, catch_exceptions=False)
    record = json.loads(result.stdout)
    assert record["replay"] == str(tmp_path / "a.replay.json.gz")
    assert record["returns"] == json.loads(plain.stdout)["returns"]  # to be watched changes nothing
    replay = load_replay(record["replay"])
    agents = len(replay.record.agents)
    assert [row[0] / agents for row in replay.record.returns] == pytest.approx(record["returns"], abs=1e-4)
    assert replay.verify().same
    with pytest.raises(UserError, match="no folder"):
        CliRunner().invoke(app, [*arguments, "--replay", str(tmp_path / "none" / "a")], catch_exceptions=False)
