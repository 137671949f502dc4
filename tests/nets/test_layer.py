"""The three paths of the message-passing layer beside each other, and beside the equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from marl_meta.nets.layer import RelationalLayer

ROWS, SENDERS, RECEIVER, NODE, EDGE, HIDDEN, HEADS, AGENTS = 6, 7, 5, 4, 3, 8, 2, 3
EMBEDDED = 6


def make(embedded: int) -> tuple[RelationalLayer, Tensor, Tensor, Tensor, Tensor | None]:
    torch.manual_seed(0)
    layer = RelationalLayer(RECEIVER, NODE, EDGE, HIDDEN, HEADS, embedded)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    features, mask = torch.randn(ROWS, SENDERS, NODE + EDGE), torch.rand(ROWS, SENDERS) < 0.6
    features[..., 0] = 1.0  # as nodes are
    mask[0] = False
    features[~mask] = 0.0
    receivers = torch.randn(ROWS, RECEIVER, requires_grad=True)
    # Two receivers in a row share a graph.
    embedding = torch.randn(ROWS // 2, AGENTS, embedded, requires_grad=True) if embedded else None
    return layer, receivers, features, mask, embedding


def by_the_equations(
    layer: RelationalLayer, receivers: Tensor, features: Tensor, mask: Tensor, embedding: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Shi et al. 2021, eq. 1-4, one receiver, one head and one sender at a time, in float64."""
    weight = {name: tensor.detach().double() for name, tensor in layer.conv.named_parameters()}
    depth = HIDDEN // HEADS
    out, attention = torch.zeros(ROWS, HIDDEN, dtype=torch.float64), torch.zeros(ROWS, HEADS, SENDERS).double()
    for row in range(ROWS):
        receiver = receivers[row].detach().double()
        out[row] = weight["lin_skip.weight"] @ receiver + weight["lin_skip.bias"]
        query = weight["lin_query.weight"] @ receiver + weight["lin_query.bias"]
        senders = [sender for sender in range(SENDERS) if mask[row, sender]]
        for head in range(HEADS):
            part = slice(head * depth, (head + 1) * depth)
            scores, values = [], []
            for sender in senders:
                node = features[row, sender, :NODE].double()
                if embedding is not None:
                    sent = embedding[row // 2, sender].detach() if sender < AGENTS else torch.zeros(EMBEDDED)
                    node = torch.cat([node, sent.double()])
                edge = (weight["lin_edge.weight"] @ features[row, sender, NODE:].double())[part]
                key = (weight["lin_key.weight"] @ node + weight["lin_key.bias"])[part] + edge
                scores.append(float(query[part] @ key) / math.sqrt(depth))
                values.append((weight["lin_value.weight"] @ node + weight["lin_value.bias"])[part] + edge)
            shares = [math.exp(score - max(scores)) for score in scores]
            for sender, share, value in zip(senders, shares, values, strict=True):
                attention[row, head, sender] = share / sum(shares)
                out[row, part] += share / sum(shares) * value
    return out.float(), attention.float()


@pytest.mark.parametrize("embedded", [0, EMBEDDED])
@pytest.mark.parametrize("path", ["fused", "plain", "sparse"])
def test_each_path_does_what_the_equations_say(path: str, embedded: int) -> None:
    layer, *inputs = make(embedded)
    found, expected = layer(*inputs, path), by_the_equations(layer, *inputs)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("embedded", [0, EMBEDDED])
@pytest.mark.parametrize("path", ["fused", "plain"])
def test_gradients_are_those_of_torch_geometric(path: str, embedded: int) -> None:
    layer, *inputs = make(embedded)
    learnt = [inputs[0], *(tensor for tensor in inputs[3:] if tensor is not None), *layer.parameters()]
    slopes = torch.randn(ROWS, HIDDEN), torch.randn(ROWS, HEADS, SENDERS)

    def gradients(name: str) -> tuple[Tensor, ...]:
        out, weights = layer(*inputs, name)
        loss = (slopes[0] * out).sum() + (slopes[1] * weights).sum()
        return torch.autograd.grad(loss, learnt, materialize_grads=True)

    for one, other in zip(gradients(path), gradients("sparse"), strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-4)


def test_its_parameters_are_transformer_convs_own() -> None:
    layer, *_ = make(0)
    assert {name for name, _ in layer.named_parameters()} == {
        f"conv.{name}" for name, _ in layer.conv.named_parameters()
    }


def test_heads_must_divide_hidden() -> None:
    with pytest.raises(ValueError, match="multiple of heads"):
        RelationalLayer(3, 3, 3, 10, 4)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("path", ["fused", "plain"])
def test_playing_follows_every_step_of_learning(path: str, fused: bool) -> None:
    """What is kept from one call to the next never outlives the weights that it was made from."""
    layer, *inputs = make(0)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.1, fused=fused)
    for _ in range(3):
        out, _ = layer(*inputs, path)
        optimiser.zero_grad()
        out.square().sum().backward()
        with torch.no_grad():
            layer(*inputs, path)
        optimiser.step()
        with torch.no_grad():
            found, _ = layer(*inputs, path)
        torch.testing.assert_close(found, layer(*inputs, path)[0].detach())
    layer.load_state_dict({name: tensor + 1.0 for name, tensor in layer.state_dict().items()})
    with torch.no_grad():
        torch.testing.assert_close(layer(*inputs, path)[0], layer(*inputs, "sparse")[0], atol=1e-3, rtol=1e-4)
