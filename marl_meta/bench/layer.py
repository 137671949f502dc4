"""The relational layer beside torch-geometric's TransformerConv: the same function, parameters and graphs.

All E nodes of G fully connected graphs receive from all E nodes. `raw`: senders show features of their node and of the
edge, as in the policy's last layer. `embedded`: they carry a learnt embedding besides, as in layers below another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from marl_meta.bench.report import Mark, Row, Table
from marl_meta.bench.timing import Case, interleave, slower
from marl_meta.nets.layer import RelationalLayer
from marl_meta.rl.sharding import Workers

HIDDEN, HEADS, EDGE, NODE = 64, 4, 8, 8
TIMES_TORCH_GEOMETRIC = 3.0
"""Mark: how many times as fast as TransformerConv, raw features, the same number of threads."""
_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Graphs:
    """A share of the graphs, in the form that each path takes."""

    receivers: Tensor
    """[G E,H], with gradient."""
    features: Tensor
    """[G E,E,NODE+EDGE]."""
    mask: Tensor
    embedding: Tensor | None
    """[G E,H] of every node, with gradient."""
    nodes: Tensor
    """[G E,NODE] for torch-geometric: the senders."""
    index: Tensor
    """[2,G E E] sender, receiver."""
    edges: Tensor
    """[G E E,EDGE]."""
    probe: Tensor
    """[G E,H] the gradient that comes from above."""


def make_graphs(graphs: int, nodes: int, embedded: bool, seed: int) -> Graphs:
    """Return fully connected graphs with random features."""
    generator = torch.Generator().manual_seed(seed)
    rows = graphs * nodes
    node = torch.randn(graphs, nodes, NODE, generator=generator)
    node[..., 0] = 1.0  # as every sender's first feature is
    edges = torch.randn(graphs, nodes, nodes, EDGE, generator=generator)
    shown = node[:, None].expand(-1, nodes, -1, -1)
    receiver = torch.arange(rows).repeat_interleave(nodes)
    sender = torch.arange(rows).view(graphs, 1, nodes).expand(-1, nodes, -1).reshape(-1)
    return Graphs(
        receivers=torch.randn(rows, HIDDEN, generator=generator).requires_grad_(),
        features=torch.cat([shown, edges], -1).view(rows, nodes, -1),
        mask=torch.ones(rows, nodes, dtype=torch.bool),
        embedding=torch.randn(rows, HIDDEN, generator=generator).requires_grad_() if embedded else None,
        nodes=node.view(rows, NODE),
        index=torch.stack([sender, receiver]),
        edges=edges.view(-1, EDGE),
        probe=torch.randn(rows, HIDDEN, generator=generator),
    )


def ours(layer: RelationalLayer, graphs: Graphs) -> Tensor:
    """Return what the fused path of the layer does [G E,H]."""
    shape = (-1, graphs.mask.shape[1], HIDDEN)
    embedding = None if graphs.embedding is None else graphs.embedding.view(shape)
    out: Tensor = layer(graphs.receivers, graphs.features, graphs.mask, embedding)[0]
    return out


def torch_geometric(layer: RelationalLayer, graphs: Graphs) -> Tensor:
    """Return what TransformerConv itself does [G E,H]."""
    senders = graphs.nodes
    if graphs.embedding is not None:
        senders = torch.cat([senders, graphs.embedding], 1)
    out: Tensor = layer.conv((senders, graphs.receivers), graphs.index, graphs.edges)
    return out


Path = Callable[[RelationalLayer, Graphs], Tensor]


def gradients(path: Path, layer: RelationalLayer, graphs: Graphs) -> tuple[Tensor, ...]:
    """Return the gradients of the layer's parameters and inputs: forward and backward."""
    inputs = [graphs.receivers, *(() if graphs.embedding is None else (graphs.embedding,)), *layer.parameters()]
    # The bias of the keys moves all of a receiver's scores alike: it has no effect, and our path does not compute it.
    return torch.autograd.grad(path(layer, graphs), inputs, graphs.probe, materialize_grads=True)


def bench_layer(
    nodes: Sequence[int], graphs: int, threads: Sequence[int], *, seconds: float, repeats: int
) -> tuple[Table, list[Mark]]:
    """Return the times of both, forward and backward, for graphs of so many nodes on so many threads."""
    rows: list[Row] = []
    marks = []
    torch.manual_seed(0)
    for senders in ("raw", "embedded"):
        layer = RelationalLayer(HIDDEN, NODE, EDGE, HIDDEN, HEADS, embedded=HIDDEN if senders == "embedded" else 0)
        for size in nodes:
            _check_equal(layer, make_graphs(4, size, senders == "embedded", seed=1))
            for count in threads:
                found = _measure(layer, graphs, size, count, seconds, repeats)
                rows.append((senders, size, count, *found))
                if senders == "raw":
                    name = f"layer, {graphs} graphs of {size} nodes, {count} threads: times TransformerConv's speed"
                    marks.append(Mark(name, found[-1], TIMES_TORCH_GEOMETRIC))
    return _table(rows, graphs), marks


def _measure(
    layer: RelationalLayer, graphs: int, nodes: int, threads: int, seconds: float, repeats: int
) -> tuple[float, float, float, float]:
    """Return ms of ours, of torch-geometric with its operations split and with its graphs split, and the ratio."""
    workers = Workers(threads)
    embedded = layer.embedded > 0
    whole = make_graphs(graphs, nodes, embedded, seed=0)
    shares = [make_graphs(graphs // threads, nodes, embedded, seed=index) for index in range(threads)]
    one, all_ = partial(torch.set_num_threads, 1), partial(torch.set_num_threads, threads)
    cases = {
        "ours": Case(lambda: workers.map(partial(gradients, ours, layer), shares), one),
        "operations": Case(lambda: gradients(torch_geometric, layer, whole), all_),
        "shares": Case(lambda: workers.map(partial(gradients, torch_geometric, layer), shares), one),
    }
    try:
        timings = interleave(cases, seconds=seconds, repeats=repeats)
    finally:
        workers.close()
    ratio = min(slower(timings["operations"], timings["ours"]), slower(timings["shares"], timings["ours"]))
    milliseconds = [1e3 * timings[name].seconds for name in cases]
    return milliseconds[0], milliseconds[1], milliseconds[2], ratio


def _check_equal(layer: RelationalLayer, graphs: Graphs) -> None:
    """Raise AssertionError unless both paths have the same gradients: only then is comparing them worth anything."""
    pairs = zip(gradients(ours, layer, graphs), gradients(torch_geometric, layer, graphs), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=_TOLERANCE, atol=_TOLERANCE)


def _table(rows: list[Row], graphs: int) -> Table:
    title = f"One layer, forward + backward, {graphs} graphs (hidden {HIDDEN}, {HEADS} heads, {EDGE} edge features)"
    columns = ("senders", "nodes", "threads", "ours_ms", "torch_geometric_ms", "torch_geometric_shares_ms", "times")
    notes = (
        "ours: kernels are serial, each thread takes a share of the graphs.",
        "torch geometric: TransformerConv over all graphs, each operation split over the threads; its shares: as ours.",
        "times: how many times as fast ours is as the faster of these two (median over rounds). Gradients are equal.",
    )
    return Table("layer", title, columns, rows, notes)
