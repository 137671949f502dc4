"""`marl-meta replay ...` as somebody runs it."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageSequence
from typer.testing import CliRunner, Result

from marl_meta.cli.app import main
from marl_meta.cli.replay import replay
from marl_meta.replay import Replay, load_replay
from marl_meta.types import UserError
from tests.replay import handmade
from tests.replay.recorded import record_game, whole

END = ".replay.json.gz"


def run(*arguments: object, code: int = 0) -> Result:
    """Run a command; its error is raised here, and nothing but its answer is on standard output."""
    result = CliRunner().invoke(replay, [str(one) for one in arguments], env={"COLUMNS": "120"}, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def run_json(*arguments: object, code: int = 0) -> dict[str, Any]:
    text = run(*arguments, "--json", code=code).stdout
    assert text.count("\n") == 1
    record: dict[str, Any] = json.loads(text)
    return record


@pytest.fixture
def tag(tmp_path: Path) -> Path:
    return Replay(record_game("tag", {"episode_length": 5}, seed=1, episodes=2)).save(tmp_path / "tag")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    record = record_game("tag", {"episode_length": 5}, seed=1, episodes=2, luck=9)
    return Replay(record).save(tmp_path / "other")


@pytest.fixture
def changed(tag: Path) -> Path:
    """A copy of the replay whose second episode has another check of its third step."""
    file = json.loads(gzip.decompress(tag.read_bytes()))
    checks = file["episodes"][1]["checks"]
    file["episodes"][1]["checks"] = checks[:12] + ("0" if checks[12] != "0" else "1") + checks[13:]
    path = tag.parent / "deeper" / f"changed{END}"
    path.parent.mkdir()
    path.write_bytes(handmade.packed(file))
    return path


def test_what_happens_again_is_the_same(tag: Path) -> None:
    assert run("verify", tag).stdout == f"{tag}: the same, 10 steps\n"
    assert run_json("verify", tag) == {
        "replays": [{"file": str(tag), "same": True, "steps": 10, "episode": None, "step": None, "reason": ""}]
    }


def test_what_does_not_is_named_and_is_exit_code_1(tag: Path, changed: Path) -> None:
    text = run("verify", tag, changed, code=1).stdout.splitlines()
    assert text[0].endswith("the same, 10 steps")
    assert text[1].startswith(f"{changed}: DIFFERS: episode 2, step 3: ")
    found = run_json("verify", changed.parents[1], code=1)["replays"]  # the folder, and folders in it
    assert [(Path(one["file"]).name, one["same"], one["episode"], one["step"]) for one in found] == [
        (f"changed{END}", False, 1, 3), (f"tag{END}", True, None, None),
    ]  # fmt: skip


def test_a_family_from_elsewhere_can_be_named(tag: Path) -> None:
    with pytest.raises(UserError, match="spread"):
        run("verify", tag, "--family", "spread")
    assert run("verify", tag, "--family", "tag").exit_code == 0


def test_info_for_people_and_for_scripts(tag: Path) -> None:
    text = run("info", tag).stdout
    record = load_replay(tag).record
    assert text.startswith("tag: nobody\n") and f"{record.game.variant_id}, seed 1" in text
    assert f"{tag.stat().st_size:,} bytes, format 2.0" in text
    for word in ("episode_length", "25", "control", "hidden", "adversary", "prey", f"{record.returns[1][0]:.2f}"):
        assert word in text
    found = run_json("info", tag)
    assert found["game"]["seed"] == 1 and found["returns"] == record.returns and found["thoughts"] is False
    assert found["episodes"] == [{"steps": 5, "over": True, "scene": "particles"}] * 2
    assert found["bytes"] == tag.stat().st_size and found["digest"] == record.digest


def test_info_of_a_hostile_file_is_text(tmp_path: Path) -> None:
    file = whole(handmade.chase(steps=2, title="[bold]x[/nonsense]"))
    file["teams"][0]["player"] = "[/]"
    file["game"]["card"][0]["name"] = "[link=file:///x]rule[/link]"
    path = tmp_path / f"odd{END}"
    path.write_bytes(handmade.packed(file))
    text = run("info", path).stdout
    assert "[bold]x[/nonsense]" in text and "[/]" in text and "[link=file:///x]" in text
    assert run_json("info", path)["thoughts"] is True


def frames_of(data: bytes) -> tuple[tuple[int, int], list[int]]:
    with Image.open(io.BytesIO(data)) as image:
        return image.size, [frame.info.get("duration", 0) for frame in ImageSequence.Iterator(image)]


def test_export_by_default_is_a_gif_beside_the_replay(tag: Path) -> None:
    path = tag.with_name("tag.gif")
    assert run("export", tag).stdout == f"written: {path}\n"
    size, durations = frames_of(path.read_bytes())
    assert size == (320 + 24, 320 + 60) and sum(durations) == 2 * (500 + 1200)
    with pytest.raises(UserError, match=r"tag.gif already exists and is not overwritten; say with --out"):
        run("export", tag)
    run("export", tag, "--out", path, "--episode", 2, "--size", 64, "--speed", 2)
    assert frames_of(path.read_bytes()) == ((64 + 24, 64 + 60), [50] * 5 + [600])


def test_export_of_two_beside_each_other(tag: Path, other: Path, tmp_path: Path) -> None:
    run("export", tag, "--beside", other, "--out", tmp_path / "both.gif", "--size", 64)
    assert frames_of((tmp_path / "both.gif").read_bytes())[0] == (2 * 64 + 36, 64 + 60)
    run("export", tag, "--beside", other, "--out", tmp_path / "both.html")
    assert (tmp_path / "both.html").read_text().count('class="replay"') == 2


def test_export_of_a_picture_a_page_and_numbers(tag: Path, tmp_path: Path) -> None:
    run("export", tag, "--as", "png", "--episode", 2, "--step", 5, "--size", 100, "--out", tmp_path / "any.thing")
    with Image.open(tmp_path / "any.thing") as image:
        assert (image.format, image.size) == ("PNG", (100, 100))
    run("export", tag, "--as", "html")
    assert tag.with_name("tag.html").read_text().startswith("<!DOCTYPE html>")
    run("export", tag, "--out", tmp_path / "tag.JSON")
    found = json.loads((tmp_path / "tag.JSON").read_text())
    assert [episode["steps"] for episode in found["episodes"]] == [5, 5] and len(found["agents"]) == 4
    run("export", tag, "--as", "csv")
    assert len(tag.with_name("tag.csv").read_text().splitlines()) == 1 + 2 * 6 * 4


def test_a_film_needs_its_extra(tag: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UserError, match="MP4 needs the extra 'video'"):
        run("export", tag, "--as", "mp4")
    assert {path.suffix for path in tag.parent.iterdir()} == {".gz"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--episode", 3), "There is no episode 3; the replay has 2"),
        (("--as", "png", "--step", 6), "There is no step 6; episode 1 has 0 to 5"),
        (("--out", "film.avi"), "cannot be exported as 'avi'; allowed are gif, mp4, png, json, csv, html"),
        (("--out", "film"), "cannot be exported as ''"),
        (("--out", "no/where/film.gif"), "There is no folder no/where to write film.gif to"),
        (("--as", "json", "--episode", 1), "holds all its episodes"),
        (("--as", "csv", "--beside", "more"), "is of one replay"),
        (("--beside", "nothing"), "There is no replay nothing"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence_and_writes_nothing(
    arguments: tuple[object, ...], said: str, tag: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tag.parent)
    with pytest.raises(UserError) as caught:
        run("export", tag, *arguments)
    assert said in str(caught.value) and str(caught.value).endswith(".")
    assert [path.name for path in tag.parent.iterdir()] == [tag.name]


def test_what_stands_in_the_way_is_one_sentence(tag: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(UserError, match=r"folder.gif cannot be written"):
        run("export", tag, "--out", tmp_path / "folder.gif", "--size", 64)
    file = json.loads(gzip.decompress(tag.read_bytes())) | {"episodes": [], "returns": []}
    empty = tmp_path / f"empty{END}"
    empty.write_bytes(handmade.packed(file))
    with pytest.raises(UserError, match="nothing to show in a replay without episodes"):
        run("export", empty)
    assert "tag" in run("info", empty).stdout and run("verify", empty).exit_code == 0


def test_diff(tag: Path, other: Path) -> None:
    text = run("diff", tag, tag).stdout.splitlines()
    assert [line.split(";")[0] for line in text] == [
        "episode 1: the same",
        "episode 2: the same",
        "the same happened in both",
    ]
    text = run("diff", tag, other, code=1).stdout.splitlines()
    assert text[0].startswith("episode 1: they part at step 1; returns ") and text[1].startswith("  ")
    found = run_json("diff", tag, other, code=1)
    assert (found["same"], found["same_game"], found["episodes"][0]["step"]) == (False, True, 1)
    assert run_json("diff", tag, tag)["same"] is True


@pytest.mark.parametrize("command", ["verify", "info", "export", "diff"])
def test_what_is_no_replay_is_one_line_and_exit_code_2(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"broken{END}"
    for data in (b"", b"text", gzip.compress(b"{}"), gzip.compress(b"[1, 2]"), gzip.compress(b"\xff")):
        path.write_bytes(data)
        monkeypatch.setattr(sys, "argv", ["marl-meta", "replay", command, *[str(path)] * (1 + (command == "diff"))])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        assert caught.value.code == 2 and said.out == "" and said.err.startswith(f"marl-meta: error: {path} ")
        assert said.err.count("\n") == 1 and said.err.endswith(".\n")


def test_a_folder_without_replays(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no replay \(\*.replay.json.gz\) in"):
        run("verify", tmp_path)


def test_the_group_explains_itself() -> None:
    text = CliRunner().invoke(replay, ["--help"]).stdout
    assert all(word in text for word in ("verify", "info", "export", "diff"))
