"""Collected experience beside a slow replay of the same games, and what a critic learns from it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from marl_meta.config import load_config
from marl_meta.games import make_vec
from marl_meta.nets.inputs import InputStorage, PolicyDesign, PolicyInputs
from marl_meta.rl.sharding import Workers
from marl_meta.rollout import Collector, Controller, Experience, Seat, sample
from marl_meta.train.learner import Learner
from marl_meta.types import IntArray, Observation, Snapshot, Step, VectorGame

RECALL = Path(__file__).parent / "recall"


def recall(num_games: int = 4, episodes_per_trial: int = 1, **rules: Any) -> VectorGame:
    return make_vec(RECALL, num_games=num_games, rules=rules, seed=3, episodes_per_trial=episodes_per_trial)


def seat(game: VectorGame, agents: list[int], horizon: int, **design: Any) -> Seat:
    inputs = PolicyInputs(game.layout, PolicyDesign(**{"hidden": 8, "heads": 2, **design}))
    torch.manual_seed(0)
    policy = inputs.build_policy()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    shared = game.reset(3).observation.sees is None
    return Seat(policy, inputs, game, np.array(agents), horizon, shared)


def collector(
    game: VectorGame,
    seats: dict[str, Seat],
    fixed: dict[str, tuple[IntArray, Controller]] | None = None,
    trials: bool = False,
) -> Collector:
    game.reset(3)  # and Collector resets it once more, on the same random streams
    return Collector(game, seats, fixed or {}, torch.Generator().manual_seed(5), trials)


# sampling


def test_actions_are_drawn_with_their_probabilities() -> None:
    probability = torch.tensor([0.5, 0.3, 0.15, 0.05])
    drawn = sample(probability.log().expand(40_000, 4), torch.Generator().manual_seed(0))
    share = torch.bincount(drawn, minlength=4) / 40_000
    error = (probability * (1 - probability) / 40_000).sqrt()
    assert ((share - probability).abs() < 4 * error).all()


def test_illegal_actions_are_never_drawn() -> None:
    logits = torch.tensor([-1e9, -8.0, -1e9, 8.0]).expand(20_000, 4)
    assert set(sample(logits, torch.Generator().manual_seed(0)).tolist()) <= {1, 3}
    alone = torch.tensor([-1e9, -50.0, -1e9]).expand(1_000, 3)
    assert (sample(alone, torch.Generator().manual_seed(0)) == 1).all()


def test_draws_follow_the_generator() -> None:
    logits = torch.randn(50, 4)
    first, again, other = (sample(logits, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


# what is written down


class Replayed:
    """The same games, the same actions, one step at a time, with every number worked out where it arises."""

    def __init__(self, game: VectorGame, chair: Seat, actions: Tensor, trials: bool) -> None:
        policy, agents, games = chair.policy, chair.agents, game.num_games
        count, width = len(agents), chair.storage.inputs.context_width
        game.reset(3)
        step, state = game.reset(), policy.initial_state(games * count)
        starts, context = np.ones((games, count), bool), np.zeros((games, count, width), np.float32)
        self.rows: dict[str, list[Any]] = {}
        for t in range(len(actions)):
            self._note("context", context.copy())
            self._note("starts", starts.copy())
            output = self._run(chair, step.observation, state, starts, context)
            state = output.state
            chosen = actions[t].view(games, count)
            self._note("value", output.value[0])
            self._note("log_prob", torch.log_softmax(output.logits[0], -1).gather(1, actions[t][:, None])[:, 0])
            self._note("weight", step.observation.acting[:, agents].copy())
            everyone = np.zeros((games, game.num_agents), np.int64)
            everyone[:, agents] = chosen.numpy()
            step = game.step(everyone)
            context = np.zeros_like(context)
            if width:
                context[:, :, :-2] = np.eye(width - 2)[chosen]
                context[:, :, -2] = step.reward[:, agents]
                context[:, :, -1] = step.game_over[:, None]
            here, end = step.observation, step.observation if step.final is None else step.final
            going_on, last = (
                self._run(chair, shown, state, np.zeros_like(starts), context).value[0] for shown in (here, end)
            )
            next_value, bootstraps, chains = (np.zeros((games, count)) for _ in range(3))
            for b in range(games):
                for n, agent in enumerate(agents):
                    row = b * count + n
                    cut = step.trial_over[b] if trials else step.game_over[b]
                    dead = step.terminated[b, agent] and (cut or not step.game_over[b])
                    bootstraps[b, n] = not dead
                    chains[b, n] = not (dead or cut)
                    next_value[b, n] = last[row] if cut else going_on[row]
            self._note("reward", step.reward[:, agents].copy())
            self._note("next_value", next_value)
            self._note("bootstraps", bootstraps)
            self._note("chains", chains)
            ended = step.trial_over if trials else step.game_over
            starts = np.repeat(ended[:, None], count, 1)
            context[step.trial_over] = 0.0

    @staticmethod
    def _run(chair: Seat, observation: Observation, state: Tensor, starts: Any, context: Any) -> Any:
        sizes = (len(starts), observation.private.shape[1], observation.present.shape[1])
        storage = InputStorage(chair.storage.inputs, 1, sizes, chair.agents, observation.sees is None)
        storage.write(0, observation, context)
        read = storage.read(slice(0, 1))
        with torch.no_grad():
            return chair.policy(read.graph, state, torch.from_numpy(starts).view(1, -1), read.action_mask, read.full)

    def _note(self, name: str, row: Any) -> None:
        self.rows.setdefault(name, []).append(torch.as_tensor(row, dtype=torch.float32).reshape(-1))

    def __getitem__(self, name: str) -> Tensor:
        return torch.stack(self.rows[name])


CASES: dict[str, tuple[dict[str, Any], int, dict[str, Any]]] = {
    "truncated": ({"length": 3}, 1, {}),
    "terminated": ({"length": 3, "ends": "terminated"}, 1, {}),
    "one dies early": ({"length": 5, "players": 3, "leaves": 2}, 1, {}),
    "no memory": ({"length": 3, "players": 2}, 1, {"recurrent": False}),
    "trials": ({"length": 3, "players": 2}, 2, {"trial_inputs": True}),
    "trials of terminated episodes": ({"length": 3, "ends": "terminated"}, 2, {"trial_inputs": True}),
    "trials in which one dies": ({"length": 4, "players": 2, "leaves": 2}, 2, {"trial_inputs": True}),
    "longer than the horizon": ({"length": 50, "hides": True}, 1, {"trial_inputs": True}),
    "central critic, two layers": ({"length": 3, "players": 2, "rivals": 1}, 1, {"critic": "central", "layers": 2}),
}


@pytest.mark.parametrize("case", CASES)
def test_experience_is_what_a_slow_replay_finds(case: str) -> None:
    rules, episodes, design = CASES[case]
    game, horizon = recall(episodes_per_trial=episodes, **rules), 10
    chair = seat(game, list(range(game.num_agents)), horizon, **design)
    experience = collector(game, {"all": chair}, trials=episodes > 1).collect(horizon)[0]["all"]
    replayed = Replayed(game, chair, experience.action, trials=episodes > 1)
    for name in ("starts", "reward", "bootstraps", "chains", "weight"):
        assert torch.equal(getattr(experience, name).float(), replayed[name]), name
    for name in ("value", "log_prob"):
        torch.testing.assert_close(getattr(experience, name), replayed[name], atol=1e-5, rtol=1e-5)
    # What follows matters where it is bootstrapped from, for agents that acted.
    matters = (experience.bootstraps * experience.weight).bool()
    torch.testing.assert_close(experience.next_value[matters], replayed["next_value"][matters], atol=1e-5, rtol=1e-5)
    context = torch.from_numpy(chair.storage.context).reshape(horizon, -1)
    torch.testing.assert_close(context, replayed["context"])
    if rules["length"] < horizon:
        assert (experience.starts[1:].any()) == (episodes * rules["length"] < horizon)


def test_who_sees_the_time_expects_nothing_beyond_the_end() -> None:
    def bootstraps(clock: bool) -> list[float]:
        game = recall(length=3, players=2, episodes_per_trial=2)
        chair = seat(game, [0, 1], 12, clock=clock)
        experience: Tensor = collector(game, {"all": chair}, trials=True).collect(12)[0]["all"].bootstraps
        assert (experience == experience[:, :1]).all()
        return experience[:, 0].tolist()

    assert bootstraps(clock=False) == [1.0] * 12  # the time limit cuts the game off, which might have gone on
    assert bootstraps(clock=True) == [1.0] * 5 + [0.0] + [1.0] * 5 + [0.0]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("critic", ["own", "central"])
@pytest.mark.parametrize("vision", [0.0, 0.8])
def test_the_update_starts_from_what_was_played(vision: float, critic: str, layers: int) -> None:
    """Evaluating the stored inputs gives the probabilities and values of play: every ratio is 1 at first."""
    rules = {"vision_radius": vision, "adversaries": 2, "prey": 2, "obstacles": 1, "episode_length": 4}
    game = make_vec("tag", num_games=3, rules=rules, seed=1, episodes_per_trial=2)
    chairs = {
        "adversaries": seat(game, [0, 1], 7, layers=layers, critic=critic, trial_inputs=True, rules=("damping",)),
        "prey": seat(game, [2, 3], 7, layers=layers, critic=critic),
    }
    playing = collector(game, chairs, trials=True)
    playing.collect(3)
    for name, experience in playing.collect(7)[0].items():
        games = np.array([2, 0])
        logits, value, _ = experience.evaluate(chairs[name].policy, games)
        rows = torch.tensor([4, 5, 0, 1])
        played = torch.log_softmax(logits, -1).gather(-1, experience.action[:, rows][..., None])[..., 0]
        torch.testing.assert_close(played, experience.log_prob[:, rows], atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(value, experience.value[:, rows], atol=2e-5, rtol=1e-4)
        targets = experience_targets(experience, games)
        assert torch.equal(targets, experience.reward[:, rows])


def test_a_told_critic_reads_the_rules_of_each_game_and_the_policy_does_not() -> None:
    """Over trials of changing variants, what is stored gives the values of play, and values alone depend on it."""
    game = make_vec("harvest", num_games=3, split="train", seed=1, episodes_per_trial=2)
    agents = list(range(game.num_agents))
    chair = seat(game, agents, 60, critic="told", privileged=game.layout.hidden_rules)
    playing = collector(game, {"all": chair}, trials=True)
    first = game.hidden_rules.copy()
    experience = playing.collect(60)[0]["all"]
    assert (game.hidden_rules != first).any()
    told = chair.inputs.privileged
    assert told is not None
    expected = np.repeat(told.truth(first), len(agents), axis=0)
    read = chair.storage.read(slice(None))
    assert read.told is not None
    np.testing.assert_array_equal(read.told[:50], np.broadcast_to(expected, (50, *expected.shape)))
    assert (read.told[50:] != read.told[0]).any()
    everybody = np.arange(3)
    logits, value, _ = experience.evaluate(chair.policy, everybody)
    torch.testing.assert_close(value, experience.value, atol=2e-5, rtol=1e-4)
    chair.storage.told[:] = 0.0
    others, blind, _ = experience.evaluate(chair.policy, everybody)
    assert torch.equal(others, logits)
    assert (blind != value).any(-1).all()


def test_guesses_are_judged_by_the_rules_of_each_game() -> None:
    game = make_vec("harvest", num_games=3, split="train", seed=1, episodes_per_trial=2)
    agents = list(range(game.num_agents))
    chair = seat(game, agents, 6, privileged=game.layout.hidden_rules, guesses=True)
    experience = collector(game, {"all": chair}, trials=True).collect(6)[0]["all"]
    games, rows = np.array([2, 0]), len(agents) * 2
    *_, wrong = experience.evaluate(chair.policy, games)
    assert wrong is not None and wrong.shape == (6, rows)
    read = chair.storage.read(slice(None), games)
    state, starts = chair.policy.initial_state(rows), torch.zeros(6, rows, dtype=torch.bool)
    starts[0] = True
    guess = chair.policy(read.graph, state, starts, read.action_mask).guess
    knowledge = chair.inputs.privileged
    assert guess is not None and knowledge is not None
    classes = knowledge.classes(game.hidden_rules[games])
    for row in range(rows):
        true = classes[row // len(agents)]
        nats, column, place = [], 0, 0
        for unknown in knowledge.unknowns:
            scores = []
            for block in unknown.blocks:
                scores.append(guess[:, row, column : column + block.size])
                column += block.size
            own = true[place : place + len(unknown.blocks)]
            place += len(unknown.blocks)
            if unknown.orderings is None:
                nats += [-torch.log_softmax(score, -1)[:, value] for score, value in zip(scores, own, strict=True)]
                continue
            totals = [
                sum(score[:, value] for score, value in zip(scores, order, strict=True)) for order in unknown.orderings
            ]
            which = [order.tolist() for order in unknown.orderings].index(own.tolist())
            nats.append(-torch.log_softmax(torch.stack(totals, -1), -1)[:, which])
        torch.testing.assert_close(wrong[:, row], torch.stack(nats).mean(0), atol=1e-5, rtol=1e-4)


def experience_targets(experience: Experience, games: IntArray) -> Tensor:
    """Return a column of the targets that can be told apart: the advantage, here the reward itself."""
    experience.advantage = experience.target = experience.reward
    return experience.targets(games).advantage


def test_experience_of_two_collections_is_one_story() -> None:
    """Memory, contexts and running games go on from one collection to the next."""
    game = recall(length=4, players=2, hides=True)
    long, short = seat(game, [0, 1], 8, trial_inputs=True), seat(game, [0, 1], 4, trial_inputs=True)
    whole = collector(game, {"all": long}).collect(8)[0]["all"]
    playing = collector(game, {"all": short})
    first = playing.collect(4)[0]["all"]
    first_states, first_actions = first.policy_state.clone(), first.action.clone()
    second = playing.collect(4)[0]["all"]
    assert torch.equal(torch.cat([first_actions, second.action]), whole.action)
    assert torch.equal(first_states, whole.policy_state)
    assert torch.equal(second.starts, whole.starts[4:])
    torch.testing.assert_close(second.value, whole.value[4:])


def test_a_snapshot_goes_on_bit_for_bit() -> None:
    def fresh() -> Collector:
        game = recall(length=4, players=2, rivals=1, hides=True)
        players = seat(game, [0, 1], 6, trial_inputs=True)
        return collector(game, {"players": players}, {"rivals": (np.array([2]), Spy())})

    playing = fresh()
    playing.collect(6)
    kept = {name: array.copy() for name, array in playing.snapshot().items()}
    expected, totals = playing.collect(6)
    resumed = fresh()
    resumed.restore(kept)
    found, found_totals = resumed.collect(6)
    for name in ("starts", "action", "log_prob", "value", "next_value", "reward", "policy_state"):
        assert torch.equal(getattr(found["players"], name), getattr(expected["players"], name)), name
    np.testing.assert_array_equal(np.stack(found_totals.returns), np.stack(totals.returns))
    assert found_totals.lengths == totals.lengths
    for name, array in playing.snapshot().items():
        np.testing.assert_array_equal(array, resumed.snapshot()[name])


class Spy:
    """Plays always the same and writes down how it is treated."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.agents: IntArray = np.empty(0, np.int64)

    def reset(self, games: int, agents: IntArray) -> None:
        self.agents = agents
        self.calls.append(f"reset {games}")

    def act(self, observation: Observation) -> IntArray:
        self.calls.append("act")
        return np.full((len(observation.present), len(self.agents)), 2)

    def observe(self, step: Step) -> None:
        self.calls.append("over" if step.game_over.any() else "observe")

    def snapshot(self) -> Snapshot:
        return {"calls": np.array([len(self.calls)])}

    def restore(self, snapshot: Snapshot) -> None:
        self.calls = [""] * int(snapshot["calls"][0])


