"""A configuration is a value: frozen, the same from its JSON, each key with a meaning and no second default."""

from __future__ import annotations

import json

import pytest

from marl_meta.config import Config, load_config


def test_json_round_trip() -> None:
    config = load_config(["game=tag", "game.rules={prey: 2}", "teams.prey.controller=random", "runs_dir=/tmp/x"])
    text = config.to_json()
    assert Config.from_json(text) == config
    assert json.loads(text)["game"]["schema"] is None


def test_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_config().seed = 3  # type: ignore[misc]


def test_every_value_lives_in_yaml_and_every_key_has_a_meaning() -> None:
    schema = Config.model_json_schema()
    for name, section in schema["$defs"].items():
        for key, field in section["properties"].items():
            assert "description" in field, f"{name}.{key}"
            assert "default" not in field or name == "TeamConfig", f"{name}.{key} has a second truth"


@pytest.mark.parametrize("text", ["2e6", "2_000_000", "2000000", "2000000.0"])
def test_whole_numbers(text: str) -> None:
    assert load_config([f"train.steps={text}"]).train.steps == 2_000_000
