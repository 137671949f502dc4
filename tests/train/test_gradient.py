"""Learners that adapt by gradients: whole runs, what they leave behind, and what they say to bad settings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from marl_meta.config import load_config
from marl_meta.evaluate import evaluate
from marl_meta.evaluate.adapting import adapt
from marl_meta.evaluate.play import play
from marl_meta.games import make_vec
from marl_meta.meta.controller import GradientController
from marl_meta.team import load_team
from marl_meta.train import resume, train
from marl_meta.train.build import assemble, resolve
from marl_meta.train.trials import Trials
from marl_meta.types import UserError

Overrides = Callable[..., list[str]]

LEARNERS = ("cavia", "maml", "anil", "partial", "reptile", "leo")
EACH = pytest.mark.parametrize("name", LEARNERS)
HORIZON, GAMES = 8, 4
SETTINGS: dict[str, Any] = {
    "game": "harvest",
    "game__rules": "{gatherers: 2, objects_per_kind: 1, object_size: 0.2, episode_length: 4}",
    "game__num_games": GAMES,
    "game__episodes_per_trial": 2,
    "meta__gradient__predictor": 8,
    "train__horizon": HORIZON,
    "train__steps": 3 * GAMES * HORIZON,
    "algorithm__schedule": "constant",
    "algorithm__entropy": 0.01,
    "algorithm__entropy_final": 0.01,
}


UNTOLD: dict[str, Any] = {"meta__tell": "never", "meta__gradient__context": 3}
"""Where the rules are one variant's, and nobody is told them."""
PLAIN: dict[str, Any] = {
    "meta__tell": "never",
    "meta__gradient__inner": "policy",
    "meta__gradient__experience": "episode",
    "meta__gradient__steps": 1,
    "meta__gradient__order": "second",
    "algorithm__epochs": 4,
    "algorithm__minibatches": 4,
    "algorithm__value_weight": 0.2,
    "algorithm__schedule": "linear",
}
"""Steps by the policy's gradient alone."""
REPTILE: dict[str, Any] = {
    "meta__gradient__steps": 3,
    "meta__gradient__order": "first",
    "meta__gradient__rate": 1.0,
    "algorithm__learning_rate": 1e-3,
    "train__steps": 16 * 16 * 40,
}


def settings(name: str, **changes: Any) -> dict[str, Any]:
    return {"meta": name, **SETTINGS, **(UNTOLD if name in LEARNERS else {}), **changes}


@EACH
def test_a_run_goes_on_as_it_was(overrides: Overrides, name: str) -> None:
    whole = train(overrides("whole", **settings(name, train__steps=4 * GAMES * HORIZON)), quiet=True)
    half = train(overrides("half", **settings(name, train__steps=2 * GAMES * HORIZON)), quiet=True)
    result = resume(half.folder, [f"train.steps={4 * GAMES * HORIZON}"], quiet=True, trust=True)
    assert (whole.folder / "metrics.jsonl").read_bytes() == (result.folder / "metrics.jsonl").read_bytes()
    lines = [json.loads(line) for line in (whole.folder / "metrics.jsonl").read_text().splitlines()]
    assert {"gatherer/return_ep1", "gatherer/return_ep2", "gatherer/gradient_norm"} <= set(lines[0])


@EACH
def test_a_flat_encoder_learns_to_adapt_too(overrides: Overrides, name: str) -> None:
    """Parts that only the graph has cannot be adapted; context on kinds of entity, heads and norms can."""
    folder = train(overrides(**settings(name, policy__encoder="flat")), quiet=True).folder
    found = evaluate(folder, rules={"gatherers": 2, "objects_per_kind": 1, "episode_length": 4}, games_per_variant=2)
    assert found.record()["teams"][0]["team"] == "run"


@pytest.mark.parametrize("name", ["cavia", "anil", "leo", "finetune"])
def test_boards_are_learnt_and_adapted_to(overrides: Overrides, name: str) -> None:
    rules = "{height: 3, width: 3, in_a_row: 3}"
    chosen = settings(name, game="connect", policy="board", game__rules=rules, policy__hidden=16, train__horizon=40)
    both = {"teams__first__learner": "both", "teams__second__learner": "both", "train__steps": 2 * 40 * GAMES}
    folder = train(overrides(**{**chosen, **both}), quiet=True).folder
    found = evaluate(folder, rules={"height": 4, "width": 3, "in_a_row": 3}, episodes=2, games_per_variant=2)
    assert found.record()["teams"][0]["team"] == "run"
    assert load_team(folder).adapters["both"].plan.kind == {"leo": "latent", "finetune": "finetune"}.get(name, "steps")


