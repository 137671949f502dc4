"""ONNX files and scripts that stand alone do what the team does, and need nothing of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from marl_meta import UserError, load_team
from marl_meta.export.exporting import export_team
from marl_meta.export.onnx_file import make_onnx, memory_parts
from marl_meta.export.portable import Memory, Portable, Told

from .tables import FULL, NETWORKS, TRIALS, Table, network_team
from .test_portable import compare

RECURRENT, INFERRING = "zoo:treasure-rl2", "zoo:harvest-belief"


@pytest.fixture(scope="module", params=[RECURRENT, INFERRING])
def exported(request):
    team = load_team(request.param)
    return request.param, make_onnx(team, team.layout.teams[0])


def test_its_outputs_are_the_teams(exported):
    name, contents = exported
    table = Table(name, *TRIALS[name])  # other numbers of agents and entities than the file was made with
    portable = Portable(table.team, table.game.layout.teams[0]).eval()
    session = onnxruntime.InferenceSession(contents.model)
    compare(running(session, table.team), portable, table, 3)


def running(session, team):
    """Return what a file computes, as a function like `Portable`."""
    parts = memory_parts(Portable(team, team.layout.teams[0]))

    def run(told: Told, memory: Memory):
        given = {**told._asdict(), **{f"memory_{part}": getattr(memory, part) for part in parts}}
        wanted = {one.name for one in session.get_inputs()}
        found = session.run(None, {key: value.numpy() for key, value in given.items() if key in wanted})
        outputs = dict(zip([one.name for one in session.get_outputs()], map(torch.from_numpy, found), strict=True))
        changed = {part: outputs[f"next_memory_{part}"] for part in parts}
        return outputs["logits"], outputs["known"], memory._replace(**changed)

    return run


def test_it_says_what_it_is(exported):
    name, contents = exported
    model = onnx.load_from_string(contents.model)
    onnx.checker.check_model(model)
    (entry,) = (one for one in model.metadata_props if one.key == "marl_meta")
    about = json.loads(entry.value)
    layout = load_team(name).layout
    assert about == contents.description
    assert about["actions"] == list(layout.actions)
    assert about["links"] == list(layout.links)
    assert about["private_features"] == list(layout.private_features)
    if name == INFERRING:
        assert "payoff=1 of red" in about["known"]
    inputs = {one.name: [axis.dim_param or axis.dim_value for axis in one.type.tensor_type.shape.dim]
              for one in model.graph.input}  # fmt: skip
    assert inputs["entities"] == ["agents", "entities", len(layout.entity_features)]
    assert inputs["legal"] == ["agents", len(layout.actions)]
    state = "memory_state" if name == RECURRENT else "memory_evidence"
    assert inputs[state][0] == "agents"


@pytest.mark.parametrize("name", [name for name in NETWORKS if "remembering" in name])
def test_networks_of_all_kinds_are_files_too(name):
    """Made with other numbers of agents and entities than they are run with."""
    team = network_team(name)
    session = onnxruntime.InferenceSession(make_onnx(team, team.layout.teams[0]).model)
    table = Table(team, "harvest", FULL, "rival")
    compare(running(session, team), Portable(team, table.game.layout.teams[1]).eval(), table, 2)


def test_a_script_knows_what_there_is_room_for(tmp_path):
    team = network_team("flat")
    export_team(team, tmp_path / "flat.py", rules=[json.dumps(FULL)])
    with pytest.raises(UserError, match="cannot play a game with 6 entities of kind 'red'"):
        export_team(team, tmp_path / "crowded.py", rules=[json.dumps({**FULL, "objects_per_kind": 6})])
    assert [path.name for path in tmp_path.iterdir()] == ["flat.py"]


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "finder.py"
    found = export_team(
        load_team(INFERRING), path, rules=['{"teams": 2, "gatherers": 2}', '{"gatherers": 3}'], deterministic=True
    )
    assert found["rules"] == 2
    assert found["bytes"] == path.stat().st_size < 1_000_000
    return path


LONELY = """
import sys
class Nobody:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "marl_meta", "numba", "pettingzoo", "gymnasium", "scipy"):
            raise ImportError(name + " is not installed here")
sys.meta_path.insert(0, Nobody())
"""


def test_the_script_plays_as_the_team_does_without_any_of_ours(script, tmp_path):
    table = Table(INFERRING, *TRIALS[INFERRING])
    asked, answers = [], []
    for played in table.play(3):
        flat = {agent: vector.tolist() for agent, vector in table.flat(played.observation).items()}
        last = (
            {agent: vector.tolist() for agent, vector in table.flat(played.step.final).items()} if played.over else None
        )
        asked.append({"shown": flat, "rewards": table.rewards(played.step), "over": played.over, "last": last})
        answers.append(played.actions)
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    code = (
        LONELY
        + f"""
