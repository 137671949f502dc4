"""The gallery of a run: curves and games on pages that need no network, whatever they are called."""

from __future__ import annotations

import html
import itertools
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from marl_meta.config import load_config
from marl_meta.replay import Replay, load_replay
from marl_meta.train import train
from marl_meta.train.folder import start_folder
from marl_meta.train.gallery import is_run, write_gallery
from marl_meta.types import UserError
from tests.browser import running

HOSTILE = "</script><img src=x onerror=alert(1)>&amp;"
SMALL = (
    "game=tag",
    "game.num_games=4",
    "policy.hidden=8",
    "policy.heads=2",
    "train.steps=600",
    "train.threads=1",
    "tracking=off",
    "algorithm.epochs=1",
    "train.evaluate_every=2",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("marl_meta.train.evaluating.GAMES", 16)
        folder = tmp_path_factory.mktemp("runs")
        return train([*SMALL, f"runs_dir={folder}", "name=first"], quiet=True).folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of that run in a folder with a name that means something in HTML."""
    return Path(shutil.copytree(trained, tmp_path / "a & <b>"))


def links(page: str) -> list[str]:
    return [unquote(html.unescape(name)) for name in re.findall(r'<a href="([^"]*)"', page)]


def test_every_game_is_there_and_the_newest_first(run: Path) -> None:
    index = write_gallery(run)
    assert index == run / "gallery" / "index.html"
    page = index.read_text(encoding="utf-8")
    moments = ("0000000600-1", "0000000400-1", "0000000200-1")
    assert links(page) == [f"{moment}.html" for moment in moments]
    assert f'src="{moments[0]}.html"' in page
    for moment in moments:
        replay = load_replay(run / "replays" / f"{moment}.replay.json.gz")
        assert (run / "gallery" / f"{moment}.html").read_text(encoding="utf-8") == replay.page()
        assert html.escape(replay.title) in page
        for team, earned in zip(replay.record.teams, replay.record.returns[0], strict=True):
            assert f"{team.name} {earned:.1f}" in page
    assert "600 of 600 env-steps" in page


def test_curves_end_where_the_metrics_do(run: Path) -> None:
    figures = re.findall(r"<svg.*?</svg>", write_gallery(run).read_text(encoding="utf-8"), re.DOTALL)
    assert len(figures) == 2
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    names = ("return/{}", "evaluate/rules/return/{}")
    for figure, name in zip(figures, names, strict=True):
        rows = [row for row in metrics if row.get(name.format("adversary")) is not None]
        assert len(rows) == (6 if name.startswith("return") else 3)
        lines = [line for line in re.findall(r'points="([^"]*)"', figure) if len(line.split()) == len(rows)]
        assert len(lines) == 2  # one for each team
        places = {}
        for team, line in zip(("adversary", "prey"), lines, strict=True):
            points = [tuple(map(float, point.split(","))) for point in line.split()]
            places |= {(team, row["env_steps"]): point for row, point in zip(rows, points, strict=True)}
        earned = {key: next(r for r in rows if r["env_steps"] == key[1])[name.format(key[0])] for key in places}
        order = sorted(earned, key=lambda key: earned[key])
        heights = [places[key][1] for key in order]
        assert all(low >= high - 0.11 for low, high in itertools.pairwise(heights))  # up is more
        across = [places["prey", row["env_steps"]][0] for row in rows]
        steps = [row["env_steps"] for row in rows]
        slope = (across[-1] - across[0]) / (steps[-1] - steps[0])
        for x, step in zip(across, steps, strict=True):
            assert abs(x - across[0] - slope * (step - steps[0])) < 0.2


def test_pages_ask_no_network(run: Path) -> None:
    write_gallery(run)
    for page in (run / "gallery").iterdir():
        text = page.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
        assert not re.search(r"(https?|wss?)://", text), page.name
        assert not re.search(r'(src|href)="//', text), page.name


def test_whatever_things_are_called_is_only_text(run: Path) -> None:
    record = load_replay(run / "replays" / "0000000600-1.replay.json.gz").record
    teams = [team.model_copy(update={"name": HOSTILE, "player": HOSTILE}) for team in record.teams]
    game = record.game.model_copy(update={"variant_id": HOSTILE, "name": HOSTILE})
    hostile = Replay(record.model_copy(update={"title": HOSTILE, "teams": teams, "game": game}))
    hostile.save(run / "replays" / "9 & a#b?c%20")
    index = write_gallery(run)
    page = index.read_text(encoding="utf-8")
    assert HOSTILE not in page and page.count(html.escape(HOSTILE)) == 4
    assert "<title>a &amp; &lt;b&gt;</title>" in page and "<b>" not in page
    assert links(page)[0] == "9 & a#b?c%20.html"
    assert all((run / "gallery" / name).is_file() for name in links(page))
    assert HOSTILE not in (run / "gallery" / "9 & a#b?c%20.html").read_text(encoding="utf-8")


def test_a_run_without_games_says_how_to_record_some(run: Path) -> None:
    shutil.rmtree(run / "replays")
    page = write_gallery(run).read_text(encoding="utf-8")
    assert "None were recorded: train.replays=1" in page
    assert "<iframe" not in page and page.count("<svg") == 2


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    folder = start_folder(load_config([*SMALL, f"runs_dir={tmp_path}", "name=begun"]))
    assert not is_run(folder.path)
    page = write_gallery(folder.path).read_text(encoding="utf-8")
    assert "0 of 600 env-steps" in page and "<svg" not in page
    folder.metrics.write_text("")
    assert is_run(folder.path)
    assert write_gallery(folder.path).read_text(encoding="utf-8") == page
    folder.metrics.write_text('{"iteration": 1, "env_steps": 100, "return/prey": null}\n{"iterat')
    assert "100 of 600 env-steps" in write_gallery(folder.path).read_text(encoding="utf-8")


def test_it_is_written_again_as_the_run_goes_on(run: Path) -> None:
    first = write_gallery(run).read_bytes()
    assert write_gallery(run).read_bytes() == first
    (run / "replays" / "0000000600-1.replay.json.gz").unlink()
    assert links(write_gallery(run).read_text(encoding="utf-8")) == ["0000000400-1.html", "0000000200-1.html"]


def test_what_is_no_run_or_damaged_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no run folder"):
        write_gallery(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is not a run folder"):
        write_gallery(tmp_path)
    (run / "replays" / "torn.replay.json.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(UserError, match=r"torn\.replay\.json\.gz"):
        write_gallery(run)
    (run / "replays" / "torn.replay.json.gz").unlink()
    (run / "metrics.jsonl").write_text("what is this\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl is damaged"):
        write_gallery(run)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with running() as browser:
        yield browser


@pytest.mark.parametrize("width", [360, 1300])
def test_in_a_browser_games_are_watched_beside_their_list(chromium: Any, run: Path, width: int) -> None:
    record = load_replay(run / "replays" / "0000000400-1.replay.json.gz").record
    Replay(record.model_copy(update={"title": HOSTILE})).save(run / "replays" / "9 a#b")
    complaints: list[str] = []
    tab = chromium.new_page(viewport={"width": width, "height": 800}, reduced_motion="reduce")
    tab.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda asked: complaints.append(asked.url) if asked.url.startswith(("http", "ws")) else None)
    tab.on("requestfailed", lambda asked: complaints.append(asked.url))
    tab.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    tab.goto(write_gallery(run).as_uri())
    watched = tab.frame_locator("iframe")
    watched.locator("#controls").wait_for(state="visible")
    assert watched.locator("h1").inner_text() == HOSTILE
    tab.locator(".list a").nth(1).click()
    watched.locator("h1", has_text="first after 600 env-steps").wait_for()
    watched.locator("#forth").click()
    assert "step 1/25" in watched.locator("#clock").inner_text()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.title() == "a & <b>"
    tab.close()
    assert complaints == []
