"""Lists of linked entities and sums over their links, beside slow and obvious ways."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.nn import RGCNConv

from marl_meta.nets.linked import LinkedLayer
from marl_meta.nets.links import column_relations, linked_sums, linked_sums_reference, list_linked

NAMED = ("above", "beside", "beside")


def drawn(seed=0, rows=3, entities=6, columns=5, actions=4):
    draws = np.random.default_rng(seed)
    present = torch.from_numpy(draws.random((rows, entities)) < 0.7)
    links = torch.from_numpy(draws.integers(-1, entities, (rows, entities, columns)).astype(np.int16))
    targets = torch.from_numpy(draws.integers(-1, entities, (rows, actions)).astype(np.int16))
    legal = torch.from_numpy(draws.random((rows, actions)) < 0.7)
    return present, links, targets, legal


def test_what_is_there_stands_in_a_row():
    present, links, targets, legal = drawn()
    linked = list_linked(present, links, targets, legal)
    there = [(row, entity) for row in range(3) for entity in range(6) if present[row, entity]]
    assert linked.place.tolist() == [row * 6 + entity for row, entity in there]
    for number, (row, entity) in enumerate(there):
        for column in range(5):
            other = int(links[row, entity, column])
            known = other >= 0 and bool(present[row, other])
            assert linked.links[number, column] == (there.index((row, other)) if known else -1)
    about = [
        (row, action, there.index((row, int(targets[row, action]))))
        for row in range(3)
        for action in range(4)
        if legal[row, action] and targets[row, action] >= 0 and present[row, targets[row, action]]
    ]
    assert list(zip(linked.asker.tolist(), linked.action.tolist(), linked.asked.tolist(), strict=True)) == about


def test_sums_and_their_gradients_are_those_of_plain_tensor_code():
    present, links, targets, legal = drawn(1)
    linked = list_linked(present, links, targets, legal)
    hidden = torch.randn(len(linked.place), 4, requires_grad=True)
    for joined in (linked.links, linked.links[linked.asked]):
        fast = linked_sums(hidden, joined, NAMED)
        slow = linked_sums_reference(hidden, joined, NAMED)
        torch.testing.assert_close(fast, slow)
        weight = torch.randn_like(slow)
        gradients = [torch.autograd.grad((sums * weight).sum(), hidden)[0] for sums in (fast, slow)]
        torch.testing.assert_close(*gradients)


def test_columns_are_of_the_relation_that_they_are_named_after():
    relation, relations = column_relations(5, NAMED)
    assert relation.tolist() == [0, 0, 1, 2, 2]
    assert relations == 3
    assert column_relations(2, ())[0].tolist() == [0, 0]


@pytest.mark.parametrize("path", ["fused", "plain"])
def test_a_round_is_a_relational_graph_convolution(path):
    present, links, targets, legal = drawn(2)
    linked = list_linked(present, links, targets, legal)
    relation, relations = column_relations(5, NAMED)
    layer = LinkedLayer(4, NAMED)
    conv = RGCNConv(4, 4, relations, aggr="add")
    with torch.no_grad():
        layer.own.bias.normal_()
        conv.root.copy_(layer.own.weight.t())
        conv.bias.copy_(layer.own.bias)
        conv.weight.copy_(layer.linked.weight.view(4, relations, 4).permute(1, 2, 0))
    hidden = torch.randn(len(linked.place), 4)
    receiver, column = (linked.links >= 0).nonzero(as_tuple=True)
    edges = torch.stack([linked.links[receiver, column], receiver])
    expected = hidden + torch.relu(conv(hidden, edges, torch.from_numpy(relation)[column]))
    found = layer(hidden, hidden, linked.links, path)
    torch.testing.assert_close(found, expected)
