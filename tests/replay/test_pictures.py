"""Pictures of moments: what is where, and of which color, as the file says."""

from __future__ import annotations

import base64
import copy
import io

import numpy as np
import pytest
from PIL import Image

from marl_meta.games.board import draw_board
from marl_meta.replay.packing import pack, pack_deltas, pack_moves, unpack_moves
from marl_meta.replay.pictures import Picture, painter
from marl_meta.replay.reading import decode
from marl_meta.types import UserError

from . import handmade
from .recorded import every_kind, whole

HUNTERS, PREY, ORANGE, STONE = (213, 94, 0), (0, 114, 178), (230, 159, 0), (133, 128, 120)
EMPTY, OUTSIDE = (238, 235, 228), (233, 230, 223)
SIZE = 390


def paint(file: handmade.File, time: int, episode: int = 0, size: int = SIZE) -> Picture:
    record = decode(handmade.packed(file))
    image = painter(record, record.episodes[episode])(time, size)
    assert image.shape == (size, size, 3) and image.dtype == np.uint8
    return image


def at(image: Picture, x: float, y: float) -> tuple[int, ...]:
    """Return the color at a place of a field that is 2.6 wide."""
    half = image.shape[0] / 2
    return tuple(image[round(half - y * image.shape[0] / 2.6), round(half + x * image.shape[0] / 2.6)].tolist())


def field(places: list[list[list[float]]], **scene: object) -> handmade.File:
    """Return a file of two hunters, a prey and a rock that are at `places` [T+1][E][2]."""
    T = len(places) - 1
    file = whole(handmade.chase(adversaries=2, prey=1, obstacles=1, steps=T, thinks=False))
    moves = np.rint(np.array(places).transpose(1, 2, 0) / 0.001).astype(int)
    file["episodes"][0]["scene"] |= {"places": pack_moves(moves, 16), "radius": [0.15] * 4, **scene}
    return file


CORNERS = [[-0.7, 0.7], [0.7, 0.7], [-0.7, -0.7], [0.7, -0.7]]


def test_everybody_is_at_its_place_in_the_color_of_its_team() -> None:
    image = paint(field([CORNERS, CORNERS]), 1)
    aside = 0.1  # beside the mark in the middle
    assert at(image, -0.7 + aside, 0.7) == HUNTERS and at(image, 0.7 + aside, 0.7) == HUNTERS
    assert at(image, -0.7 + aside, -0.7) == PREY
    assert np.abs(np.array(at(image, 0.7 + aside, -0.7)) - STONE).max() < 30
    assert at(image, 0, 0) not in {HUNTERS, PREY, STONE}


def test_the_moments_are_those_of_the_file() -> None:
    file = whole(handmade.chase(adversaries=1, prey=1, obstacles=0, steps=20, thinks=False))
    scene = file["episodes"][0]["scene"]
    places = 0.001 * unpack_moves(scene["places"], (2, 2, 21), scene["keyframe"])
    scene["radius"] = [0.15, 0.15]
    seen = 0
    for time in (0, 9, 17, 20):
        image, (hunter, prey) = paint(file, time), places[..., time]
        if np.linalg.norm(hunter - prey) > 0.4 and np.abs(hunter).max() < 1.2:
            mean = np.argwhere((image == HUNTERS).all(-1)).mean(0)
            assert mean[1] == pytest.approx(SIZE / 2 + hunter[0] * SIZE / 2.6, abs=4)
            assert mean[0] == pytest.approx(SIZE / 2 - hunter[1] * SIZE / 2.6, abs=4)
            seen += 1
    assert seen >= 2


def test_who_is_not_there_is_not_drawn() -> None:
    file = field([CORNERS, CORNERS], present=pack([1, 0, 1, 1, 1, 1, 1, 1]))
    assert (paint(file, 0) == HUNTERS).all(-1).sum() > 1.8 * (paint(file, 1) == HUNTERS).all(-1).sum() > 100


