"""Plays a team from an ONNX file, with numpy and onnxruntime alone: the part that scripts which stand alone carry.

A series is `start_series`, then for each game `reset`, and for each step `act` and `observe`. What is found out in one
game is kept for the next, until another series starts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from marl_meta.export.grid import FREE, Grid
from marl_meta.export.sight import Sight, read_sight

FIRST, MID, LAST = 0, 1, 2


class StandAlone:
    """A player of all agents of a side, or of some of them."""

    def __init__(
        self, contents: Mapping[str, Any], model: bytes, seed: int = 0, *, deterministic: bool = False
    ) -> None:
        """`contents` are what `script.contents_of` returns."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._wanted = {one.name for one in self._session.get_inputs()}
        self._outputs = [one.name for one in self._session.get_outputs()]
        self._about: Mapping[str, Any] = contents["description"]
        self._sights = [read_sight(record) for record in contents["sights"]]
        self.name: str = self._about["team"]
        self._deterministic = deterministic
        self._draws = np.random.default_rng(seed)
        self.agents: list[str] = []

    def start_series(self, info: Any) -> None:
        """Get ready for games under the same rules, and forget those before.

        `info` says `side`, `own` (its agents) and `rules`, as a mapping or by attributes.
        """
        told = info if isinstance(info, Mapping) else {name: getattr(info, name) for name in ("side", "own", "rules")}
        self._sight = self._choose(dict(told.get("rules") or {}), told.get("own"))
        side = told.get("side") or self._about["side"]
        self.agents = list(told.get("own") or self._sight.side(side))
        rows, entities = len(self.agents), len(self._sight.kind)
        self._memory = {}
        for part, axes in self._about["memory"].items():
            shape = [{"agents": rows, "entities": entities}.get(axis, axis) for axis in axes]
            begun = self._about["start"].get(part)
            if begun is None:
                self._memory[part] = np.zeros(shape, np.float32)
            else:
                self._memory[part] = np.array(begun, np.float32)[np.arange(rows) % len(begun)]
        self._phase = np.zeros(rows, np.int64)
        self._action, self._reward = np.zeros(rows, np.int64), np.zeros(rows, np.float32)
        self._blind = np.zeros(rows, np.bool_)
        self._cells: list[Any] = [None] * rows
        """Of games on boards, the position that each agent saw last."""

    def reset(self, agents: Iterable[str], info: Mapping[str, Any], seed: int) -> None:
        """Get ready for a game."""
        del agents, info
        self._phase[:] = FIRST
        self._cells = [None] * len(self._phase)
        self._draws = np.random.default_rng(seed)

    def act(
        self, observations: Mapping[str, Any], infos: Mapping[str, Mapping[str, Any]] | None = None, step: int = 0
    ) -> dict[str, int]:
        """Return an action of each agent that has an observation: a vector, or `{observation, action_mask}`."""
        del step
        names = list(observations)
        logits = self._run(observations, infos or {})
        for place, name in enumerate(names):
            self._action[self.agents.index(name)] = self._choice(logits[place])
        rows = [self.agents.index(name) for name in names]
        self._phase[rows], self._reward[rows], self._blind[rows] = MID, 0.0, False
        return {name: int(self._action[row]) for name, row in zip(names, rows, strict=True)}

    def observe(
        self,
        rewards: Mapping[str, float | None],
        terminations: Mapping[str, bool],
        truncations: Mapping[str, bool],
        observations: Mapping[str, Any] | None = None,
    ) -> None:
        """Take note of what the step led to; `observations` may be the last of a game.

        A reward of None is one that it is not told: then the step is no evidence of the rules.
        """
        for row, name in enumerate(self.agents):
            reward = rewards.get(name, 0.0)
            self._reward[row] = 0.0 if reward is None else reward
            self._blind[row] = reward is None
        if all(terminations.get(name, False) or truncations.get(name, False) for name in self.agents):
            own = {name: one for name, one in (observations or {}).items() if name in self.agents}
            playing = [row for row in range(len(self.agents)) if self._phase[row] != FIRST]
            self._phase[playing] = LAST
            if len(own) == len(self.agents):
                self._run(own, {})
            elif playing:
                self._blind[:] = True
                self._run(None, {})
            self._phase[:], self._blind[:] = FIRST, False

    def close(self) -> None:
        """Release nothing."""

    def _choose(self, rules: Mapping[str, Any], own: Any) -> Sight:
        """Return how observations are read under these rules; raises ValueError where that is not known."""
        for sight in self._sights:
            fits = all(rules.get(name, value) == value for name, value in sight.rules.items())
            if fits and set(own or ()) <= set(sight.agents):
                return sight
        raise ValueError(
            f"{self.name} was exported for other rules than {dict(rules)} (agents {list(own or ())}); "
            "export it for these: marl-meta team export --rules."
        )

    def _run(self, observations: Mapping[str, Any] | None, infos: Mapping[str, Mapping[str, Any]]) -> Any:
        """Return logits of those who are shown something, and move their memory on; None shows all what they saw."""
        names = list(self.agents if observations is None else observations)
        rows = [self.agents.index(name) for name in names]
        memory = {part: values[rows] for part, values in self._memory.items()}
        if "seen" in memory:  # who saw nothing of a step has no evidence
            memory["seen"] = np.where(self._blind[rows, None], np.float32(0.0), memory["seen"])
        told = self._told(names, rows, observations, infos)
        feed = {**told, **{f"memory_{part}": values for part, values in memory.items()}}
        found = self._session.run(None, {name: value for name, value in feed.items() if name in self._wanted})
        by_name = dict(zip(self._outputs, found, strict=True))
        for part, values in self._memory.items():
            values[rows] = by_name[f"next_memory_{part}"]
        return by_name["logits"]

    def _told(self, names: list[str], rows: list[int], observations: Any, infos: Mapping[str, Any]) -> dict[str, Any]:
        sight, kinds = self._sight, self._about["kinds"]
        width = len(self._about["actions"])
        kind = np.array([kinds.index(sight.kinds[one]) for one in sight.kind], np.int64)
        if sight.grid is not None:
            return self._on_board(sight.grid, names, rows, observations, kind)
        views = [self._view(name, observations) for name in names]
        legal = [self._legal(name, observations, infos, width) for name in names]
        return {
            "entities": np.stack([view[0] for view in views]),
            "kind": np.tile(kind, (len(rows), 1)),
            "team": np.tile(sight.team, (len(rows), 1)),
            "seen": np.stack([view[1] for view in views]),
            "me": np.array([sight.eyes[name].slot for name in names], np.int64),
            "rules": np.tile(sight.rule_values, (len(rows), 1)),
            "private": np.stack([view[2] for view in views]),
            "legal": np.stack(legal),
            "phase": self._phase[rows],
            "action": self._action[rows],
            "reward": self._reward[rows],
        }

    def _on_board(self, grid: Grid, names: list[str], rows: list[int], observations: Any, kind: Any) -> dict[str, Any]:
        """Return what players are told of a board; `observations` None shows them what they saw."""
        shown = []
        for name, row in zip(names, rows, strict=True):
            player, before = self._sight.eyes[name].slot, self._cells[row]
            if observations is None:
                cells = before if before is not None else np.full(grid.height * grid.width, FREE, np.int64)
            else:
                given = observations[name]
                cells = grid.cells(given["observation"] if isinstance(given, Mapping) else given, player)
            shown.append(grid.show(cells, before, player))
            self._cells[row] = cells
        count = len(rows)
        return {
            "entities": np.stack([one.entities for one in shown]), "kind": np.tile(kind, (count, 1)),
            "team": np.stack([one.team for one in shown]), "seen": np.stack([one.present for one in shown]),
            "me": np.array([self._sight.eyes[name].slot for name in names], np.int64),
            "rules": np.tile(self._sight.rule_values, (count, 1)), "private": np.ones((count, 1), np.float32),
            "legal": np.stack([one.targets >= 0 for one in shown]), "phase": self._phase[rows],
            "action": self._action[rows], "reward": self._reward[rows],
            "links": np.tile(grid.links, (count, 1, 1)), "targets": np.stack([one.targets for one in shown]),
        }  # fmt: skip

    def _view(self, name: str, observations: Any) -> Any:
        if observations is None:
            eye = self._sight.eyes[name]
            return self._sight.look(name, np.zeros(eye.size, np.float32))
        given = observations[name]
        return self._sight.look(name, given["observation"] if isinstance(given, Mapping) else given)

    def _legal(self, name: str, observations: Any, infos: Mapping[str, Any], width: int) -> Any:
        found = np.zeros(width, np.bool_)
        given = {} if observations is None else observations[name]
        mask = given.get("action_mask") if isinstance(given, Mapping) else None
        if mask is None:
            mask = infos.get(name, {}).get("action_mask")
        legal = np.ones(self._sight.eyes[name].actions) if mask is None else np.asarray(mask).reshape(-1)
        found[: legal.size] = legal != 0
        return found

    def _choice(self, logits: Any) -> int:
        if self._deterministic:
            return int(logits.argmax())
        chances = np.exp(logits.astype(np.float64) - logits.max())
        return int(self._draws.choice(len(chances), p=chances / chances.sum()))


