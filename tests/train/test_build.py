"""From a config to games, learners and other players."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from marl_meta.config import Config, TeamConfig, load_config
from marl_meta.games import load_family
from marl_meta.team import load_team
from marl_meta.train import train
from marl_meta.train.build import Cast, assemble, fixed_player, open_games, resolve, varying_rules
from marl_meta.train.gradient import GradientLearner
from marl_meta.train.learner import Learner
from marl_meta.train.seeds import mixed_seed
from marl_meta.train.trainer import Trainer
from marl_meta.types import UserError

Overrides = Callable[..., list[str]]

RECALL = Path(__file__).parents[1] / "recall"
GUESS = Path(__file__).parents[1] / "guess"
BOTH = "{players: 2, rivals: 2}"


def config_of(lines: list[str]) -> Config:
    return resolve(load_config(lines))


def cast_of(lines: list[str]) -> Cast:
    return assemble(config_of(lines))


# shares of the games


@pytest.mark.parametrize("game", [RECALL, "spread"])
def test_shares_play_as_one_batch_would(overrides: Overrides, game: str | Path) -> None:
    settings = {"game__split": "train", "game__episodes_per_trial": 2}
    whole = open_games(config_of(overrides(game=game, train__threads=1, **settings)))[0]
    shares = open_games(config_of(overrides(game=game, train__threads=4, **settings)))
    assert [share.num_games for share in shares] == [2, 2, 1, 1]
    steps = [share.reset() for share in shares]
    step = whole.reset()
    actions = np.random.default_rng(0).integers(3, size=(60, 6, whole.num_agents))
    for played in actions:
        for name in ("private", "rules", "present"):
            together = np.concatenate([getattr(one.observation, name) for one in steps])
            np.testing.assert_array_equal(together, getattr(step.observation, name))
        parts = np.split(played, [2, 4, 5])
        steps = [share.step(part) for share, part in zip(shares, parts, strict=True)]
        step = whole.step(played)
        np.testing.assert_array_equal(np.concatenate([one.reward for one in steps]), step.reward)


def test_what_depends_on_the_machine_is_written_out(overrides: Overrides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert config_of(overrides(train__threads=0)).train.threads == 1  # six games are too few to be shared
    assert config_of(overrides(train__threads=0, game__num_games=64)).train.threads == 4
    assert config_of(overrides(train__threads=0, game__num_games=1000)).train.threads == 8
    assert config_of(overrides(train__threads=3)).train.threads == 3
    assert config_of(overrides(train__threads=9)).train.threads == 6  # no more than there are games
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert config_of(overrides(train__threads=0, game__num_games=1000)).train.threads == 2
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert config_of(overrides(train__device="auto")).train.device == "cpu"
    with pytest.raises(UserError, match=r"train\.device is cuda, but .* allowed is cpu or auto"):
        config_of(overrides(train__device="cuda"))


def test_seeds_of_parts_are_apart() -> None:
    seeds = {mixed_seed(seed, part, side) for seed in range(20) for part in range(20) for side in range(2)}
    assert len(seeds) == 800


# who learns


def test_every_team_learns_with_a_learner_of_its_own(overrides: Overrides) -> None:
    cast = cast_of(overrides(game__rules=BOTH))
    assert list(cast.learners) == ["players", "rivals"]
    assert cast.learners["rivals"].agents.tolist() == [2, 3]
    one, other = (cast.learners[name].policy.actor.weight for name in ("players", "rivals"))
    assert not torch.equal(one, other)
    assert [list(collector.seats) for collector in cast.collectors] == [["players", "rivals"]] * 2


def test_learners_can_be_named_and_shared(overrides: Overrides) -> None:
    named = cast_of(overrides(game__rules=BOTH, teams__rivals__learner="blue"))
    assert list(named.learners) == ["players", "blue"]
    shared = cast_of(overrides(game__rules=BOTH, teams__rivals__learner="players"))
    assert list(shared.learners) == ["players"]
    assert shared.learners["players"].teams == ("players", "rivals")
    assert shared.learners["players"].agents.tolist() == [0, 1, 2, 3]


def test_initial_weights_leave_torchs_random_numbers_alone(overrides: Overrides) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    cast_of(overrides())
    assert torch.equal(torch.rand(3), expected)


def test_a_policy_reads_the_visible_rules_that_its_split_varies(overrides: Overrides) -> None:
    family = load_family(RECALL)
    assert set(varying_rules(family, "train")) == {"players", "shift"}
    assert varying_rules(family, "held_out") == ("players",)
    assert varying_rules(family, None) == ()
    learner = cast_of(overrides(game__split="train")).learners["players"]
    assert set(learner.design.rules) == {"players", "shift"}
    assert set(learner.design.rules) <= set(learner.inputs.features.node_names)


def test_a_flat_encoder_has_a_place_for_all_that_its_games_have(overrides: Overrides) -> None:
    graph, flat = (cast_of(overrides(game__split="train", policy__encoder=name)) for name in ("graph", "flat"))
    assert graph.learners["players"].design.slots == ()
    assert flat.learners["players"].design.slots == (2, 0)  # players and rivals, in the largest variant
    harvest = cast_of(overrides(game="harvest", game__split="payoffs_train", policy__encoder="flat"))
    assert harvest.learners["gatherer"].design.slots == (4, 0, 3, 3, 3)


@pytest.mark.parametrize("meta", ["belief", "episodic", "rl2", "oracle"])
def test_a_flat_encoder_comes_to_know_the_rules_in_every_way(overrides: Overrides, meta: str) -> None:
    changes = {"game": GUESS, "game__split": "train", "train__steps": 480, "train__horizon": 12}
    folder = train(overrides(meta=meta, policy__encoder="flat", **changes), quiet=True).folder
    team = load_team(folder)
    assert team.designs["players"].slots == (2, 0)
    assert ("players" in team.beliefs) == (meta in ("belief", "episodic"))
    again = train(overrides("again", meta=meta, policy__encoder="flat", **changes), quiet=True).folder
    assert (folder / "metrics.jsonl").read_bytes() == (again / "metrics.jsonl").read_bytes()


def test_a_learner_starts_from_a_saved_team(overrides: Overrides) -> None:
    saved = train(overrides("saved", game__rules=BOTH), quiet=True).folder
    cast = cast_of(overrides(game__rules=BOTH, teams__rivals__team=saved))
    expected = load_team(saved).policies["rivals"].state_dict()
    found = cast.learners["rivals"].policy.state_dict()
    assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())
    assert all(parameter.requires_grad for parameter in cast.learners["rivals"].policy.parameters())


def test_a_saved_team_says_values_in_the_games_units(overrides: Overrides) -> None:
    cast = cast_of(overrides(game__rules=BOTH))
    learner = cast.learners["rivals"]
    head = learner.policy.critic
    learner.normaliser.update(torch.tensor([10.0, 20.0, 40.0]), torch.ones(3), head)
    centre, scale = learner.normaliser.centre(), learner.normaliser.scale()
    saved = learner.portable().critic
    torch.testing.assert_close(saved.weight, head.weight * scale)
    torch.testing.assert_close(saved.bias, head.bias * scale + centre)
    assert not torch.equal(saved.weight, head.weight)  # the learner's own stays in its own units


@pytest.mark.parametrize("meta", ["belief", "cavia"])
def test_what_a_saved_team_infers_or_adapts_by_is_where_a_learner_starts(overrides: Overrides, meta: str) -> None:
    changes = {"game": GUESS, "meta": meta, "game__split": "train", "train__steps": 480, "train__horizon": 12}
    saved = train(overrides("saved", **changes), quiet=True).folder
    fresh, begun = cast_of(overrides(**changes)), cast_of(overrides(**changes, teams__players__team=saved))

    def state(learner: Learner | GradientLearner) -> dict[str, Tensor]:
        module = learner.adapter if meta == "cavia" else learner.belief
        assert module is not None
        return module.state_dict()

    team = load_team(saved)
    expected = (team.adapters if meta == "cavia" else team.beliefs)["players"].state_dict()
    found = state(begun.learners["players"])
    assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())
    assert not all(torch.equal(state(fresh.learners["players"])[key], tensor) for key, tensor in expected.items())


@pytest.mark.parametrize(("taught", "goes_on"), [("oracle", "belief"), ("belief", "oracle")])
def test_who_was_told_the_rules_is_where_a_team_that_infers_them_may_start(
    overrides: Overrides, taught: str, goes_on: str
) -> None:
    changes = {"game": GUESS, "game__split": "train", "train__steps": 480, "train__horizon": 12}
    saved = train(overrides("saved", **changes, meta=taught), quiet=True).folder
    learner = cast_of(overrides(**changes, meta=goes_on, teams__players__team=saved)).learners["players"]
    expected = load_team(saved).policies["players"].state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in learner.policy.state_dict().items())
    assert (learner.belief is not None) == (goes_on == "belief")


def test_beliefs_of_another_kind_are_no_start(overrides: Overrides) -> None:
    changes = {"game": GUESS, "meta": "belief", "game__split": "train", "train__steps": 480, "train__horizon": 12}
    saved = train(overrides("saved", **changes), quiet=True).folder
    with pytest.raises(UserError, match=r"cannot start from .*saved.*policy has belief=.*memory=32.*memory=16"):
        cast_of(overrides(**changes, meta__belief__memory=16, teams__players__team=saved))


def test_a_learner_does_not_start_from_a_team_that_adapts_otherwise(overrides: Overrides) -> None:
    changes = {"game": GUESS, "meta": "cavia", "game__split": "train", "train__steps": 480, "train__horizon": 12}
    saved = train(overrides("saved", **changes), quiet=True).folder
    with pytest.raises(
        UserError, match=r"cannot start from .*saved: that team adapts by steps=5, this run's by steps=2\.$"
    ):
        cast_of(overrides(**changes, meta__gradient__steps=2, teams__players__team=saved))


def test_hidden_rules_that_others_found_out_are_called_by_their_names(overrides: Overrides) -> None:
    changes = {"game": "harvest", "meta": "oracle", "train__horizon": 5}
    saved = train(overrides("saved", **changes, game__split="train", train__steps=30), quiet=True).folder
    said = r"unknowns=\[collision_sign, control, payoff, agents_needed\], this run's unknowns=\[payoff\]\.$"
    with pytest.raises(UserError, match=said):
        cast_of(overrides(**changes, game__split="payoffs_train", teams__gatherer__team=saved))


def test_a_team_that_does_not_fit_is_no_start(overrides: Overrides) -> None:
    saved = train(overrides("saved", game__rules=BOTH), quiet=True).folder
    with pytest.raises(UserError, match=r"cannot start from .*saved.*hidden=8.*hidden=16"):
        cast_of(overrides(game__rules=BOTH, policy__hidden=16, teams__rivals__team=saved))
    both = {"teams__players__team": saved, "teams__rivals__team": saved / "team", "teams__rivals__learner": "players"}
    with pytest.raises(UserError, match="'players' cannot start from several teams"):
        cast_of(overrides(game__rules=BOTH, **both))
    with pytest.raises(UserError, match="cannot play this game"):
        cast_of(overrides(game="spread", policy__hidden=8, teams__agent__team=_renamed(saved)))


def _renamed(folder: Path) -> Path:
    """Return the folder of a team that says it plays spread's agents, which it has never met."""
    card = json.loads((folder / "team" / "team.json").read_text())
    card["plays"] = {"agent": "players"}
    (folder / "team" / "team.json").write_text(json.dumps(card))
    return folder