import json
sys.path.insert(0, {str(script.parent)!r})
from finder import Player
player, answers = Player(), []
own = {list(table.own)!r}
player.start_series({{"side": "rival", "own": own, "rules": {{"teams": 2, "gatherers": 2}}}})
for one in json.load(open({str(tmp_path / "asked.json")!r})):
    answers.append(player.act(one["shown"]))
    ends = dict.fromkeys(own, one["over"])
    player.observe(one["rewards"], dict.fromkeys(own, False), ends, one["last"])
print(json.dumps(answers))
"""
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == answers


def test_the_script_speaks_json_lines(script):
    table = Table(INFERRING, "harvest", {"gatherers": 3, "control": 90}, None)
    lines, answers, last = [], [], {}
    info = {"side": "gatherer", "own": list(table.own), "rules": {"gatherers": 3}}
    step = 0
    for played in table.play(2):
        opening = {"env_cfg": info, "agents": list(table.own), "seed": 3} if step == 0 else {}
        shown = {agent: {"observation": vector.tolist()} for agent, vector in table.flat(played.observation).items()}
        lines.append(
            json.dumps(
                {"step": step, "obs": shown, "player": "gatherer", "info": {"game": played.episode, **last, **opening}}
            )
        )
        none, over = dict.fromkeys(table.own, False), dict.fromkeys(table.own, played.over)
        last = {"rewards": table.rewards(played.step), "terminations": none, "truncations": over}
        if played.over:
            ends = table.flat(played.step.final).items()
            last["observations"] = {agent: {"observation": vector.tolist()} for agent, vector in ends}
        step = 0 if played.over else step + 1
        answers.append({"action": played.actions})
    done = subprocess.run(
        [sys.executable, str(script)], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == answers


def test_the_script_is_an_agent_of_kaggles(script):
    namespace: dict[str, object] = {"__name__": "finder"}
    sys.modules["finder"] = sys  # dataclasses look their module up
    try:
        exec(compile(script.read_text(), str(script), "exec"), namespace)  # noqa: S102 (our own file)
    finally:
        del sys.modules["finder"]
    agent = namespace["agent"]
    table = Table(INFERRING, "harvest", {"gatherers": 3, "control": 90}, None)
    rewards: dict[str, float] = {}
    same = total = 0
    for step, played in enumerate(table.play(1)):
        for name, vector in table.flat(played.observation).items():
            obs = {"observation": vector, "step": step, "agent": name, "reward": rewards.get(name)}
            same += agent(obs, {"rules": {"gatherers": 3}, "episodes": 2}) == played.actions[name]
            total += 1
        rewards = table.rewards(played.step)
    assert same == total


def test_unknown_rules_are_answered_by_a_sentence(script):
    code = (
        f"import sys; sys.path.insert(0, {str(script.parent)!r}); from finder import Player; "
        "Player().start_series({'rules': {'gatherers': 6}})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "was exported for other rules than {'gatherers': 6}" in done.stderr


def test_what_comes_last_is_the_agent_that_tools_take(script, tmp_path):
    from marl_meta.tournament.outsiders.styles import last_callable, style_of

    kaggle = tmp_path / "kaggle.py"
    export_team(load_team(RECURRENT), kaggle, splits=["three_players"], last="kaggle")
    for path, style in ((script, "native"), (kaggle, "kaggle")):
        namespace: dict[str, object] = {"__name__": path.stem}
        sys.modules[path.stem] = sys
        try:
            exec(compile(path.read_text(), str(path), "exec"), namespace)  # noqa: S102 (our own file)
        finally:
            del sys.modules[path.stem]
        assert style_of(last_callable(namespace, str(path))) == style


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("team.txt", {}, "NAME.onnx or to NAME.py"),
        ("nowhere/team.py", {}, "there is no folder"),
        ("team.onnx", {"rules": ["{}"]}, "plays under any rules"),
        ("team.py", {"side": "prey"}, "does not play 'prey'"),
        ("team.py", {"splits": ["none"]}, "none"),
    ],
)
def test_bad_input_is_answered_by_a_sentence(tmp_path, name, options, says):
    with pytest.raises(UserError, match=says):
        export_team(load_team(INFERRING), tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path):
    path = tmp_path / "team.py"
    path.write_text("mine")
    with pytest.raises(UserError, match="not overwritten"):
        export_team(load_team(INFERRING), path)
    assert path.read_text() == "mine"


def test_a_team_that_adapts_by_gradients_says_that_the_export_does_not(tmp_path):
    found = export_team(load_team("zoo:payoffs-cavia"), tmp_path / "cavia.onnx")
    assert "plays as the team is now" in found["notes"][0]
    assert np.frombuffer((tmp_path / "cavia.onnx").read_bytes(), np.uint8).size == found["bytes"]
