"""The sample replays: golden tests of the format, of the games, and of the page that plays them."""

from __future__ import annotations

from pathlib import Path

import pytest

from marl_meta.replay import load_replay
from marl_meta.replay.reading import SUFFIX, encode

SAMPLES = sorted((Path(__file__).parents[2] / "replays").glob(f"*{SUFFIX}"))


def test_they_are_there() -> None:
    names = {path.name.removesuffix(SUFFIX) for path in SAMPLES}
    assert names == {
        "harvest-before", "harvest-after", "harvest-trial", "harvest-series", "tag-chase", "connect-four",
    }  # fmt: skip


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_sample_happens_again(path: Path) -> None:
    found = load_replay(path).verify()
    assert found.same, found.reason


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_written_as_it_was(path: Path) -> None:
    assert encode(load_replay(path).record) == path.read_bytes()


def test_the_same_start_before_and_after_adapting() -> None:
    before, after = (load_replay(path).record for path in SAMPLES if path.name.startswith(("harvest-b", "harvest-a")))
    assert before.game == after.game
    assert before.episodes[0].checks[:4] == after.episodes[0].checks[:4]
    assert sorted(before.returns + after.returns) == [[-4.0], [32.0]]
