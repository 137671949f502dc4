"""The flat encoder: a perceptron written out by hand, what it lacks beside the graph, and how small games fit in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from marl_meta.nets.flat import Places, room_of
from marl_meta.nets.inputs import InputStorage, PolicyDesign, PolicyInputs
from marl_meta.nets.policy import RelationalPolicy
from marl_meta.types import BoundRule, Layout, Observation, UserError

MakeScene = Callable[..., Observation]
Build = Callable[..., tuple[PolicyInputs, RelationalPolicy]]
Play = Callable[..., Any]

SLOTS = (3, 2, 2, 3)
"""Hunters, prey, rocks, coins."""
PLACES = {"slots": SLOTS}


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def by_hand(policy: RelationalPolicy, own: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the logits of one receiver without a memory: numpy, one entity after the other."""
    weight = {name: value.detach().double().numpy() for name, value in policy.state_dict().items()}

    def linear(name: str, inputs: np.ndarray) -> np.ndarray:
        return weight[f"{name}.weight"] @ inputs + weight[f"{name}.bias"]

    seen = [own, *edges]
    hidden = np.maximum(linear("encoder.input", np.concatenate(seen)), 0.0)
    for index in range(policy.shape.layers - 1):
        hidden = np.maximum(linear(f"encoder.lower.{index}", hidden), 0.0)
    hidden = linear("encoder.last", hidden)
    normal = (hidden - hidden.mean()) / np.sqrt(hidden.var() + 1e-5)
    normal = weight["encoder.norm.weight"] * normal + weight["encoder.norm.bias"]
    hidden = hidden + np.maximum(linear("encoder.block", normal), 0.0)
    return linear("actor", hidden)


