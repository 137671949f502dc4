"""Players that live in a process of their own, under limits: Python code of any style, and programs of any language."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from marl_meta.tournament.outsiders.answers import mask_of
from marl_meta.tournament.outsiders.limits import Limits
from marl_meta.tournament.outsiders.outsider import Outsider
from marl_meta.tournament.outsiders.player import Action, Fault
from marl_meta.tournament.outsiders.replies import read_actions, read_reply
from marl_meta.tournament.outsiders.specs import Spec, parse
from marl_meta.tournament.outsiders.wire import encode, encode_strict, with_tuples
from marl_meta.types import UserError

HOST = "marl_meta.tournament.outsiders.host"
"""The module that serves an entrant's code, in its process."""


class ForeignPlayer(Outsider):
    """Plays Python code of any style (see styles.py) in a process of its own. Its methods raise Fault."""

    def __init__(self, spec: Spec | str, limits: Limits | None = None, seed: int = 0) -> None:
        found = parse(spec) if isinstance(spec, str) else spec
        if found.kind != "python":
            raise UserError(f"{found.text!r} is no Python code; allowed is file.py, file.py:Symbol or pkg.mod:Symbol.")
        command = [
            sys.executable,
            "-P",
            "-m",
            HOST,
            found.target,
            found.style or "auto",
        ]
        super().__init__(found.name, command, found.folder, limits, seed)
        self._number = 0
        self._observes = True

    def reset(self, agents: list[str], info: Mapping[str, Any], seed: int) -> None:
        """Tell it that a game begins; starts its process again if that has ended."""
        if not self.running:
            self._begin()
        request = {"agents": list(agents), "info": dict(info), "seed": seed}
        self._call("reset", request, self.limits.reset_seconds)

    def act(
        self, observations: Mapping[str, Any], infos: Mapping[str, Mapping[str, Any]], step: int
    ) -> dict[str, Action]:
        """Return an action of each agent that has an observation."""
        masks = {agent: mask_of(shown, infos.get(agent, {})) for agent, shown in observations.items()}
        request = {
            "observations": {agent: _told(shown) for agent, shown in observations.items()},
            "infos": {agent: _with_mask(infos[agent]) for agent in observations if agent in infos},
            "step": step, "bank": self._bank,
        }  # fmt: skip
        line = self._take(self._request("act", request), step)
        return self._checked(self._read(line, "act").get("actions"), masks)

    def observe(
        self, rewards: Mapping[str, float], terminations: Mapping[str, bool], truncations: Mapping[str, bool],
        observations: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Tell it what the step led to, if it is of a style that is told; `observations` are the last of a game."""
        if self._observes:
            request = {
                "rewards": dict(rewards), "terminations": dict(terminations), "truncations": dict(truncations),
                "observations": {agent: _told(shown) for agent, shown in (observations or {}).items()},
            }  # fmt: skip
            self._call("observe", request, self.limits.reset_seconds)

    def close(self) -> None:
        """Tell it to end, wait a little, and end it."""
        if self._channel is not None and self._channel.running:
            try:
                self._call("close", {}, self.limits.close_seconds)
            except Fault:
                return
            self._channel.end(self.limits.close_seconds)
        self._end()

    def _begin(self) -> None:
        """Start its process if it has none, and tell it about the series."""
        if not self.running:
            channel = self._open(standard=False)
            self._number = 0
            try:
                line = channel.exchange(b"", self.limits.start_seconds, self._slow)
                self._observes = bool(self._read(line, "start").get("observes", True))
            except Fault as fault:
                kind = fault.kind if fault.kind == "memory" else "start"
                raise self._fail(Fault(kind, fault.sentence)) from None
        self._call("start_series", {"info": self._series().record()}, self.limits.start_seconds)

    def _slow(self) -> Fault:
        return Fault("start", f"{self.name} did not start within {self.limits.start_seconds:g} s.")

    def _call(self, method: str, request: dict[str, Any], seconds: float) -> None:
        if self._channel is None or not self._channel.running:
            raise RuntimeError(f"{self.name} plays no game; reset comes first.")

        def late() -> Fault:
            return Fault("timeout", f"{self.name} took longer than {seconds:g} s in {method}.")

        try:
            line = self._channel.exchange(self._request(method, request), seconds, late)
        except Fault as fault:
            raise self._fail(fault) from None
        self._read(line, method)

    def _request(self, method: str, request: dict[str, Any]) -> bytes:
        self._number += 1
        return encode({"id": self._number, "call": method, **request})

    def _read(self, line: bytes, method: str) -> dict[str, Any]:
        try:
            return read_reply(self.name, line, self._number, method)
        except Fault as fault:
            raise self._fail(fault) from None


class ExecPlayer(Outsider):
    """Plays any program that speaks JSON lines, as Lux AI's kits do. Its methods raise Fault.

    For each move the program reads a line `{"step", "obs", "remainingOverageTime", "player", "info"}` and writes a line
    `{"action": ...}`: an object of actions by agent, or the action itself where one agent acts. `player` is its side;
    `obs` has for each agent that acts `{"observation": ...}`, and `"action_mask"` where there is one; `info` has
    `game` (its number in the series) and, once a step has been played, `rewards`, `terminations` and `truncations` of
    the last one, and `observations` where that ended a game. At step 0, which begins a game, `info` also has `env_cfg`,
    which is `SeriesInfo.record()`, and `seed` and `agents` of the game. Each series is played by a process of its own.
    """

    def __init__(
        self, command: str, limits: Limits | None = None, seed: int = 0, name: str = "exec", folder: Path | None = None
    ) -> None:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise UserError(f"{command!r} is no command: {error}.") from error
        if not words:
            raise UserError("exec: needs a command, such as exec:python main.py.")
        super().__init__(name, words, folder or Path.cwd(), limits, seed)
        self._opening: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        self._game = 0
        self._new = True

    def reset(self, agents: list[str], info: Mapping[str, Any], seed: int) -> None:
        """Get ready for a game, of which the program is told at step 0; starts it again if it has ended."""
        if not self.running:
            self._begin()
        record = self._series().record()
        self._game = int(info.get("game", 0))
        self._opening = {"env_cfg": record, "agents": list(agents), "seed": seed}

    def act(
        self, observations: Mapping[str, Any], infos: Mapping[str, Mapping[str, Any]], step: int
    ) -> dict[str, Action]:
        """Return an action of each agent that has an observation."""
        masks = {agent: mask_of(shown, infos.get(agent, {})) for agent, shown in observations.items()}
        shown = {agent: _entry(observations[agent], mask) for agent, mask in masks.items()}
        message = {
            "step": step, "obs": shown, "remainingOverageTime": self._bank, "player": self._series().side,
            "info": {"game": self._game, **self._last, **self._opening},
        }  # fmt: skip
        line = self._take(encode_strict(message), step, extra=self.limits.start_seconds if self._new else 0.0)
        self._new, self._opening = False, {}
        try:
            actions = read_actions(self.name, line, list(masks))
        except Fault as fault:
            raise self._fail(fault) from None
        return self._checked(actions, masks)

    def observe(
        self, rewards: Mapping[str, float], terminations: Mapping[str, bool], truncations: Mapping[str, bool],
        observations: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Keep what the step led to, which the program is told with the next move."""
        self._last = {"rewards": dict(rewards), "terminations": dict(terminations), "truncations": dict(truncations)}
        if observations:
            self._last["observations"] = {agent: _entry(shown, None) for agent, shown in observations.items()}

    def close(self) -> None:
        """End it."""
        self._end()

    def _begin(self) -> None:
        """Start a process for the series."""
        self._open(standard=True)
        self._new, self._last = True, {}


def open_player(spec: Spec | str, limits: Limits | None = None, seed: int = 0) -> ForeignPlayer | ExecPlayer:
    """Return the player from outside that a spec names; raises UserError for a spec of anything else."""
    found = parse(spec) if isinstance(spec, str) else spec
    if found.kind == "exec":
        return ExecPlayer(found.target, limits, seed, found.name, found.folder)
    return ForeignPlayer(found, limits, seed)


def _told(shown: object) -> object:
    """Return an observation as it is written: a mask is an array of int8, and lists of numbers are arrays."""
    if isinstance(shown, Mapping):
        return {str(key): _mask(part) if key == "action_mask" else _told(part) for key, part in shown.items()}
    return np.asarray(shown, np.float32) if isinstance(shown, list) else with_tuples(shown)


def _with_mask(info: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _mask(value) if key == "action_mask" else with_tuples(value) for key, value in info.items()}


def _mask(mask: object) -> object:
    return None if mask is None else np.asarray(mask, np.int8)


def _entry(shown: object, mask: object) -> dict[str, Any]:
    """Return what a program is shown of an agent."""
    entry = dict(shown) if isinstance(shown, Mapping) else {"observation": shown}
    return entry if mask is None else {**entry, "action_mask": np.asarray(mask, np.int8)}
