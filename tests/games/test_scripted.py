"""How a family.yaml names its hand-written players."""

from __future__ import annotations

from typing import Any

import pytest

from marl_meta.games.family import load_family
from marl_meta.games.scripted import Script, load_script, scripts_of
from marl_meta.types import UserError


def named(write_family: Any, script: str) -> Any:
    """Return the toy family with one hand-written player."""
    return load_family(write_family("objects:", f"engine: {{scripted: {{one: {script}}}}}\nobjects:"))


def test_players_say_whom_they_play_and_what_they_remember(write_family: Any) -> None:
    for script, expected in {
        "'game.py:make_game'": Script("game.py:make_game", ("walker", "runner")),
        "{function: 'a:b', plays: [runner]}": Script("a:b", ("runner",)),
        "{function: 'a:b', memory: 3}": Script("a:b", ("walker", "runner"), 3),
    }.items():
        assert scripts_of(named(write_family, script)) == {"one": expected}
    script, function = load_script(named(write_family, "'game.py:make_game'"), "one")
    assert script.memory == 0 and function.__name__ == "make_game"


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("{plays: [runner]}", "engine.scripted.one.function is missing"),
        ("{function: 'a:b', memory: 0}", "engine.scripted.one.memory must be an integer of at least 1, not 0"),
        ("{function: 'a:b', memory: lots}", "engine.scripted.one.memory must be an integer of at least 1"),
        ("{function: 'a:b', plays: [wolf]}", "engine.scripted.one.plays must be a list of kinds of agent"),
        ("{function: 'a:b', remembers: 3}", "engine.scripted.one.remembers is not a known key"),
    ],
)
def test_a_misnamed_player_gets_one_sentence(write_family: Any, script: str, text: str) -> None:
    with pytest.raises(UserError) as caught:
        scripts_of(named(write_family, script))
    assert text in str(caught.value)
