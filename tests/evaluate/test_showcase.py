"""Games of an evaluation that are recorded to be watched."""

from __future__ import annotations

from pathlib import Path

import pytest

from marl_meta.config import TrackingConfig
from marl_meta.evaluate import evaluate
from marl_meta.evaluate.report import write_report
from marl_meta.evaluate.run import chosen_grounds, load_teams
from marl_meta.evaluate.showcase import ShownTrial, showcase, write_showcase
from marl_meta.evaluate.tracked import track
from marl_meta.replay import load_replay
from marl_meta.tracking import Page, Tracker


def shown_of(team: object, count: int, **options: object) -> tuple[object, list[ShownTrial]]:
    found = evaluate(team, games_per_variant=2, **options)  # type: ignore[arg-type]
    loaded = load_teams(team)  # type: ignore[arg-type]
    split = options.get("split")
    grounds = chosen_grounds(list(loaded.values()), None, split, None)  # type: ignore[arg-type]
    return found, showcase(found, grounds, loaded, count)


def test_worst_to_best_variants_are_shown() -> None:
    found, shown = shown_of("zoo:payoffs-belief", 3, split="payoffs_held_out", episodes=2)
    (split,) = found.splits  # type: ignore[attr-defined]
    earned = split.against("gatherer", None)["payoffs-belief"].earned["gatherer"].total[:, :, -1].mean(1)
    by_variant = dict(zip(split.variant_ids, earned.tolist(), strict=True))
    ordered = sorted(by_variant.values())
    assert [by_variant[one.variant_id] for one in shown][::2] == [ordered[0], ordered[-1]]
    assert len({one.variant_id for one in shown}) == 3
    for one in shown:
        record = one.replay.record
        assert record.game.variant_id == one.variant_id
        assert (len(record.episodes), one.returns) == (2, [row[0] for row in record.returns])
        assert record.episodes[0].notes and one.replay.verify().same


def test_more_than_there_are_shows_each_once() -> None:
    _, shown = shown_of("zoo:payoffs-belief", 50, split="payoffs_held_out", episodes=1)
    assert len(shown) == len({one.variant_id for one in shown}) == 6


def test_of_two_sides_a_scripted_player_has_the_other() -> None:
    _, shown = shown_of("zoo:tag-belief", 1, split="hidden_held_out", episodes=1)
    assert [team.player for team in shown[0].replay.record.teams] == ["tag-belief", "flee"]
    assert shown[0].returns == [shown[0].replay.record.returns[0][0]]


def test_a_report_links_the_pages_of_its_games(tmp_path: Path) -> None:
    found, shown = shown_of("zoo:payoffs-belief", 2, split="payoffs_held_out", episodes=2)
    written = write_report(found, tmp_path, shown)  # type: ignore[arg-type]
    page = (tmp_path / "report.html").read_text()
    for one in shown:
        assert f'href="{one.page}"' in page
        assert tmp_path / one.page in written
        assert load_replay(tmp_path / "replays" / f"{one.stem}.replay.json.gz").record == one.replay.record
        assert (tmp_path / one.page).read_text() == one.replay.page()


def test_nothing_to_show_leaves_no_folder(tmp_path: Path) -> None:
    assert write_showcase([], tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_the_table_of_games_has_their_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables: dict[str, tuple[tuple[str, ...], list[list[object]]]] = {}

    def keep(self: Tracker, name: str, columns: tuple[str, ...], rows: list[list[object]]) -> None:  # noqa: ARG001
        tables[name] = (columns, rows)

    monkeypatch.setattr(Tracker, "log_table", keep)
    found, shown = shown_of("zoo:payoffs-belief", 2, split="payoffs_held_out", episodes=2)
    track(found, TrackingConfig(wandb="off", project="p", group=None), tmp_path, shown)  # type: ignore[arg-type]
    columns, rows = tables["adapt/games"]
    assert columns == ("split", "variant_id", "return_ep1", "return_ep2", "game")
    assert [row[1] for row in rows] == [one.variant_id for one in shown]
    assert [row[2:4] for row in rows] == [one.returns for one in shown]
    assert all(isinstance(row[-1], Page) and row[-1].startswith("<!DOCTYPE html>") for row in rows)
