from __future__ import annotations

import json

import numpy as np
import pytest

from marl_meta.tournament.outsiders.adapters import StableBaselines
from marl_meta.tournament.outsiders.answers import checked, mask_of
from marl_meta.tournament.outsiders.player import Choice, Choices, Fault, SeriesInfo, read_info
from marl_meta.tournament.outsiders.wire import decode, encode, encode_strict, portable, with_tuples

SHOWN = {
    "picture": np.arange(12, dtype=np.uint8).reshape(2, 2, 3),
    "nested": (3, {"a": np.array([0.5, np.nan]), "b": (np.int64(4), "text", None, True)}, [1, 2]),
    "flags": np.array([True, False]),
}


def test_what_a_game_shows_arrives_as_it_was() -> None:
    assert portable(SHOWN)
    arrived = decode(encode({"shown": with_tuples(SHOWN)}))["shown"]
    assert arrived["picture"].dtype == np.uint8 and (arrived["picture"] == SHOWN["picture"]).all()
    assert arrived["flags"].dtype == bool
    assert arrived["nested"][0] == 3 and isinstance(arrived["nested"], tuple)
    assert arrived["nested"][1]["a"].dtype == np.float64 and np.isnan(arrived["nested"][1]["a"][1])
    assert arrived["nested"][1]["b"] == (4, "text", None, True) and arrived["nested"][2] == [1, 2]


def test_programs_are_told_the_same_in_lists() -> None:
    told = json.loads(encode_strict({"shown": SHOWN}))["shown"]
    assert told["picture"] == SHOWN["picture"].tolist()
    assert told["nested"] == [3, {"a": [0.5, None], "b": [4, "text", None, True]}, [1, 2]]


@pytest.mark.parametrize("value", [object(), {1: 2}, {"a": [object()]}, np.array(["text"]), (set(),), 1j])
def test_what_cannot_be_told(value: object) -> None:
    assert not portable(value)


def test_spaces_survive_the_way() -> None:
    spaces = {"a": Choice(3, ("x", "y", "z"), 4), "b": Choices((2, 1), (3, 2), (0, -1))}
    info = SeriesInfo("game", "red", 1, ("a", "b"), {"a": "red", "b": "red"}, spaces)
    assert read_info(json.loads(json.dumps(info.record()))) == info


def test_actions_of_the_games_own_spaces() -> None:
    shifted, several = Choice(3, start=4), Choices((2,), (2, 3), (1, 5))
    assert checked("x", {"a": 6}, {"a": shifted}, {"a": np.array([0, 0, 1])}) == {"a": 6}
    for answer, mask, kind in (
        (3, None, "illegal"),
        (7, None, "illegal"),
        (4, [0, 0, 1], "illegal"),
        (4.0, None, "shape"),
    ):
        with pytest.raises(Fault) as caught:
            checked("x", {"a": answer}, {"a": shifted}, {"a": mask})
        assert caught.value.kind == kind
    mask = np.zeros(6)
    mask[5] = 1  # of the joint actions the last
    found = checked("x", {"a": [2, 7]}, {"a": several}, {"a": mask})["a"]
    assert isinstance(found, np.ndarray) and found.tolist() == [2, 7]
    for answer, kind in (
        ([1, 7], "illegal"),
        ([3, 7], "illegal"),
        ([1.0, 7.0], "shape"),
        ([1], "shape"),
        (None, "shape"),
    ):
        with pytest.raises(Fault) as caught:
            checked("x", {"a": answer}, {"a": several}, {"a": mask})
        assert caught.value.kind == kind


def test_a_mask_that_allows_nothing_forbids_nothing() -> None:
    assert mask_of({"action_mask": np.zeros(3)}, {}) is None
    assert mask_of({"observation": 1}, {"action_mask": [0, 1]}) == [0, 1]


def test_maskable_models_are_shown_observations_without_their_mask() -> None:
    class Model:
        def predict(self, observation, action_masks=None, **_):
            self.seen = observation, action_masks
            return np.array(2), None

    model = Model()
    player = StableBaselines(model)
    player.reset(["a"], {}, 0)
    board, mask = np.zeros((6, 7, 2), np.int8), np.ones(7, np.int8)
    assert player.act({"a": {"observation": board, "action_mask": mask}}, {}, 0)["a"] == 2
    assert model.seen[0] is board and model.seen[1] is mask