@pytest.mark.parametrize("name", [*LEARNERS, "finetune", "scratch"])
def test_the_saved_team_adapts_when_it_plays(overrides: Overrides, name: str) -> None:
    horizon = {} if name in LEARNERS else {"train__steps": 1}
    folder = train(overrides(**settings(name, **horizon)), quiet=True).folder
    card = json.loads((folder / "team" / "team.json").read_text())
    assert card["adapter"]["gatherer"]["kind"] == {"leo": "latent", "finetune": "finetune", "scratch": "finetune"}.get(
        name, "steps"
    )
    team = load_team(folder)
    before = {key: value.clone() for key, value in team.policies["gatherer"].state_dict().items()}
    assert isinstance(team.controller(team.layout), GradientController)
    found = evaluate(folder, rules={"episode_length": 4}, game="harvest", episodes=2, games_per_variant=2)
    assert found.record()["teams"][0]["team"] == "run"
    assert all(torch.equal(team.policies["gatherer"].state_dict()[key], value) for key, value in before.items())


def test_an_adapted_team_starts_where_it_got_to(overrides: Overrides, tmp_path: Path) -> None:
    folder = train(overrides(**settings("anil")), quiet=True).folder
    found = adapt(folder, rules={"episode_length": 6}, episodes=2)
    found.team.save(tmp_path / "adapted")
    adapted, team = load_team(tmp_path / "adapted"), load_team(folder)
    heads = [one.policies["gatherer"].actor.weight for one in (team, adapted)]
    bodies = [one.policies["gatherer"].encoder.input.weight for one in (team, adapted)]
    assert not torch.equal(*heads)
    assert torch.equal(*bodies)


@pytest.mark.parametrize("clock", [False, True])
def test_who_sees_the_time_expects_nothing_beyond_the_end(overrides: Overrides, clock: bool) -> None:
    config = resolve(load_config(overrides(**settings("anil", policy__clock=clock))))
    (trials,) = assemble(config).collectors[0].collect(HORIZON)[0].values()
    assert isinstance(trials, Trials)
    assert torch.allclose(trials.target[:, -1, -1], trials.lived.reward[:, -1, -1], atol=1e-6) == clock
    assert not torch.allclose(trials.target[:, 0, -1], trials.lived.reward[:, 0, -1])  # the next episode follows


def test_rules_are_told_first(overrides: Overrides) -> None:
    chosen = settings("cavia", game__rules="{}", game__split="train", meta__tell="first", meta__tell_steps=64)
    chosen |= {"train__horizon": 50, "train__steps": 600}
    folder = train(overrides(**chosen), quiet=True).folder
    team = load_team(folder)
    assert team.designs["gatherer"].unknowns
    found = evaluate(folder, split="held_out", episodes=2, games_per_variant=2)
    assert found.record()["teams"]


def test_latents_are_drawn_in_training(overrides: Overrides) -> None:
    def first(noise: float) -> dict[str, float]:
        chosen = settings("leo", meta__gradient__latent_noise=noise)
        folder = train(overrides(f"noise{noise:g}", **chosen), quiet=True).folder
        line: dict[str, float] = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
        return line

    drawn, still = first(1.0), first(0.0)
    assert drawn["gatherer/return_ep2"] == still["gatherer/return_ep2"]  # who plays does so by the means
    assert drawn["gatherer/prediction_loss"] != still["gatherer/prediction_loss"]


def test_latents_are_kept_in_order(overrides: Overrides) -> None:
    def run(**weights: float) -> list[dict[str, float]]:
        chosen = {f"meta__gradient__{key}": value for key, value in weights.items()}
        name = "_".join(weights) or "free"
        folder = train(overrides(name, **settings("leo", **chosen)), quiet=True).folder
        return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]

    free = run()
    assert [line["gatherer/latent_cost"] for line in free] == [0.0, 0.0, 0.0]
    for name in ("latent_kl", "latent_penalty", "orthogonality"):
        costs = [line["gatherer/latent_cost"] for line in run(**{name: 1.0})]
        assert min(costs) > 0.0, name
        assert name == "latent_penalty" or costs[-1] < costs[0]  # inner steps may come to lead further


RECALL = Path(__file__).parents[1] / "recall"
GUESS = Path(__file__).parents[1] / "guess"
QUICK: dict[str, Any] = {
    "game__rules": "{length: 8, hides: true, lasts: trial}",
    "game__num_games": 16,
    "game__episodes_per_trial": 2,
    "policy__hidden": 16,
    "policy__recurrent": "none",
    "algorithm__learning_rate": 1e-2,
    "algorithm__gamma": 0.5,
    "train__horizon": 16,
    "train__steps": 16 * 16 * 30,
    "train__threads": 1,
    "train__checkpoint_iterations": 0,
}


