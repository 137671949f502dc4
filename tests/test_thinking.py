"""What a team says it thinks: compared with its policy, run anew for every question, and with what the game hides."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch

from marl_meta.evaluate.watching import play
from marl_meta.games import load_family, make_vec
from marl_meta.meta.adapter import Adapter, Body
from marl_meta.meta.controller import GradientController
from marl_meta.meta.plan import Plan
from marl_meta.nets.inputs import InputStorage, PolicyDesign, PolicyInputs
from marl_meta.nets.knowledge import Knowledge
from marl_meta.nets.outcomes import latent_rules
from marl_meta.replay.decoding import beliefs_of, probabilities_of, updates_of
from marl_meta.team import Team, load_team
from marl_meta.team.controllers import TeamController
from marl_meta.thinking import _believed, believed_rules
from marl_meta.types import Observation, VectorGame

WINDY = Path(__file__).parent / "windy"
TAG = {"adversaries": 2, "prey": 2, "obstacles": 1, "episode_length": 6}
HARVEST = {"gatherers": 2, "objects_per_kind": 1, "object_size": 0.2, "episode_length": 5}
GAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "tag": ("tag", TAG),
    "harvest": ("harvest", HARVEST),
    "fog": ("tag", {**TAG, "vision_radius": 1.1}),
    "nearest": ("spread", {"agents": 4, "obstacles": 2, "nearest_agents": 1, "nearest_objects": 2}),
    "payoff": ("payoff", {}),
}
DESIGNS: dict[str, dict[str, Any]] = {
    "plain": {"recurrent": False},
    "recurrent": {"trial_inputs": True},
    "asking": {"memory": "query", "clock": True},
    "deep": {"layers": 2, "recurrent": False},
    "central": {"critic": "central"},
}
COMMON = {"gamma": 0.9, "gae_lambda": 0.9, "window": 8, "predictor": 8}
PLANS: dict[str, dict[str, Any]] = {
    "cavia": {"kind": "steps", "adapt": ("context",), "inner": "prediction", "experience": "trial", "steps": 2},
    "maml": {"kind": "steps", "adapt": ("all",), "inner": "both", "experience": "episode", "steps": 3},
    "leo": {
        "kind": "latent", "adapt": ("policy_head",), "inner": "policy", "experience": "trial", "steps": 2, "latent": 4,
        "tuning": 1,
    },
}  # fmt: skip
ZOO = ("harvest-belief", "tag-belief", "payoffs-rl2", "payoffs-cavia", "payoffs-leo", "payoffs-maml", "treasure-belief")

Player = TeamController | GradientController
Story = tuple[VectorGame, Player, np.ndarray]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def open_game(name: str) -> VectorGame:
    family, rules = GAMES[name]
    return make_vec(family, num_games=1, rules=rules, seed=4, episodes_per_trial=3)


def untrained(game: VectorGame, **design: Any) -> Story:
    """Return a game and a player of all its agents whose choices are far from even."""
    layout, agents = game.layout, np.arange(game.num_agents)
    chosen = PolicyDesign(**{"hidden": 8, "heads": 2, "kinds": layout.kinds, **design})
    inputs = PolicyInputs(layout, chosen)
    torch.manual_seed(3)
    policy = inputs.build_policy()
    with torch.no_grad():
        policy.actor.weight.normal_()
    player = TeamController(policy, inputs, None, None, 7, deterministic=False)
    player.reset(1, agents)
    return game, player, agents


def learner(name: str, game: VectorGame, **design: Any) -> Story:
    layout, agents = game.layout, np.arange(game.num_agents)
    chosen = {"hidden": 8, "heads": 2, "kinds": layout.kinds, "recurrent": False, "adapted": 3, **design}
    inputs = PolicyInputs(layout, PolicyDesign(**chosen))
    torch.manual_seed(1)
    policy = inputs.build_policy()
    with torch.no_grad():
        policy.actor.weight.normal_()
    adapter = Adapter(Plan(**COMMON, **PLANS[name]), inputs, policy, first_rate=0.5)
    with torch.no_grad():
        adapter.value_scale.copy_(torch.tensor([-4.0, 3.0]))
    player = GradientController(policy, inputs, adapter, 7)
    player.reset(1, agents)
    return game, player, agents


def from_zoo(name: str) -> Story:
    team = load_team(f"zoo:{name}")
    trained = team.trained_on["game"]
    family = load_family(trained["family"])
    rules = family.sample(5, split=trained["split"])[0].rules
    rules = {**rules, "episode_length": min(rules["episode_length"], 8)}
    game = make_vec(family, num_games=1, rules=rules, seed=2, episodes_per_trial=3)
    side = next(side for side in game.layout.teams if side.name in team.plays)
    agents = np.flatnonzero(game.agent_team == [one.name for one in game.layout.teams].index(side.name))
    player = team.controller(game.layout, plays=side.name, seed=3)
    player.reset(1, agents)
    return game, player, agents


STORIES: dict[str, Any] = {
    **{
        f"{design} in {game}": lambda design=design, game=game: untrained(open_game(game), **DESIGNS[design])
        for design in DESIGNS
        for game in ("tag", "fog")
    },
    **{f"plain in {game}": lambda game=game: untrained(open_game(game)) for game in ("harvest", "nearest", "payoff")},
    **{f"deep in {game}": lambda game=game: untrained(open_game(game), layers=2) for game in ("nearest", "payoff")},
    **{name: lambda name=name: learner(name, open_game("harvest")) for name in PLANS},
    "recurrent maml": lambda: learner("maml", open_game("harvest"), recurrent=True),
    "deep cavia in fog": lambda: learner("cavia", open_game("fog"), layers=2),
    **{name: lambda name=name: from_zoo(name) for name in ZOO},
}
EACH = pytest.mark.parametrize("name", STORIES)


def moments(story: Story, steps: int, thinks: bool = False, seed: int = 0) -> Iterator[Observation]:
    """Yield what the player sees before it acts, step by step; others play at random."""
    game, player, agents = story
    rng, step = np.random.default_rng(seed), game.reset()
    for _ in range(steps):
        if thinks:
            player.think(step.observation)
        yield step.observation
        actions = (rng.random(step.observation.action_mask.shape) * step.observation.action_mask).argmax(-1)
        actions[:, agents] = player.act(step.observation)
        step = game.step(actions)
        player.observe(step)


def run_anew(player: Player, observation: Observation) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return probabilities [n,A], attention [n,H,E] and values [n] of the policy as it is, from inputs of their own."""
    if isinstance(player, GradientController):
        inputs, context, known, agents = player.inputs, player._context, player.ignorance(), player.agents
        state, starts = player._state, player._begins.expand(len(agents))
    else:
        mind = player._mind
        inputs, context, known, agents = player._inputs, mind.context, player.knowledge(), mind.agents
        state, starts = mind.state, mind.starts
    sizes = (1, observation.private.shape[1], observation.present.shape[1])
    storage = InputStorage(inputs, 1, sizes, agents, observation.sees is None, actor_only=True)
    storage.write(0, observation, context, known)
    read = storage.read(slice(0, 1))
    with torch.no_grad():
        if isinstance(player, GradientController):
            body = Body(player._policy, player._adapter)
            everything = {
                name: value.detach() for name, value in player._adapter.parameters_with(player._policy).items()
            }
            own = {name: value[0] for name, value in player.parameters.items()}
            output = body.play({**everything, **own}, read.graph, state, starts[None], read.action_mask)
            value = output.value * player._adapter.value_scale[1] + player._adapter.value_scale[0]
        elif player._policy.shape.critic == "own":
            output = player._policy(read.graph, state, starts[None], read.action_mask, path="plain")
            value = output.value
        else:
            output, value = player._policy.act(read.graph, state, starts[None], read.action_mask, path="plain"), None
    probabilities = torch.softmax(output.logits[0].double(), -1).numpy()
    return probabilities, output.attention[0].numpy(), None if value is None else value[0].numpy()


