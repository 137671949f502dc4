"""A run from its overrides to its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marl_meta.cli.app import main
from marl_meta.config import Config
from marl_meta.games import make_vec
from marl_meta.team import load_team
from marl_meta.train import train
from marl_meta.types import UserError

Overrides = Callable[..., list[str]]
ReadLines = Callable[[Path], list[dict[str, Any]]]
Contents = Callable[[Path], dict[str, bytes]]

RECALL = Path(__file__).parents[1] / "recall"


def test_what_a_run_leaves_behind(overrides: Overrides, read_lines: ReadLines, contents: Contents) -> None:
    result = train(overrides(game__rules="{players: 2, rivals: 1}"), quiet=True)
    folder = result.folder
    assert (result.env_steps, result.finished, result.team) == (240, True, folder / "team")
    assert sorted(contents(folder)) == [
        "checkpoints/00000006.safetensors",
        "checkpoints/00000009.safetensors",
        "checkpoints/00000010.safetensors",
        "config.json",
        "metrics.jsonl",
        "replays/0000000240-1.replay.json.gz",
        "team/team.json",
        "team/weights.safetensors",
        "timing.jsonl",
    ]
    config = Config.from_json((folder / "config.json").read_text())
    assert config.game.family == str(RECALL)
    assert config.train.threads == 2
    metrics, timing = read_lines(folder / "metrics.jsonl"), read_lines(folder / "timing.jsonl")
    assert [line["env_steps"] for line in metrics] == [24 * (i + 1) for i in range(10)]
    assert [line["iteration"] for line in timing] == [line["iteration"] for line in metrics] == list(range(1, 11))
    wanted = {"episodes", "episode_length", "return/players", "return_sum/players", "return/rivals"}
    wanted |= {f"{team}/{key}" for team in ("players", "rivals") for key in ("policy_loss", "entropy", "kl")}
    assert wanted <= metrics[-1].keys()
    assert metrics[-1]["episodes"] == 6  # every game ends in every iteration: a horizon is an episode
    assert metrics[-1]["episode_length"] == 4.0
    assert metrics[-1]["return_sum/players"] == pytest.approx(2 * metrics[-1]["return/players"])
    assert {"seconds", "env_steps_per_second"} <= timing[-1].keys()
    assert not {"seconds", "env_steps_per_second"} & metrics[-1].keys()


def test_the_team_plays(overrides: Overrides) -> None:
    team = load_team(train(overrides(), quiet=True).folder)
    assert team.trained_on["env_steps"] == 240
    game = make_vec(RECALL, num_games=3)
    player = team.controller(game.layout)
    player.reset(3, np.array([0]))
    assert player.act(game.reset().observation).shape == (3, 1)


def test_a_run_follows_its_seed(overrides: Overrides) -> None:
    first, again, other = (
        train(overrides(name, seed=seed), quiet=True).folder / "metrics.jsonl"
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first.read_bytes() == again.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_a_folder_that_exists_is_refused_and_left_alone(overrides: Overrides, contents: Contents) -> None:
    folder = train(overrides(), quiet=True).folder
    before = contents(folder)
    with pytest.raises(UserError, match=r"already exists and is not overwritten; .*name=NAME.*--resume"):
        train(overrides(seed=5), quiet=True)
    assert contents(folder) == before


def test_any_other_folder_is_refused_and_left_alone(overrides: Overrides, tmp_path: Path, contents: Contents) -> None:
    (tmp_path / "runs" / "run").mkdir(parents=True)
    (tmp_path / "runs" / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="already exists"):
        train(overrides(), quiet=True)
    assert contents(tmp_path) == {"runs/run/thesis.txt": b"mine"}


BAD: dict[str, dict[str, Any]] = {
    "no family 'recal'": {"game": "recal"},
    "no rule 'player'.*did you mean 'players'": {"game__rules": "{player: 2}"},
    "players.*7": {"game__rules": "{players: 7}"},
    "no split 'ood'.*held_out": {"game__split": "ood"},
    "algorithm.gama is not known.*gamma": {"algorithm__gama": 0.9},
    "algorithm.gamma must be": {"algorithm__gamma": 1.5},
    "teams.reds names no team of the game; its teams are .*players": {"teams__reds__controller": "random"},
    "No team of the game learns": {"teams__players__controller": "random"},
    "nowhere.* is not a team": {
        "game__rules": "{rivals: 1}",
        "teams__rivals__controller": "frozen",
        "teams__rivals__team": "nowhere",
    },
    "no scripted player 'know'.*did you mean 'knows'": {
        "game__rules": "{rivals: 1}",
        "teams__rivals__controller": "scripted",
        "teams__rivals__scripted": "know",
    },
    "is not a multiple|must be a multiple": {"policy__hidden": 9},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_told_in_one_sentence_and_nothing_is_written(
    overrides: Overrides, tmp_path: Path, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        train(overrides(**BAD[message]), quiet=True)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("games", [1, 2, 3, 7])
def test_any_number_of_games_and_minibatches(overrides: Overrides, games: int) -> None:
    settings = {"game__num_games": games, "algorithm__minibatches": 4, "train__horizon": 1}
    assert train(overrides(**settings, train__steps=games * 3), quiet=True).finished


def test_checkpoints_by_time(overrides: Overrides, contents: Contents) -> None:
    settings = {"train__checkpoint_iterations": 0, "train__checkpoint_seconds": 1e-9, "train__keep": 100}
    folder = train(overrides(**settings), quiet=True).folder
    assert len(contents(folder / "checkpoints")) == 10


def test_only_a_checkpoint_at_the_end(overrides: Overrides, contents: Contents) -> None:
    folder = train(overrides(train__checkpoint_iterations=0), quiet=True).folder
    assert list(contents(folder / "checkpoints")) == ["00000010.safetensors"]


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["marl-meta", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(str(caught.value.code))


def test_the_command_prints_one_json_object(
    overrides: Overrides, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command(monkeypatch, "train", "--json", *overrides()) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["folder"] == str(tmp_path / "runs" / "run")
    assert told["env_steps"] == 240
    assert told["finished"] is True
    assert f"the team is {tmp_path}/runs/run/team" in err.replace("\n", "")


def test_the_command_exits_with_2_on_bad_input(
    overrides: Overrides, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command(monkeypatch, "train", *overrides(policy__hiden=8)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "policy.hiden is not known; did you mean 'hidden'?" in err or "hidden" in err
    assert list(tmp_path.iterdir()) == []


def test_quiet_says_nothing(
    overrides: Overrides, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "train", "--quiet", *overrides()) == 0
    assert capsys.readouterr() == ("", "")
