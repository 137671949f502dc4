"""The family `tag`: adversaries catch prey; with default rules mpe2's simple_tag_v3."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from marl_meta.games.kernel import inner
from marl_meta.games.particles.parameters import Rules, Scene, obstacles, players, rule_dtype
from marl_meta.games.particles.physics import bump_teammates
from marl_meta.games.particles.step import score_of
from marl_meta.games.particles.vector import entry_point

TAG = rule_dtype(
    ("adversaries", "u8"),  # the first agents; all others are prey
    ("agents_needed", "i8"),
    ("catch", "f8"),  # what a contact pays the adversaries; negative where the prey is it
    ("shared_catch", "?"),
)


def scene(rules: Rules) -> Scene:
    """Return what is on the field: adversaries, prey (whose velocity all see), obstacles."""
    adversaries = players(rules, "adversary", rules["adversaries"], team=0)
    prey = players(rules, "prey", rules["prey"], team=1)
    prey = replace(prey, agent_name="agent", shows_velocity=True)  # agent is what mpe2 calls it
    numbers = {
        "adversaries": rules["adversaries"],
        "agents_needed": min(rules["agents_needed"], rules["adversaries"]),
        "catch": rules["catch_reward"] if rules["who_is_it"] == "adversary" else -rules["catch_reward"],
        "shared_catch": rules["shared_catch"],
    }
    return Scene((adversaries, prey, obstacles(rules)), numbers)


@score_of(TAG)
def tag_score(rule: Any, traits: Any, v: Any, bodies: Any, b: Any, agents: Any, game: Any, gain: Any) -> Any:  # noqa: ARG001 (all scores alike)
    """Pay adversaries for contacts with prey, which pays for them and for leaving the arena; won if all are caught."""
    bump_teammates(rule, traits, v, bodies, b, agents, gain)
    contacts = 0
    all_caught = True
    for prey in range(rule.adversaries, agents):
        x, y, radius = bodies[b, prey].x, bodies[b, prey].y, traits[v, prey].radius
        touching = 0
        for i in range(rule.adversaries):
            dx = bodies[b, i].x - x
            dy = bodies[b, i].y - y
            reach = radius + traits[v, i].radius
            touching += dx * dx + dy * dy < reach * reach
        gain[prey] -= leaving_cost(abs(x) / rule.arena) + leaving_cost(abs(y) / rule.arena)
        if touching >= rule.agents_needed:
            contacts += touching
            gain[prey] -= rule.catch * touching
            if not rule.shared_catch:
                pay_own_contacts(rule, traits, v, bodies, b, prey, gain)
        else:
            all_caught = False
    if rule.shared_catch and contacts > 0:
        for i in range(rule.adversaries):
            gain[i] += rule.catch * contacts
    return all_caught


@inner
def pay_own_contacts(rule: Any, traits: Any, v: Any, bodies: Any, b: Any, prey: Any, gain: Any) -> None:
    """Pay each adversary for its own contact with that prey."""
    for i in range(rule.adversaries):
        dx = bodies[b, i].x - bodies[b, prey].x
        dy = bodies[b, i].y - bodies[b, prey].y
        reach = traits[v, prey].radius + traits[v, i].radius
        if dx * dx + dy * dy < reach * reach:
            gain[i] += rule.catch


@inner
def leaving_cost(position: Any) -> Any:
    """Return what prey pays per step for a coordinate, given as a share of the arena's half width (as in mpe2)."""
    if position < 0.9:
        return 0.0
    if position < 1.0:
        return (position - 0.9) * 10.0
    return min(math.exp(2.0 * position - 2.0), 10.0)


make_game = entry_point(TAG, scene)
