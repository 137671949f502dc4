"""The trajectory as plain numbers, beside what was packed by hand."""

from __future__ import annotations

import copy
import csv
import io
import json

import numpy as np
import pytest

from marl_meta.replay.numbers import COLUMNS, trajectory, trajectory_csv
from marl_meta.replay.packing import pack, pack_deltas, pack_moves
from marl_meta.replay.reading import decode

from . import handmade
from .recorded import every_kind, whole

PLACES = [[[0.5, -0.25], [0.0, 1.0]], [[0.6, -0.25], [0.1, 1.0]], [[0.7, -0.5], [0.2, 0.9]]]
"""[T+1][E][2]"""


def small() -> handmade.File:
    """Return a file of a hunter, a prey and two steps, in which all numbers are known."""
    file = whole(handmade.chase(adversaries=1, prey=1, obstacles=0, steps=2, thinks=False))
    file["episodes"][0] |= {
        "actions": [{"agents": [1, 0], "chosen": pack([1, 5, 3, 0])}],
        "rewards": {"unit": 0.1, "values": pack_deltas([[0, 100], [5, -100]])},
        "ends": [[0, 2, "truncated"], [1, 1, "terminated"]],
    }
    moves = np.rint(np.array(PLACES).transpose(1, 2, 0) * 1000).astype(int)
    file["episodes"][0]["scene"] |= {"places": pack_moves(moves, 16), "radius": [0.075, 0.05]}
    return file


def test_a_trajectory_says_who_did_what_where() -> None:
    found = trajectory(decode(handmade.packed(small())))
    (episode,) = found["episodes"]
    assert episode["actions"] == [[2, None], [0, 4]]
    assert episode["rewards"] == [[0.0, 10.0], [0.5, -10.0]]
    assert episode["ends"] == [[0, 2, "truncated"], [1, 1, "terminated"]]
    assert np.allclose(episode["places"], PLACES)
    assert (episode["steps"], episode["over"], episode["radius"]) == (2, True, [0.075, 0.05])
    assert [agent["name"] for agent in found["agents"]] == ["adversary_0", "agent_0"]
    assert found["returns"] == [[0.0, 0.0]] and found["game"]["rules"] == {"control": 90}
    assert found == json.loads(json.dumps(found))


def test_lines_say_the_same() -> None:
    lines = list(csv.DictReader(io.StringIO(trajectory_csv(decode(handmade.packed(small()))))))
    assert tuple(lines[0]) == COLUMNS and len(lines) == 3 * 2
    rows = [(row["step"], row["agent"], row["team"], row["action"], row["reward"], row["ended"]) for row in lines]
    assert rows == [
        ("0", "adversary_0", "adversaries", "", "", ""), ("0", "agent_0", "prey", "", "", ""),
        ("1", "adversary_0", "adversaries", "right", "0.0", ""), ("1", "agent_0", "prey", "stay", "0.5", "terminated"),
        ("2", "adversary_0", "adversaries", "", "10.0", "truncated"), ("2", "agent_0", "prey", "up", "-10.0", ""),
    ]  # fmt: skip
    assert [[float(row["x"]), float(row["y"])] for row in lines] == [
        pytest.approx(one) for now in PLACES for one in now
    ]


def test_who_is_not_there_has_no_place() -> None:
    file = small()
    file["episodes"][0]["scene"]["present"] = pack([1, 1, 0, 1, 1, 1])
    lines = list(csv.DictReader(io.StringIO(trajectory_csv(decode(handmade.packed(file))))))
    assert [row["x"] for row in lines if row["agent"] == "adversary_0"] == ["0.5", "0.6", ""]


def test_lists_of_numbers_and_boards() -> None:
    found = trajectory(decode(handmade.packed(whole(handmade.frames()))))["episodes"][0]
    assert np.allclose(found["actions"][0], np.linspace(-1, 1, 40).reshape(20, 2)) and "places" not in found
    cells = trajectory(decode(handmade.packed(whole(handmade.connect_four()))))["episodes"][0]["cells"]
    assert np.shape(cells) == (16, 6, 7) and cells[1][5][3] == 1 and cells[15][5][6] == -1
    lines = trajectory_csv(decode(handmade.packed(whole(handmade.frames()))))
    assert '"[-1.0, ' in lines


@pytest.mark.parametrize("file", every_kind(), ids=lambda file: file["game"]["name"][:12])
def test_all_sorts_of_replays_have_a_line_for_each_agent_and_moment(file: handmade.File) -> None:
    record = decode(handmade.packed(copy.deepcopy(file)))
    lines = list(csv.reader(io.StringIO(trajectory_csv(record))))
    moments = sum(episode.steps + 1 for episode in record.episodes)
    assert len(lines) == 1 + moments * record.num_agents and {len(line) for line in lines} == {len(COLUMNS)}
