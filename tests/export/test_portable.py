"""The policy as one pure function of tensors gives what the engine's players give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from marl_meta.export.portable import FIRST, LAST, MID, Portable, Told

from .tables import FULL, GRADIENT_TRIALS, NETWORKS, TRIALS, Table, network_team


def told_of(portable, table, observation, phase, action, reward):
    """What the team's agents are told, from the engine's own observation."""
    slots, rows = table.slots, len(table.slots)
    kinds = np.array([portable.kinds.index(kind) for kind in table.game.layout.kinds], np.int64)

    def repeated(values):
        return torch.from_numpy(np.repeat(values[:1], rows, 0))

    seen = observation.present if observation.sees is None else observation.sees[0, slots]
    return Told(
        entities=repeated(observation.entities),
        kind=repeated(kinds[observation.kind]),
        team=repeated(observation.team.astype(np.int64)),
        seen=repeated(seen) if observation.sees is None else torch.from_numpy(seen),
        me=torch.from_numpy(slots),
        rules=repeated(observation.rules),
        private=torch.from_numpy(observation.private[0, slots]),
        legal=torch.from_numpy(observation.action_mask[0, slots]),
        phase=torch.full((rows,), phase),
        action=torch.tensor(action),
        reward=torch.tensor(reward),
    )


def compare(run, portable, table, episodes):
    """Play, and assert that actions, beliefs and memory are those of the engine's player."""
    memory = portable.start(len(table.slots), table.game.num_entities)
    phase, action, reward = FIRST, [0] * len(table.slots), [0.0] * len(table.slots)
    for played in table.play(episodes):
        state = table.controller.snapshot()
        logits, known, memory = run(told_of(portable, table, played.observation, phase, action, reward), memory)
        assert logits.argmax(-1).tolist() == list(played.actions.values())
        if "evidence" in state:
            np.testing.assert_allclose(memory.evidence.numpy(), state["evidence"], atol=2e-3, rtol=1e-3)
            believed = table.controller.knowledge()
            if believed is not None:
                np.testing.assert_allclose(known.numpy(), believed[0], atol=1e-4)
        np.testing.assert_allclose(memory.state.numpy(), state["state"].reshape(memory.state.shape), atol=1e-4)
        action, reward, phase = list(played.actions.values()), list(table.rewards(played.step).values()), MID
        if played.over:
            last = told_of(portable, table, played.step.final, LAST, action, reward)
            _, _, memory = run(last, memory)
            phase = FIRST


@pytest.mark.parametrize("name", TRIALS)
def test_it_is_the_player_of_the_engine(name):
    table = Table(name, *TRIALS[name])
    portable = Portable(table.team, table.game.layout.teams[table.seen.sight.teams.index(table.side)]).eval()
    with torch.no_grad():
        compare(portable, portable, table, 3)


@pytest.mark.parametrize("name", GRADIENT_TRIALS)
def test_of_a_team_that_adapts_by_gradients_it_is_how_that_begins(name):
    table = Table(name, *GRADIENT_TRIALS[name])
    portable = Portable(table.team, table.game.layout.teams[0]).eval()
    with torch.no_grad():
        compare(portable, portable, table, 1)


def test_it_is_a_pure_function():
    table = Table("zoo:payoffs-episodic", *TRIALS["zoo:payoffs-episodic"])
    portable = Portable(table.team, table.game.layout.teams[0]).eval()
    memory = portable.start(3, table.game.num_entities)
    before = [part.clone() for part in memory]
    told = told_of(portable, table, table._first, MID, [1, 2, 3], [1.0, 0.0, -1.0])
    with torch.no_grad():
        first, second = portable(told, memory), portable(told, memory)
    assert all(torch.equal(one, other) for one, other in zip(before, memory, strict=True))
    assert torch.equal(first[0], second[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_whatever_the_network_it_is_the_player_of_the_engine(name):
    """Beliefs and memory included, where entities have places, and where agents embed each other first."""
    for team, rules, side in (
        (network_team(name), FULL, "rival"),
        (network_team(name, infers=False), {**FULL, "gatherers": 1, "vision_radius": 0.8}, None),
    ):
        table = Table(team, "harvest", rules, side)
        portable = Portable(table.team, table.game.layout.teams[table.seen.sight.teams.index(table.side)]).eval()
        with torch.no_grad():
            compare(portable, portable, table, 2)


def test_what_a_flat_encoder_has_no_place_for_is_not_seen():
    table = Table(network_team("flat"), "harvest", FULL, None)
    portable = Portable(table.team, table.game.layout.teams[0]).eval()
    told = told_of(portable, table, table._first, FIRST, [0, 0], [0.0, 0.0])
    crowd = [getattr(told, name) for name in ("entities", "kind", "team", "seen")]
    more = told._replace(
        **{
            name: torch.cat([one, one[:, -1:]], 1)
            for name, one in zip(("entities", "kind", "team", "seen"), crowd, strict=True)
        }
    )
    with torch.no_grad():
        memory, room = (portable.start(2, count) for count in (len(told.kind[0]), len(told.kind[0]) + 1))
        assert torch.equal(portable(told, memory)[0], portable(more, room)[0])
