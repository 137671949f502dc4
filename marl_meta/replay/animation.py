"""Moving pictures of replays, one or several side by side: GIF, which needs nothing more, and MP4."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from marl_meta.files import atomic_write_bytes
from marl_meta.replay.decoding import rewards_of
from marl_meta.replay.pictures import Painter, painter
from marl_meta.replay.record import ReplayRecord
from marl_meta.types import UserError
from marl_meta.wording import one_line

SIZE = 320
"""Pixels of the side of one game's picture."""

STEPS_PER_SECOND = 10.0
LAST_SECONDS = 1.2
"""How long the end of an episode is shown."""

MOST_FRAMES = 5_000

_HEADER, _FOOTER, _GAP = 34, 26, 12
_PAPER, _INK, _FAINT = (255, 255, 255), (34, 34, 34), (112, 112, 112)
_COLORS = 64
_MOST_LETTERS = 200
"""Of a line of text: more have no room in any picture."""
_SHORTEST = 20
"""Milliseconds of a GIF's frame: browsers show frames that claim less for a tenth of a second."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture, and how long it is shown."""

    image: Image.Image
    seconds: float


@dataclass(frozen=True, slots=True)
class _Take:
    """One episode of one replay."""

    name: str
    caption: str
    paint: Painter
    steps: int
    earned: np.ndarray
    """[T+1] the return so far, of an agent on average."""


def frames(
    replays: Sequence[ReplayRecord], *, size: int = SIZE, speed: float = 1.0, episode: int | None = None
) -> Iterator[Frame]:  # fmt: skip
    """Yield the frames of replays side by side: all their episodes, or one of them (from 0).

    Shorter episodes wait for the longest. `speed` 2 shows twice as many steps a second.
    """
    most = max(len(replay.episodes) for replay in replays)
    chosen = range(most) if episode is None else [episode]
    if episode is not None and not 0 <= episode < most:
        raise UserError(f"There is no episode {episode + 1}; the replay has {most}.")
    for index in chosen:
        takes = [_take(replay, min(index, len(replay.episodes) - 1)) for replay in replays if replay.episodes]
        longest = max(take.steps for take in takes)
        for time in range(longest + 1):
            seconds = LAST_SECONDS if time == longest else 1.0 / STEPS_PER_SECOND
            yield Frame(_page(takes, time, size), seconds / speed)


def picture(replay: ReplayRecord, episode: int, step: int, size: int = 2 * SIZE) -> Image.Image:
    """Return the picture of one moment; raises UserError where there is no such episode or step."""
    if not 0 <= episode < len(replay.episodes):
        raise UserError(f"There is no episode {episode + 1}; the replay has {len(replay.episodes)}.")
    steps = replay.episodes[episode].steps
    if not 0 <= step <= steps:
        raise UserError(f"There is no step {step}; episode {episode + 1} has 0 to {steps}.")
    return Image.fromarray(painter(replay, replay.episodes[episode])(step, size))


def gif(shown: Iterator[Frame] | Sequence[Frame]) -> bytes:
    """Return an animated GIF."""
    images, durations = [], []
    for frame in shown:
        images.append(frame.image.quantize(_COLORS, dither=Image.Dither.NONE))
        durations.append(max(round(1000 * frame.seconds), _SHORTEST))
        if len(images) > MOST_FRAMES:
            raise UserError(f"A GIF of more than {MOST_FRAMES} frames is too long; choose one episode.")
    data = io.BytesIO()
    images[0].save(data, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return data.getvalue()


def write_mp4(path: Path, shown: Iterator[Frame]) -> None:
    """Write a film; raises UserError where the extra `video` is not installed, or the film cannot be made."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UserError("MP4 needs the extra 'video': pip install 'marl-meta[video]'. GIF needs nothing.") from error
    rate = 30
    beside = path.with_name(f".{path.name}.tmp.mp4")
    writer = None
    try:
        for frame in shown:
            even = frame.image.crop((0, 0, frame.image.width // 2 * 2, frame.image.height // 2 * 2))
            if writer is None:
                writer = imageio_ffmpeg.write_frames(str(beside), even.size, fps=rate, macro_block_size=2)
                writer.send(None)
            for _ in range(max(round(rate * frame.seconds), 1)):
                writer.send(np.ascontiguousarray(even.convert("RGB")))
        if writer is not None:
            writer.close()
        atomic_write_bytes(path, beside.read_bytes())
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path} cannot be made: {one_line(error)}.") from error
    finally:
        beside.unlink(missing_ok=True)


def _take(replay: ReplayRecord, index: int) -> _Take:
    episode = replay.episodes[index]
    rewards = rewards_of(replay, episode)
    earned = np.concatenate([[0.0], rewards.sum(0).cumsum() / max(replay.num_agents, 1)])
    players = " against ".join(dict.fromkeys(team.player for team in replay.teams))
    which = f", episode {index + 1} of {len(replay.episodes)}" if len(replay.episodes) > 1 else ""
    return _Take(
        replay.title or players, (replay.game.variant_id or replay.game.name) + which, painter(replay, episode),
        episode.steps, earned,
    )  # fmt: skip


def _page(takes: Sequence[_Take], time: int, size: int) -> Image.Image:
    """Return one picture of the film: the games side by side."""
    width = len(takes) * (size + _GAP) + _GAP
    page = Image.new("RGB", (width, _HEADER + size + _FOOTER), _PAPER)
    pen = ImageDraw.Draw(page)
    for index, take in enumerate(takes):
        left, now = _GAP + index * (size + _GAP), min(time, take.steps)
        page.paste(Image.fromarray(take.paint(now, size)), (left, _HEADER))
        earned = f"return {take.earned[now]:.1f}"
        room = size - ImageFont.load_default(14).getlength(earned) - _GAP
        pen.text((left, _HEADER / 2), _fitting(take.name, room), _INK, ImageFont.load_default(16), anchor="lm")
        pen.text((left + size, _HEADER / 2), earned, _FAINT, ImageFont.load_default(14), anchor="rm")
    step = f", step {min(time, takes[0].steps)}"
    room = width - 2 * _GAP - ImageFont.load_default(12).getlength(step)
    text = _fitting(takes[0].caption, room, 12) + step
    pen.text((_GAP, _HEADER + size + _FOOTER / 2), text, _FAINT, ImageFont.load_default(12), anchor="lm")
    return page


def _fitting(text: str, room: float, height: int = 16) -> str:
    """Return as much of a text as there is room for, on one line."""
    text = " ".join(text[:_MOST_LETTERS].split())
    font = ImageFont.load_default(height)
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text + "…"