def test_who_moves_has_a_tick() -> None:
    moved = [[x + 0.08, y] for x, y in CORNERS]
    still, going = paint(field([moved, moved]), 1), paint(field([CORNERS, moved]), 1)
    assert not np.array_equal(still, going)
    assert at(going, -0.7 + 0.08 + 0.2, 0.7) != at(still, -0.7 + 0.08 + 0.2, 0.7)


def test_walls_are_drawn_and_a_larger_arena_is_seen_from_further_away() -> None:
    assert not np.array_equal(paint(field([CORNERS, CORNERS]), 0), paint(field([CORNERS, CORNERS], walls=True), 0))
    image = paint(field([CORNERS, CORNERS], arena=2.0), 0)
    assert at(image, -0.35 + 0.05, 0.35) == HUNTERS


def test_pieces_are_on_their_cells() -> None:
    file = whole(handmade.connect_four())
    before, after = paint(file, 1), paint(file, 2)
    margin, side = 0.05 * SIZE, 0.9 * SIZE / 7
    top = (SIZE - 6 * side) / 2

    def cell(image: Picture, row: int, column: int) -> tuple[int, ...]:
        return tuple(
            image[round(top + side * (row + 0.5)), round(margin + side * (column + 0.5) - 0.3 * side)].tolist()
        )

    assert cell(before, 5, 3) == PREY and cell(before, 4, 3) == EMPTY == cell(before, 0, 0)
    assert cell(after, 5, 3) == PREY and cell(after, 4, 3) == ORANGE
    assert cell(after, 5, 6) == STONE


def test_what_has_changed_on_a_board_is_marked() -> None:
    cells = np.array([[1, 0], [0, 2]])
    middle = (round(100 * 0.275), round(100 * 0.275))
    assert tuple(draw_board(cells, 100)[middle]) == PREY
    assert tuple(draw_board(cells, 100, before=np.array([[0, 0], [0, 2]]))[middle]) == (255, 255, 255)
    assert tuple(draw_board(cells, 100, before=cells)[middle]) == PREY


