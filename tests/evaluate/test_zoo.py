"""The published scores hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from marl_meta.cli.team import team
from marl_meta.evaluate.zoo import MOST_BYTES, Published, publish, published, score
from marl_meta.team import load_team
from marl_meta.types import UserError

TEAMS = published()


@pytest.mark.parametrize("one", TEAMS, ids=[one.name for one in TEAMS])
def test_what_is_published_is_true(one: Published) -> None:
    assert sum(path.stat().st_size for path in one.folder.iterdir()) < MOST_BYTES
    loaded = load_team(f"zoo:{one.name}")
    assert loaded.trained_on["seed"] == one.origin["seed"]
    assert loaded.trained_on["env_steps"] == one.origin["env_steps"]
    assert one.origin["command"].startswith("marl-meta train ")
    found, told = score(one.folder, one.origin["evaluation"]), one.origin["score"]
    # The same games and the same draws: other machines differ by the rounding that turns single actions.
    gap = np.abs(np.array(told["returns"]) - np.array(told["random"])).max()
    assert np.abs(np.array(found["returns"]) - np.array(told["returns"])).max() < 0.05 * gap
    if "S_iqm" in told:
        assert np.abs(np.array(found["S_iqm"]) - np.array(told["S_iqm"])).max() < 0.05


def test_a_team_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"There is no team 'zoo:nobody'.*the zoo has"):
        load_team("zoo:nobody")


@pytest.mark.skipif(not TEAMS, reason="nothing is published yet")
def test_publishing(tmp_path: Path) -> None:
    one = TEAMS[0]
    settings = {**one.origin["evaluation"], "games_per_variant": 2}
    made = publish(one.folder, tmp_path, "marl-meta train x", settings)
    assert json.loads((tmp_path / made.name / "origin.json").read_text()) == made.origin
    with pytest.raises(UserError, match="already"):
        publish(one.folder, tmp_path, "marl-meta train x", settings)


def test_the_list() -> None:
    record = json.loads(CliRunner().invoke(team, ["zoo", "--json"], catch_exceptions=False).stdout)
    assert [one["team"] for one in record["teams"]] == [f"zoo:{one.name}" for one in TEAMS]
    shown = CliRunner().invoke(team, ["zoo"], catch_exceptions=False).stdout
    assert all(f"zoo:{one.name}" in shown and one.origin["command"] in shown for one in TEAMS)
