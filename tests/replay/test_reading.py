"""Files of replays: what is written is read again, and nothing that anybody may put into one does any harm."""

from __future__ import annotations

import base64
import copy
import gzip
import io
import json
import re
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from marl_meta.replay import Replay, load_replay, watch_page
from marl_meta.replay.animation import frames, gif, picture
from marl_meta.replay.decoding import (
    actions_of,
    attention_of,
    beliefs_of,
    cells_of,
    influence_of,
    places_of,
    presence_of,
    probabilities_of,
    rewards_of,
    updates_of,
    value_of,
)
from marl_meta.replay.difference import difference
from marl_meta.replay.numbers import trajectory, trajectory_csv
from marl_meta.replay.packing import LARGEST, pack, pack_deltas, pack_moves, unpack
from marl_meta.replay.reading import MOST_BYTES, MOST_PARTS, SUFFIX, decode, encode, read, write
from marl_meta.replay.record import ReplayRecord
from marl_meta.replay.verifying import verify
from marl_meta.types import UserError

from . import handmade
from .recorded import every_kind, record_game, whole

File = dict[str, Any]

CHASE = whole(handmade.chase(believes=True, steps=8))
TABLE = whole(handmade.table(2))
HEAVY = 500 * 2**20
"""Bytes that no file may cost, of which 32 MiB are allowed to be in it."""


@pytest.fixture(scope="module")
def tag() -> ReplayRecord:
    return record_game("tag", {"episode_length": 6}, episodes=2)


def plain(data: bytes) -> File:
    found: File = json.loads(gzip.decompress(data))
    return found


def changed(file: File, **values: Any) -> bytes:
    """Return a file with other values; the names are paths such as `game__seed` and `episodes__0__steps`."""
    file = copy.deepcopy(file)
    for path, value in values.items():
        *before, last = [int(part) if part.isdigit() else part for part in path.split("__")]
        node: Any = file
        for part in before:
            node = node[part]
        node[last] = value
    return handmade.packed(file)


