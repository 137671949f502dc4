"""Playing a replay again: the same actions in the same game must show and pay the same, bit for bit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path

import numpy as np

from marl_meta.games import Family, load_family, make_vec
from marl_meta.replay.decoding import actions_of, places_of, rewards_of
from marl_meta.replay.digest import CHECK_DIGITS
from marl_meta.replay.record import EpisodeRecord, GameRecord, ReplayRecord
from marl_meta.replay.recorder import HasContinuous, Recorder, Sight, made_here
from marl_meta.replay.trust import check_trusted
from marl_meta.resources import families_dirs
from marl_meta.types import IntArray, UserError, Variant, VectorGame
from marl_meta.wording import shorten

_NAME = re.compile(r"[\w-]{1,100}")


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of playing a replay again."""

    same: bool
    steps: int
    """How many were played."""
    episode: int | None = None
    """The episode (from 0) with the first difference; None where there is none, or not in a step."""
    step: int | None = None
    """The first step of it that differs; 0 is the reset."""
    reason: str = ""
    """One sentence: what differs."""


def verify(
    record: ReplayRecord, family: str | Path | Family | None = None, *, trust: bool = False
) -> Verified:  # fmt: skip
    """Return whether a replay happens again when it is played again.

    `family` is whose game it is, where the name alone does not find it (the path of a family.yaml). With `trust` the
    replay may name any code that makes its game, which is then run; else only that of well-known collections. Raises
    UserError for a replay that cannot be played again: its game is not installed, is not known, or has other rules by
    now.
    """
    if not record.episodes:
        return Verified(same=True, steps=0)
    if not trust:
        check_trusted(record.game)
    if record.game.api == "vector":
        again, problem = _again_in_batch(record, family)
    else:
        from marl_meta.interop.replaying import play_again

        again, problem = play_again(record, family_of(record.game, family) if record.game.family else None)
    return _compared(record, again, problem)


def _again_in_batch(record: ReplayRecord, family: str | Path | Family | None) -> tuple[ReplayRecord, str]:
    """Return what is recorded when the actions are played again, and why it ends early, if it does."""
    game = _rebuilt(record.game, family, len(record.episodes))
    try:
        recorder = Recorder(game, record.game, {}, sight=None if record.game.family else _sight_of(game))
        observation = game.reset().observation
        recorder.begin(observation)
        slots = np.flatnonzero(observation.present[0, : game.num_agents])
        if len(slots) != record.num_agents:
            return recorder.record(), f"the game has {len(slots)} agents, the replay {record.num_agents}"
        for index, episode in enumerate(record.episodes):
            actions = _chosen(record, episode, game, slots)
            for time in range(episode.steps):
                row = np.zeros((1, game.num_agents), np.int64)
                row[0, slots] = np.maximum(actions[:, time], 0)
                recorder.choose(observation, row)
                try:
                    step = game.step(row)
                except UserError as error:
                    return recorder.record(), f"episode {index + 1}, step {time + 1}: {error}"
                recorder.note(step)
                observation = step.observation
                if bool(step.game_over[0]) and time + 1 < episode.steps:
                    return recorder.record(), f"episode {index + 1} is over after step {time + 1}"
        return recorder.record(), ""
    finally:
        game.close()


def _sight_of(game: VectorGame) -> Sight | None:
    from marl_meta.interop.board_sight import sight_of

    return sight_of(game, 0)


def _chosen(record: ReplayRecord, episode: EpisodeRecord, game: VectorGame, slots: IntArray) -> IntArray:
    """Return the actions [N,T] of an episode, -1 where an agent did not act."""
    found = np.full((record.num_agents, episode.steps), -1, np.int64)
    for group in actions_of(record, episode):
        if group.chosen is not None:
            found[group.agents] = group.chosen
            continue
        assert group.numbers is not None  # it has the one or the other
        for row, agent in enumerate(group.agents.tolist()):
            codec = game.continuous(0, int(slots[agent])) if isinstance(game, HasContinuous) else None
            if codec is None:
                raise UserError("The replay of a batch's game must have actions that are chosen among few.")
            for time in np.flatnonzero(group.acts[row]):
                found[agent, time] = codec.encode(group.numbers[row, time])
    return found


