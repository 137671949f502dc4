"""`marl-meta bench meta`: one second-order meta-step, all tasks at once beside a loop over tasks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from marl_meta.bench.machine import inspect_machine
from marl_meta.bench.report import Mark, Report, Row, Say, Table
from marl_meta.bench.timing import Case, interleave, slower
from marl_meta.meta.inner import Loss, Order, adapt, each_task
from marl_meta.meta.outer import Statistics, meta_gradient
from marl_meta.meta.parameters import Parameters, detached, for_tasks, parameters_of
from marl_meta.meta.policies import run_policy, shell
from marl_meta.nets.policy import GraphTensors, PolicyShape, RelationalPolicy
from marl_meta.rl.sharding import Workers
from marl_meta.rl.surrogates import lvc_surrogate
from marl_meta.types import UserError

TASKS, STEPS, ROWS = 20, 25, 20
"""500 samples a task: agent-steps in the relational policies' case."""
HIDDEN, INPUTS, ACTIONS, SENDERS = 64, 20, 5, 6
RATE = 0.1
TIMES_LOOP = 2.0
"""Mark: a meta-step on all threads is at least so many times as fast as the loop over tasks."""
_SHAPE = PolicyShape(node=8, edge=17, own=12, actions=ACTIONS, hidden=HIDDEN, recurrent=False)
_TOLERANCE = 1e-4

Experience = dict[str, Any]


class Learner(NamedTuple):
    """A policy to meta-learn, and experience [M,T,...] to adapt on and to be judged by."""

    parameters: Parameters
    make_loss: Callable[[], Loss]
    """Returns one task's loss, by a module that nobody else uses."""
    inner: Experience
    outer: Experience


class Share(NamedTuple):
    """Some of a learner's tasks, for one thread."""

    loss: Loss
    inner: Experience
    outer: Experience


def bench_meta(tasks: int = TASKS, *, seconds: float = 3.0, repeats: int = 7, say: Say) -> Report:
    """Return the times of a meta-step of so many tasks, 500 samples each, on one thread and on two."""
    machine = inspect_machine()
    threads: Sequence[int] = (1, 2) if machine.cores > 1 else (1,)
    if tasks < max(threads):
        raise UserError(f"A meta-step on {max(threads)} threads takes at least {max(threads)} tasks, not {tasks}.")
    rows: list[Row] = []
    marks = []
    for (name, make), count in product(LEARNERS.items(), threads):
        say(f"{name}: {tasks} tasks, {count} threads")
        row = _measure(make(tasks), count, seconds, repeats)
        rows.append((name, count, *row))
        if count == max(threads):
            marks.append(Mark(f"meta-step, {name}, {count} threads: times the loop's speed", row[-2], TIMES_LOOP))
    return Report("meta", machine, [_table(rows, tasks)], marks)


def loop_over_tasks(learner: Learner, loss: Loss) -> Parameters:
    """Return the meta-gradient by learn2learn's algorithm.

    For one task after the other: clone the parameters, adapt the clone along a gradient that keeps its graph, and add
    the gradient of the clone's loss on other experience.
    """
    tasks = len(learner.outer["action"])
    leaves = {name: value.requires_grad_() for name, value in detached(learner.parameters).items()}
    for task in range(tasks):
        inner, outer = (
            tree_map(lambda tensor, task=task: tensor[task], part) for part in (learner.inner, learner.outer)
        )
        clone = {name: value.clone() for name, value in leaves.items()}
        slopes = torch.autograd.grad(
            loss(clone, inner), list(clone.values()), create_graph=True, materialize_grads=True
        )
        adapted = {name: own - RATE * slope for (name, own), slope in zip(clone.items(), slopes, strict=True)}
        (loss(adapted, outer) / tasks).backward()
    return {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.items()}


def shares_of(learner: Learner, count: int) -> list[Share]:
    """Return the tasks in `count` parts."""
    parts = torch.arange(len(learner.outer["action"])).chunk(count)
    taken = [tree_map(lambda tensor, part=part: tensor[part], (learner.inner, learner.outer)) for part in parts]
    return [Share(learner.make_loss(), *experience) for experience in taken]


def all_at_once(parameters: Parameters, shares: Sequence[Share], workers: Workers, order: Order) -> Parameters:
    """Return the meta-gradient by `meta_gradient`: all tasks of a share in one vectorised pass."""
    tasks = sum(len(share.outer["action"]) for share in shares)

    def objective(shared: Parameters, share: Share) -> tuple[Tensor, Statistics]:
        start = for_tasks(shared, len(share.outer["action"]))
        adapted = adapt(share.loss, start, [share.inner], rates=RATE, order=order)
        judged: Tensor = each_task(share.loss, adapted, {}, share.outer)
        return judged.sum() / tasks, {}

    return meta_gradient(objective, parameters, shares, workers)[1]


