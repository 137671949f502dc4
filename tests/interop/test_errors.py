"""Everything that cannot be trained on is refused in one sentence."""

from pathlib import Path

import pytest

from marl_meta.games import load_family, make_vec
from marl_meta.interop.vector import PettingZooVector
from marl_meta.types import UserError

HERE = Path(__file__).parent
TAG = "mpe2.simple_tag_v3:parallel_env"

CASES = [
    ("nowhere", {}, "names no code; allowed is 'package.module:Symbol'"),
    ("nowhere.at_all:game", {}, "cannot be imported"),
    ("mpe2.simple_tag_v3:nothing", {}, "has no 'nothing'"),
    ("tiny_games.py:NOT_CALLABLE", {}, "names a int, which cannot be called"),
    ("tiny_games.py:number", {}, "makes a int, which is no PettingZoo game"),
    ("tiny_games.py:Endless", {}, "without possible_agents; a fixed set of agents is needed"),
    ("tiny_games.py:unbounded", {}, "Agent 'player' .* continuous actions without bounds, Box.*; only those between"),
    ("tiny_games.py:many_numbers", {}, "Agent 'player' .* actions of 7 numbers, Box.*; 1 to 6 are allowed"),
    ("tiny_games.py:text_actions", {}, "the action space Text.*; only Discrete, MultiDiscrete, MultiBinary and Box"),
    ("tiny_games.py:many_bits", {}, "MultiBinary action space of 128 joint actions; at most 64"),
    ("tiny_games.py:many_actions", {}, "MultiDiscrete action space of 81 joint actions; at most 64"),
    ("tiny_games.py:text", {}, "the observation space Text.*; known are Box, Discrete"),
    ("tiny_games.py:large", {}, "observations of 40000 numbers; 1 to 16384 are allowed .shrink images"),
    ("tiny_games.py:refusing", {"kwargs": {"strength": 9}}, "refuses strength=9: strength 9 is too great"),
    (TAG, {"kwargs": {"colour": 1}}, "refuses colour=1: .*unexpected keyword argument 'colour'"),
    (TAG, {"wrappers": [{"x_size": 3}]}, "needs a key 'wrapper'"),
    (TAG, {"schema": "simple_spread"}, "has no group for agent 'adversary_0'; its patterns are agent_"),
    (TAG, {"schema": "simple_tga"}, "There is no schema 'simple_tga'; allowed are simple_spread, simple_tag"),
    (TAG, {"schema": "nowhere.yaml"}, "nowhere.yaml cannot be read"),
    (TAG, {"schema": "simple_tag", "kwargs": {"curriculum": True}}, "only with curriculum=False, not True"),
    (TAG, {"schema": "simple_tag", "kinds": {"a": "b"}}, "with a schema, kinds and teams are the schema's"),
    ("mpe2.simple_adversary_v3:parallel_env", {"schema": "simple_spread"}, "has no group for agent 'adversary_0'"),
    (
        "mpe2.simple_push_v3:parallel_env",
        {"schema": "simple_tag"},
        "describes 12 numbers for agent 'adversary_0' .* has 8",
    ),
    (TAG, {"schema": 3}, "A schema must be a name, the path of a YAML file or a mapping, not 3"),
    ("tiny_games.py:numbered", {}, "Agents of .* must be named by texts, not 1, 2"),
    (TAG, {"num_games": 0}, "num_games cannot be 0"),
    (TAG, {"seed": -1}, "seed cannot be -1"),
]


@pytest.mark.parametrize(("entry_point", "options", "sentence"), CASES, ids=[case[2][:40] for case in CASES])
def test_it_is_refused_in_one_sentence(entry_point, options, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        PettingZooVector(entry_point, folder=HERE, **options)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_a_mask_of_the_wrong_length_is_refused():
    import numpy as np
    from gymnasium import spaces

    from marl_meta.interop.actions import action_codec
    from marl_meta.interop.spaces import legal_actions

    codec = action_codec(spaces.Discrete(5), "it")
    with pytest.raises(UserError, match="an action mask of 3 entries for 5 actions"):
        legal_actions({"action_mask": np.ones(3)}, {}, codec, "Agent 'a'")
    mask = legal_actions({}, {"action_mask": np.zeros(5)}, codec, "Agent 'a'")
    assert mask is not None and mask.all()  # an agent without legal moves is not forbidden anything


FAMILY = """
family: mine
title: A game of somebody else
entry_point: "marl_meta.interop.vector:make_game"
agents: [adversary, {kind}]
engine: {engine}
rules:
  num_good: {{kind: int, range: [1, 4], default: 1, binds: game, about: "Prey."}}
"""


@pytest.mark.parametrize(
    ("engine", "kind", "sentence"),
    [
        ("{}", "agent", "engine.pettingzoo is missing"),
        (f"{{pettingzoo: '{TAG}', kwargs: [1]}}", "agent", "engine.kwargs must be a mapping"),
        (f"{{pettingzoo: '{TAG}', wrappers: [a]}}", "agent", "engine.wrappers must be a list of mappings"),
        (f"{{pettingzoo: '{TAG}', kwarg: 1}}", "agent", "engine.kwarg is not a known key .did you mean 'kwargs'"),
        (f"{{pettingzoo: '{TAG}'}}", "prey", "has entities of kind 'agent'; the family's kinds are adversary, prey"),
    ],
)
def test_a_family_that_names_no_game_is_refused(tmp_path, engine, kind, sentence):
    (tmp_path / "family.yaml").write_text(FAMILY.format(engine=engine, kind=kind))
    with pytest.raises(UserError, match=sentence):
        make_vec(load_family(tmp_path), num_games=1)