def test_other_players_play_their_agents_and_are_told_what_came_of_it() -> None:
    game, spy = recall(length=2, players=1, rivals=2), Spy()
    seen: list[IntArray] = []
    step = game.step

    def watched(actions: IntArray) -> Step:
        seen.append(actions.copy())
        return step(actions)

    game.step = watched  # type: ignore[assignment,method-assign]
    collector(game, {"players": seat(game, [0], 3)}, {"rivals": (np.array([1, 2]), spy)}).collect(3)
    assert spy.calls == ["reset 4", "act", "observe", "act", "over", "act", "observe"]
    assert (np.stack(seen)[:, :, 1:] == 2).all()


# episode totals


def test_returns_of_ended_episodes() -> None:
    game = recall(num_games=3, length=4, players=2, pays="always")
    playing = collector(game, {"all": seat(game, [0, 1], 4)})
    assert playing.collect(3)[1].returns == []
    totals = playing.collect(3)[1]  # an episode that began in the collection before
    np.testing.assert_array_equal(np.stack(totals.returns), np.full((3, 2), 4.0))
    assert totals.lengths == [4, 4, 4]


def test_returns_of_agents_that_die_early_count_and_those_of_absent_ones_do_not() -> None:
    game = make_vec(
        RECALL,
        num_games=2,
        rules=[{"players": 2, "leaves": 2, "pays": "always"}, {"players": 1, "pays": "always"}],
    )
    totals = collector(game, {"all": seat(game, [0, 1], 4)}).collect(4)[1]
    np.testing.assert_array_equal(np.stack(totals.returns), [[2.0, 4.0], [4.0, math.nan]])


