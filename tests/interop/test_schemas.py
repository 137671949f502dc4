"""Schemas: what they reconstruct is mpe2's true world, what they show an agent is what mpe2 shows it."""

import copy
from pathlib import Path

import numpy as np
import pytest
import yaml

from marl_meta.games import load_family, make_vec
from marl_meta.interop.schemas import SCHEMAS, load_schema
from marl_meta.interop.vector import PettingZooVector
from marl_meta.types import UserError

HERE = Path(__file__).parent
MPE = {
    "simple_spread": "mpe2.simple_spread_v3:parallel_env",
    "simple_tag": "mpe2.simple_tag_v3:parallel_env",
    "simple_adversary": "mpe2.simple_adversary_v3:parallel_env",
    "simple_world_comm": "mpe2.simple_world_comm_v3:parallel_env",
}
TEAM_SIZES = [
    ("simple_spread", {}),
    ("simple_spread", {"N": 1}),
    ("simple_spread", {"N": 12}),  # beyond the family's range
    ("simple_tag", {}),
    ("simple_tag", {"num_good": 3, "num_adversaries": 2, "num_obstacles": 0}),
    ("simple_tag", {"num_good": 1, "num_adversaries": 6, "num_obstacles": 4}),
    ("simple_adversary", {}),
    ("simple_adversary", {"N": 5}),
    ("simple_world_comm", {}),
    ("simple_world_comm", {"num_good": 3, "num_adversaries": 2, "num_obstacles": 2, "num_food": 1, "num_forests": 4}),
]


def world_of(game, b):
    return game._games[b]._environment.unwrapped.world


def played(name, kwargs, episodes=2):
    """Yield the batch and its observation, in every step of some episodes of random play."""
    game = PettingZooVector(MPE[name], kwargs, num_games=2, schema=name, seed=5)
    rng = np.random.default_rng(0)
    observation = game.reset().observation
    for _ in range(25 * episodes):
        yield game, observation
        mask = observation.action_mask
        observation = game.step((rng.random(mask.shape) * mask).argmax(axis=-1)).observation


@pytest.mark.parametrize(("name", "kwargs"), TEAM_SIZES)
def test_entities_are_the_true_world(name, kwargs):
    for game, seen in played(name, kwargs):
        for b in range(game.num_games):
            world = world_of(game, b)
            count = len(world.entities)
            truth = np.array([entity.state.p_pos for entity in world.entities])
            position = seen.entities[b, :, 0:2]
            assert seen.present[b].all() and len(position) == count
            if name == "simple_adversary":  # nobody is told where it is: the first landmark is the origin
                truth = truth - world.landmarks[0].state.p_pos
            np.testing.assert_allclose(position, truth, atol=1e-6)
            np.testing.assert_allclose(seen.entities[b, :, 4], [entity.size for entity in world.entities], atol=1e-7)
            shows = [
                not getattr(e, "adversary", True) and name in ("simple_tag", "simple_world_comm")
                for e in world.entities
            ]
            velocity = np.array([entity.state.p_vel * show for entity, show in zip(world.entities, shows, strict=True)])
            np.testing.assert_allclose(seen.entities[b, :, 2:4], velocity, atol=1e-6)


@pytest.mark.parametrize("name", ["simple_spread", "simple_tag", "simple_world_comm"])
def test_private_features_are_the_agents_own_place_and_velocity(name):
    for game, seen in played(name, {}):
        assert game.layout.private_features[:4] == ("x", "y", "vx", "vy")
        for b in range(game.num_games):
            truth = [[*agent.state.p_pos, *agent.state.p_vel] for agent in world_of(game, b).agents]
            np.testing.assert_allclose(seen.private[b, :, :4], truth, atol=1e-6)


def test_only_good_agents_know_the_goal_of_simple_adversary():
    for game, seen in played("simple_adversary", {"N": 3}):
        assert game.layout.private_features == ("goal_x", "goal_y")
        for b in range(game.num_games):
            agents = world_of(game, b).agents
            truth = [a.goal_a.state.p_pos - a.state.p_pos if not a.adversary else np.zeros(2) for a in agents]
            np.testing.assert_allclose(seen.private[b], truth, atol=1e-6)


