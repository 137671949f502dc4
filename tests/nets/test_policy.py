"""What the relational policy promises: symmetry, no leaks, one answer whatever the path or the view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from marl_meta.nets.inputs import InputStorage, PolicyInputs
from marl_meta.nets.policy import RelationalPolicy
from marl_meta.types import BoundRule, IntArray, Observation

MakeScene = Callable[..., Observation]
Build = Callable[..., tuple[PolicyInputs, RelationalPolicy]]
Play = Callable[..., Any]

HUNTERS, HERD, OBJECTS = np.arange(3), np.arange(3, 5), np.arange(5, 10)
BOTH_CRITICS = pytest.mark.parametrize("critic", ["own", "central"])
DEPTHS = pytest.mark.parametrize("layers", [1, 2, 3])
FOG = pytest.mark.parametrize("fog", [False, True])


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def chosen(observation: Observation, agents: IntArray, entities: IntArray) -> Observation:
    """Return the observation with these agent slots and these entity slots, in this order."""
    return replace(
        observation,
        entities=observation.entities[:, entities],
        kind=observation.kind[:, entities],
        team=observation.team[:, entities],
        present=observation.present[:, entities],
        private=observation.private[:, agents],
        sees=None if observation.sees is None else observation.sees[:, agents][:, :, entities],
        acting=observation.acting[:, agents],
        action_mask=observation.action_mask[:, agents],
    )


def padded(observation: Observation) -> Observation:
    """Return the observation with two more hunters' slots, one more of the herd's and three objects', all absent."""
    agents = np.array([0, 1, 2, 0, 0, 3, 4, 3])
    entities = np.concatenate([agents, OBJECTS, [5, 5, 9]])
    absent = np.array([3, 4, 7, 13, 14, 15])
    wide = chosen(observation, agents, entities)
    for array in (wide.entities, wide.present):
        array[:, absent] = 0
    wide.private[:, absent[:3]] = 0
    wide.acting[:, absent[:3]] = False
    if wide.sees is not None:
        wide.sees[:, absent[:3]] = False
        wide.sees[:, :, absent] = False
    return wide


@BOTH_CRITICS
@FOG
@DEPTHS
@pytest.mark.parametrize("path", ["plain", "sparse"])
def test_all_paths_give_the_same(
    make_scene: MakeScene, build_policy: Build, run_policy: Play, path: str, layers: int, fog: bool, critic: str
) -> None:
    inputs, policy = build_policy(layers=layers, critic=critic)
    observation = make_scene(fog=fog, absent=0.2)
    memory = torch.randn(3, 5, 16)
    found, expected = (run_policy(inputs, policy, observation, path=name, state=memory) for name in ("fused", path))
    legal = torch.from_numpy(observation.action_mask)
    close(found.logits[legal], expected.logits[legal])
    close(found.value, expected.value)
    close(found.state, expected.state)
    close(found.attention, expected.attention)
    slope = torch.randn_like(found.value)
    gradients = [
        torch.autograd.grad(
            output.logits[legal].square().sum() + (slope * output.value).sum(),
            list(policy.parameters()),
            materialize_grads=True,
        )
        for output in (found, expected)
    ]
    one, other = (torch.cat([part.flatten() for part in parts]) for parts in gradients)
    assert (one - other).abs().max() < 1e-5 * other.abs().max()


@BOTH_CRITICS
@FOG
@DEPTHS
def test_equivariant_to_the_order_of_teammates_opponents_and_objects(
    make_scene: MakeScene, build_policy: Build, run_policy: Play, layers: int, fog: bool, critic: str
) -> None:
    inputs, policy = build_policy(layers=layers, critic=critic)
    observation, memory = make_scene(fog=fog, absent=0.1), torch.randn(3, 5, 16)
    expected = run_policy(inputs, policy, observation, state=memory)
    for seed in range(3):
        draws = np.random.default_rng(seed)
        agents = np.concatenate([draws.permutation(HUNTERS), draws.permutation(HERD)])
        entities = np.concatenate([agents, draws.permutation(OBJECTS)])
        found = run_policy(inputs, policy, chosen(observation, agents, entities), state=memory[:, agents])
        close(found.logits, expected.logits[:, agents])
        close(found.value, expected.value[:, agents])
        close(found.state, expected.state[:, agents])
        close(found.attention, expected.attention[:, agents][..., entities])


