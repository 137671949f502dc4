"""A team is a folder: it keeps what it can do, runs no code, and refuses what does not fit."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from marl_meta.games import make_vec
from marl_meta.mind import Start
from marl_meta.nets.inputs import BeliefDesign, PolicyDesign, PolicyInputs
from marl_meta.team import SCHEMA_VERSION, Team, load_team
from marl_meta.types import UserError, VectorGame


def change_card(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    card = json.loads((folder / "team.json").read_text())
    change(card)
    (folder / "team.json").write_text(json.dumps(card))


def test_a_loaded_team_is_the_saved_one(team: Team, folder: Path) -> None:
    loaded = load_team(folder)
    assert (loaded.name, loaded.layout, loaded.designs) == (team.name, team.layout, team.designs)
    assert (loaded.plays, loaded.trained_on, loaded.adapters) == (team.plays, team.trained_on, {})
    assert loaded.path == folder
    for name, policy in team.policies.items():
        found = loaded.policies[name].state_dict()
        assert found.keys() == policy.state_dict().keys()
        assert all(torch.equal(found[key], tensor) for key, tensor in policy.state_dict().items())
        assert not any(parameter.requires_grad for parameter in loaded.policies[name].parameters())


def test_the_folder_of_a_run_will_do(team: Team, tmp_path: Path) -> None:
    team.save(tmp_path / "run" / "team")
    assert load_team(str(tmp_path / "run")).name == "first"


def test_saving_again_replaces_both_files_and_leaves_no_others(team: Team, folder: Path) -> None:
    replace(team, name="second").save(folder)
    assert load_team(folder).name == "second"
    assert sorted(path.name for path in folder.iterdir()) == ["team.json", "weights.safetensors"]


def test_loading_leaves_torchs_random_numbers_alone(folder: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    load_team(folder)
    assert torch.equal(torch.rand(3), expected)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (Path("exploded"), "")


def test_no_code_in_a_file_is_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for data in (pickle.dumps(Bomb()), b"import os", b""):
        (folder / "weights.safetensors").write_bytes(data)
        with pytest.raises(UserError, match="cannot be read as safetensors"):
            load_team(folder)
    torch.save(Bomb(), folder / "weights.safetensors")
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        load_team(folder)
    (folder / "team.json").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match="not a JSON file"):
        load_team(folder)
    assert not Path("exploded").exists()


@pytest.mark.parametrize("name", ["team.json", "weights.safetensors"])
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        load_team(folder)


@pytest.mark.parametrize("what", ["nothing", "a file", "an empty folder"])
def test_what_is_not_a_team(tmp_path: Path, what: str) -> None:
    place = tmp_path / "place"
    if what == "a file":
        place.write_text("{}")
    elif what == "an empty folder":
        place.mkdir()
    with pytest.raises(UserError, match="is not a team: a team is a folder with"):
        load_team(place)


@pytest.mark.parametrize("kept", [10, 200, -10])
def test_weights_cut_short(folder: Path, kept: int) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        load_team(folder)


def test_weights_that_do_not_fit(folder: Path) -> None:
    path = folder / "weights.safetensors"
    good = load_file(path)

    def refused(tensors: dict[str, torch.Tensor], key: str) -> None:
        save_file(tensors, path)
        with pytest.raises(UserError, match=f"weights of policy 'one'.*{key}"):
            load_team(folder)

    refused({**good, "one/actor.bias": torch.zeros(4)}, "actor.bias")
    refused({key: tensor for key, tensor in good.items() if key != "one/critic.weight"}, "critic.weight")
    refused({**good, "one/surprise": torch.zeros(1)}, "surprise")
    refused({**good, "one/actor.bias": torch.zeros(3, dtype=torch.int32)}, "actor.bias")
    refused({}, "")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers(folder: Path, value: float) -> None:
    path = folder / "weights.safetensors"
    tensors = load_file(path)
    tensors["two/actor.bias"][1] = value
    save_file(tensors, path)
    with pytest.raises(UserError, match=r"weights\.safetensors holds the tensor 'two/actor\.bias' with numbers that"):
        load_team(folder)


def test_a_team_of_no_numbers_is_not_saved(team: Team, folder: Path) -> None:
    before = (folder / "weights.safetensors").read_bytes()
    with torch.no_grad():
        team.policies["one"].actor.bias[0] = torch.nan
    with pytest.raises(UserError, match=r"The team 'first' is not saved in .*: its tensor 'one/actor\.bias'"):
        team.save(folder)
    assert (folder / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", ["surprise", "three/actor.bias", "one:adapter/value_scale", "one:belief/event.0.bias"])
def test_tensors_of_nothing_that_the_card_describes(folder: Path, name: str) -> None:
    path = folder / "weights.safetensors"
    save_file({**load_file(path), name: torch.zeros(2)}, path)
    with pytest.raises(UserError, match=rf"weights\.safetensors holds the tensor '{name}', which is of nothing"):
        load_team(folder)


@pytest.fixture
def knowing(tmp_path: Path) -> Path:
    """The folder of a team that infers hidden rules from examples, and remembers something."""
    layout = make_vec("harvest", num_games=1).layout
    belief = BeliefDesign(8, 4, read="matching", examples=16)
    unknowns = tuple(bound for bound in layout.hidden_rules if bound.rule == "agents_needed")
    design = PolicyDesign(8, 2, kinds=layout.kinds, unknowns=unknowns, belief=belief, recurrent=True)
    inputs = PolicyInputs(layout, design)
    net = inputs.build_belief()
    assert net is not None
    start = Start(torch.zeros(2, 8), torch.zeros(2, net.slots, net.memory))
    policies, plays = {"one": inputs.build_policy()}, {"gatherer": "one"}
    Team("keen", layout, {"one": design}, policies, plays, beliefs={"one": net}, starts={"one": start}).save(
        tmp_path / "keen"
    )
    return tmp_path / "keen"


EXAMPLES = "one:belief/heads.0.examples"
MEMORIES: dict[str, tuple[str, Callable[[torch.Tensor], torch.Tensor], str]] = {
    "evidence as doubles": ("one:start/evidence", torch.Tensor.double, "policy 'one' that does not fit.*: evidence"),
    "evidence as integers": ("one:start/evidence", torch.Tensor.long, "policy 'one' that does not fit.*: evidence"),
    "evidence of others": ("one:start/evidence", lambda held: held[:1].clone(), "does not fit its networks: evidence"),
    "state of another width": ("one:start/state", lambda held: held[:, :3].clone(), "not fit its networks: state"),
    "state of nobody": ("one:start/state", lambda held: held[:0].clone(), "does not fit its networks: state"),
    "evidence of no numbers": (
        "one:start/evidence",
        lambda held: held + torch.nan,
        "'one:start/evidence' with numbers",
    ),
    "truth out of range": (f"{EXAMPLES}.truth", lambda held: held + 2, "examples.truth' .*whole numbers from 0 to 1"),
    "truth in between": (f"{EXAMPLES}.truth", lambda held: held + 0.5, "examples.truth' with other numbers"),
    "less than nothing": (f"{EXAMPLES}.written", lambda held: held - 1, "examples.written' .*a number from 0 to"),
    "more than ever": (f"{EXAMPLES}.written", lambda held: held + 2**62, "examples.written' with other numbers"),
}


@pytest.mark.parametrize("name", MEMORIES)
def test_memories_that_do_not_fit(knowing: Path, name: str) -> None:
    load_team(knowing)
    path = knowing / "weights.safetensors"
    tensors = load_file(path)
    key, change, said = MEMORIES[name]
    save_file({**tensors, key: change(tensors[key])}, path)
    with pytest.raises(UserError, match=rf"^{path} holds .*{said}") as caught:
        load_team(knowing)
    assert "\n" not in str(caught.value)


def test_a_memory_with_more_than_it_has(knowing: Path) -> None:
    path = knowing / "weights.safetensors"
    save_file({**load_file(path), "one:start/hope": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="does not fit its networks: hope"):
        load_team(knowing)


def test_a_team_of_a_newer_version(folder: Path) -> None:
    change_card(folder, lambda card: card.update(schema_version=SCHEMA_VERSION + 1, more=[]))
    with pytest.raises(UserError, match=f"newer version of marl-meta .schema_version {SCHEMA_VERSION + 1}"):
        load_team(folder)


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "surprise": lambda card: card.update(surprise=1),
    "policies.one.surprise": lambda card: card["policies"]["one"].update(surprise=1),
    "layout.colours": lambda card: card["layout"].update(colours=[]),
    "name": lambda card: card.pop("name"),
    "schema_version": lambda card: card.update(schema_version="new"),
    "policies.one.hidden": lambda card: card["policies"]["one"].update(hidden=0),
    "policies.one.heads": lambda card: card["policies"]["one"].update(heads=-1),
    "policies.one.layers": lambda card: card["policies"]["one"].update(layers=0),
    "policies.one.hidden: .*16384": lambda card: card["policies"]["one"].update(hidden=10**10),
    "policies.one.layers: .*64": lambda card: card["policies"]["one"].update(layers=10**7),
    "policies.one.adapted": lambda card: card["policies"]["one"].update(adapted=10**12),
    "policies.one.slots": lambda card: card["policies"]["one"].update(slots=[10**12, 1]),
    "policies.one.critic": lambda card: card["policies"]["one"].update(critic="none"),
    "plays.players": lambda card: card["plays"].update(players="three"),
    "policies.one: ": lambda card: card["policies"]["one"].update(heads=3),
    "policies.two.kinds": lambda card: card["policies"]["two"].update(kinds=["player"]),
    "rule 'shift'": lambda card: card["layout"]["visible_rules"][-1].update(kinds=["dragon"]),
    "the whole file": lambda card: [card.pop(key) for key in list(card)],
}


@pytest.mark.parametrize("key", CHANGES)
def test_a_card_that_makes_no_sense(folder: Path, key: str) -> None:
    change_card(folder, CHANGES[key])
    with pytest.raises(UserError, match=r"team\.json.*" + key.replace("the whole file", "")) as caught:
        load_team(folder)
    assert "\n" not in str(caught.value)


def test_a_card_that_promises_more_than_memory_holds(folder: Path) -> None:
    change_card(folder, lambda card: card["policies"]["one"].update(hidden=16384, layers=64))
    with pytest.raises(UserError, match="weights of policy 'one'"):
        load_team(folder)


def test_a_card_that_is_a_list(folder: Path) -> None:
    (folder / "team.json").write_text("[1, 2]")
    with pytest.raises(UserError, match="is not a team card"):
        load_team(folder)


# flat encoders


def test_a_flat_team_is_saved_and_plays_games_up_to_its_size(
    recall: Callable[..., VectorGame], make_team: Callable[..., Team], tmp_path: Path
) -> None:
    game = recall()  # two players, one rival
    make_team(game.layout, slots=(2, 1)).save(tmp_path / "flat")
    team = load_team(tmp_path / "flat")
    assert team.designs["one"].slots == (2, 1)
    player = team.controller(game.layout, "players", seed=1)
    for rules, agents in (({"players": 2, "rivals": 1}, [0, 1]), ({"players": 1, "rivals": 1}, [0])):
        player.reset(4, np.array(agents))
        assert player.act(recall(rules=rules).reset().observation).shape == (4, len(agents))
    player.reset(4, np.array([0]))
    with pytest.raises(UserError, match="2 entities of kind 'rival': it was built for 1 at most"):
        player.act(recall(rules={"players": 1, "rivals": 2}).reset().observation)


def test_cards_from_before_there_were_flat_encoders(folder: Path) -> None:
    change_card(folder, lambda card: [design.pop("slots") for design in card["policies"].values()])
    assert load_team(folder).designs["one"].slots == ()


@pytest.mark.parametrize("slots", [[1], [1, 2, 3], [0, 0], [1, -1]])
def test_numbers_of_places_that_make_no_sense(folder: Path, slots: list[int]) -> None:
    change_card(folder, lambda card: card["policies"]["one"].update(slots=slots))
    with pytest.raises(UserError, match=r"team\.json is not a team card: policies\.one.*"):
        load_team(folder)
