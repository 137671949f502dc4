"""Processes that share work: results in order and everywhere, errors everywhere, and nobody is left behind."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest
import torch

from marl_meta.rl import processes
from marl_meta.rl.processes import Ended, FollowingProcess, LeadingProcess, Other
from marl_meta.rl.sharding import Workers
from marl_meta.types import UserError

WAITS = "import sys; sys.stdin.read()"


def process(code: str = WAITS) -> subprocess.Popen[bytes]:
    """Start a process that stands for one that follows; without another `code` it is there until `end`."""
    return subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE)


def end(leading: LeadingProcess) -> None:
    """Close who leads, after those that waited have gone."""
    for other in leading._others:
        assert other.process.stdin is not None
        other.process.stdin.close()
    leading.close()


@contextmanager
def crew(count: int, codes: tuple[str, ...] = ()) -> Iterator[tuple[LeadingProcess, list[FollowingProcess]]]:
    """Yield who leads and who follows, all in this process; `codes` are what the processes that they stand for do."""
    leading, following = LeadingProcess(count), []
    for share in range(1, count):
        ours, theirs = (Connection(end.detach()) for end in socket.socketpair())
        leading.join(Other(process(codes[share - 1] if codes else WAITS), ours))
        following.append(FollowingProcess(share, count, theirs))
    assert leading.processes == count
    try:
        yield leading, following
    finally:
        for one in reversed(following):  # each leaves things as it found them
            one.close()
        end(leading)


def everywhere(count: int, program: Callable[[Workers], Any]) -> list[Any]:
    """Return what a program returns in each process, or what it raises there."""

    def run(workers: Workers) -> Any:
        try:
            return program(workers)
        except Exception as error:  # noqa: BLE001 (it is what is looked at)
            return error

    with crew(count) as (leading, following), ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, [leading, *following]))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_the_order_of_the_shares_and_to_everybody(count: int) -> None:
    def program(workers: Workers) -> tuple[list[int], list[int]]:
        numbers = workers.own([7, 5, 3][:count])
        assert len(numbers) == 1
        return workers.map(lambda number: number * number, numbers), workers.map(lambda number: -number, numbers)

    assert everywhere(count, program) == [([49, 25, 9][:count], [-7, -5, -3][:count])] * count


def test_who_leads_combines_and_everybody_has_the_outcome() -> None:
    combined_by = []

    def program(workers: Workers) -> str:
        def combine(parts: list[str]) -> str:
            combined_by.append(workers.leads)
            return "".join(parts)

        return workers.reduce(str.upper, workers.own(["a", "b", "c"]), combine)

    assert everywhere(3, program) == ["ABC"] * 3
    assert combined_by == [True]


def test_tensors_travel_to_the_last_bit() -> None:
    sent = {
        "weights": torch.randn(300, 200),
        "sum": torch.tensor(1 / 3, dtype=torch.float64),
        "rows": torch.arange(5)[::2],
        "there": torch.tensor([True, False]),
        "array": np.arange(4.0)[::-1],
        "learnt": torch.ones(2, requires_grad=True),
        "nothing": torch.zeros(0, 3),
    }
    leading, following = everywhere(2, lambda workers: workers.map(lambda _: sent, workers.own([0, 1])))
    for received in (leading[1], following[0], following[1]):
        assert list(received) == list(sent)
        for name, value in sent.items():
            assert received[name].dtype == value.dtype
            np.testing.assert_array_equal(
                received[name],
                np.asarray(torch.as_tensor(value.copy()).detach()) if name == "array" else value.detach(),
            )
        received["weights"].zero_()  # it is the receiver's own
    assert sent["weights"].abs().sum() > 0


class ShyError(Exception):
    """An error that cannot be made from its own arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


@pytest.mark.parametrize("guilty", [0, 1, 2])
def test_an_error_in_any_of_them_is_raised_in_all(guilty: int) -> None:
    def work(item: int) -> int:
        if item == guilty:
            raise UserError(f"share {item} pays nan")
        return item

    def program(workers: Workers) -> list[int]:
        items = workers.own(range(3))
        with pytest.raises(UserError, match=f"share {guilty} pays nan"):
            workers.map(work, items)
        return workers.map(lambda item: item, items)  # and they are still in step

    assert everywhere(3, program) == [[0, 1, 2]] * 3


def test_an_error_that_cannot_travel_is_told_in_words() -> None:
    def work(item: int) -> None:
        if item == 1:
            raise ShyError(1, 2)

    leading, following = everywhere(2, lambda workers: workers.map(work, workers.own(range(2))))
    for error in (leading, following):
        assert isinstance(error, RuntimeError)
        assert str(error) == "ShyError: 1 and 2"


def test_an_error_while_combining_is_raised_in_all() -> None:
    errors = everywhere(
        2, lambda workers: workers.reduce(lambda _: 0, workers.own(range(2)), lambda sums: 1 / sum(sums))
    )
    assert [type(error) for error in errors] == [ZeroDivisionError] * 2


def test_orders_are_followed() -> None:
    with crew(3) as (leading, following):
        for order in ("iterate", "checkpoint"):
            leading.announce(order)
            assert [one.next_order() for one in following] == [order] * 2
        assert leading.leads
        assert not any(one.leads for one in following)


def test_who_follows_learns_that_who_leads_has_ended() -> None:
    with crew(2) as (leading, (following,)):
        end(leading)
        with pytest.raises(Ended):
            following.next_order()
        with pytest.raises(Ended):
            following.map(lambda item: item, following.own([1, 2]))
        following.report(ValueError("nobody hears it"))


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import os; os.kill(os.getpid(), 9)", r"it was killed, perhaps .* train\.threads take less"),
        ("import os; os.kill(os.getpid(), 15)", "by signal 15"),
        ("raise SystemExit(3)", "status 3"),
    ],
)
def test_who_leads_says_who_has_ended(code: str, how: str) -> None:
    with crew(3, (WAITS, code)) as (leading, (first, second)), ThreadPoolExecutor(1) as pool:
        answer = pool.submit(first.map, lambda item: item, first.own([1, 2, 3]))
        second._connection.close()
        with pytest.raises(UserError, match=rf"share 3 of 3 of the games has ended \({how}\); what"):
            leading.map(lambda item: item, leading.own([1, 2, 3]))
        end(leading)
        with pytest.raises(Ended):
            answer.result(10)


def test_what_was_raised_between_two_results_is_told() -> None:
    with crew(2) as (leading, (following,)):
        following.report(UserError("no such family here"))
        with pytest.raises(UserError, match="no such family here"):
            leading.map(lambda item: item, leading.own([1, 2]))


def test_whoever_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_PATIENCE", 0.2)
    with crew(2, ("import time; time.sleep(60)",)) as (leading, _):
        slow = leading._others[0].process
        began = time.monotonic()
        end(leading)
        assert time.monotonic() - began < 10
        assert slow.returncode == -9
        leading.close()  # a second time does nothing


def test_who_has_ended_is_found_out_though_its_connection_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_GLANCE", 0.05)
    with crew(2, ("",)) as (leading, _), pytest.raises(UserError, match=r"share 2 of 2 .* has ended \(status 0\)"):
        leading.map(lambda item: item, leading.own([1, 2]))


def test_errors_take_along_where_they_were_raised() -> None:
    def find(item: int) -> None:
        if item == 1:
            raise LookupError("nothing there")

    for error in everywhere(2, lambda workers: workers.map(find, workers.own(range(2)))):
        assert isinstance(error, LookupError)
        (note,) = error.__notes__
        assert "in find" in note


def test_threads_are_left_as_they_were() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with crew(3):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
