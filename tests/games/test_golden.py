"""Every family's golden traces replay as they were recorded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from marl_meta.resources import data_dirs

from . import golden

FAMILIES = sorted(file.parent.name for file in data_dirs("envs")[0].glob("*/family.yaml"))


def test_our_families_are_found():
    assert {"spread", "tag", "harvest", "payoff", "connect"} <= set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_golden_traces_replay(family):
    file = golden.golden_file(family)
    assert file.is_file(), f"record golden traces of {family}: python {Path(golden.__file__).name} {family}"
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["family"] == family and len(content["traces"]) >= 3
    for trace in content["traces"]:
        rewards, digests = golden.replay(family, trace)
        np.testing.assert_allclose(rewards, trace["rewards"], rtol=0, atol=10**-golden.DECIMALS)
        first = next(
            (t for t, pair in enumerate(zip(digests, trace["digests"], strict=True)) if len(set(pair)) > 1), None
        )
        assert first is None, f"step {first} of the trace with {trace['rules']} shows something else"


def test_a_change_is_noticed():
    trace = golden.record_trace("spread", {}, seed=1)
    changed = {**trace, "rules": {"wind_x": 0.01}}
    assert golden.replay("spread", trace) == (trace["rewards"], trace["digests"])
    rewards, digests = golden.replay("spread", changed)
    assert rewards != trace["rewards"]
    assert digests[0] != trace["digests"][0]