def test_a_trial_is_written_down_with_the_variant_that_it_was() -> None:
    """Beside what a game says step by step: the variant before the next is drawn, the mean over agents and episodes."""
    game = make_vec(RECALL, num_games=5, split="train", seed=3, episodes_per_trial=2)
    others = {"others": (np.array([1]), Spy())}
    playing = collector(game, {"first": seat(game, [0], 10)}, others, trials=True)
    step, expected, running = game.step, [], np.zeros((5, 2))
    assert game.num_variants == 4

    def watched(actions: IntArray) -> Step:
        before = game.variant_numbers
        found = step(actions)
        running[:] += found.reward
        for b in np.flatnonzero(found.trial_over):
            expected.append((int(before[b]), float(running[b, 0]) / 2))  # the first agent's alone: it learns
            running[b] = 0.0
        return found

    game.step = watched  # type: ignore[method-assign]
    found = [trial for _ in range(4) for trial in playing.collect(10)[1].trials]
    assert found == expected
    assert len(found) == 5 * 40 // 8
    assert len({variant for variant, _ in found}) == 4


# several roles and sizes in one batch


def test_a_learner_of_several_teams_plays_several_roles_and_sizes_in_one_batch() -> None:
    """Every row is what a learner of that role alone would make of the same game, and pays what that role is paid."""
    sizes = [(3, 1), (1, 2), (2, 2), (3, 2)]
    rules = [{"adversaries": a, "prey": p, "episode_length": 4} for a, p in sizes]

    def tag() -> VectorGame:
        game = make_vec("tag", num_games=4, rules=rules, seed=1)
        game.reset(3)
        return game

    game, horizon, design = tag(), 6, {"recurrent": False}
    both = seat(game, [0, 1, 2, 3, 4], horizon, **design)
    playing = collector(game, {"both": both})
    experience = playing.collect(horizon)[0]["both"]
    twin = tag()
    roles = {"adversaries": [0, 1, 2], "prey": [3, 4]}
    alone = {name: seat(twin, slots, horizon, **design) for name, slots in roles.items()}
    twin.reset(3)
    step = twin.reset()
    opposed = 0
    for t in range(horizon):
        weight = experience.weight[t].view(4, 5).numpy()
        here = [[i < a for i in range(3)] + [i < p for i in range(2)] for a, p in sizes]
        np.testing.assert_array_equal(weight, here)
        for name, slots in roles.items():
            output = Replayed._run(
                alone[name],
                step.observation,
                torch.zeros(4 * len(slots), 0),
                np.zeros((4, len(slots))),
                np.zeros((4, len(slots), 0)),
            )
            value = experience.value[t].view(4, 5)[:, slots].numpy()
            present = weight[:, slots] > 0
            np.testing.assert_allclose(value[present], output.value[0].view(4, -1).numpy()[present], atol=1e-5)
        step = twin.step(experience.action[t].view(4, 5).numpy())
        np.testing.assert_array_equal(experience.reward[t].view(4, 5).numpy(), step.reward)
        opposed += int((step.reward[:, :3].sum(1) * step.reward[:, 3:].sum(1) < 0).sum())
    assert opposed > 0  # somebody was caught, which pays one role and costs the other


