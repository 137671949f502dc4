"""A team as one Python file that needs numpy and onnxruntime alone: the runtime, the network and how games are seen."""

from __future__ import annotations

import json
import zlib
from base64 import b85encode
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np

from marl_meta.export.onnx_file import Contents, make_onnx
from marl_meta.export.sight import Sight
from marl_meta.files import atomic_write_text
from marl_meta.nets.inputs import PolicyInputs
from marl_meta.team.team import Team
from marl_meta.types import TeamLayout, UserError

Last = Literal["native", "kaggle"]
"""What comes last in the file, where tools look for the agent."""

_HEAD = '''"""{name}: a team trained with marl-meta, in one file. It needs numpy and onnxruntime.

It plays {game} under {count} choice(s) of the visible rules, and finds out the hidden ones as it plays.

    player = Player()                                 # start_series, reset, act, observe, close
    agent(obs, config)                                # kaggle-environments
    marl-meta tournament run cup --game {game} --teams {stem}.py,random
    marl-meta tournament run cup --game {game} --teams "exec:python {stem}.py",random
"""

from __future__ import annotations

import base64
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
'''

_TAIL = '''
_CONTENTS = json.loads(zlib.decompress(base64.b85decode("""{contents}""")))
_MODEL = zlib.decompress(base64.b85decode("""{model}"""))


class Player(StandAlone):
    """The team. `deterministic` takes the likeliest action instead of drawing one."""

    def __init__(self, seed: int = 0, deterministic: bool = {deterministic}) -> None:
        super().__init__(_CONTENTS, _MODEL, seed, deterministic=deterministic)
'''

_AGENT = '''

agent = as_function(lambda: Player())
"""The team for kaggle-environments: agent(obs, config)."""
'''

_MAIN = """

if __name__ == "__main__":
    speak_lines(Player())
"""


def contents_of(contents: Contents, sights: Sequence[Sight]) -> dict[str, Any]:
    """Return what a player that stands alone must know beside its network."""
    return {"description": contents.description, "sights": [sight.record() for sight in sights]}


def write_script(
    team: Team, side: TeamLayout, sights: Sequence[Sight], path: Path, *, last: Last = "native",
    deterministic: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Write the script of the policy that plays a side, for games that are seen in these ways; returns its description.

    Raises UserError where the team's network has no room for such a game.
    """
    if not sights:
        raise UserError("A script needs at least one choice of rules to play.")
    places = PolicyInputs(team.layout, team.designs[team.policy_for(side)]).places
    if places is not None:
        for sight in sights:
            places.of(sight.kind[None].astype(np.int8))
    made = make_onnx(team, side)
    head = _HEAD.format(name=team.name, game=sights[0].game, count=len(sights), stem=path.stem)
    tail = _TAIL.format(
        contents=_packed(json.dumps(contents_of(made, sights)).encode()), model=_packed(made.model),
        deterministic=deterministic,
    )  # fmt: skip
    ways = [_AGENT, tail] if last == "native" else [tail, _AGENT]
    body = [_source("grid"), _source("sight"), _source("standalone"), *ways, _MAIN]
    atomic_write_text(path, head + "".join(body))
    return made.description


def _packed(data: bytes) -> str:
    return b85encode(zlib.compress(data, 9)).decode("ascii")


def _source(module: str) -> str:
    """Return the text of a module of this package below its imports."""
    text = resources.files("marl_meta.export").joinpath(f"{module}.py").read_text(encoding="utf-8")
    lines = text.split("\n")
    last = max(index for index, line in enumerate(lines) if line.startswith(("import ", "from ")))
    return "\n".join(lines[last + 1 :])
