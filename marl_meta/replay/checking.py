"""Whether the parts of a replay fit each other; whatever has passed can be decoded without looking again."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any

from marl_meta.replay.decoding import (
    actions_of,
    attention_of,
    beliefs_of,
    cells_of,
    influence_of,
    places_of,
    presence_of,
    probabilities_of,
    rewards_of,
    updates_of,
    value_of,
)
from marl_meta.replay.digest import CHECK_DIGITS
from marl_meta.replay.record import EpisodeRecord, Notes, ReplayRecord, Scene
from marl_meta.types import UserError

MOST_DEPTH = 32
"""Of what makes a game: its rules, its arguments, its wrappers."""


def check(record: ReplayRecord) -> None:
    """Raise UserError, with a sentence that names the key, unless all parts of a replay fit each other."""
    agents = range(record.num_agents)
    for agent in record.agents:
        _demand(agent.team < len(record.teams), f"agent {agent.name!r} is in team {agent.team}, which is not there")
    _demand(len(record.status) == record.num_agents, "status must have an entry for every agent")
    _demand(len(record.returns) == len(record.episodes), "returns must have an entry for every episode")
    game = record.game
    _check_free([game.rules, game.kwargs, game.wrappers, [(rule.value, rule.default) for rule in game.card]])
    for row in record.returns:
        _demand(len(row) == len(record.teams), "an entry of returns must have a number for every team")
    _demand(_is_hexadecimal(record.digest, 32), "digest must be 32 hexadecimal digits")
    for index, episode in enumerate(record.episodes):
        try:
            _check_episode(record, episode)
            for notes in episode.notes or ():
                _demand(all(agent in agents for agent in notes.agents), "notes are about an agent that is not there")
                _check_notes(record, episode, notes)
        except UserError as error:
            raise UserError(f"episode {index}: {error}") from error


def _check_episode(record: ReplayRecord, episode: EpisodeRecord) -> None:
    named = [agent for group in episode.actions for agent in group.agents]
    _demand(sorted(named) == list(range(record.num_agents)), "actions must name every agent once")
    actions_of(record, episode)
    rewards_of(record, episode)
    _demand(
        _is_hexadecimal(episode.checks, CHECK_DIGITS * (episode.steps + 1)),
        f"checks must have {CHECK_DIGITS} hexadecimal digits for the reset and for each of the {episode.steps} steps",
    )
    for agent, step, _ in episode.ends:
        _demand(agent < record.num_agents and 1 <= step <= episode.steps, "ends names an agent or a step beyond all")
    _check_scene(record, episode, episode.scene)


def _check_scene(record: ReplayRecord, episode: EpisodeRecord, scene: Scene) -> None:
    match scene.kind:
        case "particles":
            places_of(record, episode)
            presence_of(record, episode)
            radius = scene.radius
            _demand(radius is not None and len(radius) == record.num_entities, "scene.radius: one for every entity")
            _demand(scene.arena is not None, "scene.arena is missing")
        case "board":
            cells_of(episode)
        case "frames":
            images = scene.images
            _demand(images is not None and len(images) == episode.steps + 1, "scene.images: one for every moment")
            _demand(scene.width is not None and scene.height is not None, "scene.width or scene.height is missing")
            for image in images or ():
                _check_image(image)
        case "none":
            pass


def _check_image(image: str | None) -> None:
    if image is None:
        return
    try:
        data = binascii.a2b_base64(image, strict_mode=True)
    except ValueError as error:
        raise UserError("scene.images holds what is not base64.") from error
    _demand(data[:8] == b"\x89PNG\r\n\x1a\n", "scene.images holds what is not a PNG")


def _check_notes(record: ReplayRecord, episode: EpisodeRecord, notes: Notes) -> None:
    attention_of(record, episode, notes)
    influence_of(record, episode, notes)
    probabilities_of(record, episode, notes)
    value_of(episode, notes)
    beliefs_of(episode, notes)
    updates_of(episode, notes)


def _check_free(value: Any, depth: int = 0) -> None:
    """Raise UserError where what a game is made of, which may be anything, is nested too deep to be written again."""
    _demand(depth <= MOST_DEPTH, f"game is nested deeper than {MOST_DEPTH} levels")
    if isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            _check_free(one, depth + 1)


def _is_hexadecimal(text: str, digits: int) -> bool:
    return len(text) == digits and all(digit in "0123456789abcdef" for digit in text)


def _demand(holds: bool, sentence: str) -> None:
    if not holds:
        raise UserError(f"{sentence}.")