def _measure(
    learner: Learner, threads: int, seconds: float, repeats: int
) -> tuple[float, float, float, float, float, float]:
    """Return ms of the loop by one thread and by split operations, of ours and of first order, and two ratios."""
    loss, parameters = learner.make_loss(), learner.parameters
    shares = shares_of(learner, threads)
    one, all_ = partial(torch.set_num_threads, 1), partial(torch.set_num_threads, threads)
    workers = Workers(threads)
    try:
        wanted, ours = loop_over_tasks(learner, loss), all_at_once(parameters, shares, workers, "second")
        for name, value in wanted.items():
            torch.testing.assert_close(ours[name], value, rtol=_TOLERANCE, atol=_TOLERANCE)
        cases = {
            "loop": Case(lambda: loop_over_tasks(learner, loss), one),
            "operations": Case(lambda: loop_over_tasks(learner, loss), all_),
            "ours": Case(lambda: all_at_once(parameters, shares, workers, "second"), one),
            "first": Case(lambda: all_at_once(parameters, shares, workers, "first"), one),
        }
        timings = interleave(cases, seconds=seconds, repeats=repeats)
    finally:
        workers.close()
    times = min(slower(timings[name], timings["ours"]) for name in ("loop", "operations"))
    milliseconds = [1e3 * timings[name].seconds for name in cases]
    work = timings["loop"].cpu_seconds / timings["ours"].cpu_seconds
    return milliseconds[0], milliseconds[1], milliseconds[2], milliseconds[3], times, work


def _make_mlp(tasks: int) -> Learner:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(INPUTS, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, ACTIONS)
    )

    def make_loss() -> Loss:
        own = copy.deepcopy(module)
        return lambda parameters, lived: _surrogate(
            torch.func.functional_call(own, parameters, (lived["inputs"],)), lived
        )

    inner, outer = ({"inputs": torch.randn(tasks, STEPS, ROWS, INPUTS), **_played(tasks)} for _ in range(2))
    return Learner(detached(parameters_of(module)), make_loss, inner, outer)


def _make_relational(tasks: int, recurrent: bool) -> Learner:
    torch.manual_seed(0)
    policy = RelationalPolicy(replace(_SHAPE, recurrent=recurrent))

    def make_loss() -> Loss:
        own = shell(policy)

        def loss(parameters: Parameters, lived: Experience) -> Tensor:
            inputs = (lived["graph"], lived["state"], lived["starts"], lived["action_mask"])
            return _surrogate(run_policy(own, parameters, *inputs).logits, lived)

        return loss

    inner, outer = (_graphs(policy, tasks) for _ in range(2))
    return Learner(detached(parameters_of(policy)), make_loss, inner, outer)


def _graphs(policy: RelationalPolicy, tasks: int) -> Experience:
    """Return experience on random graphs, whose senders' first feature is one as it always is."""
    shape, sizes = policy.shape, (tasks, STEPS, ROWS)
    edges = torch.randn(*sizes, SENDERS, shape.node + shape.edge)
    edges[..., 0] = 1.0
    return {
        "graph": GraphTensors(torch.randn(*sizes, shape.own), edges, torch.ones(*sizes, SENDERS, dtype=torch.bool)),
        "state": torch.zeros(tasks, ROWS, shape.hidden if shape.recurrent else 0),
        "starts": torch.zeros(sizes, dtype=torch.bool),
        "action_mask": torch.ones(*sizes, ACTIONS, dtype=torch.bool),
        **_played(tasks),
    }


def _played(tasks: int) -> Experience:
    sizes = (tasks, STEPS, ROWS)
    return {"action": torch.randint(ACTIONS, sizes), "advantage": torch.randn(sizes)}


def _surrogate(logits: Tensor, lived: Experience) -> Tensor:
    log_prob = torch.log_softmax(logits, -1).gather(-1, lived["action"].unsqueeze(-1)).squeeze(-1)
    return -lvc_surrogate(log_prob, lived["advantage"]).mean()


LEARNERS: Mapping[str, Callable[[int], Learner]] = {
    "mlp": _make_mlp,
    "relational": partial(_make_relational, recurrent=False),
    "relational, GRU": partial(_make_relational, recurrent=True),
}


def _table(rows: list[Row], tasks: int) -> Table:
    title = f"One second-order meta-step, {tasks} tasks x {STEPS * ROWS} samples (hidden {HIDDEN}), plain tensor code"
    columns = ("policy", "threads", "loop_ms", "loop_operations_ms", "ours_ms", "first_order_ms", "times", "times_cpu")
    notes = (
        "loop: learn2learn's algorithm (clone, adapt with create_graph, backward; task after task), on one thread.",
        "loop operations: the same, each operation split over the threads. learn2learn has no wheel for Python 3.11.",
        "ours: each thread adapts its share of the tasks at once. Gradients are equal within 1e-4.",
        "times: how many times as fast ours is as the faster of the two loops (median over rounds).",
        "times cpu: the loop's processor time, on one thread, over ours: hardly disturbed by others on the machine.",
    )
    return Table("meta", title, columns, rows, notes)