def as_function(make: Callable[[], Any]) -> Callable[..., int]:
    """Return a player as kaggle-environments has them: `f(obs, config)`, asked for one agent after the other.

    `obs` has `observation`, `step`, `agent` (or `player`, where that is the agent) and perhaps `action_mask` and
    `reward`; `config` may have `side`, `rules`, `agents`, and `episodes`: games in a row in which it keeps what it
    finds out, 1 where nothing is said.
    """
    players: dict[str, tuple[Any, list[int]]] = {}

    def agent(obs: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> int:
        told = config or {}
        name = str(obs.get("agent", obs.get("player")))
        begins = int(obs.get("step", 0)) == 0
        if name not in players:
            players[name] = make(), [0]
        player, games = players[name]
        reward = {name: obs.get("reward")}
        if begins:
            if games[0] % int(told.get("episodes", 1)) == 0:
                player.start_series({"side": told.get("side"), "own": [name], "rules": told.get("rules")})
            elif games[0]:
                player.observe(reward, {name: True}, {})
            games[0] += 1
            player.reset([name], {}, games[0])
        else:
            player.observe(reward, {}, {})
        shown = {"observation": obs["observation"], "action_mask": obs.get("action_mask")}
        return int(player.act({name: shown})[name])

    return agent


def speak_lines(player: StandAlone) -> None:
    """Answer JSON lines on standard input, as Lux AI's kits do: `{step, obs, player, info}` by `{action}`."""
    for line in sys.stdin:
        try:
            message = json.loads(line)
        except ValueError:
            sys.exit(f"expected a line of JSON with step, obs and info, not {line.strip()[:60]!r}")
        info = message["info"]
        if "rewards" in info and player.agents:
            player.observe(info["rewards"], info["terminations"], info["truncations"], info.get("observations"))
        if message["step"] == 0:
            if int(info.get("game", 0)) == 0:
                player.start_series(info["env_cfg"])
            player.reset(info["agents"], info, int(info.get("seed", 0)))
        sys.stdout.write(json.dumps({"action": player.act(message["obs"])}) + "\n")
        sys.stdout.flush()
