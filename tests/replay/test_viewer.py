"""The viewer of replays, in a real browser. Positions, colors and words are compared with what the file holds."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marl_meta import play
from marl_meta.replay.packing import unpack, unpack_deltas, unpack_moves
from marl_meta.replay.page import frame, page
from tests.browser import running

from . import handmade

HUNTERS, PREY = [213, 94, 0], [0, 114, 178]
KINDS = {
    "particles": handmade.chase,
    "board": handmade.connect_four,
    "grid": handmade.grid,
    "frames": handmade.frames,
    "none": handmade.table,
}

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with running() as browser:
        yield browser


@pytest.fixture
def show(chromium: Any, tmp_path: Path) -> Iterator[Open]:
    """Open replays from disk; at the end nothing may have gone wrong, nor been asked of any network."""
    complaints: list[str] = []
    pages = []

    def opened(*files: Any, text: str | None = None, ready: bool = True, **options: Any) -> Any:
        path = tmp_path / f"{len(pages)}.html"
        replays = [one if isinstance(one, bytes) else handmade.packed(one) for one in files]
        path.write_text(page(replays) if text is None else text, encoding="utf-8")
        viewport = {"width": options.pop("width", 1000), "height": options.pop("height", 700)}
        tab = chromium.new_page(viewport=viewport, **{"reduced_motion": "reduce", **options})
        pages.append(tab)
        tab.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda asked: complaints.append(asked.url) if asked.url.startswith(("http", "ws")) else None)
        tab.on("dialog", lambda dialog: (complaints.append(f"a script ran: {dialog.message}"), dialog.dismiss()))
        tab.goto(path.as_uri())
        if ready:
            tab.wait_for_selector("#controls", state="visible")
        return tab

    yield opened
    for tab in pages:
        tab.close()
    assert complaints == []


def places(file: handmade.File, episode: int = 0) -> np.ndarray:
    scene, T = file["episodes"][episode]["scene"], file["episodes"][episode]["steps"]
    return scene["unit"] * unpack_moves(scene["places"], (len(scene["radius"]), 2, T + 1), scene["keyframe"])


def on_canvas(tab: Any, place: Any) -> tuple[float, float]:
    """Return where a place of a game with an arena of 1 is, from the top left corner of the canvas."""
    width = tab.evaluate("document.querySelector('canvas').clientWidth")
    return width / 2 + place[0] * width / 2.6, width / 2 - place[1] * width / 2.6


def pixel(tab: Any, point: Any) -> list[int]:
    script = "([x, y]) => [...document.querySelector('canvas').getContext('2d').getImageData(x, y, 1, 1).data]"
    return tab.evaluate(script, [round(value) for value in point])[:3]


def numbers(tab: Any, selector: str) -> list[int]:
    return [int(text.removesuffix(" %")) for text in tab.locator(f"{selector} .number:visible").all_inner_texts()]


def test_the_page_without_replays_is_small() -> None:
    assert len(page([]).encode()) < 60_000


def test_a_page_is_the_same_every_time() -> None:
    assert page([b"one"], "title") == page([b"one"], "title")


def test_titles_and_frames_are_escaped() -> None:
    text = page([], handmade.HOSTILE)
    assert handmade.HOSTILE not in text and html.escape(handmade.HOSTILE) in text
    framed = frame(text, 300)
    assert framed.count("<") == 2 and 'sandbox="allow-scripts"' in framed and "height:300px" in framed


def test_the_first_frame_is_drawn_at_once(show: Open) -> None:
    file = handmade.chase(believes=True)
    drawn = "performance.getEntriesByName('drawn')[0].startTime"
    assert min(show(file).evaluate(drawn) for _ in range(3)) < 500  # ms


def test_agents_are_where_the_file_says(show: Open) -> None:
    file = handmade.chase(adversaries=4, prey=2)
    tab = show(file)
    truth = places(file)
    for time in (0, 7, 16, 17, 25):
        tab.evaluate(f"viewer.seek({time})")
        assert np.allclose(tab.evaluate("viewer.positions(0)"), truth[..., time])
    tab.evaluate("viewer.seek(7.25)")
    between = 0.75 * truth[:6, :, 7] + 0.25 * truth[:6, :, 8]
    assert np.allclose(tab.evaluate("viewer.positions()")[:6], between)


@pytest.mark.parametrize("ratio", [1, 2])
def test_agents_have_the_color_of_their_team(show: Open, ratio: int) -> None:
    file = handmade.chase()
    tab = show(file, device_scale_factor=ratio)
    for agent, color in ((0, HUNTERS), (3, PREY)):
        x, y = on_canvas(tab, places(file)[agent, :, 0])
        radius = file["episodes"][0]["scene"]["radius"][agent] * 2 * on_canvas(tab, (0, 0))[0] / 2.6
        assert pixel(tab, (ratio * (x - 0.62 * radius), ratio * y)) == color  # between the mark and the rim


def test_an_object_that_is_put_elsewhere_does_not_fly(show: Open) -> None:
    file = handmade.chase(obstacles=1)
    moved = places(file)
    moved[4, :, 5:] = -moved[4, :, 5:]
    scene = file["episodes"][0]["scene"]
    scene["places"] = handmade.pack_moves(np.rint(moved / scene["unit"]).astype(int), scene["keyframe"])
    tab = show(file)
    tab.evaluate("viewer.seek(4.5)")
    assert np.allclose(tab.evaluate("viewer.positions()")[4], moved[4, :, 4])


def test_it_plays_pauses_and_starts_again(show: Open) -> None:
    tab = show(handmade.chase(), reduced_motion="no-preference")
    tab.wait_for_timeout(300)
    assert tab.evaluate("viewer.playing") and 0 < tab.evaluate("viewer.time") < 25
    tab.click("#play")
    before = tab.evaluate("viewer.time")
    tab.wait_for_timeout(100)
    assert not tab.evaluate("viewer.playing") and tab.evaluate("viewer.time") == before
    tab.evaluate("viewer.seek(24.9)")
    tab.keyboard.press(" ")
    tab.wait_for_timeout(150)
    assert tab.evaluate("[viewer.playing, viewer.time]") == [False, 25]
    tab.keyboard.press("l")
    tab.keyboard.press(" ")
    assert tab.evaluate("viewer.playing") and tab.evaluate("viewer.time") < 25


def test_who_wants_less_motion_starts_it(show: Open) -> None:
    tab = show(handmade.chase())
    tab.wait_for_timeout(100)
    assert tab.evaluate("[viewer.playing, viewer.time]") == [False, 0]


def test_the_slider_scrubs(show: Open) -> None:
    tab = show(handmade.chase(episodes=3), reduced_motion="no-preference")
    box = tab.locator("#time").bounding_box()
    tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert tab.evaluate("viewer.end") == 77
    assert abs(tab.evaluate("viewer.time") - 38.5) < 1 and not tab.evaluate("viewer.playing")
    assert tab.locator("#ticks i").count() == 2
    assert tab.inner_text("#episode") == "episode 2/3"


def test_keys(show: Open) -> None:
    tab = show(handmade.chase(episodes=3))

    def after(*keys: str) -> float:
        for key in keys:
            tab.keyboard.press(key)
        return tab.evaluate("viewer.time")

    assert after("ArrowRight", ".", "ArrowRight") == 3
    assert after("ArrowLeft", ",") == 1
    assert after("]") == 26 and after("]") == 52 and after("[") == 26
    assert after("End") == 77 and after("Home") == 0
    after("+", "+")
    assert tab.evaluate("viewer.speed") == 4
    after("-")
    assert tab.evaluate("viewer.speed") == 2
    after("4")
    assert tab.evaluate("viewer.selected") == 3
    after("Escape")
    assert tab.evaluate("viewer.selected") is None
    after("?")
    assert tab.locator("dialog").is_visible()
    after("?")
    assert not tab.locator("dialog").is_visible()


def test_a_click_on_an_agent_shows_what_it_does_and_thinks(show: Open) -> None:
    file = handmade.chase(seed=2)
    tab = show(file)
    tab.evaluate("viewer.seek(4)")
    tab.locator("canvas").scroll_into_view_if_needed()
    point = on_canvas(tab, places(file)[1, :, 4])
    tab.locator("canvas").click(position={"x": point[0], "y": point[1]})
    assert tab.evaluate("viewer.selected") == 1
    episode = file["episodes"][0]
    note = episode["notes"][0]
    chances = unpack_deltas(note["probabilities"]["values"], (3, 5, 25))[1, :, 4] / handmade.LEVELS
    assert np.allclose(numbers(tab, ".probabilities"), 100 * chances, atol=0.51)
    chosen = handmade.MOVES[unpack(episode["actions"][0]["chosen"]).reshape(4, 25)[1, 4] - 1]
    assert tab.inner_text(".chosen .name") == chosen == tab.inner_text(".facts dd >> nth=0")
    value = 0.01 * unpack_deltas(note["value"]["values"], (3, 25))[1, 4]
    assert abs(float(tab.inner_text(".facts dd >> nth=2")) - value) < 0.06
    looks = unpack_deltas(note["attention"]["values"], (3, 4, 6, 25))[1, ..., 4] / handmade.LEVELS
    moves = unpack_deltas(note["influence"]["values"], (3, 6, 25))[1, :, 4] / handmade.LEVELS
    shown = np.array(numbers(tab, ".entities .bars:not(.heads)")).reshape(6, 2)
    assert np.allclose(shown[:, 0], 100 * looks.mean(0), atol=0.51) and np.allclose(shown[:, 1], 100 * moves, atol=0.51)
    tab.click("button[aria-label='Heads: 3']")
    shown = np.array(numbers(tab, ".entities .bars:not(.heads)")).reshape(6, 2)
    assert np.allclose(shown[:, 0], 100 * looks[2], atol=0.51)


def test_lines_show_attention_or_influence(show: Open) -> None:
    file = handmade.chase(obstacles=1)
    note = file["episodes"][0]["notes"][0]
    everything = np.zeros((3, 4, 5, 25), int)
    everything[:, :, 4] = handmade.LEVELS
    note["attention"]["values"] = handmade.pack_deltas(everything)
    note["influence"]["values"] = handmade.pack_deltas(everything[:, 0])
    tab = show(file)
    here, there = places(file)[0, :, 0], places(file)[4, :, 0]
    between = on_canvas(tab, (0.6 * here + 0.4 * there))
    colors = [pixel(tab, between)]
    tab.keyboard.press("1")
    colors.append(pixel(tab, between))
    tab.click("button[aria-label='Lines show: influence']")
    colors.append(pixel(tab, between))
    assert colors[1][2] > colors[1][1] + 50 and colors[2][0] > colors[2][1] + 50 and colors[0] not in colors[1:]
    assert "does not see" in tab.inner_text(".thinking")


def test_an_agent_whose_player_says_nothing(show: Open) -> None:
    tab = show(handmade.chase())
    tab.click("button[aria-label='Select agent_0']")
    assert "Its player does not say what it thinks." in tab.inner_text(".thinking")


def test_a_trial_shows_its_episodes_and_what_is_believed(show: Open) -> None:
    file = handmade.chase(episodes=3, believes=True)
    tab = show(file, width=1400)
    rewards = [unpack_deltas(one["rewards"]["values"], (4, 25)) * 0.1 for one in file["episodes"]]
    for chip, reward in zip(tab.locator(".chip").all(), rewards, strict=True):
        returns = [float(text.replace("−", "-")) for text in chip.locator("small").all_inner_texts()]
        assert np.allclose(returns, [reward[:3].sum(), reward[3:].sum()], atol=0.5)
    tab.locator(".chip").nth(2).click()
    assert tab.evaluate("viewer.time") == 52
    assert tab.locator(".chip[aria-current]").inner_text().startswith("3")
    assert "adapted 2 times" in tab.inner_text(".team >> nth=0")
    beliefs = file["episodes"][2]["notes"][0]["beliefs"]["values"]
    truth = unpack_deltas(beliefs, (3, 6, 25))[..., 0] / handmade.LEVELS
    assert np.allclose(numbers(tab, ".rule"), 100 * truth.mean(0), atol=0.51)
    tab.keyboard.press("2")
    assert np.allclose(numbers(tab, ".rule"), 100 * truth[1], atol=0.51)
    assert tab.locator(".bars:has(.true) .name").all_inner_texts() == ["90", "adversary"]
    assert tab.locator(".history path").count() == 2


def test_the_chart_is_the_sum_of_rewards_and_goes_where_it_is_pressed(show: Open) -> None:
    file = handmade.chase(seed=5)
    tab = show(file)
    tab.evaluate("viewer.seek(25)")
    earned = 0.1 * unpack_deltas(file["episodes"][0]["rewards"]["values"], (4, 25))[:3].sum()
    assert float(tab.inner_text(".score >> nth=0")) == pytest.approx(earned)
    tab.locator(".chart svg").click(position={"x": 1, "y": 30})
    assert tab.evaluate("viewer.time") < 1


def test_rules_say_what_is_hidden_and_what_the_default_is(show: Open) -> None:
    text = show(handmade.chase()).inner_text(".card li >> nth=1")
    assert text.split("\n")[0] == "control"
    assert {"90", "hidden", "default 0"} <= set(text.split("\n"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_scene_draws_something_and_fits_a_phone(show: Open, kind: str) -> None:
    tab = show(KINDS[kind](), width=360, height=740)
    tab.evaluate("viewer.seek(3); viewer.select(0)")
    colors = """() => {
      const canvas = document.querySelector("canvas");
      const data = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
      return new Set(data).size;
    }"""
    tab.wait_for_timeout(50)
    assert tab.evaluate(colors) >= 2
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_board_shows_its_pieces(show: Open) -> None:
    tab = show(handmade.connect_four())
    tab.evaluate("viewer.seek(10)")  # across a keyframe
    width, height = tab.evaluate(
        "[document.querySelector('canvas').clientWidth, document.querySelector('canvas').clientHeight]"
    )
    cell = min(width / 7.5, height / 6.5)
    corner = (width - 7 * cell) / 2, (height - 6 * cell) / 2

    def color(row: int, column: int) -> list[int]:
        return pixel(tab, (corner[0] + cell * (column + 0.5 + 0.2), corner[1] + cell * (row + 0.5)))

    assert color(5, 3) == [0, 114, 178] and color(4, 3) == [230, 159, 0] and color(0, 0) == [251, 250, 247]


def test_actions_of_numbers_are_written_out(show: Open) -> None:
    tab = show(handmade.frames())
    tab.click(".agent")
    assert tab.inner_text(".facts dd >> nth=0") == "−1.00, −0.95"


def test_hostile_texts_are_only_text(show: Open) -> None:
    tab = show(handmade.hostile())
    tab.click(".agent >> nth=0")
    tab.click("summary")
    assert tab.locator("img").count() == 0
    for place in ("h1", ".names strong >> nth=0", ".who strong", ".card .name >> nth=3", ".rule h4 >> nth=0", "pre"):
        assert tab.inner_text(place) == handmade.HOSTILE
    assert tab.inner_text(".trouble") == "1: ERROR"


def test_it_plays_in_a_sandbox(show: Open) -> None:
    inner = frame(page([handmade.packed(handmade.chase())]), 500)
    tab = show(text=f"<!DOCTYPE html><body>{inner}", ready=False)
    within = tab.frame_locator("iframe")
    within.locator("#controls").wait_for(state="visible")
    within.locator("#forth").click()
    # A frame of its own process may not have heard yet that motion is to be reduced, and has begun to play.
    within.locator("#clock", has_text=re.compile(r"step [1-9]\d*/25")).wait_for()


def test_several_replays_share_the_playhead(show: Open) -> None:
    before, after = handmade.chase(title="Before", steps=20), handmade.chase(title="After", seed=9, episodes=2)
    tab = show(before, after, width=1400)
    assert tab.locator("h2 >> visible=true").all_inner_texts() == ["Before", "After"]
    boxes = [one.bounding_box() for one in tab.locator("canvas").all()]
    assert boxes[0]["y"] == boxes[1]["y"] and boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    tab.evaluate("viewer.seek(12)")
    for index, file in enumerate((before, after)):
        assert np.allclose(tab.evaluate(f"viewer.positions({index})"), places(file)[..., 12])
    tab.evaluate("viewer.seek(26 + 4)")  # in the second episode of the one that has it
    assert np.allclose(tab.evaluate("viewer.positions(0)"), places(before)[..., 20])
    assert np.allclose(tab.evaluate("viewer.positions(1)"), places(after, 1)[..., 4])
    tab.set_viewport_size({"width": 360, "height": 740})
    boxes = [one.bounding_box() for one in tab.locator("canvas").all()]
    assert boxes[0]["x"] == boxes[1]["x"] and tab.evaluate("document.documentElement.scrollWidth") <= 360


def test_dark_and_light(show: Open) -> None:
    tab = show(handmade.chase(), color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert tab.evaluate(ground) == "rgb(20, 21, 23)" and pixel(tab, (2, 100)) == [27, 28, 31]
    tab.click("#theme")
    assert tab.evaluate(ground) == "rgb(243, 241, 236)" and pixel(tab, (2, 100)) == [233, 230, 223]


def test_what_the_format_lets_be_absent_may_be_absent(show: Open) -> None:
    least = handmade.table()
    for key in ("made", "status", "returns", "digest", "objects"):
        del least[key]
    del least["game"]["card"]
    never_began = handmade.chase(thinks=False)
    played = never_began["episodes"][0]
    nothing = {"steps": 0, "actions": [], "ends": [], "rewards": {"unit": 1, "values": ""}}
    scene = played["scene"] | {"places": handmade.pack_moves(np.zeros((6, 2, 1), int), handmade.KEYFRAME)}
    never_began["episodes"].append(played | nothing | {"scene": scene})
    for file in (least, never_began):
        tab = show(file)
        tab.evaluate("viewer.select(0); viewer.seek(viewer.end)")
        assert tab.locator("canvas").count() == 1 and not tab.locator(".problem:visible").count()


def test_where_there_is_no_browser_the_summary_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROME", "/no/such/browser")
    with pytest.raises(pytest.skip.Exception, match="THE PAGES WERE NOT TESTED"), running():
        pass


def test_a_damaged_replay_is_a_sentence(show: Open) -> None:
    good = handmade.packed(handmade.chase())
    wrong = handmade.chase()
    wrong["episodes"][0]["scene"]["places"] = "AAAA"
    tab = show(good[: len(good) // 2], b"not a replay", wrong, {**handmade.chase(), "version": [3, 0]}, good)
    said = tab.locator(".problem:visible").all_inner_texts()
    assert said[:2] == ["This replay cannot be read: its file is damaged."] * 2
    assert said[2] == "This replay cannot be read: a packed list holds 4 numbers where 312 are needed."
    assert said[3] == "This replay has version 3,0 of the format; this page reads up to 2."
    assert tab.locator("canvas").count() == 1


def test_nothing_but_a_damaged_replay_is_a_sentence_too(show: Open) -> None:
    tab = show(b"", ready=False)
    tab.wait_for_selector(".problem:visible")
    assert "damaged" in tab.inner_text("main")


def test_the_first_version_of_the_format_is_read(show: Open) -> None:
    file = handmade.chase(thinks=False)
    truth = places(file)
    file["version"] = [1, 0]
    episode = file["episodes"][0]
    episode["scene"]["places"] = np.moveaxis(truth, -1, 0).tolist()
    episode["rewards"] = unpack_deltas(episode["rewards"]["values"], (4, 25)).tolist()
    episode["actions"] = (unpack(episode["actions"][0]["chosen"]).reshape(4, 25) - 1).tolist()
    tab = show(file)
    tab.evaluate("viewer.seek(6); viewer.select(0)")
    assert np.allclose(tab.evaluate("viewer.positions()"), truth[..., 6])
    assert tab.inner_text(".facts dd >> nth=0") == handmade.MOVES[episode["actions"][0][6]]


def test_long_replays_scrub_without_lag(show: Open) -> None:
    tab = show(handmade.chase(adversaries=7, prey=3, obstacles=4, steps=500, believes=True), width=1400, height=900)
    tab.keyboard.press("1")
    seeking = """() => {
      const start = performance.now();
      for (let i = 0; i < 200; i++) {
        viewer.seek((i * 137.3) % 500);
        document.body.offsetHeight; // what the browser does for a change counts too
      }
      return (performance.now() - start) / 200;
    }"""
    assert min(tab.evaluate(seeking) for _ in range(3)) < 16  # ms, a frame; a quarter of that on an idle machine


def test_of_many_actions_and_entities_those_are_listed_that_matter(show: Open, tmp_path: Path) -> None:
    path = tmp_path / "board.replay.json.gz"
    play("zoo:connect", rules={}, seed=1).save(path)
    tab = show(path.read_bytes())
    tab.evaluate("viewer.seek(2); viewer.select(0)")
    listed = tab.locator(".probabilities li")
    assert listed.count() == 100
    assert 1 <= tab.locator(".probabilities li:visible").count() <= 17
    assert 1 <= tab.locator(".entities li.bars:visible").count() <= 2 * 16 + 2
