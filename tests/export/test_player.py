"""A team that is handed flat observations by agent plays as it does in the engine, and adapts as it does there."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from marl_meta import UserError, load_team
from marl_meta.tournament.outsiders.player import Choice, SeriesInfo

from .tables import GRADIENT_TRIALS, TRIALS, Table


def nobody(names):
    return dict.fromkeys(names, False)


@pytest.mark.parametrize("name", [*TRIALS, *GRADIENT_TRIALS])
def test_it_plays_as_in_the_engine(name):
    table = Table(name, *{**TRIALS, **GRADIENT_TRIALS}[name])
    player = table.team.player(deterministic=True)
    player.enter(table.seen, table.side)
    assert player.agents == table.own
    for played in table.play(3):
        assert player.act(table.flat(played.observation)) == played.actions
        last = table.flat(played.step.final) if played.over else None
        over = dict.fromkeys(table.own, played.over)
        player.observe(table.rewards(played.step), nobody(table.own), over, last)


def test_who_is_told_the_series_enters_the_same_game():
    table = Table("zoo:harvest-belief", *TRIALS["zoo:harvest-belief"])
    shown = {name: value for name, value in table.rules.items() if name in table.seen.sight.rules}
    agents = {agent: "gatherer" if "gatherer" in agent else "rival" for agent in table.seen.sight.agents}
    actions = {agent: Choice(5) for agent in table.own}
    player = table.team.player(deterministic=True)
    player.start_series(SeriesInfo("harvest", "rival", 3, table.own, agents, actions, shown))
    for played in table.play(1):
        assert player.act(table.flat(played.observation), {}, 0) == played.actions
        player.observe(table.rewards(played.step), nobody(table.own), nobody(table.own))


def evidence(player):
    return np.abs(player.controller.snapshot()["evidence"]).sum()


def test_what_an_agent_is_not_told_is_no_evidence():
    table = Table("zoo:payoffs-episodic", *TRIALS["zoo:payoffs-episodic"])
    told, blind = table.team.player(deterministic=True), table.team.player(deterministic=True)
    for player in (told, blind):
        player.enter(table.seen, table.side)
    for played in table.play(1):
        for player, rewards in ((told, table.rewards(played.step)), (blind, dict.fromkeys(table.own))):
            player.act(table.flat(played.observation))
            player.observe(rewards, nobody(table.own), dict.fromkeys(table.own, played.over))
    assert evidence(told) > 0
    assert evidence(blind) == 0


def test_a_new_series_begins_with_nothing():
    table = Table("zoo:payoffs-episodic", *TRIALS["zoo:payoffs-episodic"])
    player = table.team.player(deterministic=True)
    player.enter(table.seen, table.side)
    for played in table.play(1):
        player.act(table.flat(played.observation))
        player.observe(table.rewards(played.step), nobody(table.own), nobody(table.own))
    assert evidence(player) > 0
    player.reset(list(table.own), {"game": 1}, 0)
    assert evidence(player) > 0, "what was found out in one game is there in the next"
    player.enter(table.seen, table.side)
    assert evidence(player) == 0


def test_bad_input_is_answered_by_a_sentence():
    player = load_team("zoo:payoffs-oracle").player()
    with pytest.raises(UserError, match="plays no game yet"):
        player.reset([], {}, 0)
    table = Table("zoo:payoffs-oracle", *TRIALS["zoo:payoffs-oracle"])
    with pytest.raises(UserError, match="no side 'rival'"):
        player.enter(table.seen, "rival")
    player.enter(table.seen)
    with pytest.raises(UserError, match="is shown 2 numbers"):
        player.act({"gatherer_0": np.zeros(2)})
    with pytest.raises(UserError, match="not 'prey_0'"):
        player.act({"prey_0": np.zeros(2)})
    vector = table.flat(table._first)["gatherer_0"]
    with pytest.raises(UserError, match="must allow some"):
        player.act({"gatherer_0": vector}, {"gatherer_0": {"action_mask": np.zeros(5)}})


def test_masks_are_obeyed():
    table = Table("zoo:payoffs-oracle", *TRIALS["zoo:payoffs-oracle"])
    player = table.team.player()
    player.enter(table.seen)
    vector = table.flat(table._first)["gatherer_0"]
    for action in range(5):
        mask = np.eye(5, dtype=np.int8)[action]
        assert player.act({"gatherer_0": {"observation": vector, "action_mask": mask}}) == {"gatherer_0": action}
        assert player.act({"gatherer_0": vector}, {"gatherer_0": {"action_mask": mask}}) == {"gatherer_0": action}


def test_playing_takes_no_trainer_no_tracker_and_no_pettingzoo():
    code = (
        "import sys, numpy as np, marl_meta\n"
        "player = marl_meta.load_team('zoo:payoffs-oracle').player()\n"
        "from marl_meta.export.sights import family_sight\n"
        "seen = family_sight('harvest')\n"
        "player.enter(seen)\n"
        "print(player.act({'gatherer_0': np.zeros(seen.sight.eyes['gatherer_0'].size)}))\n"
        "wrong = [name for name in ('pettingzoo', 'gymnasium', 'wandb', 'marl_meta.train', 'marl_meta.tournament')\n"
        "         if name in sys.modules]\n"
        "assert not wrong, wrong\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "gatherer_0" in done.stdout
