"""What an offline run leaves for W&B, read back from the file that `wandb sync` would send."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from marl_meta.games import load_family
from marl_meta.replay import load_replay
from marl_meta.tracking import Page, Tracker
from marl_meta.train.showing import Shown
from marl_meta.train.tracked import VIDEO_SIZE, track_files, track_games

HEADER, BLOCK, START = 7, 2**15, struct.Struct("<IHB")
LAST_PARTS = (1, 4)
"""Of LevelDB's log format, which W&B writes: whole records, and the last parts of others."""

STORY = """
import sys
from pathlib import Path
from marl_meta.config import TrackingConfig
from marl_meta.tracking import Page, open_tracker
from marl_meta.train import evaluating, train
evaluating.GAMES = 64
small = ["game.num_games=4", "policy.hidden=8", "policy.heads=2", "train.horizon=25", "train.steps=400"]
small += ["train.threads=1", "algorithm.epochs=1", "game=spread", "game.split=train"]
folder = train(
    [*small, "tracking=offline", "train.evaluate_every=2", "train.replays=2", f"runs_dir={sys.argv[1]}", "name=tiny"],
    quiet=True,
).folder
(folder.parent / "tables").mkdir()
config = TrackingConfig(wandb="offline", project="tests", group=None)
tracker = open_tracker(config, folder.parent / "tables", {}, "tables")
page = "<!DOCTYPE html><title>A page</title><p>A game"
tracker.log_table("worst", ["variant", "score", "game"], [["a", 0.5, Page(page)], ["b", 1.0, Page(page + "!")]])
tracker.finish()
"""


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a tiny run in a process of its own, whose home, caches and working directory are empty folders."""
    folder = tmp_path_factory.mktemp("tracked")
    for name in ("home", "here", "cache", "config", "data", "scratch", "runs"):
        (folder / name).mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_DATA_HOME": str(folder / "data"),
        "TMPDIR": str(folder / "scratch"),
    }
    done = subprocess.run(
        [sys.executable, "-c", STORY, str(folder / "runs")],
        cwd=folder / "here",
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder


def records(run: Path) -> Iterator[Any]:
    """Yield what the log of a folder's only offline run holds."""
    from wandb.proto import wandb_internal_pb2

    (file,) = run.glob("wandb/offline-run-*/run-*.wandb")
    data, at, whole = file.read_bytes(), HEADER, b""
    assert data.startswith(b":W&B")
    while at + START.size <= len(data):
        room = BLOCK - at % BLOCK
        if room < START.size:
            at += room
            continue
        _, length, kind = START.unpack_from(data, at)
        whole += data[at + START.size : at + START.size + length]
        at += START.size + length
        if kind in LAST_PARTS:
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def rows(run: Path) -> list[dict[str, Any]]:
    """Return what was logged, row by row; parts of a key are joined by dots."""
    return [
        {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in records(run)
        if record.WhichOneof("record_type") == "history"
    ]


def files_of(run: Path) -> Path:
    (folder,) = run.glob("wandb/offline-run-*/files")
    return folder


def test_curves_are_drawn_over_the_counter_of_steps(left: Path) -> None:
    run = left / "runs" / "tiny"
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    sent = [row for row in rows(run) if "global/iteration" in row]
    assert [row["global/env_steps"] for row in sent] == [line["env_steps"] for line in metrics] == [100, 200, 300, 400]
    for row, line in zip(sent, metrics, strict=True):
        assert row.get("train/return/agent") == line["return/agent"]
        assert row.get("eval/heldout/return/agent") == line.get("evaluate/held_out/return/agent")
    assert [("eval/heldout/return/agent" in row) for row in sent] == [False, True, False, True]
    assert all("global/env_steps" in row for row in rows(run))
    told = {one.metric.name or one.metric.glob_name: one.metric.step_metric for one in records(run) if one.metric.name
            or one.metric.glob_name}  # fmt: skip
    assert told["*"] == "global/env_steps"


def test_games_are_pages_and_a_film(left: Path) -> None:
    run = left / "runs" / "tiny"
    pages = [row for row in rows(run) if "replay/html._type" in row]
    films = [row for row in rows(run) if "replay/film._type" in row]
    assert [row["global/env_steps"] for row in pages] == [row["global/env_steps"] for row in films] == [200, 400]
    for row in pages:
        for key, number in (("replay/html", 1), ("replay/2", 2)):
            assert row[f"{key}._type"] == "html-file"
            text = (files_of(run) / row[f"{key}.path"]).read_text(encoding="utf-8")
            replay = load_replay(run / "replays" / f"{row['global/env_steps']:010d}-{number}.replay.json.gz")
            assert text == replay.page()  # and nothing that W&B would have it fetch
    for row in films:
        assert row["replay/film._type"] == "video-file" and row["replay/film.path"].endswith(".gif")
        with Image.open(files_of(run) / row["replay/film.path"]) as film:
            assert film.format == "GIF" and film.n_frames > 5
            assert VIDEO_SIZE <= max(film.size) <= 1.4 * VIDEO_SIZE
    assert not list(run.glob("**/.replay-film*"))


def test_artifacts_name_each_other(left: Path) -> None:
    run = left / "runs" / "tiny"
    found = {one.artifact.name: one.artifact for one in records(run) if one.WhichOneof("record_type") == "artifact"}
    assert {name: one.type for name, one in found.items()} == {
        "team-tiny": "team",
        "variants-spread-train": "variants",
        "replays-tiny": "replays",
    }
    aliases = {name: set(one.aliases) for name, one in found.items()}
    assert aliases["team-tiny"] == {"latest", "steps-400"}
    assert aliases["replays-tiny"] == aliases["variants-spread-train"] == {"latest"}
    metadata = {name: json.loads(one.metadata) for name, one in found.items()}
    made = {"env_steps": 400, "seed": 0, "finished": True, "run": "tiny", "variants": "variants-spread-train"}
    assert metadata["team-tiny"] == made
    assert metadata["replays-tiny"] == {**made, "team": "team-tiny"}
    kept = {
        name: {part.path: Path(part.local_path).read_bytes() for part in one.manifest.contents}
        for name, one in found.items()
    }
    for name, folder in (("team-tiny", "team"), ("replays-tiny", "replays")):
        assert kept[name] == {path.name: path.read_bytes() for path in (run / folder).iterdir()}
    for split, name in (("train", "train.json"), ("held_out", "evaluate.json")):
        listed = json.loads(kept["variants-spread-train"][name])["variants"]
        wanted = [one.variant_id for one in load_family("spread").split(split)]
        assert sorted(one["variant_id"] for one in listed) == sorted(wanted)


def test_all_that_is_written_lies_in_the_run_folder(left: Path) -> None:
    for name in ("home", "here", "cache", "config", "data"):
        assert [path for path in (left / name).rglob("*") if path.is_file()] == [], name
    assert not [path for path in (left / "scratch").rglob("*") if "wandb" in path.name.lower() and path.is_file()]
    run = left / "runs" / "tiny"
    for one in records(run):
        if one.WhichOneof("record_type") == "artifact":
            assert all(Path(part.local_path).is_relative_to(run / "wandb") for part in one.artifact.manifest.contents)


def test_pages_in_tables_come_back_as_pages(left: Path) -> None:
    """W&B keeps the cells of a table in an artifact; what lies beside it only says which sort they are."""
    (artifact,) = [
        one.artifact for one in records(left / "runs" / "tables") if one.WhichOneof("record_type") == "artifact"
    ]
    kept = {part.path: Path(part.local_path) for part in artifact.manifest.contents}
    data = json.loads(kept["worst.table.json"].read_text())
    assert data["columns"] == ["variant", "score", "game"]
    assert [row[:2] for row in data["data"]] == [["a", 0.5], ["b", 1.0]]
    for (_, _, cell), end in zip(data["data"], ("", "!"), strict=True):
        assert cell["_type"] == "html-file"
        assert kept[cell["path"]].read_text() == f"<!DOCTYPE html><title>A page</title><p>A game{end}"


class Listener:
    """A W&B run that keeps what it is sent."""

    id = "listener"

    def __init__(self, folder: Path) -> None:
        self.dir = str(folder)
        self.logged: list[dict[str, Any]] = []

    def log(self, row: dict[str, Any]) -> None:
        self.logged.append(row)


def test_nobody_is_sent_anything_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marl_meta.train.tracked.gif", lambda *_: pytest.fail("a film was made for nobody"))
    silent = Tracker(None, "off", "W&B off")
    assert not silent.active
    track_games(silent, [Shown(None, Path("nowhere"))], 100)  # type: ignore[arg-type]  # it is not looked at
    track_files(silent, None, None, {})  # type: ignore[arg-type]
    silent.log_pages({"replay/html": "<p>"}, {})
    silent.log_film("replay/film", b"GIF89a", {})
    silent.log_folder("team-a", "team", Path("nowhere"))


def test_games_that_were_not_recorded_are_not_sent(tmp_path: Path) -> None:
    run = Listener(tmp_path)
    track_games(Tracker(run, "offline", "W&B offline"), [], 100)  # type: ignore[arg-type]
    assert run.logged == []


def test_what_cannot_be_sent_turns_tracking_off(tmp_path: Path, caplog: Any) -> None:
    class Broken(Listener):
        def log(self, row: dict[str, Any]) -> None:
            raise ConnectionError(f"no room for {list(row)}")

    tracker = Tracker(Broken(tmp_path), "offline", "W&B offline")  # type: ignore[arg-type]
    picture = io.BytesIO()
    Image.new("RGB", (4, 4)).save(picture, "GIF")
    tracker.log_film("replay/film", picture.getvalue(), {"global/env_steps": 1.0})
    tracker.log_pages({"replay/html": Page("<p>")}, {"global/env_steps": 1.0})
    assert [record.message for record in caplog.records] == [
        "W&B failed and is off from here on: no room for ['replay/film', 'global/env_steps']."
    ]
    assert not tracker.active and list(tmp_path.iterdir()) == []
