"""The relation graph beside a slow and obvious way of writing it down."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from marl_meta.nets.features import RELATION, RELATIVE, Graph, GraphFeatures
from marl_meta.types import BoundRule, Layout, Observation, TeamLayout

MakeScene = Callable[..., Observation]
RULES = ("worth", "damping")
AGENTS = np.arange(5)


def is_seen(observation: Observation, b: int, i: int, j: int) -> bool:
    if not (observation.present[b, i] and observation.present[b, j]):
        return False
    return i == j or observation.sees is None or bool(observation.sees[b, i, j])


def slow_node(layout: Layout, observation: Observation, b: int, j: int) -> dict[str, float]:
    kind = layout.kinds[observation.kind[b, j]]
    node = {"one": 1.0, **{name: float(name == kind) for name in layout.kinds}}
    node["radius"] = float(observation.entities[b, j, 4])
    node |= dict.fromkeys(RULES, 0.0)
    for column, bound in enumerate(layout.visible_rules):
        if kind in bound.kinds:
            node[bound.feature] = float(observation.rules[b, column])
    return node


def slow_relation(observation: Observation, b: int, i: int, j: int) -> dict[str, float]:
    """How i sees j, as the module's docstring says it."""
    x, y, vx, vy, radius = range(5)
    body, team, kind = observation.entities[b].astype(float), observation.team[b], observation.kind[b]
    others = [o for o in range(len(body)) if o not in (i, j) and is_seen(observation, b, i, o)]
    agents = [o for o in others if team[o] >= 0]

    def apart(one: int, other: int) -> float:
        return math.hypot(body[one, x] - body[other, x], body[one, y] - body[other, y])

    distance = apart(i, j)

    def margin(rivals: list[int]) -> float:
        """By how much i is nearer to j than the nearest rival, from -1 to 1; 1 without a rival."""
        return min(max(min(apart(o, j) for o in rivals) - distance, -1.0), 1.0) if rivals else 1.0

    teammates = [o for o in agents if team[o] == team[i]]
    dx, dy = body[j, x] - body[i, x], body[j, y] - body[i, y]
    gap = distance - body[i, radius] - body[j, radius]
    return {
        "dx": dx,
        "dy": dy,
        "dvx": body[j, vx] - body[i, vx],
        "dvy": body[j, vy] - body[i, vy],
        "distance": distance,
        "direction_x": dx / distance if distance else 0.0,
        "direction_y": dy / distance if distance else 0.0,
        "nearness": 0.2 / (0.2 + distance),
        "contact": min(max(1.0 - gap / 0.2, 0.0), 2.0) if i != j else 0.0,
        "margin_over_teammates": margin(teammates),
        "margin_over_opponents": margin([o for o in agents if team[o] != team[i]]),
        "rank_in_team": 1.0 / (1 + sum(apart(o, j) < distance for o in teammates)),
        "rank_in_kind": 1.0 / (1 + sum(apart(i, o) < distance for o in others if kind[o] == kind[j])),
        "self": float(i == j),
        "teammate": float(i != j and team[i] == team[j]),
        "opponent": float(team[j] >= 0 and team[i] != team[j]),
        "object": float(team[j] < 0),
    }


def slow_graph(layout: Layout, observation: Observation) -> Graph:
    games, entities = observation.present.shape
    features = GraphFeatures(layout, RULES)
    out = features.allocate((games, len(AGENTS)), entities)
    for array in (out.own, out.edges, out.mask):
        array[:] = 0
    for b in range(games):
        for i in range(len(AGENTS)):
            if observation.present[b, i]:
                node = [*slow_node(layout, observation, b, i).values(), *observation.private[b, i]]
                out.own[b, i] = node
            for j in range(entities):
                if is_seen(observation, b, i, j):
                    out.mask[b, i, j] = True
                    relation = slow_relation(observation, b, i, j)
                    out.edges[b, i, j] = [*slow_node(layout, observation, b, j).values(), *relation.values()]
    return out


