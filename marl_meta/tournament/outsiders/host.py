"""An entrant's own process: loads its code and serves it on descriptors 3 and 4, which are not standard output.

    python -m marl_meta.tournament.outsiders.host TARGET STYLE

TARGET is file.py, file.py:Symbol or pkg.mod:Symbol, STYLE one of styles.STYLES or `auto`. Imports nothing heavy, so
that it starts fast and a limit on memory is the entrant's. `channel.py` starts it, by `guardian.py`.
"""

from __future__ import annotations

import os
import random
import sys
import traceback
from typing import Any

import numpy as np

from marl_meta.resources import load_symbol
from marl_meta.tournament.outsiders.adapters import Adapter
from marl_meta.tournament.outsiders.player import read_info
from marl_meta.tournament.outsiders.styles import STYLES, Style, as_player, last_callable
from marl_meta.tournament.outsiders.wire import ANSWERS, REQUESTS, decode, encode_lists
from marl_meta.types import UserError
from marl_meta.wording import one_line


def main(arguments: list[str]) -> int:
    """Serve an entrant until it is told to close, fails, or nobody asks any more; returns the exit status."""
    target, name = arguments
    for descriptor in (REQUESTS, ANSWERS):
        os.set_inheritable(descriptor, False)
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 (the entrant's folder, where what it imports may lie)
    number = 0
    try:
        player = as_player(_load(target), _style(name))
        _answer({"id": 0, "observes": player.observes})
        with open(REQUESTS, "rb") as requests:  # noqa: PTH123 (a descriptor)
            for line in requests:
                request = decode(line)
                number = request["id"]
                _answer({"id": number, **_serve(player, request)})
                if request["call"] == "close":
                    break
    except BaseException as error:  # noqa: BLE001 (whatever its code raises, sys.exit too, is told to the tournament)
        failed = _failed(number, error)
    else:
        return 0
    # Only here is the memory free that the exception held on to.
    _answer(failed)
    return 1


def _load(target: str) -> Any:
    """Return what a target names; of a file alone the last callable."""
    if target.endswith(".py"):
        return last_callable(load_symbol(f"{target}:__dict__"), target)
    return load_symbol(target)


def _style(name: str) -> Style | None:
    return next((style for style in STYLES if style == name), None)


def _serve(player: Adapter, request: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a request."""
    call = request["call"]
    if call == "act":
        player.bank = request["bank"]
        return {"actions": player.act(request["observations"], request["infos"], request["step"])}
    if call == "observe":
        last = request["observations"] or None
        player.observe(request["rewards"], request["terminations"], request["truncations"], last)
    elif call == "reset":
        _seed(request["seed"])
        player.reset(request["agents"], request["info"], request["seed"])
    elif call == "start_series":
        player.start_series(read_info(request["info"]))
    else:
        player.close()
    return {}


def _seed(seed: int) -> None:
    """Start the usual random streams afresh, so that a game can be played again."""
    random.seed(seed)
    np.random.seed(seed % (1 << 32))  # noqa: NPY002 (the stream that foreign code draws from)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def _answer(message: dict[str, Any]) -> None:
    try:
        line = encode_lists(message)
    except (TypeError, ValueError, RecursionError) as error:
        text = f"its answer cannot be written as JSON: {one_line(error)}"
        line = encode_lists({"id": message["id"], "fault": "shape", "text": text})
    while line:
        line = line[os.write(ANSWERS, line) :]


def _failed(number: int, error: BaseException) -> dict[str, Any]:
    """Return what to tell the tournament of an exception; its traceback goes to the log."""
    if isinstance(error, MemoryError):
        traceback.clear_frames(error.__traceback__)
        return {"id": number, "fault": "memory", "text": "it ran out of the memory that it may have"}
    if isinstance(error, UserError):
        return {"id": number, "fault": "start" if number == 0 else "crash", "text": str(error)}
    traceback.print_exception(error)
    return {"id": number, "fault": "crash", "text": f"{type(error).__name__}: {one_line(error)}"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
