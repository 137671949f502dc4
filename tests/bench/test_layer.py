from __future__ import annotations

import pytest
import torch

from marl_meta.bench.layer import EDGE, HEADS, HIDDEN, NODE, gradients, make_graphs, ours, torch_geometric
from marl_meta.nets.layer import RelationalLayer


@pytest.mark.parametrize("embedded", [False, True])
def test_what_is_compared_is_the_same_function(embedded: bool) -> None:
    layer = RelationalLayer(HIDDEN, NODE, EDGE, HIDDEN, HEADS, embedded=HIDDEN if embedded else 0)
    graphs = make_graphs(5, 6, embedded, seed=0)
    torch.testing.assert_close(ours(layer, graphs), torch_geometric(layer, graphs), rtol=1e-5, atol=1e-5)
    for one, other in zip(gradients(ours, layer, graphs), gradients(torch_geometric, layer, graphs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
