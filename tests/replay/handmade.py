"""Replays made by hand, as `replays/FORMAT.md` says, so that the viewer is tested without any game."""

from __future__ import annotations

import base64
import gzip
import io
import json
from typing import Any

import numpy as np
from PIL import Image

from marl_meta.replay.packing import pack, pack_deltas, pack_moves

File = dict[str, Any]

LEVELS = 255
MOVES = ["stay", "left", "right", "down", "up"]
UNIT, KEYFRAME = 0.001, 16
HOSTILE = "</script><img src=x onerror=alert(1)>"


def packed(file: File) -> bytes:
    """Return the bytes of the file."""
    return gzip.compress(json.dumps(file).encode(), mtime=0)


def chase(
    *,
    adversaries: int = 3,
    prey: int = 1,
    obstacles: int = 2,
    steps: int = 25,
    episodes: int = 1,
    seed: int = 1,
    skill: float = 1.0,
    thinks: bool = True,
    believes: bool = False,
    title: str | None = None,
) -> File:
    """Return a game of tag, of which the hunters say what they think; from episode to episode they get better."""
    kinds = ["adversary"] * adversaries + ["prey"] * prey
    names = [f"adversary_{i}" for i in range(adversaries)] + [f"agent_{i}" for i in range(prey)]
    agents = [{"name": n, "team": int(k == "prey"), "kind": k} for n, k in zip(names, kinds, strict=True)]
    played = [
        _chase_episode(adversaries, prey, obstacles, steps, seed + 10 * k, skill * (0.4 + 0.6 * (k + 1) / episodes))
        for k in range(episodes)
    ]
    for k, episode in enumerate(played):
        if thinks:
            episode["notes"] = [_note(adversaries, len(agents) + obstacles, steps, seed + k)]
        if believes:
            episode["notes"][0] |= {"beliefs": _beliefs(adversaries, steps, k, episodes)}
            episode["notes"][0]["updates"] = pack_deltas([k] * steps)
    file = _file("tag", agents, ["obstacle"] * obstacles, MOVES, played)
    file["game"] |= {"family": True, "api": "vector", "rules": {"control": 90}, "seed": seed, "first_game": 0}
    file["game"]["card"] = [
        _rule("adversary_accel", 3.5, 3, "Acceleration of an adversary that moves.", hidden=False),
        _rule(
            "control", 90, 0, "How far each of the four directions of movement is turned, anticlockwise.", hidden=True
        ),
        _rule("who_is_it", "adversary", "adversary", "Who is it: the side that is paid for contacts.", hidden=True),
    ]
    file["teams"] = [
        {"name": "adversaries", "player": "zoo/tag-rl2", "learner": "rl2", "weights": "4f" * 32, "seed": 7},
        {"name": "prey", "player": "flee"},
    ]
    if title is not None:
        file["title"] = title
    return file


def connect_four() -> File:
    """Return a turn-based game on a board, with a blocked cell."""
    columns = [3, 3, 2, 4, 4, 2, 5, 1, 3, 2, 1, 5, 4, 0, 5]
    cells = np.zeros((6, 7), int)
    cells[5, 6] = -1
    boards = [cells.copy()]
    for turn, column in enumerate(columns):
        row = max(r for r in range(6) if cells[r, column] == 0)
        cells[row, column] = 1 + turn % 2
        boards.append(cells.copy())
    T = len(columns)
    chosen = np.zeros((2, T), int)
    for turn, column in enumerate(columns):
        chosen[turn % 2, turn] = column + 1
    rewards = np.zeros((2, T), int)
    rewards[:, -1] = (1, -1)
    scene = {"kind": "board", "width": 7, "height": 6, "keyframe": 8, "style": "board", "cells": _cells(boards, 8)}
    agents = [{"name": f"player_{i}", "team": i, "kind": "player"} for i in range(2)]
    episode = _episode(scene, chosen, rewards, seed=3)
    file = _file("connect_four_v3", agents, [], [f"column {i + 1}" for i in range(7)], [episode])
    file["game"] |= {"api": "aec", "entry_point": "pettingzoo.classic.connect_four_v3:env", "kwargs": {}}
    file["teams"] = [{"name": "player_0", "player": "random"}, {"name": "player_1", "player": "first column"}]
    return file


def grid() -> File:
    """Return a game on a grid of colored cells."""
    T, rng = 30, np.random.default_rng(2)
    cells = np.where(rng.random((12, 16)) < 0.12, -1, 0)
    boards = []
    for _ in range(T + 1):
        cells = cells.copy()
        cells[rng.integers(0, 12, 3), rng.integers(0, 16, 3)] = rng.integers(0, 6, 3)
        boards.append(cells)
    scene = {"kind": "board", "width": 16, "height": 12, "keyframe": 10, "style": "grid", "cells": _cells(boards, 10)}
    agents = [{"name": f"sheep_{i}", "team": i % 2, "kind": "sheep"} for i in range(4)]
    chosen = rng.integers(1, 6, (4, T))
    file = _file("meadow", agents, [], MOVES, [_episode(scene, chosen, rng.integers(0, 2, (4, T)))])
    file["teams"] = [{"name": "north", "player": "random"}, {"name": "south", "player": "random"}]
    return file