# who does not


def test_two_players_of_one_sort_do_not_move_in_step(overrides: Overrides) -> None:
    config = config_of(overrides(game__rules=BOTH, game__num_games=200))
    game = open_games(config)[0]
    shown, played = game.reset().observation, []
    for name, agents, share in (("players", [0, 1], 0), ("rivals", [2, 3], 0), ("players", [0, 1], 1)):
        player = fixed_player(config, game.layout, name, TeamConfig(controller="random"), share)
        player.reset(game.num_games, np.array(agents))
        played.append(player.act(shown))
    assert (played[0] != played[1]).mean() > 0.5
    assert (played[0] != played[2]).mean() > 0.5


def test_a_script_plays_the_roles_that_it_is_made_for(overrides: Overrides) -> None:
    config = config_of(overrides(game="tag"))
    layout = open_games(config)[0].layout
    prey = layout.teams[1].name
    fixed_player(config, layout, prey, TeamConfig(controller="scripted", scripted="flee"), 0)
    with pytest.raises(UserError, match=rf"teams\.{prey}\.scripted is 'chase', which plays adversary; .* role is prey"):
        fixed_player(config, layout, prey, TeamConfig(controller="scripted", scripted="chase"), 0)


@pytest.mark.parametrize(
    "opponent",
    [
        {"teams__prey__controller": "random"},
        {"teams__prey__controller": "scripted", "teams__prey__scripted": "flee"},
        {},
        {"teams__prey__learner": "adversary"},
    ],
)
def test_both_sides_of_tag(overrides: Overrides, opponent: dict[str, Any], read_lines: Callable[..., Any]) -> None:
    rules = {"game__rules": "{episode_length: 4}", "train__steps": 24 * 3}
    folder = train(overrides(game="tag", **rules, **opponent), quiet=True).folder
    line = read_lines(folder / "metrics.jsonl")[-1]
    learners = {key.partition("/")[0] for key in line if key.endswith("/policy_loss")}
    learns = "teams__prey__controller" not in opponent and "teams__prey__learner" not in opponent
    assert learners == ({"adversary", "prey"} if learns else {"adversary"})
    assert line["return/adversary"] is not None
    assert line["return/prey"] is not None
    frozen = {"teams__prey__controller": "frozen", "teams__prey__team": folder}
    if "teams__prey__controller" not in opponent:
        train(overrides("next", game="tag", **rules, **frozen), quiet=True)
    else:
        with pytest.raises(UserError, match=r"cannot play 'prey' .role 'prey'.*\['adversary'\]"):
            train(overrides("next", game="tag", **rules, **frozen), quiet=True)


