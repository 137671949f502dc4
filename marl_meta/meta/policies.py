"""The relational policy as a function of its parameters, by plain tensor code that can be differentiated twice."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor
from torch.export import register_dataclass
from torch.utils._pytree import tree_map

from marl_meta.meta.parameters import Parameters
from marl_meta.nets.policy import ActionOutput, GraphTensors, LowerGraph, PolicyOutput, RelationalPolicy

CONTEXT = "context"
"""The name of CAVIA's context [C] among the parameters."""
KIND_CONTEXT = "kind_context"
"""The name of a context [kinds,W] that has a row for each kind of entity, carried by the nodes of that kind."""

# These records may be, or hold, the experience that `inner` goes over: torch.func needs to know what is in them.
for _record in (GraphTensors, LowerGraph, PolicyOutput, ActionOutput):
    register_dataclass(_record)


def shell(policy: RelationalPolicy) -> RelationalPolicy:
    """Return the policy without weights: all that `run_policy` needs of it, and one thread can have to itself."""
    return copy.deepcopy(policy).to("meta")


def run_policy(
    policy: RelationalPolicy,
    parameters: Parameters,
    graph: GraphTensors,
    state: Tensor,
    starts: Tensor,
    action_mask: Tensor,
    full: GraphTensors | None = None,
) -> PolicyOutput:
    """Return what `policy` would do with other parameters; its own are neither read nor changed.

    The inputs are those of `RelationalPolicy.forward`, of one task. A parameter named `context` [C] is appended to the
    features of every receiver, where the query of its attention reads it: the policy must have been built for C inputs
    more. A parameter named `kind_context` [kinds,W] is added to the features that say what is known of the nodes
    (`known` of its shape): a rule about red objects is then a matter of the row of that kind. The policy's parameters
    are swapped meanwhile, so no two threads may run one policy: `shell` gives each its own.
    """
    weights = {name: value for name, value in parameters.items() if name not in (CONTEXT, KIND_CONTEXT)}
    if KIND_CONTEXT in parameters:
        graph = _with_kind_context(policy, graph, parameters[KIND_CONTEXT])
    if CONTEXT in parameters:
        graph = _with_context(graph, parameters[CONTEXT])
        full = None if full is None else _with_context(full, parameters[CONTEXT])
    output: PolicyOutput = torch.func.functional_call(
        policy, weights, (graph, state, starts, action_mask, full), {"path": "plain"}, strict=True
    )
    return output


def run_with_kind_contexts(
    policy: RelationalPolicy,
    parameters: Parameters,
    tables: Tensor,
    graph: GraphTensors,
    state: Tensor,
    starts: Tensor,
    action_mask: Tensor,
) -> PolicyOutput:
    """Return what `run_policy` does for M tasks that share `parameters` but for their kind contexts [M,kinds,W].

    The other inputs and the output have leading M. All tasks are rows of one batch, on the fused path, which
    on boards is the faster one; it is differentiable once, in `parameters` alone.
    """
    tasks = len(tables)
    graph = _with_kind_context(policy, graph, tables)
    graph, starts, action_mask = tree_map(_as_rows, (graph, starts, action_mask))
    inputs = (graph, state.flatten(0, 1), starts, action_mask)
    output: PolicyOutput = torch.func.functional_call(policy, parameters, inputs, {"path": "fused"}, strict=True)
    each = replace(output, state=output.state.unsqueeze(0))
    apart: PolicyOutput = tree_map(lambda entry: entry.unflatten(1, (tasks, -1)).transpose(0, 1), each)
    return replace(apart, state=apart.state.squeeze(1))


def _as_rows(entry: Tensor) -> Tensor:
    """Return entries [M,T,R,...] of tasks as rows of one batch [T,M*R,...]."""
    return entry.transpose(0, 1).flatten(1, 2).contiguous()


def zero_context(width: int, like: Tensor) -> Parameters:
    """Return a context [C] that says nothing yet (CAVIA, Zintgraf et al. 2019), in the type and place of `like`."""
    return {CONTEXT: like.new_zeros(width)}


def _with_context(graph: GraphTensors, context: Tensor) -> GraphTensors:
    return replace(graph, own=torch.cat([graph.own, context.expand(*graph.own.shape[:-1], -1)], -1))


def _with_kind_context(policy: RelationalPolicy, graph: GraphTensors, table: Tensor) -> GraphTensors:
    """Add each kind's row to what is known of its nodes, where that is read: at the last layer.

    `table` is [kinds,W], or [M,kinds,W] for graphs with leading M.
    """
    first, last = policy.shape.known
    if table.shape[-1] != last - first:
        raise ValueError(f"a context of {table.shape[-1]} features does not fit a policy that reads {last - first}")
    kinds = slice(1, 1 + table.shape[-2])  # nodes begin with a one, then which kind they are: zeros where nobody is

    def carried(features: Tensor) -> Tensor:
        of_rows = table if table.dim() == 2 else table.view(len(table), *(1,) * (features.dim() - 3), *table.shape[1:])
        added = features[..., first:last] + features[..., kinds] @ of_rows
        return torch.cat([features[..., :first], added, features[..., last:]], -1)

    return replace(graph, own=carried(graph.own), edges=carried(graph.edges))