# what a critic learns


def learnt_values(episodes_per_trial: int = 1, iterations: int = 100, **rules: Any) -> tuple[Tensor, Tensor]:
    """Return the values (in the game's units) that a critic gives after training, and the observed times."""
    game = recall(num_games=8, episodes_per_trial=episodes_per_trial, pays="always", **rules)
    options = {"gamma": 0.9, "learning_rate": 1e-2, "value_clip": "null", "epochs": 8, "minibatches": 1}
    config = load_config([*(f"algorithm.{name}={value}" for name, value in options.items()), "name=x"])
    design = PolicyDesign(hidden=16, heads=2, recurrent=False)
    learner = Learner(
        game.layout, design, config.algorithm, config.meta, ("players",), np.array([0]), seed=0, device="cpu"
    )
    chair = Seat(learner.policy, learner.inputs, game, np.array([0]), 8, shared_view=True)
    playing, workers = collector(game, {"players": chair}, trials=episodes_per_trial > 1), Workers(1)
    for iteration in range(iterations):
        experience = playing.collect(8)[0]["players"]
        learner.improve([experience], iteration / iterations, workers)
    experience = playing.collect(8)[0]["players"]
    times = torch.from_numpy(chair.storage.graph.own[:, :, :, -1] * 10).flatten(1)
    return learner.normaliser.denormalise(experience.value), times


def test_a_time_limit_is_bootstrapped_through() -> None:
    # One reward a step for ever: 1 / (1 - 0.9) = 10, however often a time limit cuts the game.
    values, _ = learnt_values(length=4)
    assert values.mean().item() == pytest.approx(10.0, abs=0.3)
    assert (values - 10.0).abs().max() < 1.0


def test_a_terminated_game_is_worth_what_is_left_of_it() -> None:
    values, times = learnt_values(length=4, ends="terminated")
    for time, left in enumerate((1 + 0.9 + 0.81 + 0.729, 1 + 0.9 + 0.81, 1 + 0.9, 1.0)):
        assert values[(times - time).abs() < 0.01].mean().item() == pytest.approx(left, abs=0.2)


def test_the_end_of_an_inner_episode_is_bootstrapped_through() -> None:
    values, _ = learnt_values(episodes_per_trial=10_000, length=4, ends="terminated")
    assert values.mean().item() == pytest.approx(10.0, abs=0.3)
