"""Native players, each wrong in its own way; all play two agents, red_0 (4 actions) and red_1 (a Box of 2 numbers)."""

# ruff: noqa: ARG002, T201, S607, PTH109, PTH208 (this is what entrants look like: they ignore and print)

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np


class Good:
    def reset(self, agents: list[str], info: dict[str, Any], seed: int) -> None:
        self.agents = agents

    def act(self, observations: dict[str, Any], infos: dict[str, Any], step: int) -> Any:
        good = {"red_0": 2, "red_1": np.array([0.5, -0.5])}
        return self.answer(step, {agent: good[agent] for agent in observations})

    def answer(self, step: int, good: dict[str, Any]) -> Any:
        return good


class Chatty(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        print(f"thinking about step {step}", file=sys.stdout if step % 2 else sys.stderr)
        return good


class Raises(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        raise ValueError("no\x1b[31m idea\nat all")


class Exits(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        sys.exit(3)


class ExitsAtOnce(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        os._exit(5)


class Segfaults(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        return ctypes.string_at(1)


class Loops(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            pass


class Sleeps(Good):
    """Takes as long as the step says, in hundredths of a second."""

    def answer(self, step: int, good: dict[str, Any]) -> Any:
        time.sleep(step / 100)
        return good


class SlowReset(Good):
    def reset(self, agents: list[str], info: dict[str, Any], seed: int) -> None:
        time.sleep(60)


class SlowObserver(Good):
    def observe(self, rewards: Any, terminations: Any, truncations: Any) -> None:
        time.sleep(60)


class Floods(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        for descriptor in (1, 2):
            for _ in range(100):
                os.write(descriptor, b"x" * (1 << 20))
        return good


class FloodsForever(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        while True:
            os.write(1, b"x" * (1 << 16))


class HugeAnswer(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        return {**good, "red_0": "x" * (8 << 20)}


class WritesForever(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        while True:
            os.write(4, b"x" * (1 << 16))


class Malformed(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        os.write(4, b'{"id": \xff\n')
        return good


class Forged(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        os.write(4, b'{"id": 99, "actions": {}}\n')
        return good


class Twice(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        if step == 0:
            os.write(4, b'{"id": 3, "actions": {"red_0": 1, "red_1": [0, 0]}}\n{"id": 4, "actions": {}}\n')
        return good


class NestedRaw(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        os.write(4, b"[" * 500_000 + b"\n")
        return good


class Nested(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        nest: list[Any] = []
        for _ in range(100_000):
            nest = [nest]
        return {**good, "red_0": nest}


class NestedSome(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        nest: list[Any] = []
        for _ in range(900):
            nest = [nest]
        return {**good, "red_1": nest}


class Answers(Good):
    """Answers what the step says."""

    CASES = (
        {"red_0": float("nan"), "red_1": [0, 0]},
        {"red_0": 1, "red_1": [float("inf"), 0]},
        {"red_0": 1},
        {"red_0": 1, "red_1": [0, 0], "blue_0": 1},
        {"red_0": 0, "red_1": [0, 0]},  # the mask forbids it
        {"red_0": 4, "red_1": [0, 0]},
        {"red_0": -1, "red_1": [0, 0]},
        {"red_0": 1, "red_1": [0, 0, 0]},
        {"red_0": 1, "red_1": [[0], 0]},
        {"red_0": 1, "red_1": [2, 0]},
        {"red_0": None, "red_1": [0, 0]},
        {"red_0": "1", "red_1": [0, 0]},
        {"red_0": True, "red_1": [0, 0]},
        {"red_0": 1.5, "red_1": [0, 0]},
        {"red_0": [1], "red_1": [0, 0]},
        {"red_0": 1, "red_1": ["0", "0"]},
        {"red_0": 1, "red_1": [None, 0]},
        {"red_0": 10**400, "red_1": [0, 0]},
        {"red_0": 1, "red_1": [10**400, 0]},
        {"red_0": 1, "red_1": [1e300, 0]},
        None,
        3,
        [1, 2],
        {"red_0": object(), "red_1": [0, 0]},
        {("red_0",): 1},
    )

    def answer(self, step: int, good: dict[str, Any]) -> Any:
        return self.CASES[step]


class TakesMemory(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        kept = []
        while True:
            kept.append(bytearray(16 << 20))


class TakesMemoryByForks(Good):
    """Each process stays below the limit, but not all of them."""

    def answer(self, step: int, good: dict[str, Any]) -> Any:
        for _ in range(6):
            if os.fork() == 0:
                kept = bytearray(os.urandom(1 << 20) * 150)
                time.sleep(60)
                os._exit(len(kept))
        time.sleep(60)
        return good


class Forks(Good):
    """Leaves processes behind: plain, deaf ones, some of them in sessions of their own, and a program."""

    def answer(self, step: int, good: dict[str, Any]) -> Any:
        for number in range(6):
            if os.fork() == 0:
                if number % 2:
                    os.setsid()
                    if os.fork():
                        os._exit(0)
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(600)
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        time.sleep(0.05)
        return good


class ForkBomb(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        for _ in range(200):
            if os.fork() == 0:
                time.sleep(600)
        time.sleep(60)
        return good


class ForksAndDies(Forks):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        super().answer(step, good)
        os._exit(1)


class ClosesPipes(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        os.closerange(0, 50)
        time.sleep(60)
        return good


class KillsGuardian(Good):
    def answer(self, step: int, good: dict[str, Any]) -> Any:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
        return good


class SlowToClose(Good):
    def close(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)


class Surroundings(Good):
    """Prints what it sees of its surroundings."""

    def answer(self, step: int, good: dict[str, Any]) -> Any:
        import json
        import resource

        limits = {name: resource.getrlimit(getattr(resource, name))[0] for name in ("RLIMIT_AS", "RLIMIT_CORE")}
        heavy = sorted({"torch", "pettingzoo", "gymnasium", "numba", "pydantic"} & set(sys.modules))
        seen = {"environment": dict(os.environ), "folder": os.getcwd(), "limits": limits, "heavy": heavy}
        print(json.dumps({**seen, "hash": hash("x"), "input": sys.stdin.read(), "open": os.listdir("/proc/self/fd")}))
        return good
