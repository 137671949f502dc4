from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from marl_meta.evaluate import evaluate
from marl_meta.evaluate.chart import WIDTH, Bar, Group, Panel, draw_chart, player_color, ticks
from marl_meta.evaluate.film import film
from marl_meta.evaluate.report import write_report
from marl_meta.games import load_family
from marl_meta.games.palette import BLUE


def test_a_report_holds_every_number(make_team, tmp_path: Path) -> None:
    found = evaluate(make_team("tag"), games_per_variant=2, episodes=2)
    (split,) = found.splits
    written = write_report(found, tmp_path)
    assert [path.name for path in written] == ["evaluation.json", "evaluation.csv", "returns.png"]
    assert json.loads(written[0].read_text()) == found.record()
    rows = list(csv.DictReader(written[1].read_text().splitlines()))
    assert len(rows) == 16 * 2 * 64 * 2  # match-ups, sides, variants, episodes
    chosen = next(
        row
        for row in rows
        if (row["side"], row["player"], row["against"], row["episode"]) == ("prey", "flee", "first", "2")
        and row["variant_id"] == split.variant_ids[7]
    )
    returns = split.result({"adversary": "first", "prey": "flee"}).earned["prey"].per_agent[7, :, 1].astype(float)
    assert float(chosen["return"]) == pytest.approx(returns.mean(), rel=1e-5)
    assert float(chosen["deviation"]) == pytest.approx(returns.std(ddof=1), rel=1e-5, abs=1e-9)
    with Image.open(written[2]) as picture:
        assert picture.width == WIDTH
        assert picture.height > 500


def test_bars_start_at_random_play_and_end_at_the_mean() -> None:
    bars = [Bar("a", BLUE, [10.0], [9.0], [11.0]), Bar("random", player_color("random", 0), [0.0], [-1.0], [1.0])]
    picture = np.asarray(draw_chart("title", "", [Panel("panel", [Group("held_out", [0.0], bars)])]))
    columns = np.flatnonzero((picture == BLUE).all(-1).any(0))
    empty = np.asarray(draw_chart("title", "", [Panel("panel", [Group("held_out", [0.0], bars[1:])])]))
    assert not (empty == BLUE).all(-1).any()
    assert columns.size > 0.7 * (WIDTH - 150)  # of the axis from -1.5 to 11.5


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0.0, 9.0, list(range(10))), (-27.0, -8.0, [-25, -20, -15, -10]), (0.1, 0.2, 6)],
)
def test_ticks_are_round(low: float, high: float, wanted: list[float] | int) -> None:
    found = ticks(low, high)
    if isinstance(wanted, int):
        assert len(found) == wanted
    else:
        np.testing.assert_allclose(found, wanted)


def test_a_film_shows_all_players_and_all_steps(make_team, tmp_path: Path) -> None:
    family = load_family("tag")
    variants = [family.variant({"episode_length": 3}), family.variant({"episode_length": 2, "walls": True})]
    film(family, variants, {"random": "random", "ours": make_team("tag")}, 0, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == 4 + 3
        assert picture.width > 2 * 300
        picture.seek(3)
        assert picture.info["duration"] > 1000  # the end of an episode can be looked at
