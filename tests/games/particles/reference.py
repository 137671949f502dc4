"""Particle games as slowly and plainly as they can be said: one game, one step, Python floats and loops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

Vector = tuple[float, float]

MOVES: list[Vector] = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]
SHIFTS = {"own": 0, "next": 1, "previous": -1}


@dataclass
class Body:
    """A body of one game."""

    sort: str
    """agent, obstacle or object"""
    kind: str
    place: Vector
    velocity: Vector
    radius: float
    accel: float = 0.0
    max_speed: float = 0.0
    team: int = -1
    spawn: float = 0.0


@dataclass
class Game:
    """One game: rules, bodies, the random stream."""

    family: str
    rules: dict[str, Any]
    bodies: list[Body]
    key: int
    draws: int

    @property
    def agents(self) -> list[Body]:
        return [body for body in self.bodies if body.sort == "agent"]

    def step(self, actions: list[int]) -> tuple[list[float], bool]:
        """Play one step; returns the agents' rewards, and whether the game is won."""
        self.move(actions)
        return {"spread": self.score_spread, "tag": self.score_tag, "harvest": self.score_harvest}[self.family]()

    def draw(self) -> float:
        """Return the next number of the stream (SplitMix64 of key + draws * golden ratio)."""
        self.draws += 1
        bits = (self.key + self.draws * 0x9E3779B97F4A7C15) % 2**64
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            bits = (bits ^ (bits >> shift)) * factor % 2**64
        bits ^= bits >> 31
        return (bits >> 11) / 2**53

    def move(self, actions: list[int]) -> None:
        forces = [(0.0, 0.0)] * len(self.bodies)
        for i, (agent, action) in enumerate(zip(self.agents, actions, strict=True)):
            angle = math.radians(self.rules["control"])
            x, y = MOVES[action]
            forces[i] = (
                agent.accel * (x * math.cos(angle) - y * math.sin(angle)) + self.rules["wind_x"],
                agent.accel * (x * math.sin(angle) + y * math.cos(angle)) + self.rules["wind_y"],
            )
        for i, agent in enumerate(self.agents):
            for other in self.bodies:
                if other is not agent and other.sort != "object":
                    forces[i] = added(forces[i], self.contact_force(agent, other))
        for agent, force in zip(self.agents, forces, strict=False):
            self.integrate(agent, force)

    def contact_force(self, a: Body, b: Body) -> Vector:
        away = (a.place[0] - b.place[0], a.place[1] - b.place[1])
        distance = math.hypot(*away)
        if distance == 0:
            return (0.0, 0.0)
        depth = 1e-3 * softplus((a.radius + b.radius - distance) / 1e-3)
        strength = self.rules["contact_force"] * depth / distance
        return (strength * away[0], strength * away[1])

    def integrate(self, agent: Body, force: Vector) -> None:
        place = [x + 0.1 * v for x, v in zip(agent.place, agent.velocity, strict=True)]
        velocity = [(1 - self.rules["damping"]) * v + 0.1 * f for v, f in zip(agent.velocity, force, strict=True)]
        speed = math.hypot(*velocity)
        if agent.max_speed and speed > agent.max_speed:
            velocity = [v / speed * agent.max_speed for v in velocity]
        if self.rules["walls"]:
            arena = self.rules["arena"]
            for axis in range(2):
                if place[axis] > arena:
                    place[axis], velocity[axis] = arena, min(velocity[axis], 0.0)
                if place[axis] < -arena:
                    place[axis], velocity[axis] = -arena, max(velocity[axis], 0.0)
        agent.place, agent.velocity = (place[0], place[1]), (velocity[0], velocity[1])

    def bumps(self, agent: Body) -> float:
        """Return what the contacts of an agent with its teammates pay it."""
        mates = [other for other in self.agents if other is not agent and other.team == agent.team]
        return self.rules["collision_sign"] * self.rules["collision_reward"] * sum(touch(agent, mate) for mate in mates)

    def score_spread(self) -> tuple[list[float], bool]:
        landmarks = [body for body in self.bodies if body.kind == "landmark"]
        distances = []
        for number, landmark in enumerate(landmarks):
            by_agent = [math.dist(agent.place, landmark.place) for agent in self.agents]
            if self.rules["goal_assignment"] == "nearest":
                distances.append(min(by_agent))
            else:
                # Agent i is to cover landmark i + shift, counted around.
                shift = SHIFTS[self.rules["goal_assignment"]]
                owner = next(i for i in range(len(by_agent)) if (i + shift - number) % len(by_agent) == 0)
                distances.append(by_agent[owner])
        ratio = self.rules["local_ratio"]
        rewards = [-(1 - ratio) * sum(distances) + ratio * self.bumps(agent) for agent in self.agents]
        return rewards, all(distance < 0.1 for distance in distances)

    def score_tag(self) -> tuple[list[float], bool]:
        adversaries = [agent for agent in self.agents if agent.kind == "adversary"]
        prey = [agent for agent in self.agents if agent.kind == "prey"]
        needed = min(self.rules["agents_needed"], len(adversaries))
        sign = 1 if self.rules["who_is_it"] == "adversary" else -1
        paid = sign * self.rules["catch_reward"]
        catchers = {id(one): [other for other in adversaries if touch(one, other)] for one in prey}
        caught = [one for one in prey if len(catchers[id(one)]) >= needed]
        rewards = []
        for agent in self.agents:
            if agent.kind == "adversary":
                contacts = [other for one in caught for other in catchers[id(one)]]
                own = [other for other in contacts if other is agent]
                reward = paid * len(contacts if self.rules["shared_catch"] else own)
            else:
                reward = -paid * len(catchers[id(agent)]) if agent in caught else 0.0
                reward -= sum(bound(abs(x) / self.rules["arena"]) for x in agent.place)
            rewards.append(reward + self.bumps(agent))
        return rewards, len(caught) == len(prey)

    def score_harvest(self) -> tuple[list[float], bool]:
        gained = {id(agent): self.bumps(agent) for agent in self.agents}
        needed = min(self.rules["agents_needed"], self.rules["gatherers"])
        payoffs = dict(zip(("red", "green", "blue"), self.rules["payoff"], strict=True))
        for thing in (body for body in self.bodies if body.sort == "object"):
            collected = False
            for team in (0, 1):
                touching = [agent for agent in self.agents if agent.team == team and touch(agent, thing)]
                if len(touching) >= needed:
                    collected = True
                    for agent in touching:
                        gained[id(agent)] += payoffs[thing.kind] / len(touching)
            if collected:
                thing.place = ((2 * self.draw() - 1) * thing.spawn, (2 * self.draw() - 1) * thing.spawn)
        share, count = self.rules["share"], self.rules["gatherers"]
        rewards = []
        for agent in self.agents:
            mates = sum(gained[id(other)] for other in self.agents if other.team == agent.team)
            rivals = sum(gained[id(other)] for other in self.agents if other.team != agent.team)
            # Every agent is paid `share` of its team's result and the rest of its own, in which rivals' gains
            # count for each teammate alike.
            rewards.append(share * (mates - rivals) + (1 - share) * (gained[id(agent)] - rivals / count))
        return rewards, False

    def sees(self, viewer: Body) -> list[bool]:
        """Return which bodies an agent sees."""

        def distance(body: Body) -> float:
            return math.dist(viewer.place, body.place)

        seen = [viewer]
        others = [body for body in self.bodies if body is not viewer]
        for nearest, sort in (
            (self.rules["nearest_agents"], [body for body in others if body.sort == "agent"]),
            (self.rules["nearest_objects"], [body for body in others if body.sort != "agent"]),
        ):
            ordered = sorted(sort, key=distance)
            seen += ordered[:nearest] if nearest else ordered
        radius = self.rules["vision_radius"] or math.inf
        return [any(body is one for one in seen) and distance(body) <= radius for body in self.bodies]