def frames() -> File:
    """Return a game of images, whose actions are lists of numbers."""
    T = 20
    images: list[str | None] = []
    for t in range(T + 1):
        pixels = np.full((60, 90, 3), (20, 40, 70), np.uint8)
        pixels[20:40, 3 * t : 3 * t + 20] = (240, 228, 66)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        images.append(None if t in {5, 6} else base64.b64encode(buffer.getvalue()).decode())
    scene = {"kind": "frames", "width": 90, "height": 60, "images": images}
    agents = [{"name": "walker", "team": 0, "kind": "walker"}]
    numbers = np.linspace(-1, 1, 2 * T, dtype="<f4")
    episode = _episode(scene, np.zeros((1, T), int), np.ones((1, T), int), seed=1)
    episode["actions"] = [
        {
            "agents": [0],
            "dtype": "float32",
            "shape": [2],
            "acts": pack(np.ones(T, int)),
            "numbers": base64.b64encode(numbers.tobytes()).decode(),
        }
    ]
    file = _file("multiwalker", agents, [], [], [episode])
    file["teams"] = [{"name": "walkers", "player": "random"}]
    return file


def table(count: int = 3) -> File:
    """Return a game of which there is nothing to see, of `count` agents."""
    T, rng = 12, np.random.default_rng(4)
    agents = [{"name": f"player_{i}", "team": i % 2, "kind": "player"} for i in range(count)]
    chosen, rewards = rng.integers(1, 5, (count, T)), rng.integers(-50, 51, (count, T))
    file = _file("payoff", agents, [], [f"action_{i}" for i in range(4)], [_episode({"kind": "none"}, chosen, rewards)])
    file["teams"] = [{"name": "left", "player": "tit for tat"}, {"name": "right", "player": "rl2"}]
    return file


def hostile() -> File:
    """Return a replay of which every text tries to be markup."""
    file = chase(believes=True, title=HOSTILE)
    for team in file["teams"]:
        team |= {"name": HOSTILE, "player": HOSTILE, "learner": HOSTILE}
    for agent in file["agents"]:
        agent["name"] = HOSTILE
    file["game"] |= {"name": HOSTILE, "variant_id": HOSTILE}
    file["game"]["card"].append(_rule(HOSTILE, HOSTILE, HOSTILE, HOSTILE, hidden=True))
    file["episodes"][0]["notes"][0]["beliefs"]["rules"][0] |= {"name": HOSTILE, "values": [HOSTILE] * 4}
    file["actions"] = [HOSTILE] * len(MOVES)
    file["logs"] = {HOSTILE: HOSTILE}
    file["status"] = ["ERROR", *["DONE"] * (len(file["agents"]) - 1)]
    return file


def _chase_episode(adversaries: int, prey: int, obstacles: int, steps: int, seed: int, skill: float) -> File:
    rng = np.random.default_rng(seed)
    N = adversaries + prey
    place = rng.uniform(-0.95, 0.95, (N + obstacles, 2))
    speed = np.zeros((N, 2))
    places, chosen, rewards = [place.copy()], np.zeros((N, steps), int), np.zeros((N, steps), int)
    for t in range(steps):
        to_prey = place[adversaries:N][None] - place[:adversaries, None]
        nearest = np.linalg.norm(to_prey, axis=-1).argmin(1)
        hunt = skill * to_prey[np.arange(adversaries), nearest]
        flee = -to_prey[np.linalg.norm(to_prey, axis=-1).argmin(0), np.arange(prey)] * -1 - 0.9 * place[adversaries:N]
        wish = np.concatenate([hunt, flee]) + 0.6 * rng.normal(size=(N, 2))
        across = np.abs(wish[:, 0]) > np.abs(wish[:, 1])
        chosen[:, t] = 1 + np.where(across, np.where(wish[:, 0] > 0, 2, 1), np.where(wish[:, 1] > 0, 4, 3))
        push = np.where(across[:, None], [1.0, 0.0], [0.0, 1.0]) * np.sign(wish)
        away = place[:N, None] - place[None, N:]
        distance = np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 0.01)
        push += (6 * np.maximum(0.3 - distance, 0) * away / distance).sum(1) * 4
        place[:N] += 0.1 * speed
        speed = 0.75 * speed + 0.1 * push * np.r_[np.full(adversaries, 3.0), np.full(prey, 4.0)][:, None]
        caught = np.linalg.norm(place[adversaries:N][None] - place[:adversaries, None], axis=-1) < 0.125
        rewards[:adversaries, t] = 100 * caught.sum()
        rewards[adversaries:, t] = -100 * caught.sum(0)
        places.append(place.copy())
    scene = {
        "kind": "particles",
        "unit": UNIT,
        "keyframe": KEYFRAME,
        "places": pack_moves(np.rint(np.stack(places, -1) / UNIT).astype(int), KEYFRAME),
        "radius": [0.075] * adversaries + [0.05] * prey + [0.2] * obstacles,
        "arena": 1.0,
        "walls": False,
    }
    ends = [[agent, steps, "truncated"] for agent in range(N)]
    return _episode(scene, chosen, rewards, ends=ends)


