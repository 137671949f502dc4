"""Pictures of the moments of a replay, drawn from what its file holds."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from marl_meta.games.board import draw_board
from marl_meta.games.drawing import draw
from marl_meta.games.palette import OUTSIDE
from marl_meta.games.table import draw_table
from marl_meta.replay.decoding import actions_of, cells_of, places_of, presence_of, rewards_of
from marl_meta.replay.record import EpisodeRecord, ReplayRecord
from marl_meta.types import Layout, Observation, TeamLayout, UserError

Picture = npt.NDArray[np.uint8]
Painter = Callable[[int, int], Picture]
"""`paint(time, size)` returns the picture uint8 [size,size,3] of a moment 0..T."""

_STEP = 0.1
"""Seconds of a step of the particle games, by which a change of place is a velocity."""

_MOST_KINDS, _MOST_TEAMS = 127, 120
"""That an observation can tell apart; beyond that, colors and marks are used again."""

_LARGEST_RADIUS = 4.0
"""Of the arena's half width: what is larger covers every picture too, and would take long to draw."""

_MOST_DRAWN = 4_096
"""Of entities in a picture, agents first."""

_MOST_ROWS = 64
"""Of agents, and of actions, in a table: more cannot be told apart."""

_LONGEST_LABEL = 24

MOST_PIXELS = 4_096 * 4_096
"""Of a picture that a file brings along."""


def painter(record: ReplayRecord, episode: EpisodeRecord) -> Painter:
    """Return what paints the moments of an episode."""
    match episode.scene.kind:
        case "particles":
            return _particles(record, episode)
        case "board":
            return _board(episode)
        case "frames":
            return _frames(episode)
        case "none":
            return _table(record, episode)


def _layout(record: ReplayRecord, entity_features: tuple[str, ...], private_features: tuple[str, ...]) -> Layout:
    kinds = tuple(dict.fromkeys([*(agent.kind for agent in record.agents), *record.objects]))
    of_team = {agent.team: agent.kind for agent in reversed(record.agents)}
    teams = tuple(TeamLayout(team.name, of_team.get(i, kinds[0])) for i, team in enumerate(record.teams))
    return Layout(kinds, teams, entity_features, private_features, tuple(record.actions))


def _observation(record: ReplayRecord, layout: Layout, actions: int) -> Observation:
    """Return what is the same at every moment, as a batch of one; everybody is there."""
    agents, entities = record.num_agents, record.num_entities
    number = {kind: min(index, _MOST_KINDS) for index, kind in enumerate(layout.kinds)}
    kinds = [number[kind] for kind in (*(agent.kind for agent in record.agents), *record.objects)]
    teams = [*(agent.team % _MOST_TEAMS for agent in record.agents), *[-1] * len(record.objects)]
    return Observation(
        entities=np.zeros((1, entities, len(layout.entity_features)), np.float32),
        kind=np.array([kinds], np.int8),
        team=np.array([teams], np.int8),
        present=np.ones((1, entities), bool),
        private=np.zeros((1, agents, len(layout.private_features)), np.float32),
        sees=None,
        acting=np.ones((1, agents), bool),
        action_mask=np.ones((1, agents, actions), bool),
        rules=np.zeros((1, 0), np.float32),
    )


def _particles(record: ReplayRecord, episode: EpisodeRecord) -> Painter:
    layout = _layout(record, ("x", "y", "vx", "vy", "radius"), ())
    shown = _observation(record, layout, len(record.actions))
    places, present = places_of(record, episode), presence_of(record, episode)
    moved = np.diff(places, axis=-1, prepend=places[..., :1]) / _STEP
    scene = episode.scene
    arena = scene.arena or 1.0
    shown.present[:] = False
    shown.entities[0, :, 4] = np.minimum(scene.radius or 0.0, _LARGEST_RADIUS * arena)

    def paint(time: int, size: int) -> Picture:
        shown.entities[0, :, :2], shown.entities[0, :, 2:4] = places[..., time], moved[..., time]
        shown.present[0, :_MOST_DRAWN] = present[:_MOST_DRAWN, time]
        return draw(shown, layout, 0, size, arena=arena, walls=bool(scene.walls))

    return paint


def _board(episode: EpisodeRecord) -> Painter:
    cells, style = cells_of(episode), episode.scene.style or "board"

    def paint(time: int, size: int) -> Picture:
        return draw_board(cells[time], size, style=style, before=cells[time - 1] if time else None)

    return paint


def _frames(episode: EpisodeRecord) -> Painter:
    images = episode.scene.images or []

    def paint(time: int, size: int) -> Picture:
        shown = next((images[at] for at in range(time, -1, -1) if images[at] is not None), None)
        page = Image.new("RGB", (size, size), OUTSIDE)
        if shown is not None:
            image = _image(base64.b64decode(shown))
            image.thumbnail((size, size))
            page.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
        return np.asarray(page, np.uint8)

    return paint


def _image(data: bytes) -> Image.Image:
    """Return the picture in a PNG; raises UserError where it is damaged or too large."""
    width, height = (int.from_bytes(data[first : first + 4]) for first in (16, 20))  # of its header, which comes first
    if width * height > MOST_PIXELS:
        raise UserError(f"A picture of the replay is too large ({width} x {height} pixels).")
    try:
        return Image.open(io.BytesIO(data), formats=["PNG"]).convert("RGB")
    except Exception as error:  # whatever Pillow raises on bytes of anybody
        raise UserError("The replay is damaged: a picture in it cannot be read.") from error


def _table(record: ReplayRecord, episode: EpisodeRecord) -> Painter:
    names = tuple(f"last_{index}" for index in range(min(len(record.actions), _MOST_ROWS)))
    layout = _layout(record, (), (*names, "last_reward"))
    layout = Layout(layout.kinds, layout.teams, (), layout.private_features, tuple(map(str, range(len(names)))))
    shown = _observation(record, layout, len(names))
    shown.present[:, _MOST_ROWS:] = False
    rewards = rewards_of(record, episode)
    groups = actions_of(record, episode)
    labels = [" ".join(agent.name[:_LONGEST_LABEL].split()) for agent in record.agents]

    def paint(time: int, size: int) -> Picture:
        shown.private[:] = 0.0
        for group in groups:
            if time and group.chosen is not None:
                for agent, action in zip(group.agents.tolist(), group.chosen[:, time - 1].tolist(), strict=True):
                    if 0 <= action < len(names):
                        shown.private[0, agent, action] = 1.0
        if time:
            shown.private[0, :, -1] = rewards[:, time - 1]
        return draw_table(shown, layout, 0, size, labels=labels)

    return paint
