"""A replay must not choose which code runs here."""

from __future__ import annotations

from pathlib import Path

import pytest
from mpe2 import simple_spread_v3

import marl_meta
from marl_meta.replay import Replay
from marl_meta.replay.record import GameRecord
from marl_meta.replay.trust import check_trusted
from marl_meta.types import UserError


def recorded() -> Replay:
    env = simple_spread_v3.parallel_env()
    with marl_meta.record(env) as recording:
        env.reset(seed=1)
        while env.agents:
            env.step(dict.fromkeys(env.agents, 1))
    assert recording.replay is not None
    return recording.replay


def named(replay: Replay, **game: object) -> Replay:
    return Replay(replay.record.model_copy(update={"game": replay.record.game.model_copy(update=game)}))


def test_well_known_games_are_played_again() -> None:
    assert recorded().verify().same


def test_nothing_that_a_replay_names_is_run_unasked(tmp_path: Path) -> None:
    victim = tmp_path / "made"
    evil = named(recorded(), entry_point="os:mkdir", kwargs={"path": str(victim)})
    with pytest.raises(UserError, match=r"os:mkdir.*--trust"):
        evil.verify()
    assert not victim.exists()
    with pytest.raises(UserError, match="no PettingZoo environment"):
        evil.verify(trust=True)
    assert victim.exists()  # as the user said


@pytest.mark.parametrize(
    "entry_point",
    [
        "mpe2.simple_tag_v3:os",
        "mpe2evil:env",
        "pettingzoo.utils.conversions:aec_to_parallel",
        "file.py:env",
        "mpe2",
        "",
    ],
)
def test_names_that_only_look_well_known_are_not(entry_point: str) -> None:
    with pytest.raises(UserError, match="trust"):
        check_trusted(GameRecord(name="a", family=False, api="parallel", entry_point=entry_point))


def test_wrappers_are_looked_at_too() -> None:
    game = GameRecord(name="a", family=False, api="parallel", entry_point="mpe2.simple_tag_v3:parallel_env")
    check_trusted(game)
    check_trusted(game.model_copy(update={"wrappers": [{"wrapper": "supersuit:frame_stack_v1", "stack_size": 2}]}))
    with pytest.raises(UserError, match="os:system"):
        check_trusted(game.model_copy(update={"wrappers": [{"wrapper": "os:system"}]}))


@pytest.mark.parametrize("api", ["vector", "parallel", "aec"])
def test_a_family_is_found_by_its_name_and_not_by_a_path(tmp_path: Path, api: str) -> None:
    (tmp_path / "family.yaml").write_text("family: evil\n")
    evil = named(recorded(), family=True, api=api, name=str(tmp_path), variant_id="evil-0", seed=0, first_game=0)
    with pytest.raises(UserError, match="no name of a family"):
        evil.verify()
