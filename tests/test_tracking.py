from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from marl_meta import tracking
from marl_meta.config import TrackingConfig
from marl_meta.tracking import Tracker, choose_mode, key_is_set, open_tracker, reachable

KEY = "a" * 40
CLOSED = "http://127.0.0.1:9"
VARIABLES = ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR", "WANDB_SILENT")


def said(caplog: Any) -> list[str]:
    """Return what we warned of: W&B's own service of an earlier test may still be saying goodbye."""
    return [record.message for record in caplog.records if record.name.startswith("marl_meta")]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, no_wandb: pytest.MonkeyPatch) -> None:
    no_wandb.delenv("WANDB_MODE")
    for variable in (*VARIABLES, "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(variable, "put back after the test")
        monkeypatch.delenv(variable)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def settings(wandb: Any = "auto") -> TrackingConfig:
    return TrackingConfig(wandb=wandb, project="tests", group=None)


class BrokenRun:
    """A W&B run whose every call fails."""

    id = "broken"

    def log(self, *_: object) -> None:
        raise ConnectionError("the service died\nsome advice")

    def finish(self) -> None:
        raise ConnectionError("the service died")


STORY = """
import sys, logging
from pathlib import Path
from marl_meta.config import TrackingConfig
from marl_meta.tracking import open_tracker
config = TrackingConfig(wandb=sys.argv[1], project="tests", group="group")
resumed = "abc123" if len(sys.argv) > 3 else None
tracker = open_tracker(config, Path(sys.argv[2]), {"policy": {"hidden": 64}}, "first", resumed)
tracker.log({"global/env_steps": 100, "train/return": -26.25})
tracker.log({"global/env_steps": 200, "train/return": float("nan")})
tracker.log_table("eval/heldout/variants", ["variant", "score"], [["a", 0.5], ["b", 1.0]])
team = Path(sys.argv[2]) / "team"
team.mkdir(exist_ok=True)
(team / "team.json").write_text("{}")
tracker.log_folder("team-first", "team", team, ["latest"])
print(tracker.mode, tracker.run_id)
tracker.finish()
"""


def play(tmp_path: Path, *arguments: str, **variables: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run the story in a process of its own, whose home and working directory are empty."""
    for folder in ("home", "here", "run"):
        (tmp_path / folder).mkdir(exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), **variables}
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", STORY, *arguments],
        cwd=tmp_path / "here",
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done, time.monotonic() - started


def test_offline_run_is_in_its_folder_and_nowhere_else(tmp_path: Path) -> None:
    done, _ = play(tmp_path, "auto", str(tmp_path / "run"), "resumed")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "offline abc123\n"
    assert done.stderr == ""
    (file,) = (tmp_path / "run" / "wandb").glob("offline-run-*-abc123/run-abc123.wandb")
    content = file.read_bytes()
    for said in (b"global/env_steps", b"train/return", b"-26.25", b"NaN", b"hidden", b"team-first", b"group", b"first"):
        assert said in content, said
    (table,) = (tmp_path / "run" / "wandb").glob("offline-run-*/files/media/table/eval/heldout/variants*.json")
    assert json.loads(table.read_text())["data"] == [["a", 0.5], ["b", 1.0]]
    assert list((tmp_path / "home").iterdir()) == []
    assert list((tmp_path / "here").iterdir()) == []


def test_host_that_refuses_means_offline_at_once(tmp_path: Path) -> None:
    done, seconds = play(tmp_path, "auto", str(tmp_path / "run"), WANDB_API_KEY=KEY, WANDB_BASE_URL=CLOSED)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("offline ")
    assert done.stderr == ""
    assert seconds < 15


def test_host_that_never_answers_means_offline_after_a_while(tmp_path: Path, silent_server: str) -> None:
    """Start and exit together stay short, though wandb's own process would wait for the host."""
    done, seconds = play(tmp_path, "auto", str(tmp_path / "run"), WANDB_API_KEY=KEY, WANDB_BASE_URL=silent_server)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("offline ")
    (warning,) = done.stderr.splitlines()
    assert warning.startswith("W&B cannot go online and is offline: ")
    assert seconds < tracking.INIT_SECONDS + 15


def test_missing_wandb_means_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    tracker = open_tracker(settings(), tmp_path, {}, "first")
    assert (tracker.mode, tracker.run_id) == ("off", None)
    assert said(caplog) == []
    tracker.log({"global/env_steps": 1})
    tracker.finish()
    assert open_tracker(settings("offline"), tmp_path, {}, "first").mode == "off"
    assert said(caplog) == ["W&B is off: wandb cannot be imported."]


def test_whatever_init_raises_means_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def failing_init(**_: object) -> None:
        raise RuntimeError("no space left\nmore advice")

    monkeypatch.setattr("wandb.init", failing_init)
    tracker = open_tracker(settings(), tmp_path, {}, "first")
    assert tracker.status == "W&B off: no space left"
    assert said(caplog) == ["W&B cannot be started and is off: no space left."]


def test_init_that_hangs_online_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    asked: list[str] = []

    def hanging_init(mode: str, **_: object) -> None:
        asked.append(mode)
        time.sleep(3)

    monkeypatch.setattr("wandb.init", hanging_init)
    monkeypatch.setattr(tracking, "INIT_SECONDS", 0.3)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    started = time.monotonic()
    assert open_tracker(settings("online"), tmp_path, {}, "first").mode == "off"
    assert time.monotonic() - started < 3
    assert asked == ["online", "offline"]
    assert len(said(caplog)) == 2


def test_failing_run_warns_once_and_is_silent_afterwards(caplog: Any) -> None:
    tracker = Tracker(BrokenRun(), "online", "W&B online")  # type: ignore[arg-type]
    tracker.log({"global/env_steps": 1})
    tracker.log({"global/env_steps": 2})
    tracker.finish()
    assert said(caplog) == ["W&B failed and is off from here on: the service died."]
    assert (tracker.mode, tracker.status) == ("off", "W&B off: the service died")


def test_a_table_that_cannot_be_sent_warns(caplog: Any) -> None:
    tracker = Tracker(BrokenRun(), "online", "W&B online")  # type: ignore[arg-type]
    tracker.log_table("eval/heldout/variants", ["variant", "score"], [["a", 0.5]])
    tracker.log_table("eval/heldout/variants", ["variant", "score"], [["a", 0.5]])
    assert said(caplog) == ["W&B failed and is off from here on: the service died."]
    Tracker(None, "off", "W&B off").log_table("nowhere", ["variant"], [["a"]])


def test_failing_finish_warns(caplog: Any) -> None:
    Tracker(BrokenRun(), "online", "W&B online").finish()  # type: ignore[arg-type]
    assert "W&B did not finish: the service died" in caplog.text


@pytest.mark.parametrize(
    ("setting", "variables", "mode"),
    [
        ("off", {}, "off"),
        ("auto", {"WANDB_MODE": "disabled"}, "off"),
        ("auto", {"WANDB_DISABLED": "true"}, "off"),
        ("auto", {"WANDB_MODE": "offline"}, "offline"),
        ("auto", {"WANDB_MODE": "dryrun", "WANDB_API_KEY": KEY}, "offline"),
        ("auto", {"WANDB_MODE": "nonsense"}, "offline"),
        ("auto", {}, "offline"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": CLOSED}, "offline"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": "SERVER"}, "online"),
        ("auto", {"WANDB_MODE": "online", "WANDB_API_KEY": KEY, "WANDB_BASE_URL": CLOSED}, "online"),
        ("online", {}, "offline"),
        ("online", {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": CLOSED}, "online"),
        ("offline", {"WANDB_API_KEY": KEY, "WANDB_MODE": "disabled"}, "offline"),
    ],
)
def test_where_to_track(
    setting: str, variables: dict[str, str], mode: str, silent_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("SERVER", silent_server))
    assert choose_mode(setting)[0] == mode


def test_key_is_found_in_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(path))
    assert not key_is_set("https://api.wandb.ai")
    path.write_text("what is this")
    assert not key_is_set("https://api.wandb.ai")
    path.write_text(f"machine api.wandb.ai login user password {KEY}\n")
    assert key_is_set("https://api.wandb.ai")
    assert not key_is_set("https://wandb.example.org")


def test_reachable_asks_the_proxy_where_there_is_one(silent_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    assert reachable(silent_server, 2)
    assert not reachable(CLOSED, 2)
    monkeypatch.setenv("http_proxy", silent_server)
    assert reachable("http://wandb.invalid", 2)
    monkeypatch.setenv("no_proxy", "wandb.invalid")
    assert not reachable("http://wandb.invalid", 2)


def test_wandb_is_imported_only_when_a_run_starts() -> None:
    code = "import sys, marl_meta.tracking; assert 'wandb' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