@pytest.mark.parametrize("path", ["fused", "plain", "sparse"])
@pytest.mark.parametrize("fog", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_it_is_a_perceptron_over_what_is_seen_side_by_side(
    make_scene: MakeScene, build_policy: Build, run_policy: Play, layers: int, fog: bool, path: str
) -> None:
    inputs, policy = build_policy(layers=layers, recurrent=False, **PLACES)
    observation = make_scene(fog=fog, absent=0.2)
    observation.action_mask[:] = True
    played = run_policy(inputs, policy, observation, path=path)
    graph = inputs.features(observation, np.arange(5))
    edges = graph.edges * graph.mask[..., None]
    for game in range(3):
        for agent in range(5):
            expected = by_hand(policy, graph.own[game, agent], edges[game, agent])
            np.testing.assert_allclose(played.logits[game, agent].detach(), expected, rtol=1e-4, atol=1e-4)
    assert played.attention.shape == (3, 5, 2, 10)
    assert (played.attention == 0).all()


@pytest.mark.parametrize("critic", ["own", "central"])
@pytest.mark.parametrize("memory", [None, "heads", "query"])
def test_both_paths_have_the_same_outputs_and_gradients(
    make_scene: MakeScene, build_policy: Build, run_policy: Play, memory: str | None, critic: str
) -> None:
    design = {"recurrent": memory is not None, "memory": memory or "heads", "critic": critic, "layers": 2}
    inputs, policy = build_policy(**design, **PLACES)
    observation = make_scene(fog=True, absent=0.1)
    legal = torch.from_numpy(observation.action_mask)
    found, expected = (run_policy(inputs, policy, observation, path=path) for path in ("fused", "plain"))
    close(found.logits, expected.logits)
    close(found.value, expected.value)
    close(found.state, expected.state)
    gradients = [
        torch.autograd.grad(
            output.logits[legal].square().sum() + output.value.square().sum(), list(policy.parameters())
        )
        for output in (found, expected)
    ]
    one, other = (torch.cat([part.flatten() for part in parts]) for parts in gradients)
    assert (one - other).abs().max() < 1e-5 * other.abs().max()


def test_it_lacks_what_the_graph_has(make_scene: MakeScene, build_policy: Build, run_policy: Play) -> None:
    """Three coins in another order are the same to the graph, and not to the perceptron."""
    observation = make_scene()
    turned = replace(observation, entities=observation.entities[:, [0, 1, 2, 3, 4, 5, 6, 8, 9, 7]])
    differences = []
    for slots in ((), SLOTS):
        inputs, policy = build_policy(slots=slots)
        one, other = (run_policy(inputs, policy, shown).logits for shown in (observation, turned))
        differences.append(float((one - other).abs().max().detach()))
    graph, flat = differences
    assert graph < 1e-4
    assert flat > 0.1


def test_what_nobody_sees_changes_nothing(make_scene: MakeScene, build_policy: Build) -> None:
    inputs, policy = build_policy(recurrent=False, **PLACES)
    observation = make_scene(fog=True)
    storage = InputStorage(inputs, 1, (3, 5, 10), np.arange(5), shared_view=False)
    storage.write(0, observation)
    state, starts = policy.initial_state(15), torch.ones(1, 15, dtype=torch.bool)
    read = storage.read(slice(0, 1))
    expected = policy.act(read.graph, state, starts, read.action_mask).logits
    storage.graph.edges[~storage.graph.mask] = np.nan
    read = storage.read(slice(0, 1))
    assert torch.equal(policy.act(read.graph, state, starts, read.action_mask).logits, expected)


# smaller and larger games


@pytest.mark.parametrize("critic", ["own", "central"])
def test_a_smaller_game_is_one_with_absent_entities(
    make_scene: MakeScene, build_policy: Build, run_policy: Play, critic: str
) -> None:
    """Whether a slot is empty or not there at all is the same: every kind has its places."""
    inputs, policy = build_policy(critic=critic, **PLACES)
    small = make_scene(slots=(2, 1, 1, 2), fog=True)
    agents, entities = np.array([0, 1, 3]), np.array([0, 1, 3, 5, 7, 8])
    wide = make_scene(slots=SLOTS, fog=True)
    present = np.zeros_like(wide.present)
    present[:, entities] = True
    values: dict[str, Any] = {"present": present, "rules": small.rules}
    for name in ("entities", "private"):
        values[name] = np.zeros_like(getattr(wide, name))
    values["entities"][:, entities] = small.entities
    values["private"][:, agents] = small.private
    values["action_mask"] = np.ones_like(wide.action_mask)
    values["action_mask"][:, agents] = small.action_mask
    assert small.sees is not None and wide.sees is not None
    values["sees"] = np.zeros_like(wide.sees)
    values["sees"][np.ix_(np.arange(3), agents, entities)] = small.sees
    expected = run_policy(inputs, policy, replace(wide, **values), agents=agents)
    found = run_policy(inputs, policy, small)
    for name in ("logits", "value", "state"):
        close(getattr(found, name), getattr(expected, name))


def test_places_go_kind_by_kind_whatever_the_order_of_the_slots() -> None:
    places = Places((1, 2, 0, 3), ("hunter", "prey", "rock", "coin"), ("coin", "prey", "hunter"))
    assert places.count == 6
    kinds = np.array([[1, 0, 2, 0, 1], [0, 0, 0, 1, 2]], np.int8)  # prey coin hunter coin prey; three coins ...
    np.testing.assert_array_equal(places.of(kinds), [[1, 3, 0, 4, 2], [3, 4, 5, 1, 0]])
    assert room_of(kinds, 3) == (3, 2, 1)


@pytest.mark.parametrize(
    ("slots", "said"),
    [((4, 2, 2, 3), "4 entities of kind 'hunter': it was built for 3"), ((0, 2, 2, 4), "4 entities of kind 'coin'")],
)
def test_larger_games_are_refused(
    make_scene: MakeScene, build_policy: Build, run_policy: Play, slots: tuple[int, ...], said: str
) -> None:
    inputs, policy = build_policy(**PLACES)
    with pytest.raises(UserError, match=said):
        run_policy(inputs, policy, make_scene(slots=slots))


def test_numbers_of_places_must_fit_the_kinds(layout: Layout) -> None:
    with pytest.raises(ValueError, match="2 numbers of places for 4 kinds"):
        PolicyInputs(layout, PolicyDesign(kinds=layout.kinds, slots=(1, 2)))


# what is known of hidden rules


def test_what_is_known_stands_beside_every_entity(make_scene: MakeScene, layout: Layout, build_policy: Build) -> None:
    hidden = (BoundRule("risk[0]", "risk", ("rock",), "risk"), BoundRule("risk[1]", "risk", ("coin",), "risk"))
    inputs, policy = build_policy(replace(layout, hidden_rules=hidden), recurrent=False, unknowns=hidden, **PLACES)
    assert inputs.knowledge is not None
    storage = InputStorage(inputs, 1, (3, 5, 10), np.arange(5), shared_view=True)
    logits = []
    for risk in (0.5, -0.5):
        truth = inputs.knowledge.truth(np.tile(np.array([0.25, risk], np.float32), (3, 1)))
        storage.write(0, make_scene(), knowledge=np.repeat(truth[:, None], 5, 1))
        column = inputs.features.first_known
        np.testing.assert_array_equal(storage.graph.edges[0, :, :, 5:7, column], 0.25)
        np.testing.assert_array_equal(storage.graph.edges[0, :, :, 7:, column], risk)
        read = storage.read(slice(0, 1))
        starts = torch.ones(1, 15, dtype=torch.bool)
        logits.append(policy.act(read.graph, policy.initial_state(15), starts, read.action_mask).logits)
    assert not torch.equal(*logits)
