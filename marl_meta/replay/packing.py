"""Lists of whole numbers as short texts that compress and load well (`replays/FORMAT.md`, Numbers).

A number n becomes 2n, or -2n - 1 where it is negative, in groups of five bits, the lowest first; a group is one of 64
characters, whose upper 32 say that another one follows. It is the idea of source maps' base 64 VLQ, with this page's
order of characters and of signs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from marl_meta.types import IntArray, UserError

_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_BYTES = np.frombuffer(_CHARACTERS, np.uint8)
_VALUES = np.full(256, -1, np.int8)
_VALUES[_BYTES] = np.arange(64)
_MOST_GROUPS = 10
"""Of a number: fifty bits, beyond what is ever stored, and far from where arithmetic would overflow."""

MOST_NUMBERS = 2**24
"""Of a list that is unpacked: a short file may hold very long lists, since they compress well."""

_AT_ONCE = 2**18
"""So many numbers of a text are put together at a time, that those under way take little memory."""

_TEXT = _CHARACTERS.decode()
_FEW = 24
"""So few numbers are packed one by one: arrays would take longer to make than they save."""

LARGEST = 2 ** (5 * _MOST_GROUPS - 1) - 1
"""The largest number that can be packed; the smallest is its negative."""

Integers = npt.ArrayLike


def pack(numbers: Integers) -> str:
    """Return whole numbers, in the order of the array, as a text."""
    flat = np.asarray(numbers, np.int64).reshape(-1)
    if flat.size < _FEW:
        return "".join(map(_character_groups, flat.tolist()))
    if int(flat.max()) > LARGEST or int(flat.min()) < -LARGEST:
        raise ValueError(f"numbers to pack must be within ±{LARGEST}")
    left = np.where(flat < 0, -2 * flat - 1, 2 * flat)
    groups = np.ones(len(left), np.int64)
    rest = left >> 5
    while rest.any():
        groups += rest > 0
        rest >>= 5
    starts = np.cumsum(groups) - groups
    text = np.zeros(int(groups.sum()), np.uint8)
    place = 0
    going = np.arange(len(left))
    while len(going):
        more = groups[going] > place + 1
        text[starts[going] + place] = _BYTES[(left[going] & 31) + np.where(more, 32, 0)]
        left[going] >>= 5
        going = going[more]
        place += 1
    return text.tobytes().decode("ascii")


def _character_groups(number: int) -> str:
    """Return one number as text."""
    if abs(number) > LARGEST:
        raise ValueError(f"numbers to pack must be within ±{LARGEST}")
    left = -2 * number - 1 if number < 0 else 2 * number
    text = ""
    while left > 31:
        text += _TEXT[32 + (left & 31)]
        left >>= 5
    return text + _TEXT[left]


def unpack(text: str, count: int | None = None) -> IntArray:
    """Return the whole numbers of a text; raises UserError where it is no packed list, or not of `count` numbers."""
    try:
        raw = np.frombuffer(text.encode("ascii"), np.uint8)
    except UnicodeEncodeError as error:
        raise UserError("A packed list of numbers holds a character that is none of its 64.") from error
    values = _VALUES[raw]
    if values.size and int(values.min()) < 0:
        raise UserError("A packed list of numbers holds a character that is none of its 64.")
    last = values < 32
    found = int(np.count_nonzero(last))
    if values.size and not last[-1]:
        raise UserError("A packed list of numbers ends in the middle of a number.")
    if count is not None and found != count:
        raise UserError(f"A packed list holds {found} numbers where {count} are needed.")
    if found > MOST_NUMBERS:
        raise UserError(f"A packed list holds {found} numbers, more than are read ({MOST_NUMBERS}).")
    ends = np.flatnonzero(last)
    numbers = np.empty(found, np.int64)
    begin = 0
    for first in range(0, found, _AT_ONCE):
        part = ends[first : first + _AT_ONCE]
        _join(values[begin : part[-1] + 1], part - begin, numbers[first : first + _AT_ONCE])
        begin = int(part[-1]) + 1
    return numbers


def _join(values: npt.NDArray[np.int8], ends: IntArray, out: IntArray) -> None:
    """Write into `out` the numbers whose groups are `values`, their last ones at `ends`."""
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if int(lengths.max()) > _MOST_GROUPS:
        raise UserError("A packed list of numbers holds one that is too large.")
    place = np.arange(len(values)) - np.repeat(starts, lengths)
    joined = np.add.reduceat((values.astype(np.int64) & 31) << (5 * place), starts)
    out[:] = np.where(joined & 1, -(joined + 1) // 2, joined // 2)


def pack_deltas(numbers: Integers) -> str:
    """Return series of whole numbers [...,T], each as its first number and then differences."""
    array = np.asarray(numbers, np.int64)
    if array.size == 0:
        return ""
    return pack(np.diff(array, axis=-1, prepend=0))


def unpack_deltas(text: str, shape: Sequence[int]) -> IntArray:
    """Return what `pack_deltas` was given, an array of `shape`; raises UserError where the text does not hold that."""
    steps = unpack(text, _count(shape)).reshape(shape)
    numbers: IntArray = np.cumsum(steps, -1)
    return numbers


def pack_moves(numbers: Integers, keyframe: int) -> str:
    """Return series of whole numbers [...,T] as `moves`: keyframes, first differences, differences of differences."""
    array = np.asarray(numbers, np.int64)
    if array.size == 0:
        return ""
    place = np.arange(array.shape[-1]) % keyframe
    before, earlier = _shifted(array, 1), _shifted(array, 2)
    return pack(np.where(place == 0, array, np.where(place == 1, array - before, array - 2 * before + earlier)))


def unpack_moves(text: str, shape: Sequence[int], keyframe: int) -> IntArray:
    """Return what `pack_moves` was given, an array of `shape`; raises UserError where the text does not hold that."""
    coded = unpack(text, _count(shape))
    if coded.size == 0:
        return coded.reshape(shape)
    keyframe = min(keyframe, shape[-1])
    blocks = -(-shape[-1] // keyframe)
    parts: IntArray = np.zeros((coded.size // shape[-1], blocks * keyframe), np.int64)
    parts[:, : shape[-1]] = coded.reshape(-1, shape[-1])
    parts = parts.reshape(-1, blocks, keyframe)
    # Sums of sums of differences of differences; the keyframe itself is no difference.
    parts[..., 1:] = parts[..., :1] + np.cumsum(np.cumsum(parts[..., 1:], -1), -1)
    return parts.reshape(-1, blocks * keyframe)[:, : shape[-1]].reshape(shape)


def _shifted(array: IntArray, by: int) -> IntArray:
    moved = np.zeros_like(array)
    moved[..., by:] = array[..., :-by]
    return moved


def _count(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= int(size)
    return count