@pytest.mark.parametrize("absent", [0.0, 0.4])
@pytest.mark.parametrize("fog", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_equals_slow_reference(layout: Layout, make_scene: MakeScene, seed: int, fog: bool, absent: float) -> None:
    observation = make_scene(seed=seed, games=4, fog=fog, absent=absent)
    found, expected = GraphFeatures(layout, RULES)(observation, AGENTS), slow_graph(layout, observation)
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_allclose(found.edges, expected.edges, atol=2e-6)
    np.testing.assert_allclose(found.own, expected.own, atol=1e-6)


def test_names_say_what_the_columns_are(layout: Layout) -> None:
    features = GraphFeatures(layout, RULES)
    assert features.node_names == ("one", *layout.kinds, "radius", *RULES)
    assert features.edge_names == (*RELATIVE, *RELATION)
    assert features.width == features.node_width + len(features.edge_names)


def test_some_agents_get_the_rows_that_they_get_among_all(layout: Layout, make_scene: MakeScene) -> None:
    observation = make_scene(fog=True, absent=0.2)
    features = GraphFeatures(layout, RULES)
    everyone, some = features(observation, AGENTS), features(observation, np.array([4, 1]))
    for one, other in ((some.own, everyone.own), (some.edges, everyone.edges), (some.mask, everyone.mask)):
        np.testing.assert_array_equal(one, other[:, [4, 1]])


def test_no_absolute_position(layout: Layout, make_scene: MakeScene) -> None:
    observation = make_scene()
    features = GraphFeatures(layout, RULES)
    moved = observation.entities.copy()
    moved[..., :2] += [2.5, -1.25]  # exact: all positions are multiples of 1/64
    before, after = features(observation, AGENTS), features(replace(observation, entities=moved), AGENTS)
    np.testing.assert_array_equal(before.edges, after.edges)
    np.testing.assert_array_equal(before.own, after.own)


def test_an_array_that_is_reused_keeps_nothing_old(layout: Layout, make_scene: MakeScene) -> None:
    features, observation = GraphFeatures(layout, RULES), make_scene(seed=1, fog=True, absent=0.5)
    used = features(make_scene(seed=0), AGENTS)
    features(observation, AGENTS, used)
    expected = slow_graph(layout, observation)
    np.testing.assert_allclose(used.edges, expected.edges, atol=2e-6)
    np.testing.assert_allclose(used.own, expected.own, atol=1e-6)


def test_private_features_of_others_are_on_nodes_only_where_asked(layout: Layout, make_scene: MakeScene) -> None:
    observation = make_scene()
    others = observation.private.copy()
    others[:, 1:] += 1.0
    changed = replace(observation, private=others)
    plain, privileged = GraphFeatures(layout, RULES), GraphFeatures(layout, RULES, privileged=True)
    np.testing.assert_array_equal(plain(observation, AGENTS).edges, plain(changed, AGENTS).edges)
    np.testing.assert_array_equal(plain(observation, AGENTS).own[:, 0], plain(changed, AGENTS).own[:, 0])
    width = plain.node_width
    assert privileged.node_names[width:] == ("private_x", "private_y", "private_vx", "private_vy")
    edges = privileged(changed, AGENTS).edges
    np.testing.assert_array_equal(edges[:, 0, :5, width : width + 4], others)
    assert (edges[:, :, 5:, width : width + 4] == 0).all()  # objects have none


def test_everything_is_seen_where_asked(layout: Layout, make_scene: MakeScene) -> None:
    observation = make_scene(fog=True, absent=0.2)
    features = GraphFeatures(layout, RULES)
    found = features(observation, AGENTS, everything=True)
    expected = features(replace(observation, sees=None), AGENTS)
    np.testing.assert_array_equal(found.edges, expected.edges)
    np.testing.assert_array_equal(found.mask, expected.mask)


def test_kinds_that_the_game_lacks_leave_room(layout: Layout, make_scene: MakeScene) -> None:
    known = ("mine", "coin", "hunter", "rock", "prey")
    observation = make_scene()
    features, plain = GraphFeatures(layout, RULES, known), GraphFeatures(layout, RULES)
    own, expected = features(observation, AGENTS).own, plain(observation, AGENTS).own
    assert features.node_names[1:6] == known
    assert (own[..., 1] == 0).all()
    for name in layout.kinds:
        column = features.node_names.index(name)
        np.testing.assert_array_equal(own[..., column], expected[..., plain.node_names.index(name)])


def views_of(layout: Layout, observation: Observation, agents: list[int]) -> Graph:
    features = GraphFeatures(layout, RULES)
    games, entities = observation.present.shape
    views = games if observation.sees is None else games * len(agents)
    return features.views(observation, np.array(agents), features.allocate((views, 5), entities))


def test_views_where_all_is_seen_are_the_one_that_all_share(layout: Layout, make_scene: MakeScene) -> None:
    observation = make_scene(absent=0.2)
    shared = views_of(layout, observation, [0, 2, 3])
    own = views_of(layout, replace(observation, sees=np.ones((3, 5, 10), np.bool_)), [0, 2, 3])
    for one, other in ((own.own, shared.own), (own.edges, shared.edges), (own.mask, shared.mask)):
        per_agent = np.repeat(other, 3, axis=0).reshape(one.shape)
        there = observation.present[:, [0, 2, 3]].reshape(-1)  # who is absent sees as if nobody could
        np.testing.assert_array_equal(one[there], per_agent[there])


def test_a_view_holds_only_what_its_viewer_sees(layout: Layout, make_scene: MakeScene) -> None:
    observation = make_scene(fog=True)
    views = views_of(layout, observation, [1, 4])
    assert observation.sees is not None
    for b in range(3):
        for row, viewer in enumerate((1, 4)):
            seen = observation.sees[b, viewer].copy()
            seen[viewer] = True
            mask = views.mask[2 * b + row]
            np.testing.assert_array_equal(mask, seen[:5, None] & seen[None])
            assert (views.edges[2 * b + row][~mask] == 0).all()
            assert (views.own[2 * b + row][~seen[:5]][:, :8] == 0).all()


def test_a_game_without_positions() -> None:
    layout = Layout(
        kinds=("player",),
        teams=(TeamLayout("a", "player"), TeamLayout("b", "player")),
        entity_features=("score", "x"),
        private_features=("hand",),
        actions=("fold", "raise"),
        visible_rules=(BoundRule("limit", "limit", ("player",)),),
    )
    observation = Observation(
        entities=np.array([[[3.0, 0.5], [4.0, 0.25], [5.0, 0.0]]], np.float32),
        kind=np.zeros((1, 3), np.int8),
        team=np.array([[0, 0, 1]], np.int8),
        present=np.ones((1, 3), np.bool_),
        private=np.array([[[7.0], [8.0], [9.0]]], np.float32),
        sees=None,
        acting=np.ones((1, 3), np.bool_),
        action_mask=np.ones((1, 3, 2), np.bool_),
        rules=np.array([[-0.5]], np.float32),
    )
    features = GraphFeatures(layout, ("limit",))
    graph = features(observation, np.array([1]))
    assert features.node_names == ("one", "player", "score", "x", "limit")  # x alone is no geometry
    assert features.edge_names == RELATION
    np.testing.assert_array_equal(graph.own[0, 0], [1, 1, 4, 0.25, -0.5, 8])
    np.testing.assert_array_equal(
        graph.edges[0, 0],
        [[1, 1, 3, 0.5, -0.5, 0, 1, 0, 0], [1, 1, 4, 0.25, -0.5, 1, 0, 0, 0], [1, 1, 5, 0, -0.5, 0, 0, 1, 0]],
    )