def within(one: Any, other: Any) -> bool:
    """Return whether everything in the one is in the other, but for keys whose value is null."""
    if isinstance(one, dict):
        return all(value is None or within(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(within(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


def use(record: ReplayRecord) -> None:
    """Do with a replay all that one can do with one but to play it again."""
    written = encode(record)
    assert decode(written) == record
    shown = Replay(record)
    assert watch_page([shown, shown]).endswith("</html>\n") and shown.title is not None
    json.dumps(trajectory(record), allow_nan=False)
    assert trajectory_csv(record).startswith("episode,")
    assert difference(record, record).same
    difference(record, decode(handmade.packed(TABLE)))
    for number, episode in enumerate(record.episodes):
        # A picture that a file brings along is looked at when it is drawn.
        with suppress(UserError) if episode.scene.kind == "frames" else nullcontext():
            picture(record, number, 0, 64)
            picture(record, number, episode.steps, 64)
            next(frames([record, record], size=64, episode=number))


def test_what_is_written_is_read_again(tag: ReplayRecord, tmp_path: Path) -> None:
    path = write(tag, tmp_path / "game")
    assert path.name == f"game{SUFFIX}" and write(tag, path) == path
    assert read(path) == tag == load_replay(path).record
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("file", every_kind(), ids=lambda file: file["game"]["name"][:12])
def test_all_sorts_of_scenes_can_be_read_and_used(file: File) -> None:
    record = decode(handmade.packed(file))
    assert within(file, plain(encode(record)))
    use(record)


def test_what_is_decoded_is_what_was_packed_by_hand() -> None:
    record = decode(handmade.packed(CHASE))
    file, episode = CHASE["episodes"][0], record.episodes[0]
    (group,) = actions_of(record, episode)
    assert group.chosen is not None
    N, E, T = 4, 6, 8
    assert (group.chosen + 1).ravel().tolist() == unpack(file["actions"][0]["chosen"]).tolist()
    steps = unpack(file["rewards"]["values"]).reshape(N, T).cumsum(1)
    assert np.allclose(rewards_of(record, episode), 0.1 * steps)
    assert places_of(record, episode).shape == (E, 2, T + 1) and presence_of(record, episode).all()
    notes = (episode.notes or [])[0]
    attention, beliefs = attention_of(record, episode, notes), beliefs_of(episode, notes)
    assert attention is not None and attention.shape == (3, 4, E, T)
    assert np.allclose(attention.sum(2), 1, atol=0.02)
    assert beliefs is not None and beliefs.shape == (3, 6, T) and np.allclose(beliefs[:, :4].sum(1), 1, atol=0.02)
    probabilities, influence = probabilities_of(record, episode, notes), influence_of(record, episode, notes)
    assert probabilities is not None and np.allclose(probabilities.sum(1), 1, atol=0.02)
    assert influence is not None and influence.shape == (3, E, T)
    value, updates = value_of(episode, notes), updates_of(episode, notes)
    assert value is not None and value.shape == (3, T) and updates is not None and updates.tolist() == [0] * T


def test_boards_are_put_together_from_changes() -> None:
    file = whole(handmade.connect_four())
    cells = cells_of(decode(handmade.packed(file)).episodes[0])
    assert cells[0, 5, 6] == -1 and (cells[0] != 0).sum() == 1
    assert [(cells[t] > 0).sum() for t in range(16)] == list(range(16))
    assert cells[1, 5, 3] == 1 and cells[2, 4, 3] == 2


def test_keys_are_in_the_order_of_the_format_and_absent_ones_are_not_written(tag: ReplayRecord) -> None:
    file = plain(encode(tag))
    page = (Path(__file__).parents[2] / "replays" / "FORMAT.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|", page.split("## The file")[1].split("`game`:")[0], re.MULTILINE)
    assert [key for key in listed if key in file] == list(file)
    assert {"title", "series", "logs"}.isdisjoint(file) and "notes" not in file["episodes"][0]
    data = encode(tag)
    assert data[4:8] == b"\0\0\0\0" and data[9] in {3, 255}  # no time stamp


def test_a_rule_whose_value_is_null_is_one_without_a_value(tag: ReplayRecord) -> None:
    record = decode(changed(plain(encode(tag)), game__card__0__value=None))
    assert record.game.card[0].value is None
    use(record)


def test_the_same_game_gives_the_same_bytes_in_every_process(tag: ReplayRecord) -> None:
    script = (
        "import sys; from tests.replay.recorded import record_game; from marl_meta.replay.reading import encode\n"
        "sys.stdout.buffer.write(encode(record_game('tag', {'episode_length': 6}, episodes=2)))"
    )
    environment = {"PYTHONHASHSEED": "77", "PATH": "/usr/bin:/bin"}
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, env=environment, cwd=Path(__file__).parents[2]
    )
    assert found.stdout == encode(tag) == encode(record_game("tag", {"episode_length": 6}, episodes=2))


def test_keys_of_a_later_version_are_ignored() -> None:
    data = changed(TABLE, version=[2, 9], colour="red", game__mood="calm", episodes__0__scene__sound="loud")
    record = decode(data)
    assert record.version == (2, 9) and "mood" not in plain(encode(record))["game"]


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ([3, 0], "newer version of marl-meta"),
        ([10**30, 0], "newer version of marl-meta"),
        ([0, 9], "there is no version 0"),
        ([-1, 0], "there is no version -1"),
        ([2], "must be two whole numbers"),
        ([2.0, 0], "must be two whole numbers"),
        ([True, 0], "must be two whole numbers"),
        ("2.0", "must be two whole numbers"),
        (None, "must be two whole numbers"),
    ],
)
def test_other_versions_are_refused_in_a_sentence(version: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        decode(changed(TABLE, version=version), "old.replay.json.gz")
    assert str(caught.value).startswith("old.replay.json.gz ") and str(caught.value).endswith(".")


def version_1() -> File:
    """Return a file of version 1: two agents and a rock, three steps."""
    file = whole(handmade.chase(adversaries=1, prey=1, obstacles=1, steps=3, thinks=False))
    episode = file["episodes"][0]
    places = [[[0.1 * t, -0.5], [0.25, 0.125 * t], [0.0, 0.9]] for t in range(4)]
    kept = {key: episode["scene"][key] for key in ("kind", "radius", "arena", "walls")}
    episode |= {
        "actions": [[1, None, 4], [0, 0, 2]], "rewards": [[0, 10, 10.5], [0, -10, 0.001]],
        "scene": {**kept, "places": places},
    }  # fmt: skip
    return file | {"version": [1, 3]}


def test_version_1_is_read() -> None:
    record = decode(handmade.packed(version_1()))
    episode = record.episodes[0]
    assert record.version == (2, 0)
    (group,) = actions_of(record, episode)
    assert group.chosen is not None and group.chosen.tolist() == [[1, -1, 4], [0, 0, 2]]
    assert group.acts.tolist() == [[True, False, True], [True, True, True]]
    assert np.allclose(rewards_of(record, episode), [[0, 10, 10.5], [0, -10, 0.001]])
    expected = np.array(version_1()["episodes"][0]["scene"]["places"]).transpose(1, 2, 0)
    assert np.abs(places_of(record, episode) - expected).max() < 0.001
    use(record)


def test_version_1_of_our_own_game_still_verifies() -> None:
    now = record_game("tag", {"episode_length": 5}, episodes=2)
    file = plain(encode(now))
    for old, episode in zip(file["episodes"], now.episodes, strict=True):
        (group,) = actions_of(now, episode)
        assert group.chosen is not None
        old["actions"] = [[None if n < 0 else n for n in row] for row in group.chosen.tolist()]
        old["rewards"] = rewards_of(now, episode).tolist()
        old["scene"]["places"] = places_of(now, episode).transpose(2, 0, 1).tolist()
        del old["scene"]["unit"], old["scene"]["keyframe"]
    migrated = decode(handmade.packed(file | {"version": [1, 0]}))
    assert verify(migrated).same
    assert difference(now, migrated).same


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("episodes__0__actions", [[-(2**63) - 1] * 40] * 2),
        ("episodes__0__actions", [[2**62] * 40] * 2),
        ("episodes__0__actions", [[10**30]] * 2),
        ("episodes__0__actions", [["one"], [1]]),
        ("episodes__0__actions", [[1, 2], [1]]),
        ("episodes__0__actions", 7),
        ("episodes__0__rewards", [[1e308] * 3] * 2),
        ("episodes__0__rewards", [[[[[]]]]]),
        ("episodes__0__rewards", None),
        ("episodes__0__scene__places", [[1, 2], [3, 4]]),
        ("episodes__0__scene__places", {"x": 1}),
        ("episodes__0__scene", []),
        ("episodes__0__scene", "particles"),
        ("episodes__0", 3),
        ("episodes", {"0": 1}),
        ("agents", None),
    ],
)
def test_a_damaged_version_1_is_refused(path: str, value: Any) -> None:
    began = time.perf_counter()
    with pytest.raises(UserError, match="damaged"):
        decode(changed(version_1(), **{path: value}))
    assert time.perf_counter() - began < 2