def _rebuilt(played: GameRecord, family: str | Path | Family | None, episodes: int) -> VectorGame:
    if played.seed is None or played.first_game is None:
        raise UserError("The replay cannot be played again: it does not say by which seed its game was made.")
    if not played.family:
        from marl_meta.interop.vector import PettingZooVector

        if played.entry_point is None:
            raise UserError("The replay cannot be played again: it does not say what makes its game (entry_point).")
        return PettingZooVector(
            played.entry_point, played.kwargs, seed=played.seed, first_game=played.first_game,
            episodes_per_trial=episodes, schema=played.observation_schema, wrappers=played.wrappers,
            teams=played.sides, strict=False,
        )  # fmt: skip
    chosen, variant = family_of(played, family)
    return make_vec(
        chosen, num_games=1, rules=variant.rules, seed=played.seed, episodes_per_trial=episodes,
        first_game=played.first_game,
    )  # fmt: skip


def family_of(played: GameRecord, family: str | Path | Family | None = None) -> tuple[Family, Variant]:
    """Return the family and the variant of a replay; raises UserError where they are not what they were."""
    if family is None and not _NAME.fullmatch(played.name):  # a path, whose code would be run
        raise UserError(f"{shorten(played.name)} is no name of a family; say with family whose game it is.")
    if family is None:
        stamps = [(file, file.stat().st_mtime_ns) for folder in families_dirs() for file in folder.glob("*/*.yaml")]
        chosen = _known_family(played.name, tuple(stamps))
    else:
        chosen = family if isinstance(family, Family) else load_family(family)
    variant = chosen.variant(played.rules)
    if variant.variant_id != played.variant_id:
        raise UserError(
            f"The replay is of the variant {played.variant_id}, and its rules are {variant.variant_id} here: the "
            f"family {chosen.name!r} has changed since, or is another one of this name."
        )
    return chosen, variant


@lru_cache(maxsize=16)
def _known_family(name: str, stamps: tuple[tuple[Path, int], ...]) -> Family:  # noqa: ARG001 (for the cache)
    """Return a family by its name: to read its files takes several times as long as to play a game."""
    return load_family(name)


def _compared(record: ReplayRecord, again: ReplayRecord, problem: str) -> Verified:
    steps = sum(episode.steps for episode in again.episodes)
    if record.num_agents != again.num_agents or record.num_entities != again.num_entities:
        reason = problem or "the game has other agents and objects than the replay"
        return Verified(same=False, steps=steps, episode=0, step=0, reason=reason)
    for index, (was, now) in enumerate(zip_longest(record.episodes, again.episodes)):
        if was is None or now is None:
            return Verified(same=False, steps=steps, episode=index, step=0, reason=problem or "an episode is missing")
        step = _first_difference(was, now)
        if step is not None:
            reason = problem or (
                f"episode {index + 1}, {_moment(step)}: {_difference(record, again, index, step)}{_elsewhere(record)}"
            )
            return Verified(same=False, steps=steps, episode=index, step=step, reason=reason)
        changed = "the game plays as it did, but the replay has been changed"
        step = _first_untrue(record, again, index)
        if step is not None:
            reason = f"episode {index + 1}, {_moment(step)}: {changed}: {_difference(record, again, index, step)}"
            return Verified(same=False, steps=steps, episode=index, step=step, reason=reason)
        keys = _other_keys(was, now)
        if record.returns[index] != again.returns[index]:
            keys.append("returns")
        if keys:
            reason = f"episode {index + 1}: {changed}: its {keys[0]} are other ones"
            return Verified(same=False, steps=steps, episode=index, reason=reason)
    for key in ("agents", "objects", "digest"):
        if getattr(record, key) != getattr(again, key):
            reason = f"the game plays as it did, but the replay has been changed: it has another {key}"
            return Verified(same=False, steps=steps, reason=reason)
    return Verified(same=True, steps=steps)