@pytest.mark.parametrize("style", ["board", "grid"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (47, 90), (700, 700)])
def test_boards_of_any_size_are_drawn(style: str, shape: tuple[int, int]) -> None:
    cells = np.zeros(shape, int)
    cells[: -(-shape[0] // 2)] = 1
    image = draw_board(cells, 120, style=style, before=np.zeros(shape, int))  # type: ignore[arg-type]
    assert image.shape == (120, 120, 3) and tuple(image[0, 0]) == OUTSIDE
    if shape[0] > 1:
        blue = (np.abs(image.astype(int) - PREY).max(-1) < 100).nonzero()[0]
        assert len(blue) and blue.max() <= 62


def test_grids_have_the_color_of_what_is_in_a_cell() -> None:
    cells = np.zeros((4, 4), int)
    cells[0, 1], cells[2, 3] = -1, 2
    image = draw_board(cells, 400, style="grid")
    centers = {
        (r, c): tuple(image[round(20 + 90 * (r + 0.5)), round(20 + 90 * (c + 0.5))]) for r in range(4) for c in range(4)
    }
    assert centers.pop((0, 1)) == STONE and centers.pop((2, 3)) == ORANGE and set(centers.values()) == {EMPTY}


def test_frames_are_the_images_of_the_file_and_last_until_the_next() -> None:
    file = whole(handmade.frames())
    scale = SIZE / 90
    for time, left in ((0, 0), (4, 12), (5, 12), (6, 12), (7, 21)):  # 5 and 6 are as 4 was
        image = paint(file, time)
        yellow = np.argwhere((np.abs(image.astype(int) - (240, 228, 66)) < 8).all(-1))
        small = 90 if scale > 1 else SIZE  # pictures are not made larger
        assert yellow[:, 1].min() == pytest.approx((SIZE - small) / 2 + left, abs=1)
        assert (yellow[:, 1].max() - yellow[:, 1].min() + 1) == pytest.approx(20, abs=1)
        assert tuple(image[0, 0]) == OUTSIDE


def test_a_large_frame_is_made_smaller() -> None:
    file = whole(handmade.frames())
    buffer = io.BytesIO()
    Image.new("RGB", (400, 100), (10, 200, 30)).save(buffer, "PNG")
    file["episodes"][0]["scene"]["images"][0] = base64.b64encode(buffer.getvalue()).decode()
    green = np.argwhere((paint(file, 0, size=200) == (10, 200, 30)).all(-1))
    assert (np.ptp(green, axis=0) + 1).tolist() == [50, 200]


def test_a_damaged_frame_is_a_sentence() -> None:
    file = whole(handmade.frames())
    images = file["episodes"][0]["scene"]["images"]
    images[0] = base64.b64encode(base64.b64decode(images[0])[:60]).decode()
    with pytest.raises(UserError, match="a picture in it cannot be read"):
        paint(file, 0)
    images[0] = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
    with pytest.raises(UserError, match="cannot be read"):
        paint(file, 0)


def test_a_table_shows_who_did_what_and_was_paid() -> None:
    file = whole(handmade.table(2))
    episode = file["episodes"][0]
    T = episode["steps"]
    chosen = np.ones((2, T), int)
    chosen[0, 4], chosen[1, 4] = 3, 0
    rewards = np.zeros((2, T), int)
    rewards[0, 4] = 10
    episode["actions"][0]["chosen"] = pack(chosen)
    episode["rewards"] = {"unit": 0.1, "values": pack_deltas(rewards)}

    def boxes(image: Picture, agent: int) -> list[bool]:
        """Which of the four boxes of an agent is filled, seen beside the number in it."""
        center = SIZE * (0.05 + 0.9 * (agent + 0.5) / 2) - 0.04 * SIZE
        rows = [0.3 + 0.44 * (number + 0.5) / 4 for number in range(4)]
        color = (PREY, ORANGE)[agent]
        return [tuple(image[round(SIZE * row), round(center)]) == color for row in rows]

    start, then = paint(file, 0), paint(file, 5)
    assert boxes(start, 0) == boxes(start, 1) == [False] * 4
    assert boxes(then, 0) == [False, False, True, False] and boxes(then, 1) == [False] * 4
    assert boxes(paint(file, 4), 1) == [True, False, False, False]
    green = (then == (0, 158, 115)).all(-1)
    assert (
        green[:, : SIZE // 2].any() and not green[:, SIZE // 2 :].any() and not (start == (0, 158, 115)).all(-1).any()
    )


def test_many_teams_kinds_agents_and_actions_are_drawn() -> None:
    file = whole(handmade.table(300))
    for n, agent in enumerate(file["agents"]):
        agent |= {"team": n, "kind": f"kind {n}", "name": f"a\nlong name {n} " * 50}
    file["teams"] = [{"name": f"{n}", "player": "p"} for n in range(300)]
    file |= {"actions": [f"{n}" for n in range(500)], "returns": [[0.0] * 300]}
    assert len(np.unique(paint(file, 1).reshape(-1, 3), axis=0)) > 20
    scene = {"kind": "particles", "unit": 0.01, "keyframe": 64, "arena": 1.0, "walls": False, "radius": [0.1] * 300}
    scene["places"] = pack(np.zeros((300, 2, 13), int))
    file["episodes"][0]["scene"] = scene
    assert len(np.unique(paint(file, 1).reshape(-1, 3), axis=0)) > 5


@pytest.mark.parametrize("file", every_kind(), ids=lambda file: file["game"]["name"][:12])
def test_a_picture_depends_on_its_moment_alone(file: handmade.File) -> None:
    record = decode(handmade.packed(copy.deepcopy(file)))
    shown = painter(record, record.episodes[0])
    forwards = [shown(time, 100) for time in range(record.episodes[0].steps + 1)]
    backwards = [shown(time, 100) for time in reversed(range(record.episodes[0].steps + 1))]
    assert all(np.array_equal(*pair) for pair in zip(forwards, backwards[::-1], strict=True))
    assert len({image.tobytes() for image in forwards}) > 3
