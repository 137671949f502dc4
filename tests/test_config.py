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


def complaint(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_config(overrides)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


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


def test_json_round_trip() -> None:
    config = load_config(["game=tag", "game.rules={prey: 2}", "teams.prey.controller=random", "runs_dir=/tmp/x"])
    text = config.to_json()
    assert Config.from_json(text) == config
    assert json.loads(text)["game"]["schema"] is None


def test_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_config().seed = 3  # type: ignore[misc]


def test_every_option_of_every_group_composes() -> None:
    folder = resources.find("configs", "config.yaml").parent
    for path in sorted(folder.glob("*/*.yaml")):
        overrides = [f"{path.parent.name}={path.stem}"]
        if path.stem == "pettingzoo":
            overrides.append("game.entry_point=mpe2.simple_spread_v3:parallel_env")
        load_config(overrides)


def test_every_value_lives_in_yaml_and_every_key_has_a_meaning() -> None:
    schema = Config.model_json_schema()
    for name, section in schema["$defs"].items():
        for key, field in section["properties"].items():
            assert "description" in field, f"{name}.{key}"
            assert "default" not in field or name == "TeamConfig", f"{name}.{key} has a second truth"


@pytest.mark.parametrize("text", ["2e6", "2_000_000", "2000000", "2000000.0"])
def test_whole_numbers(text: str) -> None:
    assert load_config([f"train.steps={text}"]).train.steps == 2_000_000


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.stepz=3", "Config key train.stepz is not known (did you mean 'steps'?); allowed in train are steps, "),
        ("polcy=3", "Config key polcy is not known (did you mean 'policy'?); allowed at the top are name, seed, "),
        ("optimiser.lr=3", "Config key optimiser is not known"),
        ("teams.prey.foo=3", "Config key teams.prey.foo is not known; allowed in teams.prey are controller, "),
        ("train.steps=abc", "Config key train.steps must be a whole number of at least 1, not 'abc'"),
        ("train.steps=2.5", "Config key train.steps must be a whole number of at least 1, not 2.5"),
        ("train.steps=0", "Config key train.steps must be a whole number of at least 1, not 0"),
        ("train.steps=true", "not True"),
        ("train.steps=1e400", "not inf"),
        ("train.steps=null", "not null"),
        ("train.steps='3'", "not '3'"),
        ("~train.steps", "Config key train.steps is missing; it must be a whole number of at least 1"),
        ("seed=-1", "Config key seed must be a whole number of at least 0, not -1"),
        ("algorithm.clip=3", "Config key algorithm.clip must be a number above 0 and below 1, not 3"),
        ("algorithm.gamma=nan", "Config key algorithm.gamma must be a number of at least 0 and of at most 1, not nan"),
        ("algorithm.target_kl=-1", "Config key algorithm.target_kl must be a number above 0 or null, not -1"),
        ("algorithm.normalise_value=3", "must be true or false, not 3"),
        ("policy.recurrent=lstm", "Config key policy.recurrent must be one of gru, none, not 'lstm'"),
        ("policy.hidden=30", "policy.hidden must be a multiple of policy.heads, not 30 with 4"),
        ("policy=foo", "Config group policy has no option 'foo'; allowed are relational"),
        ("tracking=onlin", "Config group tracking has no option 'onlin' (did you mean 'online'?); allowed are auto, "),
        ("game=", "Config group game has no option ''"),
        ("game=pettingzoo", "game=pettingzoo needs game.entry_point"),
        ("game.kwargs.N=3", "allowed with game=pettingzoo only, not with 'spread'"),
        ("game.family.x=3", "Config key game.family must be a text"),
        ("teams.prey.controller=frozen", "controller 'frozen' needs the key 'team' beside it"),
        ("teams.prey.scripted=flee", "controller 'learn' takes learner, team beside it, not 'scripted'"),
        ("name=a/b", "Config key name must be a name of letters, digits, dots, dashes and underscores, not 'a/b'"),
        ("name=..", "Config key name must be a name"),
        ("seed=1,2", "gives several values; allowed is one"),
        ("train", "The override 'train' cannot be read; allowed are key=value"),
        ("=3", "The override '=3' cannot be read"),
        ("name=${x", "cannot be read"),
        ("name=${nope}", "Interpolation key 'nope' not found"),
        ("hydra.run.dir=x", "sets up hydra itself"),
        ("~nothing", "'nothing' does not exist"),
    ],
)
def test_bad_overrides_get_one_sentence(override: str, said: str) -> None:
    assert said in complaint(override)


def test_split_and_rules_exclude_each_other() -> None:
    assert "either game.split" in complaint("game.split=train", "game.rules.prey=1")


def test_bad_config_file_names_the_file_and_the_key() -> None:
    values = json.loads(load_config().to_json())
    values["train"]["horizon"] = "long"
    with pytest.raises(UserError, match=re.escape("runs/x/config.json: train.horizon must be a whole number")):
        Config.from_json(json.dumps(values), "runs/x/config.json")
    with pytest.raises(UserError, match=re.escape("runs/x/config.json is not JSON")):
        Config.from_json("{", "runs/x/config.json")
    with pytest.raises(UserError, match=re.escape("runs/x/config.json must be")):
        Config.from_json("[]", "runs/x/config.json")


def test_composing_has_no_side_effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = (logging.getLogger().handlers[:], logging.getLogger().level)
    load_config()
    assert (logging.getLogger().handlers, logging.getLogger().level) == before
    assert Path.cwd() == tmp_path
    assert list(tmp_path.iterdir()) == []
    assert not GlobalHydra.instance().is_initialized()
