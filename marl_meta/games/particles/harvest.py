"""The family `harvest`: gatherers collect objects of three kinds, of which they find out what each is worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from marl_meta.games.kernel import inner, rare
from marl_meta.games.particles.parameters import Group, Rules, Scene, obstacles, players, rule_dtype
from marl_meta.games.particles.physics import bump_teammates, touch
from marl_meta.games.particles.step import place, score_of
from marl_meta.games.particles.vector import entry_point

OBJECT_KINDS = ("red", "green", "blue")

HARVEST = rule_dtype(
    ("home", "u8"),  # gatherers of the first team; all others are its rivals
    ("objects_per_kind", "u8"),
    ("payoff", "f8", (len(OBJECT_KINDS),)),
    ("agents_needed", "i8"),
    ("share", "f8"),
)


def scene(rules: Rules) -> Scene:
    """Return what is on the field: one or two teams of gatherers, obstacles, objects kind by kind."""
    teams = [
        replace(
            players(rules, "gatherer", rules["gatherers"] if team < rules["teams"] else 0, team),
            team_name=name,
            agent_name=name,
            shows_velocity=True,
        )
        for team, name in enumerate(("gatherer", "rival"))
    ]
    objects = [Group(kind, rules["objects_per_kind"], rules["object_size"], spawn=0.9) for kind in OBJECT_KINDS]
    numbers = {
        "home": rules["gatherers"],
        "objects_per_kind": rules["objects_per_kind"],
        "payoff": rules["payoff"],
        "agents_needed": min(rules["agents_needed"], rules["gatherers"]),
        "share": rules["share"],
    }
    return Scene((*teams, obstacles(rules), *objects), numbers)


@score_of(HARVEST)
def harvest_score(rule: Any, traits: Any, v: Any, bodies: Any, b: Any, agents: Any, game: Any, gain: Any) -> Any:
    """Pay the teams for the objects that they collect, which appear elsewhere; the game is never won."""
    bump_teammates(rule, traits, v, bodies, b, agents, gain)
    for thing in range(rule.solids, rule.bodies):
        x, y, radius = bodies[b, thing].x, bodies[b, thing].y, traits[v, thing].radius
        touching = 0
        for i in range(agents):
            dx = bodies[b, i].x - x
            dy = bodies[b, i].y - y
            reach = radius + traits[v, i].radius
            touching += dx * dx + dy * dy < reach * reach
        if touching >= rule.agents_needed:
            collect(rule, traits, v, bodies, b, thing, game, gain)
    divide(rule, agents, gain)
    return False


@rare
def collect(rule: Any, traits: Any, v: Any, bodies: Any, b: Any, thing: Any, game: Any, gain: Any) -> None:
    """Let every team that has enough gatherers at an object collect it, and place it elsewhere if any has."""
    payoff = rule.payoff[(thing - rule.solids) // rule.objects_per_kind]
    home = divide_payoff(rule, traits, v, bodies, b, thing, payoff, np.uint64(0), rule.home, gain)
    away = divide_payoff(rule, traits, v, bodies, b, thing, payoff, rule.home, rule.agents, gain)
    if home or away:
        place(traits[v, thing], bodies[b, thing], game)
        game.placed = game.step


@inner
def divide_payoff(  # noqa: PLR0913 (a kernel's arguments)
    rule: Any, traits: Any, v: Any, bodies: Any, b: Any, thing: Any, payoff: Any, first: Any, last: Any, gain: Any
) -> Any:
    """Divide a payoff among those of the gatherers first..last-1 who touch an object; return if they are enough."""
    touching = 0
    for i in range(first, last):
        touching += touch(traits, v, bodies, b, i, thing)
    if touching < rule.agents_needed:
        return False
    for i in range(first, last):
        if touch(traits, v, bodies, b, i, thing):
            gain[i] += payoff / touching
    return True


@inner
def divide(rule: Any, agents: Any, gain: Any) -> None:
    """Turn `gain` [N] from what each gatherer gained itself into rewards.

    reward_i = share * G + (1 - share) * gain_i - G' * (share + (1 - share) / n), with G the sum over i's team of n,
    G' over its rivals: with share 1 everybody has the difference of the teams, with share 0 a team's sum is it.
    """
    home, away = 0.0, 0.0
    for i in range(agents):
        if i < rule.home:
            home += gain[i]
        else:
            away += gain[i]
    lost = rule.share + (1.0 - rule.share) / rule.home  # both teams have the same size
    for i in range(agents):
        own, other = (home, away) if i < rule.home else (away, home)
        gain[i] = rule.share * own + (1.0 - rule.share) * gain[i] - other * lost


make_game = entry_point(HARVEST, scene)
