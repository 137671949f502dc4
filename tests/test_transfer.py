"""A team that is trained in the engine plays the real mpe2 game, and scores the same there."""

from pathlib import Path

import pytest

import marl_meta
from marl_meta import ThirdPartyGame


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    overrides = ["game=spread", "game.num_games=64", "train.steps=48000", "name=short", f"runs_dir={folder}"]
    return marl_meta.train([*overrides, "tracking=off"], quiet=True).team


def test_a_team_from_the_engine_scores_the_same_in_the_real_mpe2_game(team: Path) -> None:
    (engine,) = marl_meta.evaluate(team, rules={}, games_per_variant=2000).record()["teams"]
    mpe2 = ThirdPartyGame("mpe2.simple_spread_v3:parallel_env", schema="simple_spread")
    (real,) = marl_meta.evaluate(team, game=mpe2, games_per_variant=60).record()["teams"]
    assert engine["returns"][0] > engine["random"][0] + 2.0, "the team has learnt nothing to carry over"
    apart = abs(real["returns"][0] - engine["returns"][0])
    assert (
        apart
        < (real["return_high"][0] - real["return_low"][0] + engine["return_high"][0] - engine["return_low"][0]) / 2
    )