@BOTH_CRITICS
@FOG
@DEPTHS
def test_absent_slots_change_nothing(
    make_scene: MakeScene, build_policy: Build, run_policy: Play, layers: int, fog: bool, critic: str
) -> None:
    inputs, policy = build_policy(layers=layers, critic=critic)
    observation = make_scene(fog=fog)
    expected = run_policy(inputs, policy, observation)
    found = run_policy(inputs, policy, padded(observation))
    kept = [0, 1, 2, 5, 6]
    close(found.logits[:, kept], expected.logits)
    close(found.value[:, kept], expected.value)


@DEPTHS
@pytest.mark.parametrize("slots", [(1, 0, 0, 0), (1, 0, 0, 1), (8, 5, 0, 12), (0, 1, 3, 0)])
def test_runs_on_sizes_never_met(
    make_scene: MakeScene, build_policy: Build, run_policy: Play, layers: int, slots: tuple[int, ...]
) -> None:
    inputs, policy = build_policy(layers=layers, critic="central")
    played = run_policy(inputs, policy, make_scene(slots=slots))
    assert played.logits.shape == (3, slots[0] + slots[1], 5)
    assert torch.isfinite(played.logits).all()
    assert torch.isfinite(played.value).all()


@BOTH_CRITICS
@DEPTHS
def test_one_graph_for_all_gives_the_numbers_of_one_for_each(
    make_scene: MakeScene, build_policy: Build, run_policy: Play, layers: int, critic: str
) -> None:
    inputs, policy = build_policy(layers=layers, critic=critic)
    shared = make_scene(absent=0.1)
    own = replace(shared, sees=np.ones((3, 5, 10), np.bool_))
    there = torch.from_numpy(shared.present[:, :5])
    for agents in ([0, 1, 2, 3, 4], [3, 1]):
        found, expected = (run_policy(inputs, policy, observation, agents) for observation in (own, shared))
        for name in ("logits", "value", "attention"):
            close(getattr(found, name)[there[:, agents]], getattr(expected, name)[there[:, agents]])


@FOG
@DEPTHS
def test_private_features_of_others_never_reach_an_agent(
    make_scene: MakeScene, build_policy: Build, run_policy: Play, layers: int, fog: bool
) -> None:
    observation = make_scene(fog=fog)
    for critic in ("own", "central"):
        inputs, policy = build_policy(layers=layers, critic=critic)
        before = run_policy(inputs, policy, observation)
        for agent in range(5):
            private = observation.private + np.float32(10.0)
            private[:, agent] = observation.private[:, agent]
            after = run_policy(inputs, policy, replace(observation, private=private))
            assert torch.equal(before.logits[:, agent], after.logits[:, agent])
            assert torch.equal(before.state[:, agent], after.state[:, agent])
            others = [other for other in range(5) if other != agent]
            assert (before.state[:, others] != after.state[:, others]).any(-1).all()  # the change was one
            if critic == "own":
                assert torch.equal(before.value[:, agent], after.value[:, agent])
            else:  # in training only, the critic may know
                assert (before.value[:, agent] != after.value[:, agent]).all()


@DEPTHS
def test_unseen_entities_never_reach_an_agent(
    make_scene: MakeScene, build_policy: Build, run_policy: Play, layers: int
) -> None:
    observation = make_scene(games=6, fog=True)
    sees = observation.sees
    assert sees is not None
    for critic in ("own", "central"):
        inputs, policy = build_policy(layers=layers, critic=critic)
        before = run_policy(inputs, policy, observation)
        for entity in range(10):
            entities, present = observation.entities.copy(), observation.present.copy()
            entities[:, entity] += np.float32(0.37)
            moved = run_policy(inputs, policy, replace(observation, entities=entities))
            present[:, entity] = False
            gone = run_policy(inputs, policy, replace(observation, present=present))
            unseen = torch.from_numpy(~sees[:, :, entity] & (np.arange(5) != entity))
            seen = torch.from_numpy(sees[:, :, entity] & (np.arange(5) != entity))
            for after in (moved, gone):
                assert torch.equal(before.logits[unseen], after.logits[unseen])
                assert torch.equal(before.state[unseen], after.state[unseen])
                assert (before.state[seen] != after.state[seen]).any(-1).all()
            if critic == "own":
                assert torch.equal(before.value[unseen], moved.value[unseen])
            else:  # the critic sees through the fog
                assert (before.value[unseen] != moved.value[unseen]).all()


