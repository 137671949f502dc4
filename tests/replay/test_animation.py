"""GIFs and films: how many frames there are, how long they last, and what is beside what."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from marl_meta.replay.animation import Frame, frames, gif, picture, write_mp4
from marl_meta.replay.reading import decode
from marl_meta.replay.record import ReplayRecord
from marl_meta.types import UserError

from . import handmade
from .recorded import every_kind, whole

HEADER, FOOTER, GAP = 34, 26, 12


def chase(**options: Any) -> ReplayRecord:
    return decode(handmade.packed(whole(handmade.chase(**{"steps": 6, "thinks": False, **options}))))


def durations(data: bytes) -> list[int]:
    with Image.open(io.BytesIO(data)) as image:
        return [frame.info["duration"] for frame in ImageSequence.Iterator(image)]


def test_a_gif_has_a_frame_for_every_moment_and_rests_at_the_end() -> None:
    data = gif(frames([chase()], size=120))
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size, image.info["loop"]) == ("GIF", (120 + 2 * GAP, 120 + HEADER + FOOTER), 0)
    assert durations(data) == [100] * 6 + [1200]
    assert data == gif(frames([chase()], size=120))


def test_episodes_follow_each_other_or_one_is_chosen() -> None:
    trial = chase(episodes=2, steps=3)
    assert durations(gif(frames([trial], size=64))) == [100, 100, 100, 1200] * 2
    chosen = list(frames([trial], size=64, episode=1))
    both = list(frames([trial], size=64))
    assert [frame.image.tobytes() for frame in chosen] == [frame.image.tobytes() for frame in both[4:]]
    for wrong in (2, -1):
        with pytest.raises(UserError, match="There is no episode"):
            list(frames([trial], episode=wrong))


@pytest.mark.parametrize(("speed", "step"), [(2.0, 50), (0.5, 200), (20.0, 20)])
def test_speed(speed: float, step: int) -> None:
    assert durations(gif(frames([chase(steps=2)], size=64, speed=speed)))[0] == step


def test_the_picture_in_a_frame_is_that_of_its_moment() -> None:
    record = chase()
    for time, frame in enumerate(frames([record], size=150)):
        inside = np.asarray(frame.image)[HEADER : HEADER + 150, GAP : GAP + 150]
        assert np.array_equal(inside, np.asarray(picture(record, 0, time, 150)))


def test_replays_stand_beside_each_other_and_the_shorter_waits() -> None:
    long, short = chase(steps=6), chase(steps=2, adversaries=1, seed=8)
    shown = list(frames([long, short], size=100))
    assert len(shown) == 7 and shown[0].image.width == 2 * 100 + 3 * GAP
    right = [np.asarray(frame.image)[HEADER : HEADER + 100, 100 + 2 * GAP : 200 + 2 * GAP] for frame in shown]
    for time, image in enumerate(right):
        assert np.array_equal(image, np.asarray(picture(short, 0, min(time, 2), 100)))


def test_the_return_so_far_is_shown() -> None:
    file = whole(handmade.table(1))
    T = file["episodes"][0]["steps"]
    from marl_meta.replay.packing import pack_deltas

    file["episodes"][0]["rewards"] = {"unit": 1, "values": pack_deltas([0] * 5 + [7] + [0] * (T - 6))}
    heads = [np.asarray(frame.image)[:HEADER].tobytes() for frame in frames([decode(handmade.packed(file))], size=160)]
    assert len(set(heads[:6])) == 1 and len(set(heads[6:])) == 1 and heads[5] != heads[6]


def test_long_names_on_several_lines_are_cut() -> None:
    file = whole(handmade.chase(steps=1, title="a very\nlong title " * 9000))
    file["game"]["variant_id"] = "v\n" * 9000
    assert len(list(frames([decode(handmade.packed(file))], size=64))) == 2


@pytest.mark.parametrize("file", every_kind(), ids=lambda file: file["game"]["name"][:12])
def test_everything_can_be_a_gif(file: handmade.File) -> None:
    record = decode(handmade.packed(file))
    found = durations(gif(frames([record], size=64)))
    assert sum(found) == sum(100 * episode.steps + 1200 for episode in record.episodes)


def test_a_gif_that_would_be_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marl_meta.replay.animation.MOST_FRAMES", 3)
    with pytest.raises(UserError, match="A GIF of more than 3 frames is too long"):
        gif(frames([chase()], size=64))


def test_pictures_of_moments_that_are_not_there_are_refused() -> None:
    record = chase()
    assert picture(record, 0, 6).size == (640, 640)
    with pytest.raises(UserError, match="There is no step 7; episode 1 has 0 to 6"):
        picture(record, 0, 7)
    with pytest.raises(UserError, match="There is no episode 2; the replay has 1"):
        picture(record, 1, 0)


def test_a_film_without_its_extra_says_which_one_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UserError, match=r"MP4 needs the extra 'video': pip install 'marl-meta\[video\]'"):
        write_mp4(tmp_path / "film.mp4", frames([chase()]))
    assert list(tmp_path.iterdir()) == []


class FakeFilms:
    """What stands for imageio_ffmpeg: it writes down what it is sent."""

    def __init__(self, path: Path, *, fails: bool = False) -> None:
        self.sent: list[np.ndarray] = []
        self.path, self.fails = path, fails

    def write_frames(self, path: str, size: tuple[int, int], *, fps: int, macro_block_size: int) -> Any:
        assert (fps, macro_block_size) == (30, 2) and size[0] % 2 == size[1] % 2 == 0
        Path(path).write_bytes(b"film")
        yield
        while True:
            image = yield
            if self.fails:
                raise OSError("broken pipe")
            if image is None:
                return
            assert image.shape == (size[1], size[0], 3)
            self.sent.append(image)


def test_a_film_shows_every_frame_for_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeFilms(tmp_path)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", fake)
    image = Image.new("RGB", (31, 21))
    write_mp4(tmp_path / "film.mp4", iter([Frame(image, 0.1), Frame(image, 1.2), Frame(image, 0.001)]))
    assert len(fake.sent) in {3 + 36 + 1, 3 + 36}  # of thirty a second
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("film.mp4", b"film")]


def test_a_film_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", FakeFilms(tmp_path, fails=True))
    with pytest.raises(UserError, match=r"film.mp4 cannot be made: broken pipe"):
        write_mp4(tmp_path / "film.mp4", frames([chase()], size=64))
    assert list(tmp_path.iterdir()) == []
