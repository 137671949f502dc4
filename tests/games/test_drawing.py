"""Pictures show what is there, where it is, and nothing that is hidden."""

import numpy as np
import pytest

from marl_meta.games import make_vec
from marl_meta.games.drawing import LOOKS, draw
from marl_meta.games.palette import HUNTER_COLOR, TEAM_COLORS
from marl_meta.types import Layout, Observation, TeamLayout

KINDS = ("hunter", "prey", "obstacle", "landmark", "unheard_of")


def scene(*, agents=((0.0, 0.0, 0, 0),), objects=(), velocity=(0.0, 0.0), radius=0.15):
    """Agents (x, y, kind, team) and objects (x, y, kind) of one game."""
    layout = Layout(
        kinds=KINDS,
        teams=(TeamLayout("hunters", "hunter"), TeamLayout("prey", "prey")),
        entity_features=("x", "y", "vx", "vy", "radius"),
        private_features=("x", "y", "vx", "vy"),
        actions=("stay",),
    )
    n, e = len(agents), len(agents) + len(objects)
    entities = np.zeros((1, e, 5), np.float32)
    entities[0, :, :2] = [thing[:2] for thing in (*agents, *objects)]
    entities[0, :, 4] = radius
    private = np.zeros((1, n, 4), np.float32)
    private[0, :, 2:] = velocity
    observation = Observation(
        entities=entities,
        kind=np.array([[thing[2] for thing in (*agents, *objects)]], np.int8),
        team=np.array([[thing[3] for thing in agents] + [-1] * len(objects)], np.int8),
        present=np.ones((1, e), bool),
        private=private,
        sees=None,
        acting=np.ones((1, n), bool),
        action_mask=np.ones((1, n, 1), bool),
        rules=np.zeros((1, 0), np.float32),
    )
    return observation, layout


def pixels_of(image, color, tolerance=12):
    """Return rows and columns of the pixels of about this color, as shares of the picture."""
    near = (np.abs(image.astype(int) - color).max(axis=-1) <= tolerance).nonzero()
    return np.array(near).T / len(image)


@pytest.mark.parametrize("size", [64, 200, 401, 600])
def test_a_picture_has_the_size_asked_for_and_is_always_the_same(size):
    observation, layout = scene(objects=((0.5, 0.5, 2), (0.2, -0.5, 3), (-0.5, 0.1, 4)))
    image = draw(observation, layout, 0, size)
    assert image.shape == (size, size, 3) and image.dtype == np.uint8
    np.testing.assert_array_equal(image, draw(observation, layout, 0, size))


def test_agents_are_drawn_where_they_are_with_y_upwards():
    observation, layout = scene(agents=((0.65, 0.65, 0, 0), (-0.65, -0.65, 1, 1)))
    image = draw(observation, layout, 0, 400)
    first, second = (pixels_of(image, color).mean(axis=0) for color in TEAM_COLORS[:2])
    np.testing.assert_allclose(first, (0.25, 0.75), atol=0.01)
    np.testing.assert_allclose(second, (0.75, 0.25), atol=0.01)


def test_a_body_is_as_large_as_it_is():
    small, large = (draw(*scene(radius=radius), 0, 400) for radius in (0.1, 0.2))
    ratio = len(pixels_of(large, TEAM_COLORS[0])) / len(pixels_of(small, TEAM_COLORS[0]))
    assert 3.5 < ratio < 5.5


def test_kinds_differ_in_shape_not_only_in_color():
    one, other = (draw(*scene(agents=((0.0, 0.0, kind, 0),)), 0, 200) for kind in (0, 1))
    assert (one != other).any()
    grey = [draw(*scene(objects=((0.5, 0.5, kind),)), 0, 200).mean(axis=-1) > 128 for kind in (2, 3, 4)]
    assert (grey[0] != grey[1]).any() and (grey[1] != grey[2]).any() and (grey[0] != grey[2]).any()


def test_the_tick_points_where_the_agent_is_going():
    still = draw(*scene(), 0, 200).astype(int)
    for velocity, half in (
        ((1, 0), np.s_[:, 100:]),
        ((-1, 0), np.s_[:, :100]),
        ((0, 1), np.s_[:100]),
        ((0, -1), np.s_[100:]),
    ):
        moving = draw(*scene(velocity=velocity), 0, 200).astype(int)
        changed = np.abs(moving - still).sum(axis=-1) > 30
        assert changed[half].sum() > 0.95 * changed.sum() > 20


def test_what_is_beyond_the_picture_is_pointed_to():
    observation, layout = scene(agents=((5.0, 0.0, 0, 0),), objects=((0.0, 7.0, 2),))
    image = draw(observation, layout, 0, 200)
    agent, rock = pixels_of(image, TEAM_COLORS[0]), pixels_of(image, LOOKS["obstacle"].color)
    assert len(agent) > 10 and (agent[:, 1] > 0.9).all() and abs(agent[:, 0].mean() - 0.5) < 0.02
    assert len(rock) > 10 and (rock[:, 0] < 0.1).all()


def test_walls_labels_and_the_size_of_the_arena_are_seen():
    observation, layout = scene()
    plain = draw(observation, layout, 0, 200)
    assert (draw(observation, layout, 0, 200, walls=True) != plain).any()
    assert (draw(observation, layout, 0, 200, labels=["agent_0"]) != plain).any()
    assert len(pixels_of(draw(observation, layout, 0, 200, arena=2.0), TEAM_COLORS[0])) < 0.4 * len(
        pixels_of(plain, TEAM_COLORS[0])
    )


