"""What is not allowed gets one sentence that says which key, and what is."""

from __future__ import annotations

import json
import re

import pytest

from marl_meta.config import Config, load_config
from marl_meta.types import UserError


def complaint(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_config(overrides)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


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
        (
            "policy.layers=10000000",
            "policy.layers must be a whole number of at least 1 and of at most 64, not 10000000",
        ),
        (
            "policy.hidden=1e9",
            "policy.hidden must be a whole number of at least 1 and of at most 16384, not 1000000000",
        ),
        ("meta.belief.examples=1e7", "meta.belief.examples must be a whole number of at least 1 and of at most 100000"),
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
        ("policy=foo", "Config group policy has no option 'foo'; allowed are board, relational"),
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
