"""What is different between two replays."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np

from marl_meta.replay.decoding import actions_of, cells_of, places_of, rewards_of
from marl_meta.replay.record import EpisodeRecord, ReplayRecord


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two replays, for people and for scripts."""

    same_game: bool
    """Whether they are of the same variant, begun alike."""
    about: list[str] = field(default_factory=list)
    """Sentences on game, rules and players."""
    episodes: list[EpisodeDifference] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether the same happened in both."""
        return self.same_game and not any(episode.step is not None or episode.missing for episode in self.episodes)


@dataclass(frozen=True, slots=True)
class EpisodeDifference:
    """Where an episode of two replays parts."""

    episode: int
    """From 1."""
    returns: tuple[list[float], list[float]]
    """Of each team, in the one and in the other."""
    step: int | None = None
    """The first step at which something differs; None where nothing does."""
    actions: list[str] = field(default_factory=list)
    """Who did something else at that step."""
    missing: bool = False
    """Whether one of them does not have it."""


def difference(one: ReplayRecord, other: ReplayRecord) -> Difference:
    """Return what differs between two replays: their games, and in every episode the first step at which they part."""
    about = list(_about(one, other))
    same_game = (one.game.name, one.game.variant_id, one.game.seed, one.game.first_game) == (
        other.game.name, other.game.variant_id, other.game.seed, other.game.first_game,
    )  # fmt: skip
    pairs = zip_longest(zip(one.episodes, one.returns, strict=True), zip(other.episodes, other.returns, strict=True))
    return Difference(same_game, about, [_episode(one, other, index, pair) for index, pair in enumerate(pairs, 1)])


def _about(one: ReplayRecord, other: ReplayRecord) -> list[str]:
    found = []
    if one.game.name != other.game.name:
        found.append(f"game: {one.game.name} and {other.game.name}")
    if one.game.variant_id != other.game.variant_id:
        found.append(f"variant: {one.game.variant_id} and {other.game.variant_id}")
    defaults = {rule.name: rule.default for rule in (*one.game.card, *other.game.card)}
    for name in dict.fromkeys((*one.game.rules, *other.game.rules)):
        values = [game.rules.get(name, defaults.get(name)) for game in (one.game, other.game)]
        if values[0] != values[1]:
            found.append(f"rule {name}: {values[0]} and {values[1]}")
    if (one.game.seed, one.game.first_game) != (other.game.seed, other.game.first_game):
        found.append(f"seed: {_seed(one)} and {_seed(other)}")
    for mine, theirs in zip_longest(one.teams, other.teams):
        names = [team.player if team is not None else "nobody" for team in (mine, theirs)]
        weights = [team.weights if team is not None else None for team in (mine, theirs)]
        side = (mine or theirs).name
        if names[0] != names[1]:
            found.append(f"{side} was played by {names[0]} and by {names[1]}")
        elif weights[0] != weights[1]:
            found.append(f"{side} was played by {names[0]}, with other weights")
    return found


def _seed(record: ReplayRecord) -> str:
    return f"{record.game.seed}" + (f" (game {record.game.first_game})" if record.game.first_game else "")


def _episode(one: ReplayRecord, other: ReplayRecord, number: int, pair: tuple[Any, Any]) -> EpisodeDifference:
    if pair[0] is None or pair[1] is None:
        returns = tuple([] if there is None else there[1] for there in pair)
        return EpisodeDifference(number, (returns[0], returns[1]), missing=True)
    (mine, earned), (theirs, their_earned) = pair
    step = _parting(one, mine, other, theirs)
    acted = [] if step is None else _other_actions(one, mine, other, theirs, step)
    return EpisodeDifference(number, (earned, their_earned), step, acted)


def _parting(one: ReplayRecord, mine: EpisodeRecord, other: ReplayRecord, theirs: EpisodeRecord) -> int | None:
    """Return the first step at which what was done, paid or seen differs."""
    steps = min(mine.steps, theirs.steps)
    if one.num_agents != other.num_agents:
        return 0
    apart = np.zeros(steps + 1, bool)
    acted, their_acted = _texts(one, mine), _texts(other, theirs)
    apart[1:] = (acted[:, :steps] != their_acted[:, :steps]).any(0)
    paid, their_paid = rewards_of(one, mine), rewards_of(other, theirs)
    room = _room(mine.rewards.unit, theirs.rewards.unit)
    apart[1:] |= (np.abs(paid[:, :steps] - their_paid[:, :steps]) > room).any(0)
    if mine.scene.kind == theirs.scene.kind == "particles" and one.num_entities == other.num_entities:
        here, there = places_of(one, mine), places_of(other, theirs)
        room = _room(mine.scene.unit or 0.0, theirs.scene.unit or 0.0)
        apart |= (np.abs(here[..., : steps + 1] - there[..., : steps + 1]) > room).any((0, 1))
    elif mine.scene.kind == theirs.scene.kind == "board":
        cells, their_cells = cells_of(mine)[: steps + 1], cells_of(theirs)[: steps + 1]
        apart |= (cells != their_cells).any((1, 2)) if cells.shape == their_cells.shape else True
    if apart.any():
        return int(apart.argmax())
    return None if mine.steps == theirs.steps else steps + 1


def _room(one: float, other: float) -> float:
    """Return how far the same number may be apart as multiples of two units, each of them rounded."""
    return 0.5 * (one if one == other else one + other)


def _texts(record: ReplayRecord, episode: EpisodeRecord) -> np.ndarray:
    """Return what was done [N,T], as texts that can be compared and read."""
    found = np.full((record.num_agents, episode.steps), "nothing", object)
    for group in actions_of(record, episode):
        for row, agent in enumerate(group.agents.tolist()):
            for time in np.flatnonzero(group.acts[row]).tolist():
                if group.chosen is not None:
                    found[agent, time] = record.action_name(int(group.chosen[row, time]))
                elif group.numbers is not None:
                    found[agent, time] = str(np.round(group.numbers[row, time].astype(float), 4).tolist())
    return found


def _other_actions(
    one: ReplayRecord, mine: EpisodeRecord, other: ReplayRecord, theirs: EpisodeRecord, step: int
) -> list[str]:  # fmt: skip
    """Return who did what in the one and what in the other, at a step."""
    if not 1 <= step <= min(mine.steps, theirs.steps) or one.num_agents != other.num_agents:
        return []
    acted, their_acted = _texts(one, mine)[:, step - 1], _texts(other, theirs)[:, step - 1]
    return [
        f"{agent.name}: {did} and {other_did}"
        for agent, did, other_did in zip(one.agents, acted, their_acted, strict=True)
        if did != other_did
    ]
