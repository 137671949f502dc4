from __future__ import annotations

import pytest

from marl_meta.interop.peers import (
    EPISODE,
    Episodes,
    connect_four_episodes,
    installed,
    jaxmarl_episodes,
    mpe2_episodes,
    vmas_episodes,
)


@pytest.mark.parametrize("family", ["spread", "tag"])
def test_mpe2_plays_episodes(family: str) -> None:
    episodes = mpe2_episodes(family)
    assert episodes is not None
    assert (episodes.system, episodes.env_steps) == ("mpe2", EPISODE)
    episodes.play()
    episodes.play()


def test_games_that_nobody_else_has() -> None:
    assert mpe2_episodes("harvest") is None
    assert vmas_episodes("harvest", 2) is None
    assert jaxmarl_episodes("harvest", 2) is None


@pytest.mark.parametrize(("package", "make"), [("vmas", vmas_episodes), ("jaxmarl", jaxmarl_episodes)])
def test_batched_peers_play_where_they_are_installed(package: str, make: type[Episodes]) -> None:
    episodes = make("spread", 2)
    if not installed(package):
        assert episodes is None
        return
    episodes.play()
    assert episodes.env_steps == 2 * EPISODE


def test_a_folder_of_that_name_is_not_an_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not installed("surely_not_installed")
    assert installed("mpe2")


def test_pettingzoo_plays_a_game_of_connect_four() -> None:
    episodes = connect_four_episodes("connect")
    assert episodes is not None and connect_four_episodes("spread") is None
    assert episodes.system == "PettingZoo" and 7 <= episodes.env_steps <= 42
    episodes.play()
    episodes.play()
