"""One step of the physics of one game, as mpe2 computes it (mpe2 1.1.1, `_mpe_utils/core.py`).

Forces come from the positions before the step; then position moves by the old velocity, and only then the
velocity changes: x += v dt; v = (1 - damping) v + (force + wind) dt; then the speed limit. Every mass is 1.
"""

from __future__ import annotations

import math
from typing import Any

from marl_meta.games.kernel import inner, rare

TIME_STEP = 0.1
CONTACT_MARGIN = 1e-3
"""The length over which contact fades in (k of the softplus)."""
CONTACT_REACH = 30 * CONTACT_MARGIN
"""How far from touching the softplus differs from max(0, .): beyond, by less than 1e-16 lengths (exp(-30) k)."""


@inner
def move(
    rule: Any, traits: Any, v: Any, bodies: Any, b: Any, agents: Any, actions: Any, force_x: Any, force_y: Any
) -> None:
    """Move the so many agents of game b by one time step; `force_x` and `force_y` [N] are scratch space."""
    for i in range(agents):
        x, y, radius, accel = bodies[b, i].x, bodies[b, i].y, traits[v, i].radius, traits[v, i].accel
        action = actions[b, traits[v, i].slot]
        own_x = accel * rule.direction[action, 0] + rule.wind_x
        own_y = accel * rule.direction[action, 1] + rule.wind_y
        for j in range(i):
            dx = x - bodies[b, j].x
            dy = y - bodies[b, j].y
            touching = radius + traits[v, j].radius
            if dx * dx + dy * dy < (touching + CONTACT_REACH) ** 2:
                push = rule.contact_force * contact(dx * dx + dy * dy, touching)
                own_x += push * dx
                own_y += push * dy
                force_x[j] -= push * dx
                force_y[j] -= push * dy
        force_x[i] = own_x
        force_y[i] = own_y
    for j in range(agents, rule.solids):  # obstacles do not give way
        x, y, radius = bodies[b, j].x, bodies[b, j].y, traits[v, j].radius
        for i in range(agents):
            dx = bodies[b, i].x - x
            dy = bodies[b, i].y - y
            touching = traits[v, i].radius + radius
            if dx * dx + dy * dy < (touching + CONTACT_REACH) ** 2:
                push = rule.contact_force * contact(dx * dx + dy * dy, touching)
                force_x[i] += push * dx
                force_y[i] += push * dy
    for i in range(agents):
        integrate(rule, traits[v, i], bodies[b, i], force_x[i], force_y[i])


@rare
def contact(squared: Any, touching: Any) -> Any:
    """Return k softplus((touching - distance) / k) / distance, for two bodies that touch below that distance."""
    if squared == 0.0:  # two agents that walls have pressed into one corner: no direction to push in
        return 0.0
    distance = math.sqrt(squared)
    depth = touching - distance
    softplus = max(depth, 0.0)
    if abs(depth) < CONTACT_REACH:
        softplus += CONTACT_MARGIN * math.log1p(math.exp(-abs(depth) / CONTACT_MARGIN))
    return softplus / distance


@inner
def integrate(rule: Any, trait: Any, body: Any, force_x: Any, force_y: Any) -> None:
    """Move one agent by the force on it."""
    body.x += body.vx * TIME_STEP
    body.y += body.vy * TIME_STEP
    vx = body.vx * rule.keep + force_x * TIME_STEP
    vy = body.vy * rule.keep + force_y * TIME_STEP
    squared = vx * vx + vy * vy
    if squared > trait.max_speed * trait.max_speed:
        slower = trait.max_speed / math.sqrt(squared)
        vx *= slower
        vy *= slower
    if rule.walls:
        if abs(body.x) > rule.arena:
            body.x = math.copysign(rule.arena, body.x)
            vx = 0.0 if vx * body.x > 0.0 else vx
        if abs(body.y) > rule.arena:
            body.y = math.copysign(rule.arena, body.y)
            vy = 0.0 if vy * body.y > 0.0 else vy
    body.vx = vx
    body.vy = vy


@inner
def squared_distance(bodies: Any, b: Any, i: Any, j: Any) -> Any:
    """Return the squared distance of the centres of bodies i and j of game b."""
    dx = bodies[b, i].x - bodies[b, j].x
    dy = bodies[b, i].y - bodies[b, j].y
    return dx * dx + dy * dy


@inner
def touch(traits: Any, v: Any, bodies: Any, b: Any, i: Any, j: Any) -> Any:
    """Return whether bodies i and j of game b overlap."""
    touching = traits[v, i].radius + traits[v, j].radius
    return squared_distance(bodies, b, i, j) < touching * touching


@inner
def bump_teammates(rule: Any, traits: Any, v: Any, bodies: Any, b: Any, agents: Any, gain: Any) -> None:
    """Set `gain` [N] of each of so many agents to what its contacts with teammates pay: `rule.bump` each."""
    bump = rule.bump
    for i in range(agents):
        own = 0.0
        if bump != 0.0:
            x, y, radius, team = bodies[b, i].x, bodies[b, i].y, traits[v, i].radius, traits[v, i].team
            for j in range(i):
                dx = x - bodies[b, j].x
                dy = y - bodies[b, j].y
                touching = radius + traits[v, j].radius
                if dx * dx + dy * dy < touching * touching and traits[v, j].team == team:
                    own += bump
                    gain[j] += bump
        gain[i] = own