def test_absent_entities_are_not_drawn():
    observation, layout = scene(agents=((0.0, 0.0, 0, 0), (0.5, 0.5, 1, 1)), objects=((-0.5, 0.5, 2),))
    observation.present[0, 1:] = False
    image = draw(observation, layout, 0, 200)
    np.testing.assert_array_equal(image, draw(*scene(), 0, 200))


def test_a_game_without_places_cannot_be_drawn():
    observation, _ = scene()
    with pytest.raises(ValueError, match="only entities with x, y and radius"):
        draw(observation, Layout(KINDS, (), (), (), ()), 0)


@pytest.mark.parametrize("family", ["spread", "tag", "harvest"])
def test_every_family_can_be_drawn(family):
    game = make_vec(family, num_games=1, rules={"obstacles": 2})
    observation = game.reset().observation
    image = draw(observation, game.layout, 0, 200)
    agents = HUNTER_COLOR if family == "tag" else TEAM_COLORS[0]
    assert len(pixels_of(image, agents)) > 20 and len(pixels_of(image, LOOKS["obstacle"].color)) > 20


def played(rules, *joint_actions, **settings):
    """Return a picture of a payoff game after some rounds."""
    game = make_vec("payoff", num_games=1, rules=rules)
    observation = game.reset().observation
    for joint in joint_actions:
        observation = game.step(np.array([joint])).observation
    return draw(observation, game.layout, 0, 300, **settings)


def test_a_game_without_places_is_drawn_as_a_row_of_agents():
    start = played({"players": 2})
    assert start.shape == (300, 300, 3) and start.dtype == np.uint8
    columns = np.unique(np.round(pixels_of(start, TEAM_COLORS[0])[:, 1], 1))
    assert columns[0] < 0.4 and columns[-1] > 0.6 and not ((columns > 0.4) & (columns < 0.6)).any()
    three = played({"players": 3})
    assert len(pixels_of(three, TEAM_COLORS[0])) == pytest.approx(1.5 * len(pixels_of(start, TEAM_COLORS[0])), rel=0.05)
    assert (played({}, labels=["one", "two"]) != start).any()


def test_a_row_of_agents_shows_last_actions_and_rewards():
    start, nothing, paid = played({}), played({}, [1, 2]), played({}, [0, 0])
    for image, below in ((nothing, (0.52, 0.67)), (paid, (0.37, 0.37))):
        for side, row in zip((np.s_[:, :150], np.s_[:, 150:]), below, strict=True):
            filled = np.abs(image[side].astype(int) - start[side]).sum(axis=-1) > 60
            rows = filled[: int(0.76 * 300)].nonzero()[0] / 300  # above the rewards
            assert abs(rows.mean() - row) < 0.02
    green = [len(pixels_of(image, LOOKS["forest"].color)) for image in (start, nothing, paid)]
    assert green[0] == green[1] == 0 < green[2]


def test_a_table_shows_nothing_that_is_hidden():
    np.testing.assert_array_equal(played({"treasure_0": 2}, [1, 2]), played({"treasure_1": 1}, [1, 2]))
    np.testing.assert_array_equal(played({"actions": 2}), played({"actions": 2, "structure": "chicken"}))


def test_hidden_rules_are_not_seen_in_a_picture():
    pictures = []
    for payoff in ([1, 0, -1], [-1, 1, 0]):
        rules = {"payoff": payoff, "agents_needed": 2 if payoff[0] < 0 else 1, "control": 90 if payoff[0] < 0 else 0}
        game = make_vec("harvest", num_games=1, rules=rules, seed=3)
        pictures.append(draw(game.reset().observation, game.layout, 0, 200))
    np.testing.assert_array_equal(*pictures)


def board(rules, *actions, seed=0):
    """Return a picture of a board after some moves."""
    game = make_vec("connect", num_games=1, rules=rules, seed=seed)
    observation = game.reset().observation
    for action in actions:
        observation = game.step(np.full((1, 2), action)).observation
    return draw(observation, game.layout, 0, 300)


def test_a_board_shows_stones_where_they_lie_and_marks_the_last():
    image = board({}, 0, 0, 6)
    first, second = (pixels_of(image, color) for color in TEAM_COLORS[:2])
    left = first[first[:, 1] < 0.5].mean(axis=0)
    np.testing.assert_allclose(second.mean(axis=0) - left, (-0.9 / 7, 0), atol=0.01)  # on top of it
    last = first[first[:, 1] > 0.5]
    assert left[1] < 0.15 and last.mean(axis=0)[1] > 0.85 and left[0] > 0.8
    assert 0.5 < len(last) / len(first[first[:, 1] < 0.5]) < 0.97  # a white dot in its middle
    assert len(pixels_of(board({"blocked": 3}), LOOKS["obstacle"].color)) > 500
    assert not len(pixels_of(board({}), LOOKS["obstacle"].color))


def test_a_board_shows_nothing_that_is_hidden():
    for rules in ({"wrap": True}, {"misere": True}, {"diagonals": False}):
        np.testing.assert_array_equal(board({"told": False, **rules}, 1, 2), board({"told": False}, 1, 2))
