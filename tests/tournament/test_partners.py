"""Who shares a team with somebody that fails loses nothing by it, and the report says what happened."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from marl_meta.tournament.partners import Partners, partners
from marl_meta.tournament.report import conclude, write_report
from marl_meta.tournament.running import Played, start
from marl_meta.types import UserError

from .conftest import MakePlan

FAILS = "def agent(observation, agent):\n    raise ValueError('oops')\n"
ONCE = """
class Player:
    name = "once"
    def start_series(self, info): pass
    def reset(self, agents, info, seed): self.game = info["game"]
    def act(self, observations, infos, step):
        if self.game == 1:
            raise RuntimeError("stumbled")
        return {agent: 0 for agent in observations}
"""
GAME = {"split": "held_out", "variants": 1, "seeds": 2, "games": 2}


@pytest.fixture
def fails(tmp_path: Path) -> str:
    path = tmp_path / "fails.py"
    path.write_text(FAILS)
    return f"fails={path}:agent"


def play(make_plan: MakePlan, folder: Path, teams: list[str], **options: object) -> Partners:
    found = conclude(start(make_plan(teams=teams, **{**GAME, "form": "cross_play", **options}), folder))
    assert isinstance(found, Partners)
    return found


def scores_of(found: Partners) -> dict[str, float]:
    return dict(zip(found.names, found.means.tolist(), strict=True))


def test_a_partner_that_always_fails_is_random_play_and_costs_nobody_else(
    make_plan: MakePlan, tmp_path: Path, fails: str
) -> None:
    others = ["builtin:gather", "builtin:stay"]
    for place, teams in enumerate(([*others, fails], [fails, *others])):
        found = play(make_plan, tmp_path / f"t{place}", teams)
        earned = scores_of(found)
        assert np.isfinite(list(earned.values())).all()
        assert earned["fails"] == pytest.approx(0.0)  # it forfeited them all: random play's score
        assert earned["gather"] > earned["stay"]
        own = found.score[found.names.index("gather"), found.partners.index("gather")]
        assert own == pytest.approx(1.0)  # the best by itself, whoever stands first
        (remark,) = (one for one in found.remarks if "forfeited" in one)
        assert remark.startswith("fails forfeited ") and "oops" in remark
        assert not any("nan" in one for one in found.remarks)
        files = write_report(found, tmp_path / f"t{place}")
        texts = {path.name: path.read_text() for path in files}
        assert all("oops" in texts[name] for name in ("report.html", "report.md", "standing.json", "series.csv"))
        record = json.loads(texts["standing.json"])
        assert {one["name"]: bool(one["forfeits"]) for one in record["entrants"]} == {
            "gather": False, "stay": False, "fails": True,
        }  # fmt: skip


def test_one_forfeited_game_costs_its_own_score_alone(make_plan: MakePlan, tmp_path: Path) -> None:
    path = tmp_path / "once.py"
    path.write_text(ONCE)
    found = play(make_plan, tmp_path / "t", ["builtin:gather", f"once={path}:Player"])
    own = dict(zip(found.names, found.by_game, strict=True))
    assert own["once"][1] == pytest.approx(0.0)
    assert own["gather"][1] != pytest.approx(0.0)  # with random play in its partner's place
    assert np.isfinite(found.score).all()


def test_results_without_what_came_of_a_forfeited_game_are_read_too(make_plan: MakePlan, tmp_path: Path) -> None:
    path = tmp_path / "once.py"
    path.write_text(ONCE)
    played = start(
        make_plan(teams=["builtin:gather", f"once={path}:Player"], **{**GAME, "form": "cross_play"}), tmp_path / "t"
    )
    for one in played.results.values():
        for fault in one.forfeits:
            one.returns[fault.seat][fault.variant, fault.seed, fault.game] = np.nan
    found = partners(Played(played.folder, played.plan, played.results))
    assert np.isfinite(found.by_game).all() and np.isfinite(found.score).all()


def test_who_fails_among_strangers(make_plan: MakePlan, tmp_path: Path, fails: str) -> None:
    teams = ["builtin:gather", "builtin:stay", fails]
    found = play(make_plan, tmp_path / "t", teams, form="focal", reference=["gather"])
    assert scores_of(found)["fails"] == pytest.approx(0.0)
    assert any(one.startswith("fails forfeited ") for one in found.remarks)


def test_a_background_that_fails_is_named(make_plan: MakePlan, tmp_path: Path, fails: str) -> None:
    with pytest.raises(UserError, match=r"nothing to score by: fails forfeited .* games: .* by crash.*oops"):
        play(make_plan, tmp_path / "t", ["builtin:gather", fails], form="focal", reference=["fails"])