@DEPTHS
def test_a_central_critic_values_the_game_and_not_what_is_seen_of_it(
    make_scene: MakeScene, build_policy: Build, run_policy: Play, layers: int
) -> None:
    inputs, policy = build_policy(layers=layers, critic="central")
    foggy = make_scene(fog=True, absent=0.2)
    found, expected = (run_policy(inputs, policy, scene) for scene in (foggy, replace(foggy, sees=None)))
    close(found.value, expected.value)
    assert not torch.allclose(found.logits, expected.logits)


@DEPTHS
def test_what_is_not_seen_might_as_well_not_exist(
    make_scene: MakeScene, build_policy: Build, run_policy: Play, layers: int
) -> None:
    inputs, policy = build_policy(layers=layers)
    observation = make_scene(games=6, fog=True)
    assert observation.sees is not None
    foggy = run_policy(inputs, policy, observation)
    for viewer in range(5):
        present = observation.sees[:, viewer].copy()
        present[:, viewer] = True
        clear = run_policy(inputs, policy, replace(observation, sees=None, present=present), [viewer])
        close(foggy.logits[:, [viewer]], clear.logits)
        close(foggy.value[:, [viewer]], clear.value)


@DEPTHS
def test_where_the_whole_game_lies_does_not_matter(
    make_scene: MakeScene, build_policy: Build, run_policy: Play, layers: int
) -> None:
    inputs, policy = build_policy(layers=layers)
    observation = make_scene()
    entities = observation.entities.copy()
    entities[..., :2] += np.float32(3.0)  # and the private features stay
    before, after = (
        run_policy(inputs, policy, scene) for scene in (observation, replace(observation, entities=entities))
    )
    assert torch.equal(before.logits, after.logits)
    private = observation.private + np.float32(3.0)
    told = run_policy(inputs, policy, replace(observation, entities=entities, private=private))
    assert not torch.equal(before.logits, told.logits)


@DEPTHS
def test_agents_take_notice_of_what_they_see(
    make_scene: MakeScene, build_policy: Build, run_policy: Play, layers: int
) -> None:
    inputs, policy = build_policy(layers=layers)
    observation = make_scene(games=1)
    before = run_policy(inputs, policy, observation)
    for change in (
        {"kind": np.where(np.arange(10) == 6, 3, observation.kind).astype(np.int8)},
        {"team": np.where(np.arange(10) == 2, 1, observation.team).astype(np.int8)},
        {"rules": observation.rules + np.float32(0.5)},
    ):
        after = run_policy(inputs, policy, replace(observation, **change))
        assert (before.logits != after.logits).any(-1).all()


@pytest.mark.parametrize("critic", ["own", "central"])
def test_illegal_actions_have_no_probability(
    make_scene: MakeScene, build_policy: Build, run_policy: Play, critic: str
) -> None:
    inputs, policy = build_policy(critic=critic)
    observation = make_scene(games=20)
    legal = torch.from_numpy(observation.action_mask)
    played = run_policy(inputs, policy, observation)
    probability = torch.softmax(played.logits, -1)
    assert (~legal).any()
    assert (probability[~legal] == 0).all()
    assert (probability[legal] > 0).all()
    free = replace(observation, action_mask=np.ones_like(observation.action_mask))
    assert torch.equal(run_policy(inputs, policy, free).logits[legal], played.logits[legal])


def filled(inputs: PolicyInputs, scenes: list[Observation], agents: IntArray) -> InputStorage:
    games, entities = scenes[0].present.shape
    sizes = (games, scenes[0].private.shape[1], entities)
    storage = InputStorage(inputs, len(scenes), sizes, agents, scenes[0].sees is None)
    for step, scene in enumerate(scenes):
        context = np.random.default_rng(step).normal(size=(games, len(agents), inputs.context_width))
        storage.write(step, scene, context.astype(np.float32))
    return storage


