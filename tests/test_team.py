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
from marl_meta.nets.inputs import InputStorage, PolicyDesign, PolicyInputs
from marl_meta.rollout import sample
from marl_meta.team import SCHEMA_VERSION, Team, load_team
from marl_meta.types import Layout, TeamLayout, UserError, VectorGame

RECALL = Path(__file__).parent / "recall"


def recall(**options: Any) -> VectorGame:
    rules = {"players": 2, "rivals": 1, "length": 3, "hides": True}
    return make_vec(RECALL, **{"num_games": 4, "rules": rules, "seed": 2, **options})


def make_team(layout: Layout, **design: Any) -> Team:
    chosen = PolicyDesign(
        **{"hidden": 8, "heads": 2, "kinds": layout.kinds, "rules": ("shift",), "critic": "central", **design}
    )
    torch.manual_seed(0)
    policies = {name: PolicyInputs(layout, chosen).build_policy() for name in ("one", "two")}
    for policy in policies.values():
        with torch.no_grad():
            policy.actor.weight.normal_()
    plays = {"players": "one", "rivals": "two"}
    return Team("first", layout, dict.fromkeys(policies, chosen), policies, plays, {"seed": 5})


@pytest.fixture
def team() -> Team:
    return make_team(recall().layout)


@pytest.fixture
def folder(team: Team, tmp_path: Path) -> Path:
    team.save(tmp_path / "team")
    return tmp_path / "team"


