"""Advantages against numbers worked out by hand, and against the definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from marl_meta.rl.returns import explained_variance, generalised_advantages, turn_advantages


def advantages(
    reward: list[float],
    value: list[float],
    next_value: list[float],
    bootstraps: list[float] | None = None,
    chains: list[float] | None = None,
    gamma: float = 0.5,
    lam: float = 0.5,
) -> list[float]:
    ones = [1.0] * len(reward)
    columns = [torch.tensor(column) for column in (reward, value, next_value, bootstraps or ones, chains or ones)]
    result: list[float] = generalised_advantages(*columns, gamma=gamma, lam=lam).tolist()
    return result


def test_a_game_that_goes_on() -> None:
    # delta = 1 + 0.5 * 4 - 2 = 1, 2 + 0.5 * 6 - 4 = 1, 3 + 0.5 * 8 - 6 = 1; each adds a quarter of the next.
    assert advantages([1, 2, 3], [2, 4, 6], [4, 6, 8]) == [1.3125, 1.25, 1.0]


def test_a_terminated_game_has_no_future() -> None:
    # The second step ends the game: delta = 1, 2 - 4 = -2 (whatever 6 says), and 3 + 4 - 6 = 1 is another game's.
    found = advantages([1, 2, 3], [2, 4, 6], [4, 6, 8], bootstraps=[1, 0, 1], chains=[1, 0, 1])
    assert found == [0.5, -2.0, 1.0]


def test_a_truncated_game_has_the_value_of_its_final_state() -> None:
    # The second step is cut off in a state worth 10, not the 6 of the game that starts next: delta = 2 + 5 - 4 = 3.
    found = advantages([1, 2, 3], [2, 4, 6], [4, 10, 8], chains=[1, 0, 1])
    assert found == [1.75, 3.0, 1.0]


def test_an_inner_episode_end_of_a_trial_is_no_end() -> None:
    # The next episode's first state is worth 6: the same numbers as for one game that goes on.
    assert advantages([1, 2, 3], [2, 4, 6], [4, 6, 8]) == [1.3125, 1.25, 1.0]
    # And that is not what a game's end gives.
    assert advantages([1, 2, 3], [2, 4, 6], [4, 6, 8], [1, 0, 1], [1, 0, 1]) != [1.3125, 1.25, 1.0]


def test_lambda_1_is_the_return_and_lambda_0_one_step() -> None:
    assert advantages([1, 1, 1], [7, 8, 9], [8, 9, 16], lam=1.0)[0] == 1 + 0.5 + 0.25 + 2 - 7
    assert advantages([1, 1, 1], [7, 8, 9], [8, 9, 16], lam=0.0) == [1 + 4 - 7, 1 + 4.5 - 8, 1 + 8 - 9]


def slow(
    reward: Tensor, value: Tensor, next_value: Tensor, bootstraps: Tensor, chains: Tensor, gamma: float, lam: float
) -> Tensor:
    """The sum over all later steps that eq. 16 writes, term by term."""
    steps, rows = reward.shape
    out = torch.zeros(steps, rows)
    for row in range(rows):
        for start in range(steps):
            factor = 1.0
            for t in range(start, steps):
                delta = reward[t, row] + gamma * bootstraps[t, row] * next_value[t, row] - value[t, row]
                out[start, row] += factor * delta
                if chains[t, row] == 0:
                    break
                factor *= gamma * lam
    return out


def test_equals_the_sum_term_by_term() -> None:
    torch.manual_seed(0)
    reward, value, next_value = torch.randn(3, 12, 5)
    chains = (torch.rand(12, 5) < 0.7).float()
    bootstraps = torch.maximum(chains, (torch.rand(12, 5) < 0.5).float())
    arguments = (reward, value, next_value, bootstraps, chains, 0.97, 0.9)
    torch.testing.assert_close(generalised_advantages(*arguments), slow(*arguments), atol=1e-5, rtol=1e-5)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="one shape"):
        generalised_advantages(*[torch.zeros(3, 2)] * 4, torch.zeros(3), gamma=0.9, lam=0.9)


def test_explained_variance() -> None:
    target, weight = torch.tensor([1.0, 2.0, 3.0, 100.0]), torch.tensor([1.0, 1.0, 1.0, 0.0])
    assert explained_variance(target, target, weight) == 1.0
    assert explained_variance(torch.full((4,), 2.0), target, weight) == 0.0
    assert explained_variance(torch.tensor([3.0, 2.0, 1.0, 0.0]), target, weight) == pytest.approx(-3.0)
    assert explained_variance(target, target, torch.zeros(4)) == 0.0


def random_transitions(seed: int, steps: int = 12, rows: int = 5) -> tuple[Tensor, ...]:
    draws = torch.Generator().manual_seed(seed)
    reward, value, last = (torch.randn(steps, rows, generator=draws) for _ in range(3))
    next_value = torch.cat([value[1:], last[:1]])
    chains = (torch.rand(steps, rows, generator=draws) > 0.2).float()
    bootstraps = torch.where(chains > 0, 1.0, (torch.rand(steps, rows, generator=draws) > 0.5).float())
    return reward, value, next_value, bootstraps, chains


def test_who_always_acts_has_the_advantages_of_every_step() -> None:
    columns = random_transitions(0)
    acting = torch.ones(13, 5, dtype=torch.bool)
    found, known = turn_advantages(*columns, acting, 0.9, 0.8)
    torch.testing.assert_close(found, generalised_advantages(*columns, 0.9, 0.8))
    assert known.all()


def test_turns_are_the_steps_of_who_takes_them() -> None:
    # It acts at 0, 2 and 4, after which the game is over; the other's moves pay it 1 and -3.
    reward = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0, -3.0]).unsqueeze(-1)
    value = torch.tensor([2.0, 99.0, 4.0, 99.0, 6.0, 99.0]).unsqueeze(-1)
    ends = torch.tensor([1.0, 1, 1, 1, 1, 0]).unsqueeze(-1)
    acting = torch.tensor([True, False, True, False, True, False, False]).unsqueeze(-1)
    found, known = turn_advantages(reward, value, torch.full((6, 1), 99.0), ends, ends, acting, 0.5, 0.5)
    last = 0.5 * -3.0 - 6.0
    middle = 0.25 * 6.0 - 4.0 + 0.5 * 0.25 * last
    first = 0.5 * 1.0 + 0.25 * 4.0 - 2.0 + 0.5 * 0.25 * middle
    assert found[:, 0].tolist() == pytest.approx([first, 0.0, middle, 0.0, last, 0.0])
    assert known[:, 0].tolist() == [True, False, True, False, True, False]


def test_what_comes_of_the_last_move_in_sight_is_not_known_yet() -> None:
    reward, value = torch.zeros(4, 1), torch.tensor([1.0, 99.0, 3.0, 99.0]).unsqueeze(-1)
    ones, acting = torch.ones(4, 1), torch.tensor([True, False, True, False, False]).unsqueeze(-1)
    found, known = turn_advantages(reward, value, torch.full((4, 1), 99.0), ones, ones, acting, 0.5, 0.5)
    assert known[:, 0].tolist() == [True, False, False, False]
    assert found[0, 0] == pytest.approx(0.25 * 3.0 - 1.0)
    acting[-1] = True  # it acts again right after: then the value there is the future
    found, known = turn_advantages(reward, value, torch.full((4, 1), 7.0), ones, ones, acting, 0.5, 0.5)
    assert known[:, 0].tolist() == [True, False, True, False]
    assert found[2, 0] == pytest.approx(0.25 * 7.0 - 3.0)


def test_where_the_game_breaks_off_the_value_there_is_the_future() -> None:
    columns = random_transitions(3)
    acting = torch.rand(13, 5, generator=torch.Generator().manual_seed(1)) > 0.5
    found, known = turn_advantages(*columns, acting, 0.9, 0.8)
    reward, value, next_value, bootstraps, chains = columns
    for row in range(5):
        for step in range(12):
            if not acting[step, row]:
                assert not known[step, row]
                continue
            total, later = 0.0, step
            while True:
                total += 0.9 ** (later - step) * float(reward[later, row])
                later += 1
                if chains[later - 1, row] == 0 or later == 12:
                    future, rest = float(bootstraps[later - 1, row] * next_value[later - 1, row]), 0.0
                    sure = bool(chains[later - 1, row] == 0 or acting[12, row])
                    break
                if acting[later, row]:
                    future, rest, sure = float(value[later, row]), float(found[later, row]), True
                    break
            assert known[step, row] == sure
            if sure:
                decay = 0.9 ** (later - step)
                assert found[step, row] == pytest.approx(
                    total + decay * future - float(value[step, row]) + 0.8 * decay * rest, abs=1e-5
                )