def test_the_leaders_words_reach_the_adversaries_alone():
    spoken = set()
    for game, seen in played("simple_world_comm", {}):
        assert game.layout.private_features[4:] == ("said_0", "said_1", "said_2", "said_3")
        assert len(game.layout.actions) == 20 and game.layout.actions[5 * 2 + 1] == "left_say_2"
        for b in range(game.num_games):
            said = world_of(game, b).agents[0].state.c
            np.testing.assert_array_equal(seen.private[b, :4, 4:], np.tile(said, (4, 1)))
            assert not seen.private[b, 4:, 4:].any()
            spoken.add(tuple(said))
    assert len(spoken) == 5  # nothing at first, then four words


def test_forests_hide_who_is_in_them():
    kwargs = {"num_forests": 4, "num_good": 3}
    hidden = 0
    for game, seen in played("simple_world_comm", kwargs, episodes=3):
        assert game.layout.kinds == ("leader", "adversary", "prey", "obstacle", "food", "forest")
        assert [team.name for team in game.layout.teams] == ["adversary", "prey"]
        for b in range(game.num_games):
            world = world_of(game, b)
            inside = [{i for i, f in enumerate(world.forests) if touches(agent, f)} for agent in world.agents]
            for i, agent in enumerate(world.agents):
                for j in range(len(world.agents)):
                    together = bool(inside[i] & inside[j]) or not (inside[i] or inside[j])
                    assert seen.sees[b, i, j] == (i == j or agent.leader or together)
                    hidden += not seen.sees[b, i, j]
            assert seen.sees[b, :, len(world.agents) :].all()
    assert hidden > 50


def touches(one, other):
    return np.linalg.norm(one.state.p_pos - other.state.p_pos) < one.size + other.size


@pytest.mark.parametrize("name", ["simple_spread", "simple_tag"])
def test_the_nearest_are_told_apart(name):
    kwargs = {"num_agent_neighbors": 1, "num_landmark_neighbors": 2, "max_cycles": 25}
    kwargs |= {"N": 4} if name == "simple_spread" else {"num_obstacles": 3, "num_good": 2}
    unseen = 0
    for game, seen in played(name, kwargs, episodes=3):
        for b in range(game.num_games):
            world = world_of(game, b)
            agents = np.array([agent.state.p_pos for agent in world.agents])
            landmarks = np.array([landmark.state.p_pos for landmark in world.landmarks])
            np.testing.assert_allclose(seen.entities[b, : len(agents), :2], agents, atol=1e-6)
            shown = seen.entities[b, len(agents) :, :2]
            known = seen.present[b, len(agents) :]
            order = [int(np.argmin(np.linalg.norm(landmarks - place, axis=1))) for place in shown]
            np.testing.assert_allclose(shown[known], landmarks[order][known], atol=1e-6)
            assert len({order[j] for j in np.flatnonzero(known)}) == known.sum()
            unseen += (~known).sum()
            for i in range(len(agents)):
                others = np.linalg.norm(agents - agents[i], axis=1)
                others[i] = np.inf
                expected = {i, int(np.argmin(others))}
                assert set(np.flatnonzero(seen.sees[b, i, : len(agents)]).tolist()) == expected
                nearest = set(np.argsort(np.linalg.norm(landmarks - agents[i], axis=1))[:2].tolist())
                assert {order[j] for j in np.flatnonzero(seen.sees[b, i, len(agents) :])} == nearest
    assert unseen > 0 or name == "simple_tag"


@pytest.mark.parametrize(
    ("name", "kwargs", "family", "rules"),
    [
        ("simple_spread", {"N": 4, "local_ratio": 0.25}, "spread", {"agents": 4, "local_ratio": 0.25}),
        ("simple_tag", {"num_good": 2, "max_cycles": 50}, "tag", {"prey": 2, "episode_length": 50}),
        ("simple_tag", {"num_agent_neighbors": 2}, "tag", {"nearest_agents": 2}),
    ],
)
def test_mpe2_is_a_variant_of_our_family(name, kwargs, family, rules):
    theirs = PettingZooVector(MPE[name], kwargs, num_games=2, schema=name)
    ours = make_vec(family, num_games=2, rules=rules)
    assert theirs.layout == ours.layout
    assert theirs.rules == ours.rules and theirs.variant_ids == ours.variant_ids
    assert theirs.agent_names == ours.agent_names
    np.testing.assert_array_equal(theirs.agent_team, ours.agent_team)
    np.testing.assert_array_equal(theirs.hidden_rules, ours.hidden_rules)
    left, right = theirs.reset().observation, ours.reset().observation
    for field in ("kind", "team", "rules", "acting", "action_mask"):
        np.testing.assert_array_equal(getattr(left, field), getattr(right, field), err_msg=field)
    assert left.entities.shape == right.entities.shape and left.private.shape == right.private.shape
    assert (left.sees is None) == (right.sees is None)
    np.testing.assert_array_equal(left.entities[:, :, 4], right.entities[:, :, 4])


