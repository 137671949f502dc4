"""A film of a game: the same start, played by several players side by side, as an animated GIF."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from marl_meta.evaluate.lineup import Player, side_seed
from marl_meta.evaluate.play import sides_of
from marl_meta.files import atomic_write_bytes
from marl_meta.games import Family, make_vec
from marl_meta.games.drawing import draw
from marl_meta.rollout import Controller
from marl_meta.types import Observation, Variant, VectorGame

SIZE = 320
"""Pixels of the side of one game's picture."""

STEP_MILLISECONDS, LAST_MILLISECONDS = 100, 1200

_HEADER, _FOOTER, _GAP = 34, 26, 12
_PAPER, _INK, _FAINT = (255, 255, 255), (34, 34, 34), (112, 112, 112)


def film(family: Family, variants: Sequence[Variant], players: Sequence[Player], seed: int, path: Path) -> None:
    """Write an animated GIF of one episode of each variant, in which every player plays all sides.

    Raises ValueError for games whose entities have no place to be drawn at.
    """
    frames: list[Image.Image] = []
    durations: list[int] = []
    for variant in variants:
        takes = [_take(family, variant, player, seed) for player in players]
        for step in range(max(len(take) for take in takes)):
            shown = [take[min(step, len(take) - 1)] for take in takes]
            frames.append(_frame(shown, [player.name for player in players], variant, step))
            durations.append(STEP_MILLISECONDS)
        durations[-1] = LAST_MILLISECONDS
    data = io.BytesIO()
    first, *others = [frame.quantize(64, dither=Image.Dither.NONE) for frame in frames]
    first.save(data, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    atomic_write_bytes(path, data.getvalue())


def _take(family: Family, variant: Variant, player: Player, seed: int) -> list[tuple[Image.Image, float]]:
    """Return the pictures of an episode, each with the mean return of an agent so far."""
    game = make_vec(family, num_games=1, rules=variant.rules, seed=seed)
    sides = sides_of(game)
    controllers = {side: player.make(game, side, side_seed(seed, i)) for i, side in enumerate(sides)}
    for side, agents in sides.items():
        controllers[side].reset(1, agents)
    pictures = []
    step = game.reset()
    earned, over = 0.0, False
    observation: Observation = step.observation
    while True:
        picture = draw(
            observation, game.layout, 0, SIZE, arena=variant.rules.get("arena", 1.0),
            walls=variant.rules.get("walls", False),
        )  # fmt: skip
        pictures.append((Image.fromarray(picture), earned))
        if over:
            game.close()
            return pictures
        step = game.step(_actions(game, controllers, observation))
        for controller in controllers.values():
            controller.observe(step)
        earned += float(step.reward.sum() / max(observation.acting.sum(), 1))
        over = bool(step.game_over[0])
        observation = step.final if step.final is not None else step.observation


def _actions(game: VectorGame, controllers: Mapping[str, Controller], observation: Observation) -> np.ndarray:
    actions = np.zeros((1, game.num_agents), np.int64)
    for side, agents in sides_of(game).items():
        actions[:, agents] = controllers[side].act(observation)
    return actions


def _frame(
    shown: Sequence[tuple[Image.Image, float]], names: Sequence[str], variant: Variant, step: int
) -> Image.Image:
    """Return one picture of the film: the players side by side."""
    width = len(shown) * (SIZE + _GAP) + _GAP
    frame = Image.new("RGB", (width, _HEADER + SIZE + _FOOTER), _PAPER)
    pen = ImageDraw.Draw(frame)
    for index, ((picture, earned), name) in enumerate(zip(shown, names, strict=True)):
        left = _GAP + index * (SIZE + _GAP)
        frame.paste(picture, (left, _HEADER))
        pen.text((left, _HEADER / 2), name, _INK, ImageFont.load_default(16), anchor="lm")
        pen.text((left + SIZE, _HEADER / 2), f"return {earned:.1f}", _FAINT, ImageFont.load_default(14), anchor="rm")
    text = f"{variant.variant_id}, step {step}"
    pen.text((_GAP, _HEADER + SIZE + _FOOTER / 2), text, _FAINT, ImageFont.load_default(12), anchor="lm")
    return frame