@pytest.mark.parametrize(
    ("game", "schema", "kwargs", "teams"),
    [
        ("simple_spread_v3", "simple_spread", "{N: 2, max_cycles: 4}", {"agent"}),
        ("simple_tag_v3", "simple_tag", "{num_adversaries: 2, max_cycles: 4}", {"adversary", "prey"}),
        ("simple_speaker_listener_v4", "null", "{max_cycles: 4}", {"speaker", "listener"}),
        ("simple_world_comm_v3", "simple_world_comm", "{max_cycles: 4}", None),
    ],
)
def test_any_pettingzoo_game_trains(
    overrides: Overrides,
    read_lines: Callable[..., Any],
    game: str,
    schema: str,
    kwargs: str,
    teams: set[str] | None,
) -> None:
    settings = {"entry_point": f"mpe2.{game}:parallel_env", "kwargs": kwargs, "num_games": 2, "schema": schema}
    changes = {f"game__{key}": value for key, value in settings.items()}
    folder = train(overrides(game="pettingzoo", train__steps=24, **changes), quiet=True).folder
    lines = read_lines(folder / "metrics.jsonl")
    assert len(lines) == 3
    found = {key.partition("/")[2] for key in lines[-1] if key.startswith("return/")}
    assert teams is None or found == teams
    assert all(lines[-1][f"return/{team}"] is not None for team in found)
    assert {team.name for team in load_team(folder).layout.teams} == found