def test_a_file_that_is_not_there_or_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no replay"):
        read(tmp_path / "nothing")
    for path in (tmp_path, Path("with\0zero"), tmp_path / ("long" * 100)):
        with pytest.raises(UserError, match="cannot be read"):
            read(path)
    with pytest.raises(UserError, match="is larger than replays are"):
        read(Path("/dev/zero"))
    with pytest.raises(UserError, match="There is no folder"):
        write(decode(handmade.packed(TABLE)), tmp_path / "no" / "where")


def test_what_is_cut_short_is_refused_at_every_byte(tag: ReplayRecord) -> None:
    data = encode(tag)
    for end in [*range(40), *range(40, len(data), 7), len(data) - 1]:
        with pytest.raises(UserError, match=r"ends too early|not packed by gzip"):
            decode(data[:end])


def test_a_flipped_bit_is_noticed_by_the_checksum(tag: ReplayRecord) -> None:
    data = encode(tag)
    for place in range(10, len(data), 11):
        broken = bytearray(data)
        broken[place] ^= 1 << (place % 8)
        with pytest.raises(UserError):
            decode(bytes(broken))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_random_bytes_are_refused(data: bytes, zipped: bool) -> None:
    with pytest.raises(UserError, match="replay"):
        decode(gzip.compress(data) if zipped else data)


