"""The allocator's settings are taken where there is glibc."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from marl_meta.allocator import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_freed_memory_is_kept() -> None:
    """A large block that is freed and taken again costs no page faults once the settings are in place."""
    script = """
import resource
import sys

if sys.argv[1] == "keep":
    from marl_meta.allocator import keep_freed_memory
    assert keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(64_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = {
        setting: int(subprocess.check_output([sys.executable, "-c", script, setting]))
        for setting in ("keep", "default")
    }
    assert faults["keep"] < 100
    assert faults["keep"] < faults["default"]


def test_other_platforms_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
