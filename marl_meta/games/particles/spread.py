"""The family `spread`: agents cover landmarks; with default rules mpe2's simple_spread_v3."""

from __future__ import annotations

import math
from typing import Any

from marl_meta.games.particles.parameters import Group, Rules, Scene, obstacles, players, rule_dtype
from marl_meta.games.particles.physics import bump_teammates, squared_distance
from marl_meta.games.particles.step import score_of
from marl_meta.games.particles.vector import entry_point

CAPTURE_RADIUS = 0.1
"""A landmark whose agent is nearer than this counts as covered."""

_SHIFTS = {"nearest": 0, "own": 0, "next": 1, "previous": -1}
"""Under each assignment, agent i's landmark is number i + shift."""

SPREAD = rule_dtype(
    ("local_ratio", "f8"),
    ("assigned", "?"),  # whether each landmark belongs to one agent
    ("agent_of_first", "u8"),  # then landmark l belongs to agent l + agent_of_first, counted around
)


def scene(rules: Rules) -> Scene:
    """Return what is on the field: agents, obstacles, landmarks."""
    agents = players(rules, "agent", rules["agents"], team=0)
    landmarks = Group("landmark", rules["landmarks"] or rules["agents"], radius=0.05)
    numbers = {
        "local_ratio": rules["local_ratio"],
        "assigned": rules["goal_assignment"] != "nearest",
        "agent_of_first": -_SHIFTS[rules["goal_assignment"]] % rules["agents"],
    }
    return Scene((agents, obstacles(rules), landmarks), numbers)


@score_of(SPREAD)
def spread_score(rule: Any, traits: Any, v: Any, bodies: Any, b: Any, agents: Any, game: Any, gain: Any) -> Any:  # noqa: ARG001 (all scores alike)
    """Mix what all share, minus the sum of the landmarks' distances, with what each gains by its own collisions."""
    bump_teammates(rule, traits, v, bodies, b, agents, gain)
    coverage = 0.0
    covered = True
    for landmark in range(rule.solids, rule.bodies):
        if rule.assigned:
            agent = (landmark - rule.solids + rule.agent_of_first) % agents
            nearest = squared_distance(bodies, b, agent, landmark)
        else:
            x, y = bodies[b, landmark].x, bodies[b, landmark].y
            nearest = math.inf
            for i in range(agents):
                dx = bodies[b, i].x - x
                dy = bodies[b, i].y - y
                nearest = min(nearest, dx * dx + dy * dy)
        coverage -= math.sqrt(nearest)
        covered = covered and nearest < CAPTURE_RADIUS * CAPTURE_RADIUS
    shared = (1.0 - rule.local_ratio) * coverage
    for i in range(agents):
        gain[i] = shared + rule.local_ratio * gain[i]
    return covered


make_game = entry_point(SPREAD, scene)
