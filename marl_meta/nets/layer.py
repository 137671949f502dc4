"""One round of message passing: torch-geometric's TransformerConv, with a dense path of equal outputs.

    q_i = W_q h_i,   score_ij = q_i . (W_k x_j + W_e e_ij) / sqrt(D),   a_i = softmax over the senders j of i
    h'_i = W_s h_i + sum_j a_ij (W_v x_j + W_e e_ij)          (Shi et al. 2021, eq. 1-4, with edge features)

The parameters are TransformerConv's own; the sparse path calls it. The dense path is `nets.attention`: where senders
are raw features, W_k and W_e act on [x_j, e_ij] together and are folded into the query's map (`nets.fold`), so that a
layer is two matrix products per receiver whatever the number of senders.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch_geometric.nn import TransformerConv

from marl_meta.nets.fold import Maps, Weights
from marl_meta.nets.operators import PLAIN, Operators, operators_of


class RelationalLayer(nn.Module):
    """Message passing into receivers [M,I] from senders' features [M,E,S+F'] (node first, then relation).

    `embedded` > 0 gives senders that are agents a learnt embedding of that width besides, [G,n,embedded], where the
    first n senders are those agents and M / G receivers in a row share a graph; objects send their features alone.
    """

    def __init__(self, receiver: int, node: int, edge: int, hidden: int, heads: int = 4, embedded: int = 0) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden {hidden} is not a multiple of heads {heads}")
        self.node, self.edge, self.hidden, self.heads, self.embedded = node, edge, hidden, heads, embedded
        self._kept: Maps | None = None
        self.conv = TransformerConv((node + embedded, receiver), hidden // heads, heads, edge_dim=edge)

    @torch.no_grad()
    def specialise(self, relation: int, head: int, score: float) -> None:
        """Make a head start out looking at one relation: the edge feature with index `relation` adds `score` to it.

        What matters is often one relation among many senders (the one opponent), and with all heads looking at
        everything alike a policy must first find that out from rewards that it does not get yet.
        """
        depth = self.hidden // self.heads
        rows = slice(head * depth, (head + 1) * depth)
        key = self.conv.lin_edge.weight[rows, relation]
        self.conv.lin_query.bias[rows] += key * (score * math.sqrt(depth) / key.square().sum())

    @torch.no_grad()
    def tie(self, columns: list[int]) -> None:
        """Give these features of senders' nodes the same weights, the mean of those that they have."""
        for weight in (self.conv.lin_key.weight, self.conv.lin_value.weight):
            weight[:, columns] = weight[:, columns].mean(1, keepdim=True)

    def forward(
        self, receivers: Tensor, features: Tensor, mask: Tensor, embedding: Tensor | None = None, path: str = "fused"
    ) -> tuple[Tensor, Tensor]:
        """Return the new embeddings [M,hidden] of the receivers and the attention weights [M,heads,E].

        `path`: `fused` (CPU kernel), `plain` (tensor code) or `sparse` (torch-geometric).
        """
        if path == "sparse":
            return self._sparse(receivers, features, mask, embedding)
        operators = operators_of(path)
        # Plain code also runs with other parameters than our own (torch.func), for which kept maps would be wrong.
        folded = self._fold(operators) if path == "plain" else self._folded(operators)
        bias = None if embedding is None else self._embedded_scores(receivers, embedding, features.shape[1])
        out, weights = operators.attend(receivers, features, mask, folded, bias)
        if embedding is not None:
            out = out + self._embedded_messages(weights, embedding)
        return out, weights

    def keep_folded(self, keep: bool) -> None:
        """Hold on to the dense path's maps for calls without gradients, or let go of them.

        Only whoever knows that the weights stay as they are may hold on: nothing else tells that they changed (fused
        optimisers do not move a tensor's version).
        """
        with torch.no_grad():
            self._kept = self._fold(PLAIN) if keep else None

    def _folded(self, operators: Operators) -> Maps:
        kept = self._kept  # another thread may let go of it meanwhile
        return self._fold(operators) if kept is None or torch.is_grad_enabled() else kept

    def _fold(self, operators: Operators) -> Maps:
        conv = self.conv
        weights = Weights(
            conv.lin_query.weight, conv.lin_query.bias, conv.lin_key.weight, conv.lin_value.weight,
            conv.lin_value.bias, conv.lin_edge.weight, conv.lin_skip.weight, conv.lin_skip.bias,
        )  # fmt: skip
        return operators.fold(weights, self.heads, self.node)

    def _embedded_scores(self, receivers: Tensor, embedding: Tensor, senders: int) -> Tensor:
        """Return what embeddings add to the scores [M,heads,E]; senders without one get nothing."""
        depth = self.hidden // self.heads
        graphs, count = embedding.shape[:2]
        query = self.conv.lin_query(receivers).view(graphs, -1, self.heads, depth)
        key = nn.functional.linear(embedding, self.conv.lin_key.weight[:, self.node :])
        scores = torch.einsum("grld,gnld->grln", query, key.view(graphs, count, self.heads, depth)) / math.sqrt(depth)
        return nn.functional.pad(scores.flatten(0, 1), (0, senders - count))

    def _embedded_messages(self, weights: Tensor, embedding: Tensor) -> Tensor:
        """Return what embeddings add to the messages [M,hidden]."""
        graphs, count = embedding.shape[:2]
        value = nn.functional.linear(embedding, self.conv.lin_value.weight[:, self.node :])
        attended = weights[:, :, :count].unflatten(0, (graphs, -1))
        messages = torch.einsum("grln,gnld->grld", attended, value.view(graphs, count, self.heads, -1))
        return messages.flatten(2).flatten(0, 1)

    def _sparse(
        self, receivers: Tensor, features: Tensor, mask: Tensor, embedding: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        rows, senders = mask.shape
        receiver, sender = mask.nonzero(as_tuple=True)
        edges = features[receiver, sender]
        sources = edges[:, : self.node]
        if self.embedded:
            sent = features.new_zeros(rows, senders, self.embedded)
            if embedding is not None:
                each = embedding.repeat_interleave(rows // len(embedding), 0)
                sent = torch.cat([each, sent[:, embedding.shape[1] :]], 1)
            sources = torch.cat([sources, sent[receiver, sender]], 1)
        index = torch.stack([torch.arange(len(receiver), device=receiver.device), receiver])
        out, (_, alpha) = self.conv((sources, receivers), index, edges[:, self.node :], return_attention_weights=True)
        weights = features.new_zeros(rows, senders, self.heads).index_put((receiver, sender), alpha)
        return out, weights.transpose(1, 2)