def test_numbers_beyond_the_familys_ranges_are_told_as_the_nearest_within():
    game = PettingZooVector(MPE["simple_spread"], {"N": 12}, num_games=1, schema="simple_spread")
    family = load_family("spread")
    assert game.rules[0]["agents"] == 12
    np.testing.assert_array_equal(
        game.reset().observation.rules[0], family.encode(family.complete({"agents": 10}), hidden=False)
    )


HIDDEN = {
    "arguments": {"towers": 1},
    "origin": "tower",
    "entities": {
        "walker": {"agents": "walker_*", "radius": 0.1},
        "watcher": {"agents": "watcher_*", "radius": 0.2, "team": "watchers"},
        "tower": {"count": "towers", "radius": 0.5},
    },
    "observation": {
        "walker": [{"relative_position": ["tower"]}],
        "watcher": [
            {"relative_position": ["tower"]},
            {"relative_position": ["walker"], "hidden": "zeros"},
            {"velocity": ["walker"]},
        ],
    },
}


def tower_game(tmp_path, schema):
    path = tmp_path / "hidden.yaml"
    path.write_text(yaml.safe_dump(schema, sort_keys=False))
    return PettingZooVector("tiny_games.py:Hidden", {"towers": 2}, schema=str(path), folder=HERE)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("simple_spread", {"N": 1, "num_agent_neighbors": 2}),
        ("simple_tag", {"num_obstacles": 0, "num_landmark_neighbors": 1}),
    ],
)
def test_the_nearest_of_none_are_none(name, kwargs):
    for game, seen in played(name, kwargs, episodes=1):
        assert seen.present.all()
        assert seen.sees is None or seen.sees.all()
        np.testing.assert_allclose(
            seen.entities[0, :, :2], [entity.state.p_pos for entity in world_of(game, 0).entities], atol=1e-6
        )


def test_a_users_own_schema_with_an_origin_and_hiding(tmp_path):
    game = tower_game(tmp_path, HIDDEN)
    seen = game.reset().observation
    assert game.layout.entity_features == ("x", "y", "vx", "vy", "radius") and game.layout.private_features == ()
    for step in range(4):
        inner = game._games[0]._environment
        truth = np.concatenate([[inner.walker], [inner.watcher], inner.tower[:2]]) - inner.tower[0]
        np.testing.assert_allclose(seen.entities[0, :, :2], truth, atol=1e-6)
        shown = step % 2 == 0
        np.testing.assert_allclose(seen.entities[0, 0, 2:4], [0.5, 0.25] if shown else [0, 0])
        assert seen.sees[0].tolist() == [[True, False, True, True], [shown, True, True, True]]
        seen = game.step(np.zeros((1, 2), int)).observation