@FOG
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("memory", [None, "heads", "query"])
@pytest.mark.parametrize("path", ["fused", "plain", "sparse"])
def test_a_sequence_at_once_is_the_steps_in_turn(
    make_scene: MakeScene, build_policy: Build, path: str, memory: str | None, layers: int, fog: bool
) -> None:
    recurrent = memory is not None
    inputs, policy = build_policy(
        layers=layers, recurrent=recurrent, memory=memory or "heads", critic="central", trial_inputs=True
    )
    agents = np.array([0, 3, 4])
    storage = filled(inputs, [make_scene(seed=seed, fog=fog) for seed in range(4)], agents)
    read = storage.read(slice(None))
    starts = torch.rand(4, 9, generator=torch.Generator().manual_seed(0)) < 0.3
    starts[0] = True
    whole = policy(read.graph, policy.initial_state(9), starts, read.action_mask, read.full, path)
    state = policy.initial_state(9)
    for step in range(4):
        one = storage.read(slice(step, step + 1))
        played = policy(one.graph, state, starts[step : step + 1], one.action_mask, one.full, path)
        acted = policy.act(one.graph, state, starts[step : step + 1], one.action_mask, path)
        state = played.state
        close(played.logits[0], whole.logits[step])
        close(played.value[0], whole.value[step])
        assert torch.equal(acted.logits, played.logits)
        assert torch.equal(acted.state, played.state)
    close(state, whole.state)
    assert state.shape == (9, 16 if recurrent else 0)


@FOG
@pytest.mark.parametrize("layers", [1, 2])
def test_reading_some_games_gives_their_rows(
    make_scene: MakeScene, build_policy: Build, layers: int, fog: bool
) -> None:
    inputs, policy = build_policy(layers=layers, critic="central", trial_inputs=True)
    agents = np.array([1, 4])
    storage = filled(inputs, [make_scene(seed=seed, games=5, fog=fog) for seed in range(3)], agents)
    games = np.array([4, 0, 3])
    rows = (games[:, None] * 2 + np.arange(2)).reshape(-1)
    everything, some = storage.read(slice(None)), storage.read(slice(None), games)
    starts = torch.ones(3, 10, dtype=torch.bool)
    outputs = [
        policy(read.graph, policy.initial_state(count), starts[:, :count], read.action_mask, read.full)
        for read, count in ((everything, 10), (some, 6))
    ]
    close(outputs[1].logits, outputs[0].logits[:, rows])
    close(outputs[1].value, outputs[0].value[:, rows])


def test_context_reaches_its_own_agent_alone(make_scene: MakeScene, build_policy: Build) -> None:
    inputs, policy = build_policy(trial_inputs=True, layers=2)
    assert inputs.context_width == 5 + 2  # previous action, reward, end
    observation = make_scene(games=1)
    storage = InputStorage(inputs, 1, (1, 5, 10), np.arange(5), shared_view=True)
    outputs = []
    for told in (0.0, 1.0):
        context = np.zeros((1, 5, 7), np.float32)
        context[:, 2] = told
        storage.write(0, observation, context)
        read = storage.read(slice(None))
        starts = torch.ones(1, 5, dtype=torch.bool)
        outputs.append(policy.act(read.graph, policy.initial_state(5), starts, read.action_mask).logits[0].clone())
    changed = (outputs[0] != outputs[1]).any(-1)
    assert changed.tolist() == [False, False, True, False, False]


def test_a_told_critic_must_be_told(make_scene: MakeScene, build_policy: Build) -> None:
    rule = BoundRule("luck", "luck", ("walker",), "luck", "number", (0.0, 1.0))
    inputs, policy = build_policy(critic="told", privileged=(rule,))
    storage = InputStorage(inputs, 1, (3, 5, 10), np.arange(5), shared_view=True, actor_only=True)
    storage.write(0, make_scene())
    read = storage.read(slice(None))
    starts = torch.ones(1, 15, dtype=torch.bool)
    assert torch.isfinite(policy.act(read.graph, policy.initial_state(15), starts, read.action_mask).logits).all()
    with pytest.raises(ValueError, match="hidden rules"):
        policy(read.graph, policy.initial_state(15), starts, read.action_mask)


def test_a_central_critic_must_be_given_the_full_graph(make_scene: MakeScene, build_policy: Build) -> None:
    inputs, policy = build_policy(critic="central")
    storage = InputStorage(inputs, 1, (3, 5, 10), np.arange(5), shared_view=True, actor_only=True)
    storage.write(0, make_scene())
    read = storage.read(slice(None))
    starts = torch.ones(1, 15, dtype=torch.bool)
    assert read.full is None
    assert torch.isfinite(policy.act(read.graph, policy.initial_state(15), starts, read.action_mask).logits).all()
    with pytest.raises(ValueError, match="full graph"):
        policy(read.graph, policy.initial_state(15), starts, read.action_mask)