def change_card(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    card = json.loads((folder / "team.json").read_text())
    change(card)
    (folder / "team.json").write_text(json.dumps(card))


# the folder


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
    change_card(folder, lambda card: card["policies"]["one"].update(hidden=10**8))
    with pytest.raises(UserError, match="weights of policy 'one'"):
        load_team(folder)


def test_a_card_that_is_a_list(folder: Path) -> None:
    (folder / "team.json").write_text("[1, 2]")
    with pytest.raises(UserError, match="is not a team card"):
        load_team(folder)


# playing


@pytest.mark.parametrize("design", [{}, {"layers": 2}, {"recurrent": False}, {"trial_inputs": True}])
def test_a_controller_plays_as_the_policy_does(design: dict[str, Any]) -> None:
    game = recall(episodes_per_trial=2)
    team, agents = make_team(game.layout, **design), np.array([0, 1])
    player = team.controller(game.layout, "players", seed=11)
    player.reset(4, agents)
    policy, inputs = team.policies["one"], PolicyInputs(game.layout, team.designs["one"])
    generator, state = torch.Generator().manual_seed(11), policy.initial_state(8)
    starts, context = torch.ones(8, dtype=torch.bool), np.zeros((4, 2, inputs.context_width), np.float32)
    step = game.reset(2)
    for _ in range(14):  # two trials of two episodes of three steps, and some
        storage = InputStorage(inputs, 1, (4, 3, 3), agents, shared_view=True)
        storage.write(0, step.observation, context)
        read = storage.read(slice(0, 1))
        with torch.no_grad():
            output = policy(read.graph, state, starts[None], read.action_mask, read.full)
        expected, state = sample(output.logits[0], generator).view(4, 2), output.state
        actions = player.act(step.observation)
        np.testing.assert_array_equal(actions, expected)
        step = game.step(np.concatenate([actions, np.zeros((4, 1), np.int64)], 1))
        player.observe(step)
        if inputs.context_width:
            context[..., :3] = np.eye(3)[actions]
            context[..., 3] = step.reward[:, :2]
            context[..., 4] = step.game_over[:, None]
            context[step.trial_over] = 0.0
        starts = torch.from_numpy(np.repeat(step.trial_over, 2))


def play(game: VectorGame, player: Any, steps: int, agents: tuple[int, ...] = (0, 1)) -> list[Any]:
    played, step = [], game.reset(2)
    for _ in range(steps):
        actions = np.zeros((4, 3), np.int64)
        actions[:, agents] = player.act(step.observation)
        played.append(actions)
        step = game.step(actions)
        player.observe(step)
    return played


def test_deterministic_play_takes_the_likeliest_action(team: Team) -> None:
    first, second = (team.controller(team.layout, "players", seed=seed, deterministic=True) for seed in (1, 2))
    for player in (first, second):
        player.reset(4, np.array([0, 1]))
    np.testing.assert_array_equal(play(recall(), first, 8), play(recall(), second, 8))


def test_sampled_play_follows_the_seed_and_reset_starts_afresh(team: Team) -> None:
    first, second = (team.controller(team.layout, "players", seed=seed) for seed in (1, 2))
    for player in (first, second):
        player.reset(4, np.array([0, 1]))
    played = play(recall(), first, 8)
    assert (np.stack(played) != np.stack(play(recall(), second, 8))).any()
    first.reset(4, np.array([0, 1]))
    np.testing.assert_array_equal(play(recall(), first, 8), played)


def test_a_controller_goes_on_from_a_snapshot() -> None:
    game = recall()
    team = make_team(game.layout, trial_inputs=True)
    player, resumed = (team.controller(game.layout, "players", seed=seed) for seed in (1, 9))
    for one in (player, resumed):
        one.reset(4, np.array([0, 1]))
    play(game, player, 4)  # in the middle of an episode
    step = game.restore(game.snapshot())
    snapshot = {name: array.copy() for name, array in player.snapshot().items()}
    resumed.restore(snapshot)
    for _ in range(5):
        actions = player.act(step.observation)
        np.testing.assert_array_equal(actions, resumed.act(step.observation))
        step = game.step(np.concatenate([actions, actions[:, :1]], 1))
        player.observe(step)
        resumed.observe(step)


def test_it_sees_no_more_than_its_own_agents_may(team: Team) -> None:
    game = recall()
    shown = game.reset().observation
    private = shown.private.copy()
    private[:, 2] += 5.0
    actions = []
    for observation in (shown, replace(shown, private=private)):
        player = team.controller(game.layout, "players", deterministic=True)
        player.reset(4, np.array([0, 1]))
        actions.append(player.act(observation))
        assert torch.isfinite(torch.from_numpy(player.snapshot()["state"])).all()
    np.testing.assert_array_equal(actions[0], actions[1])


def test_it_plays_numbers_of_agents_that_it_never_met(team: Team) -> None:
    game = recall(rules={"players": 3, "rivals": 3})
    player = team.controller(game.layout, "rivals")
    player.reset(4, np.array([3, 4, 5]))
    assert player.act(game.reset().observation).shape == (4, 3)


# what it may play


def test_who_plays_whom_goes_by_name_and_then_by_role(team: Team) -> None:
    assert team.policy_for(TeamLayout("rivals", "player")) == "two"
    assert team.policy_for(TeamLayout("reds", "rival")) == "two"
    assert team.policy_for(TeamLayout("reds", "player")) == "one"
    with pytest.raises(UserError, match=r"cannot play 'reds' \(role 'goalkeeper'\).*\['players', 'rivals'\]"):
        team.policy_for(TeamLayout("reds", "goalkeeper"))


def test_a_team_that_the_game_does_not_have(team: Team) -> None:
    with pytest.raises(UserError, match=r"no team 'reds'; its teams are \['players', 'rivals'\]"):
        team.controller(team.layout, "reds")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kinds": ("player", "rival", "dragon")}, r"\['dragon'\] that it does not know"),
        ({"visible_rules": ()}, r"no visible rules \['shift'\]"),
        ({"entity_features": ("x",)}, "entity features"),
        ({"private_features": ("x",)}, "private features"),
        ({"actions": ("a", "b")}, "2 actions .it plays 3"),
    ],
)
def test_games_that_it_cannot_read(team: Team, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        team.controller(replace(team.layout, **change), "players")


def test_a_game_with_fewer_kinds_is_no_problem(team: Team) -> None:
    game = recall(rules={"players": 2})
    rules = tuple(replace(bound, kinds=("player",)) for bound in game.layout.visible_rules)
    player = team.controller(replace(game.layout, kinds=("player",), visible_rules=rules), "players")
    player.reset(4, np.array([0, 1]))
    assert player.act(game.reset().observation).shape == (4, 2)
