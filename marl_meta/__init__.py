"""marl-meta: meta-trained teams for families of PettingZoo games.

    import marl_meta

    env = marl_meta.make("harvest", rules={"gatherers": 4}, render_mode="rgb_array")   # a PettingZoo ParallelEnv
    games = marl_meta.make_vec("harvest", num_games=4096, split="train", seed=0)       # batched, numpy arrays
    run = marl_meta.train(["game=spread", "game.split=train", "train.steps=3e5", "name=first"])
    print(marl_meta.evaluate(run.team, split="held_out").record()["teams"])

Everything is imported when it is first used, so that importing the package itself takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marl_meta.evaluate.adapting import adapt
    from marl_meta.evaluate.ground import ThirdPartyGame
    from marl_meta.evaluate.run import evaluate
    from marl_meta.evaluate.watching import play
    from marl_meta.games import list_families, load_family, make_vec
    from marl_meta.interop.aec import make_aec
    from marl_meta.interop.parallel import make
    from marl_meta.interop.recording import record
    from marl_meta.replay import Replay, load_replay
    from marl_meta.team import load_team
    from marl_meta.train.run import resume, train
    from marl_meta.types import UserError

_HOMES = {
    "adapt": "marl_meta.evaluate.adapting",
    "ThirdPartyGame": "marl_meta.evaluate.ground",
    "Replay": "marl_meta.replay",
    "UserError": "marl_meta.types",
    "list_families": "marl_meta.games",
    "load_family": "marl_meta.games",
    "load_replay": "marl_meta.replay",
    "load_team": "marl_meta.team",
    "make": "marl_meta.interop.parallel",
    "make_aec": "marl_meta.interop.aec",
    "make_vec": "marl_meta.games",
    "play": "marl_meta.evaluate.watching",
    "record": "marl_meta.interop.recording",
    "resume": "marl_meta.train.run",
}
"""The module that holds each public name; `evaluate` and `train` are packages that are called (`_callable`)."""

_CALLED = ("evaluate", "train")

__all__ = [
    "Replay",
    "ThirdPartyGame",
    "UserError",
    "adapt",
    "evaluate",
    "list_families",
    "load_family",
    "load_replay",
    "load_team",
    "make",
    "make_aec",
    "make_vec",
    "play",
    "record",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    """Return a public name, whose module is imported now."""
    if name in _CALLED:
        return import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