def changed(path, value):
    data = copy.deepcopy(HIDDEN)
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("entities",), None, "hidden.yaml: entities is missing; required are entities, observation"),
        (("entitys",), {}, "entitys is not a known key"),
        (("entities", "walker", "radius"), -1, "entities.walker.radius must be a number that is not negative, not -1"),
        (("entities", "walker", "count"), 3, "entities.walker must be a table with either 'agents'.* or 'count'"),
        (
            ("entities", "tower", "count"),
            "spires",
            "entities.tower.count must be an integer of at least 0, not 'spires'",
        ),
        (("entities", "zebra"), {"agents": "zebra_*", "radius": 1}, "agents before objects"),
        (
            ("entities", "watcher", "agents"),
            "spy_*",
            "no group for agent 'watcher_0'; its patterns are walker_.*, spy_",
        ),
        (("observation", "tower"), [], "observation.tower is no group of agents; allowed are .*walker, watcher"),
        (("observation", "watcher"), None, "observation says nothing of 'watcher', and has no"),
        (("observation", "walker"), [], r"observation.walker must be a list of blocks, not \[\]"),
        (
            ("observation", "walker", 0),
            "own_place",
            r"observation.walker\[0\] must be own_position, own_velocity, or a table",
        ),
        (("observation", "walker", 0, "hidden"), "ones", r"hidden must be one of zeros, not 'ones'"),
        (("observation", "walker", 0, "nearest"), "many", r"nearest must be one of towers, not 'many'"),
        (("observation", "walker", 0, "nearest"), "towers", "a block with nearest needs own_position"),
        (
            ("observation", "walker", 0, "relative_position"),
            ["spire"],
            "must be one of walker, watcher, tower, not 'spire'",
        ),
        (("observation", "walker", 0), {"ignore": 0}, r"ignore must be an integer of at least 1, not 0"),
        (("observation", "walker", 0), {"ignore": 3}, "describes 3 numbers for agent 'walker_0' .* has 4"),
        (("origin",), None, "no agent is told a position, so 'origin' must name a group"),
        (("origin",), "walker", "origin must be one of tower, not 'walker'"),
        (("arguments",), [1], "arguments must be a mapping"),
        (("rules",), {"agents": "spires"}, "rules.agents must be one of towers, not 'spires'"),
        (("requires",), {"towers": 1}, "describes the game only with towers=1, not 2"),
        (
            ("family",),
            "spread",
            "does not fit family 'spread': its private features are none, the family's x, y, vx, vy",
        ),
        (("family",), "nowhere", "There is no family 'nowhere'"),
    ],
)
def test_a_wrong_schema_is_refused_in_one_sentence(tmp_path, path, value, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        tower_game(tmp_path, changed(path, value))
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_an_origin_that_nobody_sees_is_refused(tmp_path):
    data = changed(("observation", "walker", 0), {"ignore": 4})
    data["observation"]["watcher"] = [{"ignore": 8}]
    with pytest.raises(UserError, match="no agent observes 'tower', the origin"):
        tower_game(tmp_path, data)


def test_every_schema_of_ours_is_read():
    for name in SCHEMAS:
        assert load_schema(name).name == name
    assert load_schema(HIDDEN).origin == "tower"


@pytest.mark.parametrize(
    ("name", "kwargs", "family", "rules"),
    [
        ("simple_spread", {"N": 4}, "spread", {"agents": 4}),
        ("simple_spread", {"num_agent_neighbors": 1}, "spread", {"nearest_agents": 1}),
        ("simple_tag", {"num_good": 2}, "tag", {"prey": 2}),
        ("simple_tag", {"num_agent_neighbors": 2}, "tag", {"nearest_agents": 2}),
    ],
)
def test_mpe2_looks_and_pays_as_our_own_game_does(name, kwargs, family, rules):
    theirs = PettingZooVector(MPE[name], kwargs, num_games=2, schema=name, seed=4)
    ours = make_vec(family, num_games=2, rules=rules)
    theirs.reset()
    ours.reset()
    snapshot = ours.snapshot()
    for b in range(2):
        world = world_of(theirs, b)
        snapshot["positions"][b] = [entity.state.p_pos for entity in world.entities]
        snapshot["velocities"][b] = [entity.state.p_vel for entity in world.entities]
    ours.restore(snapshot)
    rng = np.random.default_rng(3)
    for time in range(25):
        actions = rng.integers(5, size=(2, ours.num_agents))
        left, right = theirs.step(actions), ours.step(actions)
        seen, shown = (left.observation, right.observation) if time < 24 else (left.final, right.final)
        np.testing.assert_allclose(seen.entities, shown.entities, atol=1e-5)
        np.testing.assert_allclose(seen.private, shown.private, atol=1e-5)
        np.testing.assert_array_equal(seen.present, shown.present)
        np.testing.assert_array_equal(seen.acting, shown.acting)
        assert (seen.sees is None) == (shown.sees is None)
        if seen.sees is not None:
            np.testing.assert_array_equal(seen.sees, shown.sees)
        np.testing.assert_allclose(left.reward, right.reward, atol=1e-4)
        for field in ("terminated", "truncated", "game_over", "trial_over"):
            np.testing.assert_array_equal(getattr(left, field), getattr(right, field), err_msg=field)
    assert left.game_over.all()
