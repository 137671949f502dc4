"""What configs/ and overrides make together."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from marl_meta import resources
from marl_meta.config import Config, TeamConfig, load_config
from marl_meta.types import UserError


def test_defaults_make_a_config() -> None:
    config = load_config()
    assert config.game.family == "spread"
    assert config.teams == {}
    assert config.run_dir == Path("runs") / config.name
    assert re.fullmatch(r"spread-\d{8}-\d{6}-seed0", config.name)


def test_overrides_of_the_readme() -> None:
    config = load_config(["game=harvest", "policy.hidden=128", "train.steps=2e6", "seed=3", "name=first"])
    assert (config.game.family, config.policy.hidden, config.seed, config.name) == ("harvest", 128, 3, "first")
    assert config.train.steps == 2_000_000
    assert isinstance(config.train.steps, int)


def test_third_party_game() -> None:
    config = load_config(
        ["game=pettingzoo", "game.entry_point=mpe2.simple_spread_v3:parallel_env", "game.kwargs={N: 3}"]
    )
    assert config.game.family == "pettingzoo"
    assert config.game.entry_point == "mpe2.simple_spread_v3:parallel_env"
    assert config.game.kwargs == {"N": 3}
    assert config.name.startswith("simple_spread_v3-")


@pytest.mark.parametrize("path", ["mine/maze/family.yaml", "../my games/maze", "/abs/maze/family.yaml", "it's/maze"])
def test_game_takes_any_path(path: str) -> None:
    config = load_config([f"game={path}", "game.num_games=8"])
    assert config.game.family == path
    assert config.game.num_games == 8
    assert config.name.startswith("maze-")


def test_game_with_a_file_of_its_own_is_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = resources.find("configs", "config.yaml").parent
    for path in source.rglob("*.yaml"):
        copy = tmp_path / path.relative_to(source)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(path.read_text())
    (tmp_path / "game" / "maze.yaml").write_text("defaults: [default]\nfamily: maze\nnum_games: 7\n")
    monkeypatch.setattr(resources, "find", lambda _kind, name: tmp_path / name)
    assert load_config(["game=maze"]).game.num_games == 7
    assert load_config(["game=other"]).game.family == "other"


def test_rules_and_teams_are_open_mappings() -> None:
    config = load_config(
        [
            "game=tag",
            "game.rules={damping: 0.3, payoff: [1, 0, -1]}",
            "game.rules.prey=2",
            "teams.prey.controller=scripted",
            "teams.prey.scripted=flee",
            "teams.adversary.learner=chasers",
        ]
    )
    assert config.game.rules == {"damping": 0.3, "payoff": [1, 0, -1], "prey": 2}
    assert config.teams == {
        "prey": TeamConfig(controller="scripted", scripted="flee"),
        "adversary": TeamConfig(learner="chasers"),
    }


def test_every_option_of_every_group_composes() -> None:
    folder = resources.find("configs", "config.yaml").parent
    for path in sorted(folder.glob("*/*.yaml")):
        overrides = [f"{path.parent.name}={path.stem}"]
        if path.stem == "pettingzoo":
            overrides.append("game.entry_point=mpe2.simple_spread_v3:parallel_env")
        load_config(overrides)


def test_composing_has_no_side_effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = (logging.getLogger().handlers[:], logging.getLogger().level)
    load_config()
    assert (logging.getLogger().handlers, logging.getLogger().level) == before
    assert Path.cwd() == tmp_path
    assert list(tmp_path.iterdir()) == []
    assert not GlobalHydra.instance().is_initialized()


def test_a_config_from_before_there_were_leagues_sides_and_other_keys_is_read_as_one_without() -> None:
    now = load_config(["game=harvest", "name=old"])
    values = json.loads(now.to_json())
    for key in ("league", "game.sides", "policy.alike", "meta.gradient.context_rate", "meta.gradient.fit"):
        *path, last = key.split(".")
        section = values
        for name in path:
            section = section[name]
        del section[last]
    config = Config.from_json(json.dumps(values))
    assert config == now
    assert config.league.name == "none" and config.game.sides == {}
    del values["game"]["num_games"]
    with pytest.raises(UserError, match=r"game\.num_games"):
        Config.from_json(json.dumps(values))