def test_guessing_the_rules_is_an_auxiliary_task_of_theirs_too(overrides: Overrides) -> None:
    changes = {"game": GUESS, "game__split": "train", "game__rules": "{}", "train__horizon": 8, "meta": "cavia"}
    changes |= {"train__steps": 16 * 8 * 30, "meta__tell_steps": 10**6}  # features of who is told hold the truth
    run = train(overrides("asked", **(QUICK | changes), meta__auxiliary=1.0), quiet=True).folder
    losses = [json.loads(line)["players/auxiliary_loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert abs(losses[0] - math.log(3)) < 0.4  # nats, of three values
    assert losses[-1] < 0.5 * math.log(3)
    with_policy = load_team(run).policies["players"]
    assert with_policy.guess is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("cavia", UNTOLD),
        ("leo", UNTOLD),
        ("anil", UNTOLD),
        ("maml", UNTOLD),
        ("anil", {**PLAIN, "meta__gradient__adapt": "[policy_head]", "meta__gradient__rate": 1.0}),
        (
            "partial",
            {
                **PLAIN,
                "meta__gradient__adapt": "[edges_norms_heads]",
                "meta__gradient__rate": 0.3,
                "algorithm__learning_rate": 5e-3,
            },
        ),
        ("reptile", {**PLAIN, **REPTILE}),
    ],
)
def test_it_learns_to_find_out_what_no_observation_says(
    overrides: Overrides, name: str, changes: dict[str, Any]
) -> None:
    """A word is shown in a trial's first step alone; what pays in the first episode says it for the next."""
    folder = train(overrides(**{**QUICK, "meta": name, **changes}), quiet=True).folder
    rules = {"length": 8, "hides": True, "lasts": "trial"}
    game = make_vec(RECALL, num_games=64, rules=rules, seed=9, episodes_per_trial=3)
    players = {"players": load_team(folder).controller(game.layout, seed=3)}
    first, second, third = play(game, players, 1, 1, 3).earned["players"].total.mean((0, 1))
    assert first < 4.5  # the word that was shown, and one in three of the others
    assert second > first + 1.0
    assert third > first + 1.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train__horizon": 7}, r"train\.horizon is 7, in which no trial ends that began in it"),
        ({"policy__critic": "central"}, r"policy\.critic must be own"),
        (
            {"policy__critic": "told"},
            r"policy\.critic=told needs hidden rules that differ between variants: game\.split must",
        ),
        ({"meta__gradient__adapt": "[actr]"}, r"No parameter is called 'actr'.* policy_head"),
        ({"meta__gradient__context": 0}, r"meta\.gradient\.context must be above 0"),
        ({"meta__gradient__rate": 0}, r"meta\.gradient\.rate must be a number above 0"),
        ({"meta__gradient__steps": 0}, r"meta\.gradient\.steps must be a whole number of at least 1"),
        ({"meta__gradient__inner": "hope"}, r"meta\.gradient\.inner must be one of"),
    ],
)
def test_settings_that_cannot_be(overrides: Overrides, change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        train(overrides(**settings("cavia", **change)), quiet=True)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def team_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    values = {"game.num_games": 2, "policy.hidden": 8, "policy.heads": 2, "train.horizon": 8, "train.steps": 16}
    values |= {"game.episodes_per_trial": 2, "game.rules": "{episode_length: 4}", "train.threads": 1}
    given = [f"{key}={value}" for key, value in values.items()]
    return train(
        [
            "game=harvest",
            "meta=cavia",
            "meta.tell=never",
            "meta.gradient.context=3",
            *given,
            "tracking=off",
            "name=team",
            f"runs_dir={runs}",
        ],
        quiet=True,
    ).team


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "magic"}, r"team\.json is not a team card: adapter\.gatherer\.kind"),
        ({"surprise": 1}, r"team\.json is not a team card: adapter\.gatherer\.surprise"),
        ({"steps": 0}, r"adapter\.gatherer\.steps"),
        ({"adapt": ["actr"]}, "No parameter is called 'actr'"),
        ({"predictor": 5}, "does not hold the weights of policy 'gatherer:adapter'"),
    ],
)
def test_a_card_that_makes_no_sense(team_folder: Path, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    card = json.loads((team_folder / "team.json").read_text())
    card["adapter"]["gatherer"] |= change
    (tmp_path / "team.json").write_text(json.dumps(card))
    save_file(load_file(team_folder / "weights.safetensors"), tmp_path / "weights.safetensors")
    with pytest.raises(UserError, match=said) as caught:
        load_team(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_adapter_of_no_policy(team_folder: Path, tmp_path: Path) -> None:
    card = json.loads((team_folder / "team.json").read_text())
    card["adapter"]["others"] = card["adapter"]["gatherer"]
    (tmp_path / "team.json").write_text(json.dumps(card))
    (tmp_path / "weights.safetensors").write_bytes((team_folder / "weights.safetensors").read_bytes())
    with pytest.raises(UserError, match="adapter names the policy 'others'"):
        load_team(tmp_path)
