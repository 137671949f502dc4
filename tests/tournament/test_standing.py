from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from marl_meta.evaluate.adaptation import Interval
from marl_meta.tournament.page import page
from marl_meta.tournament.partners import Partners
from marl_meta.tournament.plain import percent, surely
from marl_meta.tournament.report import conclude, write_report
from marl_meta.tournament.running import Played, so_far, start
from marl_meta.tournament.standing import Standing, standing
from marl_meta.types import UserError

from .conftest import MakePlan


@pytest.fixture(scope="module")
def league(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A tournament that shows who learns: a team that infers the rules, one that is told nothing, and random play."""
    from marl_meta.tournament.drawing_up import draw_up

    plan = draw_up(
        teams=["belief=zoo:harvest-belief", "gather=builtin:gather", "random"], game="harvest", variants=8, seeds=4,
        games=3, replays=1,
    )  # fmt: skip
    return start(plan, tmp_path_factory.mktemp("league") / "t")


def test_who_learns_the_rules_wins(league: Played) -> None:
    found = standing(league)
    assert found.outcomes.names[found.order[0]] == "belief"
    low, high = (dict(zip(found.outcomes.names, one, strict=True)) for one in (found.ratings.low, found.ratings.high))
    assert low["belief"] > max(high["gather"], high["random"])
    assert found.by_game["belief"].gain.low > 0  # and it wins more of the third games than of the first
    assert any("belief learns during a series" in remark for remark in found.remarks)
    assert found.alpha.argmax() == found.outcomes.names.index("belief")


def test_scores_by_game_and_variant_are_means_of_what_was_played(league: Played) -> None:
    found = standing(league)
    names = found.outcomes.names
    won = {name: [0.0, 0] for name in names}
    games = {name: np.zeros(3) for name in names}
    for result in league.results.values():
        (seat, name), (other, opponent) = result.seating
        mine, theirs = result.returns[seat].astype(float), result.returns[other].astype(float)
        for who, one, two in ((name, mine, theirs), (opponent, theirs, mine)):
            total = np.sign(np.round(one.sum(-1) - two.sum(-1), 3))
            won[who][0] += float((0.5 + 0.5 * total).sum())
            won[who][1] += total.size
            games[who] += (0.5 + 0.5 * np.sign(np.round(one - two, 3))).sum((0, 1))
    for i, name in enumerate(names):
        assert found.score(i) == pytest.approx(won[name][0] / won[name][1])
        assert [one.value for one in found.by_game[name].games] == pytest.approx(games[name] / won[name][1])
        assert np.nanmean(found.by_variant[i]) == pytest.approx(found.score(i))


def test_the_report_says_it_in_every_form(league: Played) -> None:
    found = conclude(league)
    assert isinstance(found, Standing)
    written = {path.name: path for path in write_report(found, league.folder)}
    assert set(written) == {"report.html", "report.md", "standing.csv", "series.csv", "standing.json"}
    record = json.loads(written["standing.json"].read_text())
    assert record == json.loads(json.dumps(found.record()))
    assert record["entrants"][0]["name"] == "belief"
    lines = written["series.csv"].read_text().splitlines()
    assert len(lines) == 1 + 3 * 2 * 2 * 8 * 4 * 3  # pairings, seatings, seats, variants, seeds, games
    table = written["report.md"].read_text()
    assert all(name in table for name in found.outcomes.names)
    html = written["report.html"].read_text()
    for link in re.findall(r'href="([^"]+)"', html):
        assert (league.folder / link).is_file()
    assert len(re.findall(r'href="replays/', html)) == 6  # every cell off the diagonal
    assert "http" not in re.sub(r'xmlns="[^"]+"', "", html)


def test_what_a_side_is_worth_lies_within_its_bounds(league: Played) -> None:
    found = standing(league)
    for value, low, high in ((172.0, 67.0, 277.0), (-172.0, -277.0, -67.0)):
        object.__setattr__(found.ratings, "side", Interval(value, low, high))
        better = "gatherer" if value > 0 else "rival"
        assert f"Playing {better} is worth 172 points (67 to 277)." in found.remarks


def test_who_is_better_how_surely(league: Played) -> None:
    found = standing(league)
    one, other = (found.outcomes.names.index(name) for name in ("belief", "gather"))
    assert found.better[one, other] > 0.99 and found.better[other, one] < 0.01
    assert found.expected[one, other] > 0.6
    assert found.expected[one, other] + found.expected[other, one] == pytest.approx(1.0)
    record = found.record()
    assert record["better"][one][other] > 0.99 and record["better"][one][one] is None
    assert "How surely" in page(found, {})


def test_nothing_is_certain() -> None:
    assert [surely(one) for one in (0.0, 0.004, 0.5, 0.9, 0.996)] == ["<1%", "<1%", "50%", "90%", ">99%"]


def test_no_share_is_minus_nothing() -> None:
    assert [percent(share) for share in (-0.001, 0.0, 0.126, 1.0)] == ["0%", "0%", "13%", "100%"]


def test_names_cannot_bring_markup_into_the_page(league: Played) -> None:
    found = standing(league)
    evil = "<script>alert(1)</script>"
    names = (evil, *found.outcomes.names[1:])
    object.__setattr__(found.outcomes, "names", names)
    object.__setattr__(found.ratings, "names", names)
    assert evil not in page(found, {})


def test_what_has_not_been_played_says_so(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = make_plan()
    (tmp_path / "plan.json").write_text(plan.text())
    with pytest.raises(UserError, match="Nothing has been played yet"):
        conclude(so_far(tmp_path))


def test_half_a_tournament_has_a_standing(league: Played) -> None:
    some = dict(list(league.results.items())[:2])
    found = standing(Played(league.folder, league.plan, some))
    assert np.isnan(found.alpha).all()  # not everybody met everybody
    assert json.dumps(found.record())
    assert page(found, {})


def test_partners_who_never_trained_together(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = make_plan(
        game="spread", split="hidden_held_out", form="cross_play", teams=["belief=zoo:spread-belief", "builtin:cover"],
        variants=4, seeds=4,
    )  # fmt: skip
    assert [entrant.name for entrant in plan.entrants] == ["belief", "cover", "random"]
    played = start(plan, tmp_path / "t")
    found = conclude(played)
    assert isinstance(found, Partners)
    assert found.names == found.partners == ("belief", "cover")
    assert found.score[0, 0] == pytest.approx(1.0)  # the best by itself
    assert found.score[0, 1] < 1.0
    assert found.cross is not None
    assert write_report(found, tmp_path / "t")[0].name == "report.html"
    assert json.dumps(found.record())


def test_one_among_strangers(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = make_plan(
        game="spread", split="hidden_held_out", form="focal", reference=["belief"],
        teams=["belief=zoo:spread-belief", "builtin:cover"], variants=4, seeds=12,
    )  # fmt: skip
    found = conclude(start(plan, tmp_path / "t"))
    assert isinstance(found, Partners)
    assert found.partners == ("belief",)
    assert found.score[found.names.index("belief"), 0] == pytest.approx(1.0)
    assert found.score[found.names.index("cover"), 0] < 0.9
    assert write_report(found, tmp_path / "t")
