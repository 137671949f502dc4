from __future__ import annotations

import json
from pathlib import Path

import onnxruntime
import torch
from typer.testing import CliRunner

from marl_meta.cli.team import team
from marl_meta.games import load_family, make_vec
from marl_meta.nets.inputs import BeliefDesign, PolicyDesign, PolicyInputs
from marl_meta.team import Team


def saved(folder: Path, read: str, family: str = "harvest") -> str:
    layout = make_vec("harvest", num_games=1).layout
    design = PolicyDesign(8, 2, kinds=layout.kinds, unknowns=layout.hidden_rules, belief=BeliefDesign(8, 4, read=read))
    inputs = PolicyInputs(layout, design)
    belief = inputs.build_belief()
    assert belief is not None
    hidden = make_vec("harvest", num_games=5, split="train", seed=0).hidden_rules
    belief.keep_examples(torch.randn(5, 6, 4), belief.knowledge.classes(hidden), belief.knowledge.numbers(hidden))
    Team(
        name="collectors",
        layout=layout,
        designs={"all": design},
        policies={"all": inputs.build_policy()},
        plays={"gatherer": "all"},
        trained_on={"game": {"family": family, "split": "train"}, "meta": "episodic", "env_steps": 7},
        beliefs={"all": belief},
    ).save(folder)
    return str(folder)


def test_what_a_team_is(tmp_path: Path) -> None:
    path = saved(tmp_path / "team", "matching")
    record = json.loads(CliRunner().invoke(team, ["inspect", path, "--json"], catch_exceptions=False).stdout)
    policy = record["policies"]["all"]
    assert record["team"] == "collectors" and record["trained_on"] == {"meta": "episodic", "env_steps": 7}
    assert policy["infers_by"] == "matching" and policy["plays"] == ["gatherer"]
    assert policy["hidden_rules"] == ["agents_needed", "collision_sign", "control", "payoff"]
    assert {rule: sum(values.values()) for rule, values in policy["examples"].items()} == {
        "payoff": 15, "agents_needed": 5, "control": 5, "collision_sign": 5,
    }  # fmt: skip
    assert policy["examples"]["payoff"] == {"-1": 5, "0": 5, "1": 5}
    shown = CliRunner().invoke(team, ["inspect", path], catch_exceptions=False).stdout
    assert "collectors, trained on harvest (train)" in shown and "examples of past tasks" in shown


def test_values_of_rules_are_called_what_the_family_calls_them(tmp_path: Path) -> None:
    """What a network knows of a permutation of 0, 1 and 2 are -1, 0 and 1: scaled."""
    text = load_family("harvest").path.read_text().partition("splits:")[0]
    other = text.replace("values: [1, 0, -1], default: [1, 0, -1]", "values: [2, 0, 1], default: [2, 0, 1]")
    assert other != text
    (tmp_path / "family.yaml").write_text(other)
    path = saved(tmp_path / "team", "matching", str(tmp_path / "family.yaml"))

    def examples() -> dict[str, list[str]]:
        record = json.loads(CliRunner().invoke(team, ["inspect", path, "--json"], catch_exceptions=False).stdout)
        return {rule: list(values) for rule, values in record["policies"]["all"]["examples"].items()}

    assert examples()["payoff"] == ["0", "1", "2"]
    assert examples()["control"] == [str(option) for option in load_family("harvest").rules["control"].options]
    (tmp_path / "family.yaml").unlink()  # nobody says what they are called
    assert examples()["payoff"] == ["-1", "0", "1"]


def test_how_a_team_adapts_by_gradients() -> None:
    def inspected(name: str, *options: str) -> str:
        return CliRunner().invoke(team, ["inspect", name, *options], catch_exceptions=False).stdout

    (policy,) = json.loads(inspected("zoo:payoffs-cavia", "--json"))["policies"].values()
    rates = policy["adapts"].pop("rates")
    assert policy["adapts"] == {
        "kind": "steps", "parts": ["context"], "loss": "prediction", "fit": "exact", "experience": "trial",
        "window": 8, "steps": 1,
    }  # fmt: skip
    assert list(rates) == ["kind_context"] and 0.1 < rates["kind_context"] < 10.0
    shown = inspected("zoo:payoffs-cavia")
    for said in ("adapts after each episode", "prediction", "rate of kind_context"):
        assert said in shown
    (stepping,) = json.loads(inspected("zoo:payoffs-maml", "--json"))["policies"].values()
    assert (stepping["adapts"]["fit"], stepping["adapts"]["steps"]) == ("steps", 3)
    (latent,) = json.loads(inspected("zoo:payoffs-leo", "--json"))["policies"].values()
    assert latent["adapts"]["kind"] == "latent" and next(iter(latent["adapts"]["rates"])) == "latent"
    (plain,) = json.loads(inspected("zoo:payoffs-belief", "--json"))["policies"].values()
    assert plain["adapts"] is None and "adapts" not in inspected("zoo:payoffs-belief")


def test_a_team_without_an_episodic_memory(tmp_path: Path) -> None:
    path = saved(tmp_path / "team", "head")
    shown = CliRunner().invoke(team, ["inspect", path], catch_exceptions=False).stdout
    assert "infers by" in shown and "examples" not in shown


def test_a_team_is_exported_to_a_file_that_the_runtime_reads(tmp_path: Path) -> None:
    path = tmp_path / "collectors.onnx"
    done = CliRunner().invoke(team, ["export", saved(tmp_path / "team", "head"), "--out", str(path), "--json"])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record == {
        "path": str(path), "bytes": path.stat().st_size, "side": "gatherer", "rules": 0, "notes": [],
    }  # fmt: skip
    names = [one.name for one in onnxruntime.InferenceSession(path.read_bytes()).get_outputs()]
    assert names[:2] == ["logits", "known"]
