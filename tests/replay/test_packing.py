"""Packed lists of numbers, beside a slow reader that follows `replays/FORMAT.md` one character at a time."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from marl_meta.replay.packing import (
    LARGEST,
    MOST_NUMBERS,
    pack,
    pack_deltas,
    pack_moves,
    unpack,
    unpack_deltas,
    unpack_moves,
)
from marl_meta.types import UserError

CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
numbers = st.integers(-LARGEST, LARGEST)
some = st.lists(st.one_of(st.integers(-40, 40), numbers), max_size=60)
quick = settings(max_examples=100, deadline=None)


def read_slowly(text: str) -> list[int]:
    found, whole, shift = [], 0, 0
    for character in text:
        value = CHARACTERS.index(character)
        whole += (value % 32) * 2**shift
        shift += 5
        if value < 32:
            found.append(whole // 2 if whole % 2 == 0 else -(whole + 1) // 2)
            whole, shift = 0, 0
    assert shift == 0
    return found


def sum_slowly(coded: list[int], keyframe: int) -> list[int]:
    found: list[int] = []
    for t, value in enumerate(coded):
        match t % keyframe:
            case 0:
                found.append(value)
            case 1:
                found.append(found[t - 1] + value)
            case _:
                found.append(value + 2 * found[t - 1] - found[t - 2])
    return found


def test_the_examples_of_the_format() -> None:
    assert [pack([n]) for n in (0, 1, -1, 16)] == ["A", "C", "B", "gB"]
    assert unpack("ACBgB").tolist() == [0, 1, -1, 16]
    assert pack([]) == "" and unpack("").tolist() == []


@quick
@given(some)
@example([0] * 40)
@example([LARGEST, -LARGEST] * 20)
@example([15, 16, -16, -17] * 10)
def test_what_is_packed_is_read_by_the_slow_reader_and_by_ours(listed: list[int]) -> None:
    text = pack(listed)
    assert read_slowly(text) == listed
    assert unpack(text, len(listed)).tolist() == listed


@quick
@given(some)
def test_few_and_many_numbers_are_packed_alike(listed: list[int]) -> None:
    assert pack(listed * 30) == pack(listed) * 30 == "".join(pack([one]) for one in listed) * 30


@quick
@given(st.lists(st.lists(st.integers(-(2**40), 2**40), min_size=7, max_size=7), max_size=5))
def test_deltas_are_the_first_number_and_differences(rows: list[list[int]]) -> None:
    text = pack_deltas(np.array(rows, np.int64).reshape(len(rows), 7))
    expected = [row[0] if t == 0 else row[t] - row[t - 1] for row in rows for t in range(7)]
    assert read_slowly(text) == expected
    assert unpack_deltas(text, (len(rows), 7)).tolist() == rows


@quick
@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=40), st.integers(1, 50))
def test_moves_are_keyframes_differences_and_differences_of_them(series: list[int], keyframe: int) -> None:
    text = pack_moves([series, series[::-1]], keyframe)
    coded = read_slowly(text)
    half = len(series)
    assert sum_slowly(coded[:half], keyframe) == series
    assert sum_slowly(coded[half:], keyframe) == series[::-1]
    assert unpack_moves(text, (2, half), keyframe).tolist() == [series, series[::-1]]


def test_what_stands_still_or_moves_evenly_costs_next_to_nothing() -> None:
    even = np.cumsum(np.full(64, 37)) + 500
    assert read_slowly(pack_moves(even, 64)) == [537, 37, *[0] * 62]
    assert unpack_moves("", (0, 2, 5), 64).shape == (0, 2, 5)


@pytest.mark.parametrize("listed", [[LARGEST + 1], [-LARGEST - 1] * 30, [-(2**63)] * 30, [2**63 - 1] * 30])
def test_what_is_too_large_is_refused_and_takes_no_time(listed: list[int]) -> None:
    with pytest.raises(ValueError, match="must be within"):
        pack(listed)


@pytest.mark.parametrize(
    ("text", "count", "said"),
    [
        ("A A", None, "none of its 64"),
        ("AÄ", None, "none of its 64"),
        ("A=", None, "none of its 64"),
        ("\0", None, "none of its 64"),
        ("\ud800", None, "none of its 64"),
        ("Ag", None, "in the middle of a number"),
        ("g" * 10 + "A", None, "one that is too large"),
        ("A" * 3_000 + "_" * 2_000_000 + "A", None, "one that is too large"),
        ("AAA", 2, "holds 3 numbers where 2 are needed"),
        ("", 2, "holds 0 numbers where 2 are needed"),
        ("A" * (MOST_NUMBERS + 1), None, "more than are read"),
    ],
    ids=lambda one: str(one)[:12],
)
def test_what_is_no_packed_list_is_refused(text: str, count: int | None, said: str) -> None:
    with pytest.raises(UserError, match=said):
        unpack(text, count)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from(CHARACTERS + "!é"), max_size=40))
def test_any_text_is_read_as_the_slow_reader_does_or_refused(text: str) -> None:
    try:
        found = unpack(text).tolist()
    except UserError:
        return
    assert found == read_slowly(text)


def test_shapes_that_do_not_fit_are_refused() -> None:
    for shape in [(2, 2), (0,), (10**9, 10**9), (65_536,) * 8]:
        with pytest.raises(UserError, match="are needed"):
            unpack_deltas("AAA", shape)
        with pytest.raises(UserError, match="are needed"):
            unpack_moves("AAA", shape, 64)


@pytest.mark.parametrize("keyframe", [1, 2, 65_536])
def test_long_lists_are_read_in_little_time_and_memory(keyframe: int) -> None:
    text, shape = "C" * 2_000_000, (2, 1_000_000)
    tracemalloc.start()
    began = time.perf_counter()
    found = unpack_moves(text, shape, keyframe)
    seconds, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found[1, :2].tolist() == [1, 1] if keyframe == 1 else [1, 2]
    assert seconds < 3 and peak < 40 * len(text)
