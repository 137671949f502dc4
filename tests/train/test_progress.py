"""What people and W&B are told while a run goes on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from marl_meta.tracking import STEP_METRIC, Tracker
from marl_meta.train import resume, train
from marl_meta.train.progress import ProgressDisplay, short

Overrides = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (950, "950"), (12_345, "12.3k"), (4_560_000, "4.56M"), (2e9, "2G")]
)
def test_short_numbers(number: float, text: str) -> None:
    assert short(number) == text


def test_a_note_is_one_line_as_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    note = "Go on with: marl-meta train --resume '/a/long path/with [brackets] and/more of the same'"
    with ProgressDisplay("run", 100) as display:
        display.note(note)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == note + "\n"


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marl_meta.train.progress.LINE_SECONDS", 0.0)
    with ProgressDisplay("run", 2000, done=1000) as display:
        display.update(1500, {"return/reds": 2.0, "return/blues": None, "reds/kl": 0.1})
        display.update(2000, {"return/reds": 3.0, "return/blues": -1.0})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("1.5k/2k env-steps")
    assert "return reds 2.00" in lines[0]
    assert "reds 2.10  blues -1.00" in lines[1]  # smoothed
    assert lines[1].endswith("0 s left")


class Spy(Tracker):
    def __init__(self) -> None:
        super().__init__(None, "off", "W&B off: a spy")
        self.run_id = "abc"
        self.logged: list[Mapping[str, float]] = []
        self.folders: dict[str, dict[str, Any]] = {}
        self.pages: list[str] = []
        self.finished = False

    @property
    def active(self) -> bool:
        return True

    def log_pages(self, pages: Mapping[str, str], counters: Mapping[str, float]) -> None:
        assert set(counters) == {STEP_METRIC}
        self.pages += pages

    def log_film(self, name: str, film: bytes, counters: Mapping[str, float]) -> None:
        assert film.startswith(b"GIF") and set(counters) == {STEP_METRIC}
        self.pages.append(name)

    def log(self, metrics: Mapping[str, float]) -> None:
        self.logged.append(metrics)

    def log_folder(
        self, name: str, kind: str, folder: Path, aliases: Sequence[str] = (), metadata: Mapping[str, Any] | None = None
    ) -> None:
        assert folder.is_dir()
        assert aliases[0] == "latest" and metadata
        self.folders[name] = {"kind": kind, "files": sorted(path.name for path in folder.iterdir()), **metadata}

    def finish(self) -> None:
        self.finished = True


def test_the_tracker_gets_every_iteration_and_the_team(overrides: Overrides, monkeypatch: pytest.MonkeyPatch) -> None:
    spies: list[tuple[Spy, str | None]] = []

    def open_spy(*_: object, resume_id: str | None = None) -> Spy:
        spies.append((Spy(), resume_id))
        return spies[-1][0]

    monkeypatch.setattr("marl_meta.train.run.open_tracker", open_spy)
    folder = train(overrides(), quiet=True).folder
    resume(folder, ["train.steps=288"], quiet=True, trust=True)
    (first, fresh), (second, again) = spies
    assert (fresh, again) == (None, "abc")  # the resumed run goes on in the same charts
    assert [line[STEP_METRIC] for line in first.logged] == [24.0 * (i + 1) for i in range(10)]
    assert [line[STEP_METRIC] for line in second.logged] == [264.0, 288.0]
    assert all(isinstance(value, float) for line in first.logged for value in line.values())
    assert {"train/return/players", "train/players/kl", "time/env_steps_per_second"} <= first.logged[-1].keys()
    assert {name: one["kind"] for name, one in first.folders.items()} == {
        "variants-recall-rules": "variants", "team-run": "team", "replays-run": "replays",
    }  # fmt: skip
    assert first.folders["team-run"]["variants"] == "variants-recall-rules"
    assert first.folders["team-run"]["files"] == ["team.json", "weights.safetensors"]
    assert first.folders["replays-run"]["team"] == "team-run"
    assert first.pages == ["replay/html", "replay/film"]
    assert folder.is_dir()
    assert first.finished
    assert second.finished


def test_signal_handlers_are_put_back(overrides: Overrides) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    train(overrides(train__steps=24), quiet=True)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_trains_in_a_thread_that_may_not_handle_signals_and_leaves_none_behind(overrides: Overrides) -> None:
    threads, results = threading.active_count(), []
    thread = threading.Thread(target=lambda: results.append(train(overrides(train__steps=24), quiet=True)))
    thread.start()
    thread.join()
    assert results[0].finished
    assert threading.active_count() == threads
