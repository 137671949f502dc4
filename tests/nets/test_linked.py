"""The policy of boards: what it must not depend on, and that it plays boards of any size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_map

from marl_meta import UserError, make_vec
from marl_meta.meta.policies import run_policy, shell
from marl_meta.nets.inputs import PolicyDesign, PolicyInputs
from marl_meta.players import RandomPlayer

SMALL, LARGE = {"width": 5, "height": 4}, {"width": 8, "height": 7, "in_a_row": 5}


@pytest.fixture(scope="module")
def network():
    layout = make_vec("connect", num_games=1).layout
    torch.manual_seed(0)
    inputs = PolicyInputs(layout, PolicyDesign(hidden=16, heads=2, recurrent=False, kinds=layout.kinds))
    policy = inputs.build_policy()
    with torch.no_grad():
        policy.target.score.weight.normal_()
    return inputs, policy


def midgame(rules, moves=9, seed=0, games=4):
    """Boards after some random moves, as observations of their own."""
    game = make_vec("connect", num_games=games, rules=rules, seed=seed)
    player = RandomPlayer(seed)
    player.reset(games, np.arange(2))
    step = game.reset()
    for _ in range(moves):
        step = game.step(player.act(step.observation))
    shown = step.observation
    arrays = {name: getattr(shown, name) for name in shown.__dataclass_fields__}
    return replace(shown, **{name: array.copy() for name, array in arrays.items() if array is not None})


def read(network, observation):
    games, entities = observation.present.shape

    class Sizes:
        num_games, num_agents, num_entities = games, 2, entities

    storage = network[0].storage(1, Sizes, np.arange(2), True)
    storage.write(0, observation)
    found = storage.read(slice(0, 1))
    return found.graph, found.action_mask


def run(network, observation, path="fused"):
    _, policy = network
    graph, legal = read(network, observation)
    rows = legal.shape[1]
    with torch.no_grad():
        return policy(graph, policy.initial_state(rows), torch.zeros(1, rows, dtype=bool), legal, None, path)


def acting_rows(observation):
    return np.flatnonzero(observation.acting.reshape(-1))


@pytest.mark.parametrize("rules", [SMALL, LARGE, {"width": 3, "height": 3, "in_a_row": 3, "gravity": False}])
def test_it_plays_boards_of_any_size(network, rules):
    shown = midgame(rules, 4)
    output = run(network, shown)
    chances = torch.softmax(output.logits[0], -1)[acting_rows(shown)]
    legal = torch.from_numpy(shown.action_mask.reshape(8, -1)[acting_rows(shown)])
    assert torch.all(chances[~legal] == 0)
    assert torch.all(chances[legal] > 0)
    assert chances[legal].std() > 1e-3, "it tells moves apart"


@pytest.mark.parametrize("rules", [SMALL, LARGE])
def test_both_paths_give_the_same(network, rules):
    shown = midgame(rules)
    fused, plain = run(network, shown, "fused"), run(network, shown, "plain")
    for name in ("logits", "value", "attention"):
        torch.testing.assert_close(getattr(fused, name), getattr(plain, name), atol=1e-5, rtol=1e-4)


def test_gradients_of_both_paths_are_the_same(network):
    _, policy = network
    graph, legal = read(network, midgame(SMALL))
    weights = torch.randn(legal.shape)
    gradients = []
    for path in ("fused", "plain"):
        output = policy(graph, policy.initial_state(8), torch.zeros(1, 8, dtype=bool), legal, None, path)
        loss = (torch.softmax(output.logits, -1) * weights)[:, acting_rows(midgame(SMALL))].sum()
        gradients.append(torch.autograd.grad(loss, list(policy.parameters()), allow_unused=True))
    for one, other in zip(*gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


def test_many_tasks_at_once_are_what_each_is_alone(network):
    _, policy = network
    graphs = [read(network, midgame(SMALL, seed=seed)) for seed in range(3)]
    parameters = {name: value.detach() for name, value in policy.named_parameters()}
    every = {name: torch.stack([value, 1.1 * value, 0.9 * value]) for name, value in parameters.items()}

    def logits(own, graph, legal):
        return run_policy(
            shell(policy), own, graph, policy.initial_state(8), torch.zeros(1, 8, dtype=bool), legal
        ).logits

    together = tree_map(lambda *entries: torch.stack(entries), *[graph for graph, _ in graphs])
    found = torch.func.vmap(logits)(every, together, torch.stack([legal for _, legal in graphs]))
    for task, (graph, legal) in enumerate(graphs):
        alone = logits({name: value[task] for name, value in every.items()}, graph, legal)
        torch.testing.assert_close(found[task], alone, atol=1e-5, rtol=1e-4)


def permuted(observation, order):
    """The same boards with their objects in another order: new entity i is old entity order[i]."""
    moved = np.empty_like(order)
    moved[order] = np.arange(len(order))
    links = observation.links[:, order]
    renamed = np.where(links >= 0, moved[links], -1).astype(np.int16)
    targets = np.where(observation.targets >= 0, moved[observation.targets], -1).astype(np.int16)
    by_entity = {name: getattr(observation, name)[:, order] for name in ("entities", "kind", "team", "present")}
    return replace(observation, **by_entity, links=renamed, targets=targets)


def test_the_order_of_cells_and_lines_does_not_matter(network):
    shown = midgame(SMALL)
    objects = np.random.default_rng(0).permutation(np.arange(2, shown.present.shape[1]))
    other = permuted(shown, np.concatenate([[0, 1], objects]))
    one, two = run(network, shown), run(network, other)
    rows = acting_rows(shown)
    torch.testing.assert_close(one.logits[:, rows], two.logits[:, rows], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one.value[:, rows], two.value[:, rows], atol=1e-5, rtol=1e-4)


def test_a_mirrored_board_is_played_in_the_mirror(network):
    shown = midgame({"width": 5, "height": 4}, games=1)
    columns = [int(target) for target in shown.targets[0, :5]]
    assert min(columns) > 0
    cells = np.arange(20).reshape(4, 5)
    mirror = np.arange(shown.present.shape[1])
    mirror[2 : 2 + 20] = 2 + cells[:, ::-1].reshape(-1)
    of_cells = {frozenset(row[row >= 0]): e for e, row in enumerate(shown.links[0]) if e >= 22 and (row >= 0).any()}
    for line, entity in of_cells.items():
        mirror[entity] = of_cells[frozenset(int(mirror[cell]) for cell in line)]
    features = {name: getattr(shown, name)[:, mirror] for name in ("entities", "team", "present")}
    targets = shown.targets.copy()
    targets[0, :5] = [mirror[target] for target in columns[::-1]]
    mask = shown.action_mask.copy()
    mask[..., :5] = mask[..., 4::-1]
    other = replace(shown, **features, targets=targets, action_mask=mask)
    one, two = run(network, shown), run(network, other)
    row = acting_rows(shown)
    torch.testing.assert_close(one.logits[0, row, :5].flip(-1), two.logits[0, row, :5], atol=1e-4, rtol=1e-3)


def test_what_stands_in_empty_slots_does_not_matter(network):
    shown = midgame(SMALL)
    assert not shown.present.all(), "lines with stones of both are gone"
    other = replace(shown, entities=np.where(shown.present[..., None], shown.entities, 7.0).astype(np.float32))
    torch.testing.assert_close(run(network, shown).logits, run(network, other).logits)


def test_boards_of_a_batch_do_not_see_each_other(network):
    shown = midgame(SMALL)
    alone = replace(
        shown,
        **{name: getattr(shown, name)[2:3] for name in shown.__dataclass_fields__ if getattr(shown, name) is not None},
    )
    torch.testing.assert_close(run(network, shown).logits[0, 4:6], run(network, alone).logits[0], atol=1e-6, rtol=1e-5)


def test_where_nobody_acts_there_is_nothing_to_do(network):
    shown = midgame(SMALL)
    output = run(network, replace(shown, acting=np.zeros_like(shown.acting)))
    assert torch.all(output.attention == 0)
    legal = torch.from_numpy(shown.action_mask.reshape(1, 8, -1))
    assert torch.all(output.logits[legal] == 0)


def test_a_game_without_links_is_refused(network):
    inputs, _ = network
    shown = midgame(SMALL)
    with pytest.raises(UserError, match="have no links"):
        run((inputs, network[1]), replace(shown, links=None))
