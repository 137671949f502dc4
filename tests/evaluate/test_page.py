"""The report on adaptation: a page that needs nothing else, figures, tables, and the numbers for W&B."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from marl_meta.config import TrackingConfig
from marl_meta.evaluate import Evaluation, evaluate
from marl_meta.evaluate.figure import Area, Dot, Figure, Line, Text, mixed, picture, svg
from marl_meta.evaluate.page import episodes_text, page
from marl_meta.evaluate.report import write_report
from marl_meta.evaluate.tracked import team_metrics, track
from marl_meta.team import load_team

GUESS = Path(__file__).parents[1] / "guess"

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Checks that every element is closed, and keeps what a page refers to and says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.references: list[str] = []
        self.said: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.references += [value for name, value in attrs if name in ("src", "href", "data", "action", "xlink:href")]

    def handle_startendtag(self, tag, attrs) -> None:
        self.seen.append(tag)
        self.references += [value for name, value in attrs if name in ("src", "href", "data", "xlink:href")]

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.said.append(data)


@pytest.fixture(scope="module")
def evaluation(wise: Path) -> Evaluation:
    return evaluate(wise, game=GUESS, split=["held_out", "pointless"], episodes=3, games_per_variant=4)


def test_the_page_needs_nothing_but_itself(evaluation: Evaluation) -> None:
    text = page(evaluation)
    found = Page(text)
    assert found.references == []
    assert {"script", "link", "img", "iframe"} & set(found.seen) == set()
    addresses = set(re.findall(r"https?://[^\s\"'<]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # the name of a language, which nobody fetches
    assert "@import" not in text
    assert "url(" not in text
    assert '<meta name="viewport" content="width=device-width' in text


def test_the_page_says_what_was_found(evaluation: Evaluation) -> None:
    said = " ".join(Page(page(evaluation)).said)
    for wanted in ("wise", "wise (reset)", "wise (told)", "random", "S_1", "S_3", "episodes to 0.9", ">3", "shift"):
        assert wanted in said
    assert "6 of 6 variants" in said  # left out where nothing can be won
    assert f"{load_team(evaluation.teams['wise']).trained_on['env_steps']:,}" in said


def test_names_cannot_break_the_page(wise: Path) -> None:
    from dataclasses import replace

    team = replace(load_team(wise), name="<script>alert(1)</script>&")
    found = evaluate(team, game=GUESS, split="held_out", episodes=2, games_per_variant=2)
    assert "script" not in Page(page(found)).seen


def test_all_files_of_a_report(evaluation: Evaluation, tmp_path: Path) -> None:
    written = {path.name for path in write_report(evaluation, tmp_path)}
    assert written == {path.name for path in tmp_path.iterdir()}
    assert {"report.html", "adaptation.csv", "adaptation-held_out.png", "adaptation-held_out.svg"} <= written
    assert json.loads((tmp_path / "evaluation.json").read_text()) == evaluation.record()
    rows = list(csv.DictReader((tmp_path / "adaptation.csv").read_text().splitlines()))
    assert len(rows) == 4 * 6 * 3  # learners and controls, variants that count, episodes
    learner = evaluation.splits[0].adaptation.learner("wise")
    own = [float(row["score"]) for row in rows if row["learner"] == "wise" and row["episode"] == "2"]
    np.testing.assert_allclose(own, learner.scores[0, :, 1], rtol=1e-5)
    for name in written:
        if name.endswith(".svg"):
            ET.fromstring((tmp_path / name).read_text())  # noqa: S314 (our own)
        if name.startswith("adaptation") and name.endswith(".png"):
            with Image.open(tmp_path / name) as image:
                assert image.width == 690


def test_beliefs_have_a_diagram(make_learner, tmp_path: Path) -> None:
    found = evaluate(make_learner("harvest", believes=True), split="ood", episodes=1, games_per_variant=2)
    written = {path.name for path in write_report(found, tmp_path)}
    assert {"reliability-ood-learner.png", "reliability-ood-learner.svg"} <= written
    said = " ".join(Page((tmp_path / "report.html").read_text()).said)
    assert "Expected calibration error of beliefs" in said
    assert "agents_needed" in said


def test_a_figure_is_the_same_as_text_and_as_picture() -> None:
    red, blue = (200, 0, 0), (0, 0, 200)
    marks = [
        Area([(10, 10), (60, 10), (60, 60), (10, 60)], red, 0.5),
        Line([(0, 80), (100, 80)], blue, 4.0),
        Dot((80, 30), 8, red),
        Text((50, 95), "a < b", 10.0),
    ]
    figure = Figure(100, 100, "title & more", marks)
    image = np.asarray(picture(figure))
    assert image.shape == (150, 150, 3)
    assert tuple(image[50, 50]) == pytest.approx(mixed(red, 0.5), abs=2)
    assert tuple(image[120, 75]) == blue
    assert tuple(image[45, 120]) == red
    tree = ET.fromstring(svg(figure))  # noqa: S314 (our own)
    assert tree.attrib["viewBox"] == "0 0 100 100"
    names = [element.tag.split("}")[1] for element in tree]
    assert names == ["title", "rect", "polygon", "polyline", "circle", "text"]
    assert tree[0].text == "title & more"
    assert tree[5].text == "a < b"


def test_how_many_episodes_it_takes() -> None:
    assert episodes_text(2.0, 5) == "2"
    assert episodes_text(float("inf"), 5) == ">5"


def test_numbers_for_wandb(evaluation: Evaluation) -> None:
    found = dict(team_metrics(evaluation, "wise"))
    record = evaluation.record()["teams"][0]
    assert found["adapt/return_ep2"] == found["eval/heldout/return_ep2"] == record["return_sum"][1]
    assert found["adapt/auc"] == record["auc"]["value"]
    assert found["eval/heldout/score_ep3"] == record["S_iqm"][2]
    assert "eval/pointless/return_ep1" in found
    assert "eval/pointless/auc" not in found
    assert found["global/env_steps"] == record["trained"]["env_steps"]


class Listener:
    """A tracker that keeps what it is told."""

    status = "listening"

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.tables: dict[str, int] = {}
        self.finished = False

    def log(self, metrics) -> None:
        self.metrics |= metrics

    def log_table(self, name, columns, rows) -> None:
        assert all(len(row) == len(columns) for row in rows)
        self.tables[name] = len(rows)

    def finish(self) -> None:
        self.finished = True


def test_every_team_has_a_run(evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, str, Listener]] = []

    def listen(config, folder, values, name, job_type) -> Listener:
        assert (config.project, folder, values["game"]) == ("tests", tmp_path, "guess")
        opened.append((name, job_type, Listener()))
        return opened[-1][2]

    monkeypatch.setattr("marl_meta.evaluate.tracked.open_tracker", listen)
    config = TrackingConfig(wandb="offline", project="tests", group=None)
    assert track(evaluation, config, tmp_path) == ["wise: listening"]
    ((name, job_type, heard),) = opened
    assert (name, job_type, heard.finished) == ("wise", "evaluate", True)
    assert heard.metrics == dict(team_metrics(evaluation, "wise"))
    assert heard.tables == {"eval/heldout/variants": 6 * 3}  # nothing can be scored on the other split


def test_without_wandb_there_is_a_line_and_no_crash(evaluation: Evaluation, tmp_path: Path) -> None:
    off = track(evaluation, TrackingConfig(wandb="off", project="tests", group=None), tmp_path)
    assert off == ["wise: W&B off: tracking is off"]