def unseen(observation: Observation, entity: int) -> Observation:
    """Return the same moment, of which nobody sees an entity."""
    slots, entities = observation.private.shape[1], observation.present.shape[1]
    sees = np.ones((1, slots, entities), bool) if observation.sees is None else observation.sees.copy()
    sees[:, :, entity] = False
    return replace(observation, sees=sees)


def seen_by(observation: Observation, agents: np.ndarray) -> np.ndarray:
    """Return whom the agents see [n,E]: themselves, and others that are there."""
    there = observation.present[0]
    sees = np.ones((len(agents), len(there)), bool) if observation.sees is None else observation.sees[0, agents].copy()
    sees[np.arange(len(agents)), agents] = True
    return sees & there & there[agents][:, None]


@EACH
def test_thoughts_are_the_policys_own(name: str) -> None:
    story = STORIES[name]()
    game, player, agents = story
    for time, shown in enumerate(moments(story, 14)):
        observation = shown
        if time % 2:  # some actions are not allowed
            mask = observation.action_mask.copy()
            mask[0, agents, (time + agents) % mask.shape[2]] &= mask[0, agents].sum(-1) < 2
            observation = replace(observation, action_mask=mask)
        thought = player.think(observation)
        probabilities, attention, value = run_anew(player, observation)
        acting, legal = observation.acting[0, agents], observation.action_mask[0, agents]
        np.testing.assert_allclose(thought.probabilities, probabilities * acting[:, None], atol=1e-5)
        np.testing.assert_allclose(thought.probabilities.sum(-1), acting, atol=1e-5)
        assert (thought.probabilities[~legal] == 0.0).all()
        if value is None:
            assert thought.value is None
        else:
            np.testing.assert_allclose(thought.value, value * acting, rtol=1e-3, atol=1e-4)
        sees = seen_by(observation, agents)
        np.testing.assert_allclose(thought.attention, attention * sees[:, None], atol=1e-5)
        assert (thought.attention.transpose(0, 2, 1)[~sees] == 0.0).all()
        np.testing.assert_allclose(thought.attention.sum(-1)[acting], 1.0, atol=1e-5)
    assert game.num_games == 1


