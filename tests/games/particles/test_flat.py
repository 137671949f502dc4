"""Flat observations beyond mpe2's own: limited sight, empty slots (mpe2's own are in test_mpe2.py)."""

from __future__ import annotations

import numpy as np

from marl_meta.games import make_vec
from marl_meta.games.particles.flat import flat_observation


def test_what_is_not_seen_leaves_zeros():
    rules = {"agents": 3, "landmarks": 2, "obstacles": 1, "vision_radius": 0.6}
    game = make_vec("spread", num_games=30, rules=rules, seed=1)
    observation = game.reset().observation
    hidden = 0
    for b in range(30):
        for agent in range(3):
            flat = flat_observation(observation, b, agent)
            assert flat.dtype == np.float32 and flat.shape == (4 + 2 * 3 + 2 * 2 + 2 * 2,)
            places = flat[4:14].reshape(5, 2)
            slots = [3, 4, 5, *(i for i in range(3) if i != agent)]
            relative = observation.entities[b, slots, :2] - observation.private[b, agent, :2]
            seen = np.linalg.norm(relative, axis=-1) <= 0.6
            np.testing.assert_array_equal(places, np.where(seen[:, None], relative, 0))
            hidden += (~seen).sum()
    assert 30 < hidden < 400


def test_absent_entities_leave_zeros():
    game = make_vec(
        "tag", num_games=2, rules=[{"adversaries": 2, "prey": 2, "obstacles": 1}, {"adversaries": 3}], seed=1
    )
    observation = game.reset().observation
    flat = flat_observation(observation, 0, 0)
    # own 4, obstacles 2 x 2, others (adversaries 1 and 2, prey 0 and 1) 4 x 2, the prey's velocities 2 x 2
    assert flat.shape == (20,)
    assert not flat[6:8].any() and not flat[10:12].any() and flat[8:10].all() and flat[12:16].all()


def test_gatherers_show_their_velocities():
    game = make_vec("harvest", num_games=1, rules={"gatherers": 2, "teams": 2, "objects_per_kind": 1}, seed=1)
    game.reset()
    observation = game.step(np.array([[1, 2, 3, 4]])).observation
    flat = flat_observation(observation, 0, 1)
    assert flat.shape == (4 + 3 * 2 + 3 * 2 + 3 * 2,)
    np.testing.assert_array_equal(flat[-6:].reshape(3, 2), observation.entities[0, [0, 2, 3], 2:4])
    np.testing.assert_array_equal(flat[:2], observation.private[0, 1, 2:])
