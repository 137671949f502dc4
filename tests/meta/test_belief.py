"""Beliefs while playing and in training are the same; they are learnt; they know nothing that was not told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from marl_meta.games import load_family, make_vec
from marl_meta.meta.belief import BeliefSettings, improve_belief, remembered
from marl_meta.nets.inputs import BeliefDesign, PolicyDesign, PolicyInputs
from marl_meta.nets.outcomes import latent_rules
from marl_meta.rl.sharding import Workers
from marl_meta.rollout import Collector, Seat
from marl_meta.types import VectorGame

DESIGN = PolicyDesign(hidden=16, heads=2, recurrent=False, belief=BeliefDesign(hidden=32, memory=16))


def harvest(games: int = 6, episodes: int = 2, first: int = 0) -> VectorGame:
    return make_vec("harvest", num_games=games, split="train", seed=5, episodes_per_trial=episodes, first_game=first)


def collector(game: VectorGame, horizon: int, reveal: float = 0.0, seed: int = 0) -> Collector:
    design = replace(DESIGN, kinds=game.layout.kinds, unknowns=game.layout.hidden_rules)
    inputs = PolicyInputs(game.layout, design)
    torch.manual_seed(seed)
    policy, belief = inputs.build_policy(), inputs.build_belief()
    assert belief is not None
    with torch.no_grad():
        for parameter in belief.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    seat = Seat(policy, inputs, game, np.arange(game.num_agents), horizon, shared_view=True, belief=belief)
    seat.reveal = reveal
    return Collector(game, {"all": seat}, {}, torch.Generator().manual_seed(seed), trials=True)


def test_training_remembers_what_the_players_remembered() -> None:
    made = collector(harvest(), horizon=30)
    seat = made.seats["all"]
    for _ in range(3):  # 90 steps: trials of 50 end within a horizon
        before = seat.mind.evidence.clone()
        experience = made.collect(30)[0]["all"]
        share = experience.testimony
        assert share is not None and seat.mind.belief is not None
        torch.testing.assert_close(share.evidence, before)
        games = np.array([4, 1])
        memory, rows = remembered(seat.mind.belief, share, games)
        assert rows.tolist() == [4 * 4 + n for n in range(4)] + [4 + n for n in range(4)]
        # What the nodes carried in play, one column of it: how unsure the agents were of the control map.
        known = seat.mind.belief(memory).knowledge
        spec = seat.inputs.knowledge
        assert spec is not None
        block = next(block for block in spec.blocks if block.feature == "control")
        column = seat.inputs.features.first_known + spec.node_names.index("control?")
        played = torch.from_numpy(seat.storage.graph.own[..., column][:, games]).flatten(1)
        acting = share.weight[:, rows].bool()
        torch.testing.assert_close(known[..., block.start + block.size][acting], played[acting], atol=1e-5, rtol=1e-5)


def test_a_memory_ends_with_its_trial() -> None:
    made = collector(harvest(), horizon=50)
    made.collect(50)
    mind = made.seats["all"].mind
    assert (mind.evidence == 0).all()
    made.collect(25)
    assert (mind.evidence != 0).any()


def test_who_is_not_told_plays_alike_whatever_the_rules() -> None:
    made = collector(harvest(), horizon=20)
    mind = made.seats["all"].mind
    made.collect(20)
    hidden = made.game.hidden_rules
    others = np.roll(hidden, 1, axis=0)
    assert not np.array_equal(hidden, others)
    alike, anyway = mind.knowledge(hidden), mind.knowledge(others)
    assert alike is not None and anyway is not None
    np.testing.assert_array_equal(alike, anyway)


def test_the_first_games_are_told() -> None:
    made = collector(harvest(games=4), horizon=45, reveal=0.5)
    seat = made.seats["all"]
    assert seat.mind.told.tolist() == [True, True, False, False]
    hidden = made.game.hidden_rules
    known = seat.mind.knowledge(hidden)
    spec = seat.inputs.knowledge
    assert known is not None and spec is not None
    np.testing.assert_array_equal(known[:2], np.repeat(spec.truth(hidden[:2])[:, None], 4, axis=1))
    assert (known[2:] != np.repeat(spec.truth(hidden[2:])[:, None], 4, axis=1)).any()
    seat.reveal = 0.0
    made.collect(5)
    assert seat.mind.told.tolist() == [True, True, False, False]  # not in the middle of a trial
    made.collect(45)
    assert not seat.mind.told.any()


def test_what_a_step_tells_is_paid() -> None:
    plain, curious = collector(harvest(), horizon=60), collector(harvest(), horizon=60)
    curious.seats["all"].curiosity = 2.0
    one, other = plain.collect(60)[0]["all"], curious.collect(60)[0]["all"]
    assert torch.equal(one.action, other.action)
    paid = (other.reward - one.reward).view(60, 6, 4)
    seat = curious.seats["all"]
    spec, belief, share = seat.inputs.knowledge, seat.mind.belief, other.testimony
    assert spec is not None and belief is not None and share is not None
    memory, _ = remembered(belief, share, np.arange(6))
    doubt = torch.from_numpy(spec.doubt(belief(memory).knowledge.detach().numpy())).view(60, 6, 4)
    torch.testing.assert_close(paid[:49], 2.0 * (doubt[:49] - doubt[1:50]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(paid[50:59], 2.0 * (doubt[50:59] - doubt[51:]), atol=1e-5, rtol=1e-5)
    assert paid.abs().max() > 0.01 and paid[49].abs().max() < 1.0  # the end of a trial makes nobody unsure again


def test_beliefs_are_learnt_and_shares_of_games_change_nothing() -> None:
    torch.manual_seed(0)
    losses = []
    for parts in (1, 2):
        games = [harvest(32 // parts, 1, first=index * 32 // parts) for index in range(parts)]
        made = [collector(game, horizon=25) for game in games]
        belief = made[0].seats["all"].mind.belief
        assert belief is not None
        for one in made:
            one.seats["all"].mind.belief = belief
        optimiser = torch.optim.Adam(belief.parameters(), lr=3e-3)
        workers, order = Workers(parts), np.random.default_rng(0)
        found = []
        for _ in range(30):
            shares = [one.collect(25)[0]["all"].testimony for one in made]
            testimonies = [share for share in shares if share is not None]
            found.append(improve_belief(belief, optimiser, testimonies, BeliefSettings(2, 2), order, workers))
        workers.close()
        losses.append(found)
    for found in losses:
        # Nobody knows anything at first: log 6, log 2, log 4 and log 2 nats on average.
        ignorance = (np.log(6) + np.log(2) + np.log(4) + np.log(2)) / 4
        assert abs(found[-1]["belief_start"] - ignorance) < 0.15
        assert found[-1]["belief_end"] < 0.7 * ignorance


# nobody knows the rules


def guessers(games: int, horizon: int, **rules: Any) -> Collector:
    """Return players of harvest who infer latents; they touch a lot."""
    family = load_family("harvest")
    drawn = [variant.rules | {"object_size": 0.2} | rules for variant in family.split("payoffs_train")]
    chosen = [drawn[index % len(drawn)] for index in range(games)]
    game = make_vec(family, num_games=games, rules=chosen, seed=5, episodes_per_trial=2)
    unknowns = latent_rules(game.layout.kinds, 2)
    design = replace(DESIGN, kinds=game.layout.kinds, unknowns=unknowns, belief=BeliefDesign(32, 16, latents=2))
    inputs = PolicyInputs(game.layout, design)
    torch.manual_seed(0)
    policy, belief = inputs.build_policy(), inputs.build_belief()
    assert belief is not None
    seat = Seat(policy, inputs, game, np.arange(game.num_agents), horizon, shared_view=True, belief=belief)
    seat.reveal = 0.0
    return Collector(game, {"all": seat}, {}, torch.Generator().manual_seed(0), trials=True)


def test_latents_come_to_tell_what_kinds_pay() -> None:
    made = guessers(24, 25)
    belief = made.seats["all"].mind.belief
    assert belief is not None
    optimiser, order = torch.optim.Adam(belief.parameters(), lr=4e-3), np.random.default_rng(0)
    workers = Workers(1)
    found = []
    for _ in range(40):
        share = made.collect(25)[0]["all"].testimony
        assert share is not None
        found.append(improve_belief(belief, optimiser, [share], BeliefSettings(2, 2), order, workers))
    workers.close()
    assert found[-1]["belief_loss"] < found[0]["belief_loss"] - 2.0
    made.collect(25)
    made.collect(24)  # one step before the trials end
    seat = made.seats["all"]
    known, hidden = seat.mind.knowledge(), made.game.hidden_rules
    assert known is not None
    pays = [bound.name for bound in made.game.layout.hidden_rules].index("payoff[0]")
    blocks = [block for block in belief.knowledge.blocks if block.kinds == ("red",)]
    means = known[:, 0, [block.start for block in blocks]]
    inputs = np.c_[means, np.ones(len(means))]
    truth = hidden[:, pays]
    left = truth - inputs @ np.linalg.lstsq(inputs, truth, rcond=None)[0]
    assert left.var() < 0.5 * truth.var()
    deviations = known[:, 0, [block.start + 1 for block in blocks]]
    assert deviations.min() < 0.95  # and they are no longer as unsure as at the start
    assert (deviations <= 1.0).all()


def test_the_truth_is_of_no_use_to_those_whom_nobody_tells() -> None:
    parameters = []
    for scrambled in (False, True):
        made = guessers(6, 25)
        belief = made.seats["all"].mind.belief
        share = made.collect(25)[0]["all"].testimony
        assert belief is not None and share is not None
        if scrambled:
            share = replace(share, hidden=np.zeros_like(share.hidden))
        optimiser, workers = torch.optim.Adam(belief.parameters(), lr=4e-3), Workers(1)
        improve_belief(belief, optimiser, [share], BeliefSettings(1, 2), np.random.default_rng(0), workers)
        workers.close()
        parameters.append(torch.cat([parameter.detach().flatten() for parameter in belief.parameters()]))
    assert torch.equal(*parameters)


def test_an_agents_own_latents_are_those_of_its_kind() -> None:
    made = guessers(3, 5)
    seat = made.seats["all"]
    belief, share = seat.mind.belief, made.collect(5)[0]["all"].testimony
    assert belief is not None and share is not None
    memory, rows = remembered(belief, share, np.arange(3))
    with torch.no_grad():
        for head in belief.heads:
            torch.nn.init.normal_(head.weight)
        own = torch.from_numpy(share.kind[:, rows.numpy()])
        mean, log_deviation = belief.latents(belief(memory), own)
        knowledge = belief(memory).knowledge
    kinds = made.game.layout.kinds
    assert (own == kinds.index("gatherer")).all()
    assert torch.equal(mean[..., -1, :], mean[..., kinds.index("gatherer"), :])
    for block in belief.knowledge.blocks:
        place = kinds.index(block.kinds[0]), int(block.feature.rpartition("_")[2])
        torch.testing.assert_close(mean[..., *place], knowledge[..., block.start])
        torch.testing.assert_close(log_deviation[..., *place].exp(), knowledge[..., block.start + 1])