def added(a: Vector, b: Vector) -> Vector:
    return (a[0] + b[0], a[1] + b[1])


def touch(a: Body, b: Body) -> bool:
    return math.dist(a.place, b.place) < a.radius + b.radius


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def bound(x: float) -> float:
    """Return what mpe2's prey pays for a coordinate."""
    if x < 0.9:
        return 0.0
    return (x - 0.9) * 10 if x < 1.0 else min(math.exp(2 * x - 2), 10.0)


def make(family: str, rules: dict[str, Any], snapshot: dict[str, Any], b: int) -> Game:
    """Return game b of a snapshot."""
    arena = rules["arena"]
    rock = ("obstacle", "obstacle", rules["obstacles"], rules["obstacle_size"], "", -1, 0.9 * arena)
    sorts: list[tuple[str, str, int, float, str, int, float]]
    if family == "spread":
        landmarks = rules["landmarks"] or rules["agents"]
        sorts = [
            ("agent", "agent", rules["agents"], rules["agent_size"], "agent", 0, arena),
            rock,
            ("object", "landmark", landmarks, 0.05, "", -1, arena),
        ]
    elif family == "tag":
        sorts = [
            ("agent", "adversary", rules["adversaries"], rules["adversary_size"], "adversary", 0, arena),
            ("agent", "prey", rules["prey"], rules["prey_size"], "prey", 1, arena),
            rock,
        ]
    else:
        sorts = [
            *[
                ("agent", "gatherer", rules["gatherers"], rules["gatherer_size"], "gatherer", team, arena)
                for team in range(rules["teams"])
            ],
            rock,
            *[
                ("object", kind, rules["objects_per_kind"], rules["object_size"], "", -1, 0.9 * arena)
                for kind in ("red", "green", "blue")
            ],
        ]
    bodies: list[Body] = []
    for sort, kind, count, radius, role, team, spawn in sorts:
        for _ in range(count):
            i = len(bodies)
            x, y = snapshot["positions"][b, i].tolist()
            vx, vy = snapshot["velocities"][b, i].tolist()
            accel, limit = (rules[f"{role}_accel"], rules[f"{role}_max_speed"]) if role else (0.0, 0.0)
            bodies.append(Body(sort, kind, (x, y), (vx, vy), radius, accel, limit, team, spawn))
    return Game(family, rules, bodies, int(snapshot["key"][b]), int(snapshot["draws"][b]))
