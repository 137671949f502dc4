"""Make the sample replays and the README's picture anew: `python tests/replay/samples.py`.

They are games of teams of the zoo on variants that were held out, chosen because one sees in them what adapting is.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from pettingzoo.classic import connect_four_v3

import marl_meta
from marl_meta.games import load_family
from marl_meta.replay import Replay
from marl_meta.replay.animation import frames, gif
from marl_meta.replay.reading import SUFFIX

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "replays"
PICTURE = ROOT / "docs" / "adapting.gif"


def before_and_after() -> dict[str, Replay]:
    """A team that adapts by gradients: the same start, before and after three episodes of the variant."""
    rules = {rule.variant_id: rule.rules for rule in load_family("harvest").split("payoffs_held_out")}
    chosen = rules["harvest-db4eef908e"]
    adapted = marl_meta.adapt("zoo:payoffs-cavia", rules=chosen, episodes=3, seed=1).team
    return {
        "harvest-before": marl_meta.play("zoo:payoffs-cavia", rules=chosen, seed=11, title="Before adapting"),
        "harvest-after": marl_meta.play(adapted, rules=chosen, seed=11, title="After three episodes"),
    }


def trial() -> Replay:
    """A team that infers four hidden rules, over three episodes."""
    title = "A team finds out how it moves, and what pays"
    return marl_meta.play("zoo:harvest-belief", rules="harvest-c926ae4c02", episodes=3, seed=0, title=title)


def chase() -> Replay:
    """Chasers that find out how their controls are turned, and what pays."""
    title = "Chasers find out the rules"
    return marl_meta.play(
        "zoo:tag-belief", against="flee", split="hidden_held_out", episodes=3, seed=9, title=title
    )  # fmt: skip


def series() -> Replay:
    """A series of three games of two teams that compete, on a variant that both have never met."""
    return marl_meta.play(
        {"gatherer": "zoo:payoffs-belief", "rival": "zoo:payoffs-varibad"},
        game="harvest", rules={"teams": 2, "gatherers": 2, "payoff": [-1, 0, 1]}, episodes=3, seed=5,
        title="A series of two teams",
    )  # fmt: skip


def connect_four() -> Replay:
    """A third-party game, turn by turn, recorded from a loop."""
    env, draws = connect_four_v3.env(), np.random.default_rng(3)
    with marl_meta.record(env, players={"player_0": "random", "player_1": "random"}, title="Connect four") as recording:
        env.reset(seed=0)
        for agent in env.agent_iter():
            observation, _, terminated, truncated, _ = env.last()
            legal = np.flatnonzero(observation["action_mask"])
            env.step(None if terminated or truncated else int(draws.choice(legal)))
            assert agent in env.possible_agents
    assert recording.replay is not None
    return recording.replay


def make() -> dict[str, Replay]:
    """Return all samples, by name."""
    return {
        **before_and_after(), "harvest-trial": trial(), "tag-chase": chase(), "harvest-series": series(),
        "connect-four": connect_four(),
    }  # fmt: skip


if __name__ == "__main__":
    made = make()
    for name, replay in made.items():
        path = replay.save(SAMPLES / f"{name}{SUFFIX}")
        sys.stdout.write(f"{path.name}: {path.stat().st_size} bytes, returns {replay.record.returns}\n")
    shown = [made["harvest-before"].record, made["harvest-after"].record]
    PICTURE.write_bytes(gif(frames(shown, size=300)))