def _note(n: int, E: int, steps: int, seed: int) -> File:
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 3, steps)

    def smooth(*shape: int) -> np.ndarray:
        start, turn = rng.uniform(0, 6.3, (*shape, 1)), rng.uniform(0.5, 2, (*shape, 1))
        return np.exp(1.6 * np.sin(start + turn * time))

    def levels(shares: np.ndarray) -> dict[str, Any]:
        return {"levels": LEVELS, "values": pack_deltas(np.rint(LEVELS * shares).astype(int))}

    attention, chances = smooth(n, 4, E), smooth(n, len(MOVES))
    return {
        "agents": list(range(n)),
        "attention": {**levels(attention / attention.sum(2, keepdims=True)), "heads": 4},
        "influence": levels(smooth(n, E) / 9),
        "probabilities": levels(chances / chances.sum(1, keepdims=True)),
        "value": {"unit": 0.01, "values": pack_deltas(np.rint(300 * smooth(n)).astype(int))},
    }


def _beliefs(n: int, steps: int, k: int, episodes: int) -> File:
    """Return beliefs that start even and come to the truth as the trial goes on."""
    rng = np.random.default_rng(9)
    sure = np.clip((k * steps + np.arange(steps)) / (0.7 * steps * episodes), 0, 1) ** 0.7
    rules = [
        {"rule": "control", "name": "control", "values": ["0", "90", "180", "270"], "truth": 1},
        {"rule": "who_is_it", "name": "who is it", "values": ["adversary", "prey"], "truth": 0},
    ]
    rows = []
    for _ in range(n):
        for rule in rules:
            W = len(rule["values"])
            even = rng.dirichlet(np.full(W, 8.0))
            truth = np.eye(W)[rule["truth"]]
            rows += list((1 - sure) * even[:, None] + sure * truth[:, None])
    values = np.rint(LEVELS * np.stack(rows)).astype(int)
    return {"levels": LEVELS, "rules": rules, "values": pack_deltas(values)}


def _cells(boards: list[np.ndarray], keyframe: int) -> list[str]:
    lists = []
    for t, board in enumerate(boards):
        changed = np.flatnonzero(board.ravel() != boards[t - 1].ravel())
        changes = np.stack([changed, board.ravel()[changed]], -1)
        lists.append(pack(board if t % keyframe == 0 else changes))
    return lists


def _episode(
    scene: File, chosen: np.ndarray, rewards: np.ndarray, *, seed: int | None = None, ends: list[Any] | None = None
) -> File:
    N, T = chosen.shape
    return {
        "seed": seed,
        "steps": T,
        "over": True,
        "actions": [{"agents": list(range(N)), "chosen": pack(chosen)}],
        "rewards": {"unit": 0.1 if np.abs(rewards).max() > 1 else 1, "values": pack_deltas(rewards)},
        "ends": ends or [[agent, T, "terminated"] for agent in range(N)],
        "checks": "0" * 4 * (T + 1),
        "scene": scene,
    }


def _file(name: str, agents: list[File], objects: list[str], actions: list[str], episodes: list[File]) -> File:
    return {
        "format": "marl-meta replay",
        "version": [2, 0],
        "made": {"toolkit": "0.1.0", "python": "3.11.7", "numpy": "2.3.0", "platform": "linux-x86_64"},
        "game": {
            "name": name,
            "family": False,
            "api": "parallel",
            "rules": {},
            "variant_id": "0f3a5c77d2b1",
            "card": [],
        },
        "agents": agents,
        "objects": objects,
        "actions": actions,
        "teams": [],
        "episodes": episodes,
        "returns": [],
        "status": ["DONE"] * len(agents),
        "digest": "0123456789abcdef" * 2,
    }


def _rule(name: str, value: Any, default: Any, about: str, *, hidden: bool) -> File:
    return {"name": name, "value": value, "default": default, "hidden": hidden, "about": about}
