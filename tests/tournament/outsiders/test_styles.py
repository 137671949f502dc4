"""Every style plays, in a process of its own, and is shown what it should be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marl_meta.tournament.outsiders.limits import Limits
from marl_meta.tournament.outsiders.player import Choice, Fault, SeriesInfo, read_info
from marl_meta.tournament.outsiders.process import ForeignPlayer
from marl_meta.tournament.outsiders.styles import style_of
from marl_meta.types import UserError

from .foreign import ENTRANTS, INFO, nothing_left

INFO_OF_TWO = replace(INFO, actions=dict.fromkeys(INFO.own, Choice(4)))
OBSERVATIONS = {"red_0": np.array([1, 2], np.float32), "red_1": np.array([3, 4], np.float32)}
MASK = {"action_mask": np.array([0, 1, 1, 1], np.int8)}


def played(spec: str, tmp_path: Path, *, masks: bool = False, games: int = 1) -> tuple[list[dict[str, Any]], str]:
    """Return the actions of three steps a game, and what the entrant printed."""
    infos: dict[str, Any] = {"red_0": MASK} if masks else {}
    actions = []
    with nothing_left(tmp_path):
        player = ForeignPlayer(spec, Limits(bank_seconds=20))
        player.start_series(INFO_OF_TWO)
        for game in range(games):
            player.reset(["red_0", "red_1"], {"game": game}, seed=7 + game)
            for step in range(3):
                actions.append(player.act(OBSERVATIONS, infos, step))
                player.observe({"red_0": float(step), "red_1": 0.0}, dict.fromkeys(INFO.own, False), {})
        player.close()
    return actions, player.logs


def file(symbol: str) -> str:
    return f"{ENTRANTS / 'styles.py'}:{symbol}"


def test_kaggle(tmp_path: Path) -> None:
    actions, logs = played(file("kaggle"), tmp_path, masks=True)
    assert [list(one.values()) for one in actions] == [[1, 1], [2, 2], [3, 3]]
    assert logs.splitlines()[:2] == [
        "kaggle 0 red red_0 [1.0, 2.0] [0, 1, 1, 1] 20",
        "kaggle 0 red red_1 [3.0, 4.0] None 20",
    ]
    actions, logs = played(file("kaggle_with_config"), tmp_path)
    assert [one["red_0"] for one in actions] == [1, 2, 3]
    assert logs.splitlines()[0] == "config 3 {'arena': 1.0} 1.0"


def test_kaggle_is_told_what_it_earned(tmp_path: Path) -> None:
    _, logs = played(file("kaggle_rewarded"), tmp_path, games=2)
    earned = [line.split() for line in logs.splitlines()]
    # Of each step what the one before it paid, at a game's beginning what the last of the game before did.
    assert [reward for agent, reward in earned if agent == "red_0"] == ["0.0", "0.0", "1.0", "2.0", "0.0", "1.0"]
    assert {reward for agent, reward in earned if agent == "red_1"} == {"0.0"}


def test_a_file_alone_is_its_last_callable(tmp_path: Path) -> None:
    assert played(str(ENTRANTS / "styles.py"), tmp_path)[0] == [{"red_0": 2, "red_1": 2}] * 3


def test_pettingzoo(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"1\.0, which is not a whole number") as caught:
        played(file("pettingzoo"), tmp_path)
    assert caught.value.kind == "shape"
    assert played(file("pettingzoo"), tmp_path, masks=True)[0] == [{"red_0": 1, "red_1": 2}] * 3


def test_lux(tmp_path: Path) -> None:
    actions, logs = played(file("Lux"), tmp_path, masks=True, games=2)
    assert actions == [{"red_0": 2, "red_1": 1}] * 6
    lines = logs.splitlines()
    assert lines[0] == "lux red 3 0 1 ['red_0', 'red_1'] 20"
    assert lines[3] == "lux red 3 0 4 ['red_0', 'red_1'] 20"  # the same agent in the series' next game


@pytest.mark.parametrize("spec", [file("Model"), f"sb3:{file('load')}"])
def test_stable_baselines(spec: str, tmp_path: Path) -> None:
    actions, _ = played(spec, tmp_path, games=2)
    assert [tuple(one.values()) for one in actions] == [(0, 0), (1, 1), (2, 2)] * 2


def test_stable_baselines_with_masks(tmp_path: Path) -> None:
    actions, _ = played(file("MaskableModel"), tmp_path, masks=True)
    assert actions[0] == {"red_0": 1, "red_1": 3}


def test_melting_pot(tmp_path: Path) -> None:
    actions, logs = played(file("Policy"), tmp_path)
    assert [one["red_0"] for one in actions] == [0, 1, 3]
    assert logs.splitlines()[::2] == [
        "meltingpot 0.0 0.0 ['observation']",
        "meltingpot 0.0 1.0 ['observation']",
        "meltingpot 1.0 1.0 ['observation']",
    ]


@pytest.mark.parametrize("symbol", ["Native", "native"])
def test_native(symbol: str, tmp_path: Path) -> None:
    actions, logs = played(file(symbol), tmp_path, masks=True)
    assert actions == [{"red_0": 1, "red_1": 1}] * 3
    kinds = "{'red_0': ('float32', (2,)), 'red_1': ('float32', (2,))}"
    assert logs.splitlines()[:5] == [
        "series duel ('red_0', 'red_1') 4 1.0",
        "reset ('red_0', 'red_1') 0 7",
        f"act {kinds} {{'red_0': ('int8', [0, 1, 1, 1])}} 0",
        "observe {'red_0': 0.0, 'red_1': 0.0} {'red_0': False, 'red_1': False} {}",
        f"act {kinds} {{'red_0': ('int8', [0, 1, 1, 1])}} 1",
    ]


def test_a_class_is_made_anew_for_each_series(tmp_path: Path) -> None:
    with nothing_left(tmp_path):
        player = ForeignPlayer(file("Native"))
        for _ in range(2):
            player.start_series(INFO_OF_TWO)
        player.close()
    assert player.logs.count("series") == 2  # each closed one prints what it has seen


def test_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "its_package").mkdir()
    (tmp_path / "its_package" / "__init__.py").touch()
    (tmp_path / "its_package" / "random.py").write_text("def play(obs):\n    return 3\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert played("its_package.random:play", tmp_path)[0] == [{"red_0": 3, "red_1": 3}] * 3


def test_what_is_unclear_must_be_named(tmp_path: Path) -> None:
    for symbol in ("Unclear", "unclear", "load"):
        with pytest.raises(Fault, match=r"kaggle:file\.py:Symbol") as caught:
            played(file(symbol), tmp_path)
        assert caught.value.kind == "start"
    assert played(f"lux:{file('unclear')}", tmp_path, games=0)[0] == []
    with pytest.raises(Fault, match="has no attribute 'act'"):
        played(f"lux:{file('unclear')}", tmp_path)


def test_styles_are_told_by_signatures() -> None:
    def by_config(obs: Any, config: Any) -> int: ...

    def by_agent(obs: Any, agent_id: str) -> int: ...

    class Callable:
        def __call__(self, obs: Any) -> int: ...

    class Static:
        @staticmethod
        def predict(obs: Any) -> int: ...

    assert [style_of(one) for one in (by_config, by_agent, Callable(), Static, Static())] == [
        "kaggle", "pettingzoo", "kaggle", "sb3", "sb3",
    ]  # fmt: skip
    for one in (3, print, Callable, lambda: 0, lambda _, __, ___: 0):
        with pytest.raises(UserError, match="none of the known styles"):
            style_of(one)


def test_info_survives_being_written() -> None:
    assert read_info(INFO.record()) == INFO
    assert isinstance(read_info(INFO.record()), SeriesInfo)