def piece(value: str) -> bytes:
    """Return a file in which the rules are a piece of text that need not be JSON."""
    return gzip.compress(json.dumps(TABLE).replace('"rules": {}', f'"rules": {{"a": {value}}}').encode())


@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000, "[" * 900 + "]" * 900, "[" * 90_000, '"\\ud800"',
     "[" * 60 + "]" * 60, '{"a":' * 60 + "1" + "}" * 60, '{"\\udfff": 1}', "", "01", '"\x01"'],
    ids=lambda value: value[:10] + str(len(value)),
)  # fmt: skip
def test_what_no_file_could_hold_again_is_refused(value: str) -> None:
    with pytest.raises(UserError):
        decode(piece(value))


@pytest.mark.parametrize(
    "value", ["1e308", "9" * 4000, "[" * 20 + "]" * 20, '"\\u0000\\ud83d\\ude00"', '{"a": 1, "a": 2}']
)
def test_odd_values_are_kept(value: str) -> None:
    record = decode(piece(value))
    assert record.game.rules == {"a": json.loads(value)}
    use(record)


@pytest.mark.parametrize("coding", ["utf-16", "utf-32", "utf-8-sig", "latin-1"])
def test_other_encodings_of_text_do_no_harm(coding: str) -> None:
    data = gzip.compress(json.dumps(TABLE | {"title": "é"}, ensure_ascii=False).encode(coding))
    with suppress(UserError):
        use(decode(data))


def lone(kind: str, **scene: Any) -> File:
    """Return a file of one agent that does nothing for no step, and its scene."""
    file = copy.deepcopy(TABLE)
    file |= {"agents": file["agents"][:1], "status": ["DONE"], "objects": []}
    file["episodes"][0] |= {
        "steps": 0, "checks": "0000", "ends": [], "actions": [{"agents": [0], "chosen": ""}],
        "rewards": {"unit": 1, "values": ""}, "scene": {"kind": kind, **scene},
    }  # fmt: skip
    return file


