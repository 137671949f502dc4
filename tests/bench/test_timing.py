from __future__ import annotations

import time

import pytest

from marl_meta.bench.timing import Case, Timing, interleave, slower


def test_every_case_gets_its_turns() -> None:
    # How often a case is called a turn is found out by its first calls, which another process may have held up.
    assert any(play_cases() for _ in range(5))


def play_cases() -> bool:
    """Return whether a quick case was called many times as often as a slow one; the rest is as it must be each time."""
    calls: dict[str, int] = {"quick": 0, "slow": 0}
    prepared: list[str] = []

    def quick() -> None:
        calls["quick"] += 1

    def slow() -> None:
        calls["slow"] += 1
        time.sleep(0.004)

    cases = {"quick": Case(quick, lambda: prepared.append("quick"), work=3), "slow": Case(slow)}
    timings = interleave(cases, seconds=0.04, repeats=4)
    assert {name: len(timing.wall) for name, timing in timings.items()} == {"quick": 4, "slow": 4}
    assert prepared.count("quick") >= 4
    assert timings["slow"].seconds >= 0.004 > timings["slow"].cpu_seconds
    assert timings["quick"].speed == pytest.approx(3 / timings["quick"].seconds)
    return calls["quick"] > 20 * calls["slow"]


def test_ratios_are_taken_within_rounds() -> None:
    # Both slow down alike in the third round, when somebody else used the machine.
    one = Timing(work=1, wall=[2.0, 2.2, 20.0], cpu=[1.0] * 3)
    other = Timing(work=2, wall=[1.0, 1.0, 10.0], cpu=[1.0] * 3)
    assert slower(one, other) == pytest.approx(4.0)  # twice as long for half of the work
    assert one.seconds == 2.2
    assert one.spread == pytest.approx((11.1 - 2.1) / 2 / 2.2)


@pytest.mark.parametrize(("seconds", "repeats"), [(0.0, 1), (1.0, 0)])
def test_nothing_is_not_timed(seconds: float, repeats: int) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        interleave({}, seconds=seconds, repeats=repeats)