@EACH
def test_influence_is_what_hiding_one_entity_changes(name: str) -> None:
    story = STORIES[name]()
    _, player, agents = story
    most = 0.0
    for time, observation in enumerate(moments(story, 13)):
        if time % 4:
            continue
        found = player.think(observation).influence
        whole, acting = run_anew(player, observation)[0], observation.acting[0, agents]
        sees = seen_by(observation, agents)
        for entity in range(observation.present.shape[1]):
            without = run_anew(player, unseen(observation, entity))[0]
            wanted = 0.5 * np.abs(whole - without).sum(-1) * acting * sees[:, entity]
            np.testing.assert_allclose(found[:, entity], wanted, atol=1e-5)
        most = max(most, float(found.max()))
    assert most > 0.001


@EACH
def test_asking_changes_nothing(name: str) -> None:
    quiet, asked = STORIES[name](), STORIES[name]()
    for one, other in zip(moments(quiet, 20), moments(asked, 20, thinks=True), strict=True):
        np.testing.assert_array_equal(one.entities, other.entities)
        np.testing.assert_array_equal(one.private, other.private)
    left, right = quiet[1].snapshot(), asked[1].snapshot()
    assert left.keys() == right.keys()
    for key in left:
        np.testing.assert_array_equal(left[key], right[key], err_msg=key)


def test_thinking_does_not_write_into_what_it_is_shown() -> None:
    _, player, _ = untrained(open_game("fog"))
    observation = open_game("fog").reset().observation
    before = [np.copy(getattr(observation, name)) for name in ("entities", "sees", "present", "action_mask")]
    player.think(observation)
    for name, array in zip(("entities", "sees", "present", "action_mask"), before, strict=True):
        np.testing.assert_array_equal(getattr(observation, name), array)


def test_a_flat_encoder_says_what_it_does_and_not_whom_it_looks_at() -> None:
    game = open_game("tag")
    slots = tuple(int((game.reset().observation.kind[0] == kind).sum()) for kind in range(len(game.layout.kinds)))
    story = untrained(game, slots=slots)
    for observation in moments(story, 4):
        thought = story[1].think(observation)
        np.testing.assert_allclose(thought.probabilities, run_anew(story[1], observation)[0], atol=1e-5)
        assert thought.attention is None and thought.influence is None and thought.value is not None


