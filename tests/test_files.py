from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from marl_meta.files import (
    JsonLines,
    atomic_write_bytes,
    atomic_write_text,
    claim_folder,
    claimed_folder,
    read_json,
    remove_torn,
)
from marl_meta.types import UserError


def test_atomic_write_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic_write_text(path, "one")
    atomic_write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_failed_write_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    atomic_write_text(path, "old")

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        atomic_write_text(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    kept = {"notes.tmp", ".a.json.tmp", f".a.json.{os.getppid()}.tmp", "a.json"}
    (tmp_path / "checkpoints").mkdir()
    torn = [tmp_path / "checkpoints" / f".9.safetensors.{writer}.tmp" for writer in (ended.pid, os.getpid())]
    for path in (*torn, *(tmp_path / name for name in kept)):
        path.write_text("half")
    remove_torn(tmp_path)
    assert not any(path.exists() for path in torn)
    assert {path.name for path in tmp_path.iterdir()} == kept | {"checkpoints"}


def test_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    code = (
        "import sys; from pathlib import Path; from marl_meta.files import atomic_write_text\n"
        "for i in range(10**9): atomic_write_text(Path(sys.argv[1]), str(i % 10) * 100_000)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)])
    try:
        while not path.exists():
            time.sleep(0.01)
        time.sleep(0.1)
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    text = path.read_text()
    assert len(text) == 100_000
    assert len(set(text)) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "There is no file"), (b"{", "is not a JSON file"), (b"\xff", "is not a JSON file")],
)
def test_read_json_names_the_file(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "team.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_read_json_of_a_folder_names_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_json(tmp_path)


def test_read_json_reads(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic_write_text(path, '{"a": [1, null]}')
    assert read_json(path) == {"a": [1, None]}


def test_claim_folder_takes_new_and_empty_ones_only(tmp_path: Path) -> None:
    folder = claim_folder(tmp_path / "runs" / "a", "take another name")
    assert claim_folder(folder, "take another name") == folder
    (folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match="already exists and is not overwritten; take another name"):
        claim_folder(folder, "take another name")
    with pytest.raises(UserError, match="cannot be made"):
        claim_folder(folder / "config.json" / "b", "take another name")
    assert (folder / "config.json").read_text() == "{}"


def test_json_lines_writes_one_object_a_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with JsonLines(path) as lines:
        lines.write({"steps": 1, "loss": float("nan"), "list": [float("inf"), 2.5]})
        lines.write({"steps": 2})
        assert lines.offset == path.stat().st_size  # visible at once, without close
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert records == [{"steps": 1, "loss": None, "list": [None, 2.5]}, {"steps": 2}]


def test_json_lines_resumes_at_an_offset(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with JsonLines(path) as lines:
        lines.write({"steps": 1})
        offset = lines.offset
        lines.write({"steps": 2})
    with path.open("ab") as file:
        file.write(b'{"steps": 3, "lo')  # torn by a kill
    with JsonLines(path, offset) as lines:
        lines.write({"steps": 20})
        assert lines.offset == path.stat().st_size
    assert path.read_text() == '{"steps":1}\n{"steps":20}\n'


def test_json_lines_refuses_a_file_that_is_too_short(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("{}\n")
    with pytest.raises(UserError, match=r"metrics.jsonl has 3 bytes, fewer than the 100"):
        JsonLines(path, 100)
    assert path.read_text() == "{}\n"


def test_a_folder_that_nothing_was_written_to_was_never_claimed(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"

    def fail(*names: str) -> None:
        with claimed_folder(folder, "take another") as claimed:
            for name in names:
                (claimed / name).touch()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError):
        fail("kept")
    assert (folder / "kept").exists()
    with pytest.raises(UserError, match="take another"):
        fail()
    empty = tmp_path / "empty"
    empty.mkdir()
    with claimed_folder(empty, ""):
        pass
    assert empty.is_dir()