@pytest.mark.parametrize("third_party", [False, True])
def test_a_team_infers_where_nobody_knows_the_rules(overrides: Overrides, third_party: bool) -> None:
    changes: dict[str, Any] = {"game": GUESS, "game__split": "train"}
    if third_party:
        settings = {"entry_point": "mpe2.simple_spread_v3:parallel_env", "kwargs": "{N: 2, max_cycles: 4}"}
        changes = {f"game__{key}": value for key, value in settings.items()}
        changes |= {"game": "pettingzoo", "game__num_games": 2, "game__schema": "simple_spread"}
    changes |= {"meta": "varibad", "meta__belief__latents": 2, "train__steps": 96, "game__episodes_per_trial": 2}
    team = load_team(train(overrides(**changes), quiet=True).folder)
    ((name, belief),) = [(name, belief) for name, belief in team.beliefs.items() if belief is not None][:1]
    assert belief.outcomes is not None
    assert {bound.rule for bound in team.designs[name].unknowns} == {"latent_0", "latent_1"}


def test_nobody_tells_a_team_latents(overrides: Overrides) -> None:
    with pytest.raises(UserError, match=r"meta\.tell must be never for meta=varibad"):
        cast_of(overrides(game=GUESS, game__split="train", meta="varibad", meta__tell="first"))


def test_who_cannot_guess_rules(overrides: Overrides) -> None:
    said = r"meta\.auxiliary needs hidden rules that differ between variants: game\.split must"
    with pytest.raises(UserError, match=said):
        cast_of(overrides(meta__auxiliary=0.5))


def test_returns_are_means_over_the_games_in_which_a_team_plays(overrides: Overrides) -> None:
    config = config_of(overrides(game__rules="{players: 2, rivals: 1, pays: always, length: 3}", train__horizon=3))
    cast = assemble(config)
    trainer = Trainer(config, None, cast)  # type: ignore[arg-type]
    totals = cast.collectors[0].collect(3)[1]
    for row in totals.returns[1:]:
        row[2] = np.nan  # no rivals in these games
    totals.returns[0][0] = 5.0
    metrics = trainer._returns([totals])
    assert metrics["episodes"] == 3
    assert metrics["return/rivals"] == metrics["return_sum/rivals"] == 3.0
    assert metrics["return/players"] == pytest.approx((4.0 + 3.0 + 3.0) / 3)
    assert metrics["return_sum/players"] == pytest.approx((8.0 + 6.0 + 6.0) / 3)
    trainer.workers.close()


@pytest.mark.parametrize(
    ("meta", "remedy"),
    [
        ("rl2", "meta.tell=never leaves it to memory"),
        ("belief", "meta=varibad or meta=rl2 meta.tell=never"),
        ("episodic", "meta=varibad or meta=rl2 meta.tell=never"),
        ("oracle", "meta=varibad or meta=rl2 meta.tell=never"),
        ("cavia", "meta.tell=never meta.gradient.context=8"),
    ],
)
def test_what_to_do_where_nobody_knows_the_rules(overrides: Overrides, meta: str, remedy: str) -> None:
    changes: dict[str, Any] = {"game__entry_point": "mpe2.simple_spread_v3:parallel_env", "game__kwargs": "{N: 2}"}
    with pytest.raises(
        UserError, match=rf"meta={meta} needs hidden rules.*, or, where nobody knows .*{re.escape(remedy)}"
    ):
        cast_of(overrides(game="pettingzoo", meta=meta, **changes))
    if meta == "rl2":
        cast_of(overrides(game="pettingzoo", meta=meta, meta__tell="never", **changes))