@pytest.mark.parametrize("name", PLANS)
def test_learners_count_their_updates(name: str) -> None:
    story = STORIES[name]()
    taken = PLANS[name]["steps"] + PLANS[name].get("tuning", 0)
    length = HARVEST["episode_length"]
    found = [story[1].think(observation).updates for observation in moments(story, 3 * length + 2)]
    assert found == [taken * (time // length) if time < 3 * length else 0 for time in range(3 * length + 2)]
    assert story[1].think(story[0].reset().observation).beliefs is None


def believers(name: str) -> list[tuple[TeamController, VectorGame, Any]]:
    team = load_team(f"zoo:{name}")
    trained = team.trained_on["game"]
    family = load_family(trained["family"])
    found = []
    for variant in family.sample(3, split=trained["split"], count=4):
        game = make_vec(family, num_games=1, rules=variant.rules, seed=2, episodes_per_trial=2)
        side = next(side for side in game.layout.teams if side.name in team.plays)
        agents = np.flatnonzero(game.agent_team == [one.name for one in game.layout.teams].index(side.name))
        player = team.controller(game.layout, plays=side.name, seed=3)
        player.reset(1, agents)
        found.append((player, game, variant.rules))
    return found


@pytest.mark.parametrize("name", ["harvest-belief", "payoffs-belief", "tag-belief", "spread-belief", "treasure-belief"])
def test_beliefs_are_the_controllers_knowledge(name: str) -> None:
    for player, game, _ in believers(name):
        family = game.rules and load_family(load_team(f"zoo:{name}").trained_on["game"]["family"])
        rules = player.believed(family, game.hidden_rules[0])
        story = (game, player, player._mind.agents)
        changed = []
        for observation in moments(story, 12):
            beliefs, known = player.think(observation).beliefs, player.knowledge()[0]
            assert beliefs.shape == (len(story[2]), sum(len(rule.values) for rule in rules))
            at = 0
            for block in player._inputs.knowledge.blocks:
                wanted = known[:, block.start : block.start + block.size]
                np.testing.assert_array_equal(beliefs[:, at : at + block.size], wanted)
                np.testing.assert_allclose(wanted.sum(-1), 1.0, atol=1e-4)
                at += block.size
            changed.append(beliefs)
        assert not np.array_equal(changed[0], changed[-1])


KINDS_OF = {"payoff": ("red", "green", "blue")}


@pytest.mark.parametrize("family_name", ["harvest", "tag", "spread", "payoff"])
def test_beliefs_name_rules_by_their_values_with_the_truth(family_name: str) -> None:
    family = load_family(family_name)
    said = {}
    for variant in family.sample(11, count=24):
        game = make_vec(family, num_games=1, rules=variant.rules, seed=1)
        knowledge = Knowledge(game.layout.hidden_rules, game.layout)
        for rule in believed_rules(knowledge, family, game.hidden_rules[0]):
            said[rule.name] = tuple(rule.values)
            truth = variant.rules[rule.rule]
            if isinstance(truth, list | tuple):
                kind = rule.name.removeprefix(f"{rule.rule} of ")
                truth = truth[KINDS_OF[rule.rule].index(kind)]
            label = str(truth).lower() if isinstance(truth, bool) else str(truth)
            assert rule.values[rule.truth] == label, rule
        assert all(rule.truth is None for rule in believed_rules(knowledge, family, None))
    wanted = {
        "harvest": {"payoff of green": ("-1", "0", "1"), "control": ("0", "90", "180", "270")},
        "tag": {"who_is_it": ("adversary", "prey"), "agents_needed": ("1", "2", "3")},
        "spread": {"goal_assignment": ("nearest", "own", "next", "previous"), "collision_sign": ("-1", "1")},
        "payoff": {"swap_0": ("false", "true"), "treasure_1": ("0", "1", "2", "3")},
    }[family_name]
    assert wanted.items() <= said.items()


def test_rules_of_a_family_that_nobody_knows_are_named_by_their_numbers() -> None:
    game = open_game("harvest")
    found = believed_rules(Knowledge(game.layout.hidden_rules, game.layout), None, game.hidden_rules[0])
    assert {rule.name: rule.values for rule in found}["payoff of red"] == ["-1", "0", "1"]


def test_beliefs_about_numbers_are_shown_by_intervals() -> None:
    family = load_family(WINDY)
    game = make_vec(family, num_games=1, rules={"wind_x": 0.7, "wind_y": -1.9}, seed=1)
    everything = Knowledge(game.layout.hidden_rules, game.layout)
    assert {"wind_x", "wind_y"} <= {rule.name for rule in believed_rules(everything, family, game.hidden_rules[0])}
    winds = tuple(bound for bound in game.layout.hidden_rules if bound.rule.startswith("wind"))
    knowledge = Knowledge(winds, game.layout)
    first, second = believed_rules(knowledge, family, game.hidden_rules[0])
    ends = ("-2", "-1.5", "-1", "-0.5", "0", "0.5", "1", "1.5", "2")
    assert (first.name, second.name) == ("wind_x", "wind_y")
    assert first.values == second.values == [f"{low} to {high}" for low, high in itertools.pairwise(ends)]
    assert (first.values[first.truth or 0], second.values[second.truth or 0]) == ("0.5 to 1", "-2 to -1.5")
    known = knowledge.ignorance()[None]
    known[0, :2] = (0.5 / 2, 0.25 / 2)  # of x: 0.5 in the middle, 0.25 the deviation, both scaled
    known[0, 2:] = (-3.0, 0.1)
    shown = _believed(knowledge, known)
    assert shown is not None
    expected = np.diff([0.0, *(NormalDist(0.5, 0.25).cdf(float(end)) for end in ends[1:-1]), 1.0])
    np.testing.assert_allclose(shown[0, :8], expected, atol=1e-6)
    assert shown[0, 8] == 1.0  # who is beyond all intervals is in the outermost


def test_numbers_that_stand_for_no_rule_are_not_shown() -> None:
    game = open_game("harvest")
    assert believed_rules(Knowledge(latent_rules(game.layout.kinds, 2), game.layout), None, None) == []


def test_who_is_told_believes_nothing() -> None:
    team, game = load_team("zoo:harvest-oracle"), open_game("harvest")
    told, untold = team.oracle(game, seed=1), team.controller(game.layout, seed=1)
    for player in (told, untold):
        player.reset(1, np.arange(game.num_agents))
    observation = game.reset().observation
    thought = told.think(observation)
    assert thought.beliefs is None and told.believed(load_family("harvest"), game.hidden_rules[0]) == []
    truth = np.repeat(team.knowledge(game.layout).truth(game.hidden_rules)[:, None], game.num_agents, axis=1)
    np.testing.assert_array_equal(thought.probabilities, untold.think(observation, truth).probabilities)
    assert not np.allclose(thought.probabilities, untold.think(observation).probabilities)


def test_an_adapting_oracle_believes_nothing_and_counts_its_updates() -> None:
    team, game = load_team("zoo:payoffs-cavia"), open_game("harvest")
    told = team.oracle(game, seed=1)
    told.reset(1, np.arange(game.num_agents))
    thought = told.think(game.reset().observation)
    assert thought.beliefs is None and thought.updates == 0


@pytest.mark.parametrize("name", ["harvest-belief", "payoffs-cavia"])
def test_a_replay_holds_what_was_thought(name: str) -> None:
    team: Team = load_team(f"zoo:{name}")
    silent, replay = (play(team, episodes=2, seed=6, thoughts=thoughts).record for thoughts in (False, True))
    assert [episode.notes for episode in silent.episodes] == [None, None]
    assert [episode.actions for episode in silent.episodes] == [episode.actions for episode in replay.episodes]
    assert silent.digest == replay.digest
    for index, episode in enumerate(replay.episodes):
        (notes,) = episode.notes
        chances = probabilities_of(replay, episode, notes)
        np.testing.assert_allclose(chances.sum(1), 1.0, atol=0.02 * len(replay.actions))
        if name == "payoffs-cavia":
            assert set(updates_of(episode, notes).tolist()) == {index}  # fitted at once
        else:
            for rule in notes.beliefs.rules:
                rules = replay.game.rules
                value = rules.get(rule.rule, {one.name: one.default for one in replay.game.card}[rule.rule])
                if isinstance(value, list | tuple):
                    value = value[("red", "green", "blue").index(rule.name.rpartition(" ")[2])]
                assert rule.values[rule.truth] == str(value)
            assert beliefs_of(episode, notes).max() <= 1.0