def png(width: int, height: int) -> str:
    """Return a PNG of black pixels, which is small however large it is."""
    rows = zlib.compressobj(9)
    body = (
        b"".join(rows.compress(b"\0" * (1 + 3 * min(width, 20_000))) for _ in range(min(height, 4_000))) + rows.flush()
    )
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    parts = [(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")]
    chunks = (len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4) for name, data in parts)
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()


def many(part: str, count: int) -> bytes:
    """Return a file with a key that is not known, a list of so many parts."""
    return gzip.compress((json.dumps(TABLE)[:-1] + ', "more": [' + ",".join([part] * count) + "]}").encode())


def idle(shape: list[int], steps: int) -> bytes:
    """Return a file of one agent that might act by arrays of that shape, but never does."""
    group = {"agents": [0], "dtype": "float64", "numbers": "", "shape": shape, "acts": "A" * steps}
    checks, rewards = "0000" * (steps + 1), {"unit": 1, "values": "A" * steps}
    return changed(
        lone("none"), episodes__0__steps=steps, episodes__0__checks=checks, episodes__0__rewards=rewards,
        episodes__0__actions=[group],
    )  # fmt: skip


def long_game(agents: int = 16, T: int = 600_000) -> bytes:
    """Return a file of a game that is about as long as can be, in which nearly nothing happens."""
    chosen = "A" * ((agents - 1) * T) + "C" * T
    played = {
        "steps": T, "checks": "0000" * (T + 1), "ends": [], "rewards": {"unit": 1, "values": "A" * (agents * T)},
        "actions": [{"agents": list(range(agents)), "chosen": chosen}],
    }  # fmt: skip
    everybody = [{"name": "a", "team": 0, "kind": "k"}] * agents
    return changed(TABLE, agents=everybody, status=["DONE"] * agents, episodes__0=TABLE["episodes"][0] | played)


def board(width: int, height: int, text: str) -> bytes:
    return handmade.packed(lone("board", width=width, height=height, keyframe=1, cells=[text]))


def crowd() -> bytes:
    """Return a file of as many objects as there may be, each of its own kind."""
    scene = {"keyframe": 65_536, "unit": 1, "arena": 1, "walls": True}
    scene |= {"places": "AA" * 65_537, "radius": [1] * 65_537}
    return handmade.packed(lone("particles", **scene) | {"objects": [str(n) for n in range(65_536)]})


def choice() -> bytes:
    """Return a file of as many agents and actions as there may be."""
    file = lone("none") | {"agents": [{"name": str(n), "team": 0, "kind": str(n)} for n in range(4_096)]}
    file["episodes"][0]["actions"] = [{"agents": list(range(4_096)), "chosen": ""}]
    return handmade.packed(file | {"status": ["DONE"] * 4_096, "actions": [""] * 65_536})


def film(width: int, height: int) -> bytes:
    return handmade.packed(lone("frames", width=1, height=1, images=[png(width, height)]))


BOMBS: dict[str, Callable[[], bytes]] = {
    "zeros": lambda: gzip.compress(b"\0" * (MOST_BYTES + 1)),
    "one text": lambda: gzip.compress(json.dumps(TABLE | {"title": "x" * (MOST_BYTES - 10_000)}).encode()),
    "one list": lambda: changed(TABLE, episodes__0__rewards__values="A" * 30_000_000),
    "one number": lambda: changed(TABLE, episodes__0__rewards__values="_" * 30_000_000 + "A"),
    "lists": lambda: many("[]", MOST_PARTS // 2 - 1000),
    "objects": lambda: many('{"a":{}}', MOST_PARTS // 3 - 1000),
    "numbers": lambda: many("1.5", MOST_PARTS - 1000),
    "more lists": lambda: many("[]", 10_000_000),
    "more objects": lambda: many('{"a":{}}', 3_500_000),
    "wrong actions": lambda: changed(TABLE, actions=[1] * 1_000_000),
    "wrong episodes": lambda: changed(TABLE, episodes=[1] * 1_000_000),
    "wrong ends": lambda: changed(TABLE, episodes__0__ends=[[1]] * 300_000),
    "wrong logs": lambda: changed(TABLE, logs={str(n): n for n in range(300_000)}),
    "too many actions": lambda: changed(TABLE, actions=[""] * 1_000_000),
    "idle": lambda: idle([64], 900_000),
    "idle, of a matrix": lambda: idle([4_096, 4_096], 900_000),
    "idle, in five dimensions": lambda: idle([65_536] * 5, 10),
    "no step in five dimensions": lambda: idle([65_536] * 5, 0),
    "no step in seventy dimensions": lambda: idle([1] * 70, 0),
    "a long game": long_game,
    "steps": lambda: changed(TABLE, episodes__0__steps=10**18),
    "no board": lambda: board(65_536, 65_536, ""),
    "too large a board": lambda: board(65_536, 512, "A" * 2**25),
    "a large board": lambda: board(4_096, 4_096, "A" * 2**24),
    "a wide board": lambda: board(65_536, 256, "A" * 2**24),
    "a crowd": crowd,
    "a choice": choice,
    "a picture": lambda: film(4_000, 4_000),
    "a wide picture": lambda: film(2_000_000_000, 1),
    "a large picture": lambda: film(20_000, 20_000),
    "a long title": lambda: changed(lone("none"), title="a b\n" * 300_000, game__variant_id="x" * 1_000_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_takes_little_time_and_memory(name: str) -> None:
    data = BOMBS[name]()
    tracemalloc.start()
    began = time.process_time()  # whatever else the machine is doing
    with suppress(UserError):
        use_lightly(decode(data))
    seconds, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < HEAVY and seconds < 20


def use_lightly(record: ReplayRecord) -> None:
    """Write a replay again and draw its first moment."""
    assert len(encode(record)) < 2**20
    assert gif([next(frames([record], size=100))]).startswith(b"GIF")


ODD: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 5, 127, 128, 300, 65_535, 65_536, 2**31, 2**63, 10**30, -(10**30),
    0.0, -0.5, 1e-6, 5e-324, 1e9, 1e308, float("nan"), float("inf"),
    "", "A", "AAAA", "ACBgB", "A" * 500, "x", "\0", "\n", "\ud800", "é\u202e", "../../x", "0" * 36,
    "terminated", "board", "particles", "frames", "none", "int64", "float32",
    [], [[]], {}, [0], [0, 0], [1, 2, 3], [None],
    ["A"] * 9, [[0, 1, "truncated"]], [[1.0] * 2], {"a": 1}, {"kind": "none"},
]  # fmt: skip
FILES = [*every_kind(), version_1(), plain(encode(record_game("payoff", {"episode_length": 3}, episodes=2)))]


def paths(node: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield (*before, key)
        yield from paths(child, (*before, key))


PATHS = [list(paths(file)) for file in FILES]


def as_large(value: Any) -> Any:
    """Return as many numbers as large as they can be, where a value is a list of numbers."""
    if isinstance(value, str):
        try:
            return pack(np.where(np.arange(len(unpack(value))) % 3, LARGEST, -LARGEST))
        except UserError:
            return value * 2
    return value


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return a file of which one to three values are others, are there twice or are missing."""
    which = draw(st.integers(0, len(FILES) - 1))
    file = copy.deepcopy(FILES[which])
    for _ in range(draw(st.integers(1, 3))):
        *before, last = draw(st.sampled_from(PATHS[which]))
        node: Any = file
        try:
            for part in before:
                node = node[part]
            match draw(st.integers(0, 7)):
                case 0:
                    del node[last]
                case 1 if isinstance(node, list):
                    node.insert(last, copy.deepcopy(node[last]))
                case 2 | 3:
                    node[last] = as_large(node[last])
                case _:
                    node[last] = draw(st.sampled_from(ODD))
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # an earlier change took it away
    return gzip.compress(json.dumps(file).encode(), 1)


@settings(max_examples=350, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(damaged())
def test_whatever_is_changed_in_a_file_it_is_refused_or_can_be_used(data: bytes) -> None:
    record, complaint = None, ""
    try:
        record = decode(data)
    except UserError as error:
        complaint = str(error)
    if record is not None:
        use(record)
    assert record is not None or (complaint.endswith(".") and "\n" not in complaint)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=4))
def test_pictures_with_other_bytes_are_refused_or_drawn(changes: list[tuple[int, int]]) -> None:
    buffer = io.BytesIO()
    Image.new("P", (9, 7), 3).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    for place, byte in changes:
        data[8 + place % (len(data) - 8)] = byte
    file = lone("frames", width=9, height=7, images=[base64.b64encode(data).decode()])
    use(decode(handmade.packed(file)))


def test_extreme_scenes_are_drawn() -> None:
    file = whole(handmade.chase(adversaries=2, prey=1, obstacles=1, steps=2, thinks=False))
    file["agents"][0]["team"] = 199
    file["teams"] = [{"name": f"team {n}", "player": "a\nb"} for n in range(200)]
    file["returns"] = [[0.0] * 200]
    scene = file["episodes"][0]["scene"]
    wild = [[[1e6, -1e6, 0.0], [0.0, 1e6, 3.0]]] * 4
    for arena, unit in ((1e-6, 1e9), (1e9, 1e-9), (1.0, 1.0)):
        scene |= {"arena": arena, "unit": unit, "radius": [0, 1e9, 5e-324, 3], "places": pack_moves(np.array(wild), 16)}
        use(decode(handmade.packed(file)))
    for radius in (-1, 1e300):
        with pytest.raises(UserError, match="radius"):
            decode(changed(file, episodes__0__scene__radius=[radius] * 4))


def test_actions_without_names_and_negative_numbers_are_used() -> None:
    file = copy.deepcopy(TABLE) | {"actions": []}
    T = file["episodes"][0]["steps"]
    file["episodes"][0]["actions"] = [
        {"agents": [0], "chosen": pack([0, 1, 10**9] * (T // 3))},
        {"agents": [1], "dtype": "int64", "shape": [], "acts": pack([1] * T),
         "numbers": base64.b64encode(np.full(T, -(10**12)).tobytes()).decode()},
    ]  # fmt: skip
    record = decode(handmade.packed(file))
    use(record)
    assert trajectory(record)["episodes"][0]["actions"][1] == [-(10**12)] * T


def test_numbers_that_json_lacks_become_null_in_exports() -> None:
    file = whole(handmade.frames())
    values = np.zeros(40, "<f4")
    values[:3] = (np.nan, np.inf, 1)
    data = base64.b64encode(values.tobytes()).decode()
    record = decode(changed(file, episodes__0__actions__0__numbers=data))
    assert trajectory(record)["episodes"][0]["actions"][0][:2] == [[None, None], [1.0, 0.0]]
    use(record)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("agents__0__team", 5, "team 5, which is not there"),
        ("status", ["DONE"], "an entry for every agent"),
        ("status", ["GONE"] * 4, "status"),
        ("returns", [], "an entry for every episode"),
        ("returns", [[1.0]], "a number for every team"),
        ("digest", "xyz", "32 hexadecimal digits"),
        ("episodes__0__checks", "0" * 35, "hexadecimal digits for the reset"),
        ("episodes__0__ends", [[9, 1, "truncated"]], "beyond all"),
        ("episodes__0__ends", [[0, 9, "truncated"]], "beyond all"),
        ("episodes__0__ends", [[0, 0, "truncated"]], "beyond all"),
        ("episodes__0__actions", [], "name every agent once"),
        ("episodes__0__actions__0__agents", [0, 1, 2, 2], "name every agent once"),
        ("episodes__0__actions__0__chosen", pack([6] * 32), "no action"),
        ("episodes__0__rewards__unit", 0, "unit"),
        ("episodes__0__rewards__unit", 1e300, "unit"),
        ("episodes__0__steps", -1, "steps"),
        ("episodes__0__steps", 9, "are needed"),
        ("episodes__0__scene__radius", [1.0], "one for every entity"),
        ("episodes__0__scene__places", "AAA", "are needed"),
        ("episodes__0__scene__kind", "film", "kind"),
        ("episodes__0__notes__0__agents", [7, 1, 2], "an agent that is not there"),
        ("episodes__0__notes__0__attention__heads", None, "heads is missing"),
        ("episodes__0__notes__0__attention__heads", 65_536, "are needed"),
        ("episodes__0__notes__0__attention__levels", 1, "beyond its 1 levels"),
        ("episodes__0__notes__0__beliefs__rules__0__truth", 4, "none of its values"),
        ("episodes__0__notes__0__updates", pack_deltas([1]), "are needed"),
        ("game__api", "telepathy", "api"),
        ("format", "another", "format"),
        ("agents", [], "agents"),
        ("teams", [], "teams"),
    ],
)
def test_parts_that_do_not_fit_are_named(path: str, value: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        decode(changed(CHASE, **{path: value}), "this.replay.json.gz")
    assert str(caught.value).startswith("this.replay.json.gz ")
