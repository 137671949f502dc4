"""Golden traces: what a family's games were when they were last looked at, step by step.

`python tests/games/golden.py FAMILY ...` records them anew, after a change of the rules that is meant.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from marl_meta.games import load_family, make_vec
from marl_meta.types import Observation, Step

STEPS = 40
DECIMALS = 4
"""Coarse enough that another machine's last bits, grown by some collisions, do not show."""


def golden_file(family: str) -> Path:
    """Return where a family's golden traces are."""
    return load_family(family).path.parent / "golden.json"


def record(family: str) -> dict[str, Any]:
    """Return golden traces of random play under the family's default rules and two drawn variants."""
    loaded = load_family(family)
    variants = [loaded.variant(), *loaded.sample(seed=1, count=2)]
    return {"family": family, "traces": [record_trace(family, variant.rules, 7) for variant in variants]}


def record_trace(family: str, rules: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the trace of one game: actions [T,N], rewards [T,N], a digest of what each step shows [T]."""
    game = make_vec(family, num_games=1, rules=rules, seed=seed)
    rng = np.random.default_rng(seed)
    step = game.reset()
    actions = []
    for _ in range(STEPS):
        legal = step.observation.action_mask[0]
        actions.append(np.where(legal, rng.random(legal.shape), -1.0).argmax(-1).tolist())
        step = game.step(np.array([actions[-1]]))
    rewards, digests = replay(family, {"rules": rules, "seed": seed, "actions": actions})
    return {"rules": rules, "seed": seed, "actions": actions, "rewards": rewards, "digests": digests}


def replay(family: str, trace: dict[str, Any]) -> tuple[list[list[float]], list[str]]:
    """Return the rewards [T,N] of a trace's actions, and a digest of what each step shows [T]."""
    game = make_vec(family, num_games=1, rules=trace["rules"], seed=trace["seed"])
    game.reset()
    rewards, digests = [], []
    for actions in trace["actions"]:
        step = game.step(np.array([actions]))
        rewards.append(np.round(step.reward[0].astype(float), DECIMALS + 1).tolist())
        digests.append(digest(step))
    return rewards, digests


def digest(step: Step) -> str:
    """Return 8 hex digits of all that a step of one game shows, but its rewards, to a few decimals."""
    total = blake2b(digest_size=4)
    for array in (step.terminated, step.truncated, step.game_over):
        total.update(array.tobytes())
    for observation in (step.observation, step.final) if step.final is not None else (step.observation,):
        add_observation(total, observation)
    return total.hexdigest()


def add_observation(total: Any, observation: Observation) -> None:
    """Add what an observation shows to a digest."""
    for field in dataclasses.fields(Observation):
        array = getattr(observation, field.name)
        if array is not None:
            numbers = array * 10**DECIMALS if array.dtype.kind == "f" else array
            total.update(field.name.encode() + np.rint(numbers).astype("<i8").tobytes())


def write(family: str) -> None:
    """Record a family's golden traces anew, one step a line."""
    content = record(family)
    parts = []
    for trace in content["traces"]:
        entries = [f'"rules": {json.dumps(trace["rules"])}', f'"seed": {trace["seed"]}']
        for name in ("actions", "rewards", "digests"):
            rows = ",\n   ".join(json.dumps(row) for row in trace[name])
            entries.append(f'"{name}": [\n   {rows}]')
        parts.append("{" + ",\n  ".join(entries) + "}")
    traces = ",\n ".join(parts)
    golden_file(family).write_text(f'{{"family": "{family}", "traces": [\n {traces}]}}\n', encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        write(name)
