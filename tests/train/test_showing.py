"""Games that a run records as it goes on: the same variants every time, few of them, and nothing else changes."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from marl_meta.config import load_config
from marl_meta.games import load_family
from marl_meta.replay import load_replay
from marl_meta.train import resume, showing, train
from marl_meta.train.build import assemble, resolve
from marl_meta.train.showing import MOST_MOMENTS, is_shown, show_run
from marl_meta.train.trainer import Trainer

SMALL = (
    "game.num_games=4",
    "policy.hidden=8",
    "policy.heads=2",
    "train.horizon=25",
    "train.steps=600",  # six iterations
    "train.threads=1",
    "tracking=off",
    "algorithm.epochs=1",
)

Contents = Callable[[Path], dict[str, bytes]]


@pytest.fixture(autouse=True)
def few_games(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marl_meta.train.evaluating.GAMES", 64)
    monkeypatch.setattr("marl_meta.train.evaluating.THIRD_PARTY_GAMES", 2)


def run(folder: Path, name: str, *overrides: str) -> Path:
    return train([*SMALL, f"runs_dir={folder}", f"name={name}", *overrides], quiet=True).folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "replays").iterdir())


def test_games_are_recorded_with_each_evaluation_and_at_the_end(tmp_path: Path) -> None:
    folder = run(tmp_path, "a", "game=spread", "game.split=train", "train.evaluate_every=4", "train.replays=2")
    moments = ("0000000400", "0000000600")
    assert names(folder) == [f"{moment}-{number}.replay.json.gz" for moment in moments for number in (1, 2)]
    held_out = {one.variant_id for one in load_family("spread").split("held_out")}
    played = {}
    for path in sorted((folder / "replays").iterdir()):
        replay = load_replay(path)
        found = replay.verify()
        assert found.same, found.reason
        assert replay.title == f"a after {int(path.name[:10]):,} env-steps"
        record = replay.record
        assert record.game.variant_id in held_out
        assert record.teams[0].player == "a" and record.teams[0].weights is not None
        assert record.episodes[0].over and record.episodes[0].notes is not None
        played[path.name[:-15]] = record
    for number in (1, 2):
        before, after = (played[f"{moment}-{number}"] for moment in moments)
        assert before.game == after.game  # the same variant and the same draws, so that one sees what was learnt
        assert before.episodes[0].scene.radius == after.episodes[0].scene.radius
        assert before.teams[0].weights != after.teams[0].weights
    assert played["0000000600-1"].game.variant_id != played["0000000600-2"].game.variant_id
    assert played["0000000600-1"].teams[0].weights == played["0000000600-2"].teams[0].weights


def test_recording_changes_nothing_and_may_be_left_out(tmp_path: Path) -> None:
    settings = ("game=spread", "game.split=train", "train.evaluate_every=2")
    with_games = run(tmp_path, "with", *settings, "train.replays=1")
    without = run(tmp_path, "without", *settings, "train.replays=0")
    assert len(names(with_games)) == 3
    assert not (without / "replays").exists()
    assert (with_games / "metrics.jsonl").read_bytes() == (without / "metrics.jsonl").read_bytes()
    weights = [(folder / "team" / "weights.safetensors").read_bytes() for folder in (with_games, without)]
    assert weights[0] == weights[1]


def test_without_evaluations_there_is_one_at_the_end(tmp_path: Path) -> None:
    assert names(run(tmp_path, "a", "game=spread", "game.rules={agents: 2}")) == ["0000000600-1.replay.json.gz"]


@pytest.mark.parametrize("meta", ["none", "rl2"])
def test_a_resumed_run_leaves_the_same_bytes(tmp_path: Path, contents: Contents, meta: str) -> None:
    settings = ("game=harvest", "game.split=train", "train.evaluate_every=2", "train.checkpoint_iterations=1")
    small = ("game.num_games=4", "train.horizon=25", "algorithm.minibatches=1")
    folder = run(tmp_path / "whole", "a", *settings, f"meta={meta}", *small, "train.keep=9")
    cut = tmp_path / "cut" / "a"
    shutil.copytree(folder, cut)
    for checkpoint in sorted((cut / "checkpoints").iterdir())[3:]:
        checkpoint.unlink()
    whole = contents(folder / "replays")
    assert len(whole) == 3
    for name in list(whole)[1:]:
        (cut / "replays" / name).unlink()
    resume(cut, quiet=True, trust=True)
    assert contents(cut / "replays") == whole
    assert (cut / "metrics.jsonl").read_bytes() == (folder / "metrics.jsonl").read_bytes()


def test_a_trial_has_all_its_episodes(tmp_path: Path) -> None:
    settings = ("game=harvest", "game.split=train", "game.episodes_per_trial=3", "policy.trial_inputs=true")
    record = load_replay(run(tmp_path, "a", *settings) / "replays" / "0000000600-1.replay.json.gz").record
    assert [episode.over for episode in record.episodes] == [True] * 3


def test_both_sides_play_and_standing_players_keep_their_place(tmp_path: Path) -> None:
    both = load_replay(run(tmp_path, "both", "game=tag") / "replays" / "0000000600-1.replay.json.gz")
    assert [(team.name, team.player) for team in both.record.teams] == [("adversary", "both"), ("prey", "both")]
    assert both.record.teams[0].seed != both.record.teams[1].seed
    thinking = [set(notes.agents) for notes in both.record.episodes[0].notes]
    assert thinking == [{0, 1, 2}, {3}]
    one_side = ("teams.prey.controller=scripted", "teams.prey.scripted=flee")
    one = load_replay(run(tmp_path, "one", "game=tag", *one_side) / "replays" / "0000000600-1.replay.json.gz")
    assert [(team.name, team.player) for team in one.record.teams] == [("adversary", "one"), ("prey", "flee")]
    (notes,) = one.record.episodes[0].notes
    assert set(notes.agents) == {0, 1, 2}
    for replay in (both, one):
        assert replay.verify().same


def test_a_game_of_somebody_else(tmp_path: Path) -> None:
    game = ("game=pettingzoo", "game.entry_point=mpe2.simple_spread_v3:parallel_env", "game.kwargs={max_cycles: 8}")
    folder = run(tmp_path, "a", *game, "game.schema=simple_spread", "train.evaluate_every=3", "train.steps=300")
    assert names(folder) == ["0000000300-1.replay.json.gz"]
    replay = load_replay(folder / "replays" / "0000000300-1.replay.json.gz")
    assert replay.record.game.entry_point == "mpe2.simple_spread_v3:parallel_env"
    assert replay.record.episodes[0].steps == 8 and replay.record.episodes[0].scene.kind == "particles"
    found = replay.verify()
    assert found.same, found.reason


def config_of(**values: Any) -> Any:
    settings = {"train.steps": 600, "train.evaluate_every": 2, **values}
    return resolve(load_config([*SMALL, "game=spread", *(f"{key}={value}" for key, value in settings.items())]))


def test_moments_are_those_of_evaluations() -> None:
    config = config_of()
    assert [iteration for iteration in range(1, 7) if is_shown(config, iteration)] == [2, 4]  # and at the end
    assert not any(is_shown(config_of(**{"train.replays": 0}), iteration) for iteration in range(1, 7))
    assert not any(is_shown(config_of(**{"train.evaluate_every": 0}), iteration) for iteration in range(1, 7))


@pytest.mark.parametrize("iterations", [23, 24, 25, 100, 1_000, 12_345])
@pytest.mark.parametrize("every", [1, 3, 10])
def test_a_long_run_records_no_more_than_a_short_one(iterations: int, every: int) -> None:
    config = config_of(**{"train.steps": 100 * iterations, "train.evaluate_every": every})
    shown = [iteration for iteration in range(1, iterations + 1) if is_shown(config, iteration)]
    assert len(shown) <= MOST_MOMENTS
    assert len(shown) >= min(MOST_MOMENTS // 2, iterations // every) - 1
    assert all(iteration % every == 0 for iteration in shown)
    assert len({after - before for before, after in itertools.pairwise(shown)}) <= 1


def test_the_variants_do_not_depend_on_what_was_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(**{"game.split": "train", "train.replays": 3, "seed": 4})
    other = config_of(**{"game.split": "train", "train.replays": 3, "seed": 5})
    monkeypatch.setattr(
        showing, "recorder_of", lambda *given, **named: RECORDER(*given, **{**named, "thoughts": False})
    )
    shown = []
    for index, one in enumerate((config, config, other)):
        trainer = Trainer(one, None, assemble(one))  # type: ignore[arg-type]  # nothing is written
        shown.append([game.replay.record.game for game in show_run(one, trainer.team(), tmp_path / str(index), 100)])
    assert shown[0] == shown[1]
    assert [game.variant_id for game in shown[0]] != [game.variant_id for game in shown[2]]
    assert len({game.variant_id for game in shown[0]}) == 3


RECORDER = showing.recorder_of