def _first_untrue(record: ReplayRecord, again: ReplayRecord, index: int) -> int | None:
    """Return the first moment of an episode of which a replay says rewards or places that were not so."""
    was, now = record.episodes[index], again.episodes[index]
    apart = np.zeros(was.steps + 1, bool)
    paid = np.abs(rewards_of(record, was) - rewards_of(again, now))
    apart[1:] = (paid > _room(was.rewards.unit, now.rewards.unit)).any(0)
    if was.scene.kind == now.scene.kind == "particles":
        distance = np.abs(places_of(record, was) - places_of(again, now))
        apart |= (distance > _room(was.scene.unit or 0.0, now.scene.unit or 0.0)).any((0, 1))
    return int(apart.argmax()) if apart.any() else None


def _room(one: float, other: float) -> float:
    """Return how far the same number may be apart as multiples of two units, as of a replay that was migrated."""
    return 0.5 * one if one == other else one + other


def _other_keys(was: EpisodeRecord, now: EpisodeRecord) -> list[str]:
    """Return the keys of an episode that say something else, but for rewards, places, pictures and thoughts."""
    left_out = {"notes", "rewards"} | ({"scene"} if was.scene.kind == "frames" else set())
    if was.scene.kind == now.scene.kind == "particles":
        places = {"unit", "keyframe", "places"}
        same = was.scene.model_dump(exclude=places) == now.scene.model_dump(exclude=places)
        left_out |= {"scene"} if same or was.scene.unit != now.scene.unit else set()
    return [key for key in EpisodeRecord.model_fields if key not in left_out and getattr(was, key) != getattr(now, key)]


def _first_difference(was: EpisodeRecord, now: EpisodeRecord) -> int | None:
    """Return the first moment whose check differs, or that only one of them has."""
    for moment in range(max(was.steps, now.steps) + 1):
        part = slice(CHECK_DIGITS * moment, CHECK_DIGITS * (moment + 1))
        if was.checks[part] != now.checks[part]:
            return moment
    return None


def _moment(step: int) -> str:
    return "at the reset" if step == 0 else f"step {step}"


def _difference(record: ReplayRecord, again: ReplayRecord, index: int, step: int) -> str:
    """Return what differs at a step of an episode, as far as the replay itself says."""
    was, now = record.episodes[index], again.episodes[index]
    if step > now.steps:
        return f"the game is over after step {now.steps}"
    if step:
        rewards, own = rewards_of(record, was)[:, step - 1], rewards_of(again, now)[:, step - 1]
        apart = np.abs(rewards - own)
        if apart.max(initial=0.0) > _room(was.rewards.unit, now.rewards.unit):
            agent = int(apart.argmax())
            return f"the reward of {record.agents[agent].name} was {rewards[agent]:g} and is {own[agent]:g}"
    if was.scene.kind == now.scene.kind == "particles":
        here, there = places_of(record, was)[:, :, step], places_of(again, now)[:, :, step]
        distance = np.hypot(*(here - there).T)
        if distance.max() > _room(was.scene.unit or 0.0, now.scene.unit or 0.0):
            entity = int(distance.argmax())
            name = (
                record.agents[entity].name
                if entity < record.num_agents
                else f"the {record.objects[entity - record.num_agents]}"
            )
            return f"{name} was at {_place(here[entity])} and is at {_place(there[entity])}"
    return "what the game shows or pays is not the same, bit for bit"


def _place(place: np.ndarray) -> str:
    return f"({place[0]:.3f}, {place[1]:.3f})"


def _elsewhere(record: ReplayRecord) -> str:
    """Return what to say of a replay that was made by other software than that which plays it again."""
    here = made_here()
    others = [
        f"{key} {getattr(record.made, key)}" for key in ("toolkit", "numpy", "platform")
        if getattr(record.made, key) != getattr(here, key)
    ]  # fmt: skip
    return f" (it was made with {', '.join(others)})" if others else ""
