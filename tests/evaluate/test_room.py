"""Teams of flat encoders beside others, where games are larger than what they were built for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from marl_meta.cli.app import app
from marl_meta.evaluate import evaluate
from marl_meta.evaluate.adapted import groups_of
from marl_meta.evaluate.page import page
from marl_meta.games import make_vec
from marl_meta.nets.inputs import PolicyDesign, PolicyInputs
from marl_meta.team import Team, load_team
from marl_meta.types import UserError

GUESS = Path(__file__).parents[1] / "guess"

REASON = "cannot play a game with 3 entities of kind 'player': it was built for 2 at most"


@pytest.fixture
def make_flat(tmp_path: Path) -> Callable[..., Path]:
    """Write an untrained flat team with room for so many players of GUESS; returns its folder."""

    def make(name: str = "flat", players: int = 2, seed: int = 0) -> Path:
        layout = make_vec(GUESS, num_games=1).layout
        design = PolicyDesign(
            8, 2, kinds=layout.kinds, trial_inputs=True, unknowns=layout.hidden_rules, slots=(players, 0)
        )
        torch.manual_seed(seed)
        policy = PolicyInputs(layout, design).build_policy()
        game = {"family": str(GUESS), "split": "train", "rules": {}, "episodes_per_trial": 3}
        trained_on = {"game": game, "meta": "oracle", "seed": seed}
        Team(name, layout, {"all": design}, {"all": policy}, {"players": "all"}, trained_on).save(tmp_path / name)
        return tmp_path / name

    return make


def test_it_plays_where_it_has_room_and_is_left_out_elsewhere(wise: Path, make_flat: Callable[..., Path]) -> None:
    found = evaluate([wise, make_flat()], game=GUESS, split=["train", "held_out"], episodes=2, games_per_variant=3)
    seen = {(record["team"], record["split"]) for record in found.record()["teams"]}
    assert seen == {("wise", "train"), ("flat", "train"), ("wise", "held_out")}
    (left_out,) = found.record()["absent"]
    assert (left_out["team"], left_out["split"]) == ("flat", "held_out")
    assert REASON in left_out["reason"]
    small, large = (split.adaptation for split in found.splits)
    assert small.learner("flat (told)") is not None
    assert large.learner("flat") is None
    assert set(large.trained) == {"wise"}
    assert small.trained["flat"]["encoder"] == "flat"
    shown = page(found)
    assert "flat did not play: A policy with a flat encoder" in shown
    assert "oracle, flat" in shown


def test_the_command_says_so(wise: Path, make_flat: Callable[..., Path]) -> None:
    arguments = ["evaluate", str(wise), str(make_flat()), "--game", str(GUESS), "--split", "held_out"]
    arguments += ["--episodes", "2", "--games", "2"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert f"flat did not play on held_out: A policy with a flat encoder {REASON}" in " ".join(result.stdout.split())


@pytest.mark.parametrize("oracle", [False, True])
def test_where_nobody_is_left_that_is_one_sentence(wise: Path, make_flat: Callable[..., Path], oracle: bool) -> None:
    teams, teller = ([wise], make_flat()) if oracle else ([make_flat()], None)
    with pytest.raises(UserError, match=f"The team 'flat' is too small for 'held_out' of guess: .*{REASON}"):
        evaluate(teams, game=GUESS, split="held_out", episodes=2, games_per_variant=2, oracle=teller)


def test_flat_teams_are_grouped_by_themselves(make_flat: Callable[..., Path], wise: Path) -> None:
    flat = {name: load_team(make_flat(name, seed=seed)) for seed, name in enumerate("ab", 1)}
    assert groups_of({"wise": load_team(wise), **flat}) == {"oracle, flat (2 seeds)": ("a", "b")}
