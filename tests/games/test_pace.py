"""The faster of one thread and all threads is taken, and found out anew when things change."""

from __future__ import annotations

from marl_meta.games.pace import Pace


def play(pace, steps, one, all_of_them):
    """Play steps that take so long with one thread or with all; returns how many all threads played."""
    count = 0
    for _ in range(steps):
        threaded = pace.threaded()
        pace.note(all_of_them if threaded else one)
        count += threaded
    return count


def test_an_idle_machine_uses_its_threads_and_a_busy_one_does_not():
    pace = Pace()
    assert play(pace, 10_000, one=2.0, all_of_them=1.0) > 9_900
    assert play(pace, 40_000, one=2.0, all_of_them=50.0) < 20_000
    assert play(pace, 40_000, one=2.0, all_of_them=50.0) < 50
    assert play(pace, 80_000, one=2.0, all_of_them=1.0) > 40_000


def test_a_first_step_that_compiles_does_not_count():
    pace = Pace()
    assert not pace.threaded()
    pace.note(9.0)
    assert pace.threaded()
    pace.note(99.0)
    assert play(pace, 100, one=2.0, all_of_them=1.0) > 60
