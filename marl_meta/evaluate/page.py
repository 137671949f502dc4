"""A report on adaptation as one HTML page that needs no network and no script; games to watch are pages beside it."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from marl_meta.evaluate.adaptation import ENOUGH, LEAST, Interval
from marl_meta.evaluate.adapted import Adaptation, Adapted
from marl_meta.evaluate.figure import svg
from marl_meta.evaluate.plots import figures
from marl_meta.evaluate.results import Evaluation, SplitEvaluation
from marl_meta.evaluate.showcase import ShownTrial

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 0 auto; padding: 12px;
  max-width: 960px; }
h1 { font-size: 1.5em; line-height: 1.2; } h2 { font-size: 1.25em; margin-top: 2em; } h3 { font-size: 1.05em; }
.figures { display: flex; flex-wrap: wrap; gap: 12px; align-items: flex-start; }
.figures svg { max-width: 100%; height: auto; border: 1px solid #e8e6e0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 3px 8px; white-space: nowrap; border-bottom: 1px solid #e8e6e0; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
tr.team td:first-child { font-weight: 600; }
.range { color: #707070; font-size: 12px; display: block; }
@media (max-width: 480px) { table { font-size: 12px; } th, td { padding: 3px 4px; } .range { font-size: 10px; } }
p.note, li { color: #444; font-size: 14px; } code { font-size: 13px; overflow-wrap: anywhere; }
"""

_METHOD = """
All players played the same games, from the same starts.

S_k = (R_k − R_random) / (R_oracle − R_random) for each variant: R_k is the mean over games of the return in episode k,
summed over the team; R_random and R_oracle are means over all episodes of a trial.

Over variants (and seeds, where teams are grouped) scores are interquartile means. Their 95 % intervals are stratified
bootstraps: within each variant games are drawn anew, for all players at once, and so are seeds.

(reset) is the same team, its memory cleared after each episode; (told) is a team that is told the hidden rules.

The area under the curve is the mean over a trial's episodes. The 20th percentile is over variants.

Probability of improvement: the share of variants (and pairs of seeds) on which the first earns more, ties half.

Beliefs: every probability that an agent gave to a value of a hidden rule, at every step, and how often such a value
was the true one, in ten bins. The expected calibration error is the mean distance between the two. Of a number that may
be anything it is the probability of its lying below quantiles of the belief.
"""

Cell = str
"""HTML."""


def page(evaluation: Evaluation, shown: Sequence[ShownTrial] = ()) -> str:
    """Return the page of an evaluation in which some split has something to adapt to.

    `shown` are recorded trials, whose pages it links.
    """
    title = f"{evaluation.game}: how well teams adapt"
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{_text(title)}</h1>",
        f"<p>{_text(_summary(evaluation))}</p>",
    ]
    for split in evaluation.splits:
        if split.adaptation is not None:
            parts += _split(split, split.adaptation)
            parts += _games([one for one in shown if one.split == split.split])
    parts += [*_making(evaluation), "</body>\n</html>\n"]
    return "\n".join(parts)


def _summary(evaluation: Evaluation) -> str:
    return (
        f"Some rules are hidden and differ from variant to variant. A trial is {evaluation.episodes} episodes of one "
        "variant, over which a team may find out. S_k scores the team's return in episode k: 0 is random play, "
        "1 a team that is told the hidden rules."
    )


def _split(split: SplitEvaluation, adaptation: Adaptation) -> Iterator[str]:
    games = f"{len(split.variant_ids)} variants, {split.games_per_variant} trials of each"
    hidden = f"Hidden: {', '.join(adaptation.hidden)}."
    scored = "" if adaptation.against is None else f" Scored: {adaptation.side}, against {adaptation.against}."
    yield f"<h2>{_text(split.split)}</h2>\n<p>{_text(games)}. {_text(hidden + scored)}</p>"
    for name, reason in split.absent.items():
        yield f'<p class="note">{_text(name)} did not play: {_text(reason)}</p>'
    yield '<div class="figures">'
    yield from (svg(figure) for figure in figures(adaptation, split.split).values())
    yield "</div>"
    yield '<p class="note">Lines are interquartile means over variants, bands their 95 % intervals. In the diagrams of '
    yield "beliefs, bars are how often a probability was given.</p>"
    yield _score_table(adaptation)
    yield _cost_table(split, adaptation)
    if adaptation.better:
        yield _improvement_table(adaptation)
    if adaptation.calibrations:
        yield _calibration_table(adaptation)
    for learner in adaptation.learners:
        if learner.role in ("team", "group") and learner.curve is not None:
            yield _rule_table(adaptation, learner)
    yield from _left_out(adaptation)


def _games(shown: Sequence[ShownTrial]) -> Iterator[str]:
    if not shown:
        return
    episodes = max(len(one.returns) for one in shown)
    heads = ["to watch", *(f"return, episode {k + 1}" for k in range(episodes))]
    rows = [
        ("", [
            f'<a href="{_text(one.page)}">{_text(one.team)} on {_text(one.variant_id)}</a>',
            *(_decimal(value) for value in one.returns),
        ])
        for one in shown
    ]  # fmt: skip
    yield "<h3>Games to watch</h3>\n" + _table(heads, rows)
    yield '<p class="note">A trial each on variants where the team did badly, as usual and well. No score counts it.'
    yield "</p>"


def _score_table(adaptation: Adaptation) -> str:
    episodes = next((len(one.curve.iqm) for one in adaptation.learners if one.curve is not None), 0)
    heads = ["", *(f"S_{k + 1}" for k in range(episodes))]
    heads += ["area under the curve", f"S_{episodes} − S_1", "20th percentile (first, last)", f"episodes to {ENOUGH:g}"]
    rows = []
    for learner in adaptation.learners:
        found = learner.curve
        cells = [_text(learner.name)]
        if found is None:
            cells += ["–"] * (len(heads) - 1)
        else:
            cells += [_interval(*one) for one in zip(found.iqm, found.low, found.high, strict=True)]
            cells += [
                _cell(found.area),
                _cell(found.gain),
                f"{_decimal(found.lowest[0])}, {_decimal(found.lowest[-1])}",
            ]
            cells.append(episodes_text(found.episodes_to_enough, episodes))
        rows.append((learner.role, cells))
    return "<h3>Scores</h3>\n" + _table(heads, rows)


def episodes_text(count: float, episodes: int) -> str:
    """Return how many episodes it takes, `>K` where a trial does not suffice."""
    return f">{episodes}" if math.isinf(count) else f"{count:.0f}"


def _cost_table(split: SplitEvaluation, adaptation: Adaptation) -> str:
    heads = [
        "",
        "trained with",
        "env-steps of training",
        "seconds",
        "env-steps of evaluation",
        "seconds",
        "measured by",
    ]
    rows = []
    for learner in adaptation.learners:
        if learner.role != "team":
            continue
        known = adaptation.trained[learner.name]
        played = split.against(adaptation.side, adaptation.against)[learner.name]
        how = f"{known['meta']}, flat" if known["meta"] and known["encoder"] == "flat" else known["meta"]
        trained = [how, _number(known["env_steps"]), _number(known["seconds"])]
        cost = [f"{played.env_steps:,}", f"{played.seconds:.1f}", learner.oracle]
        rows.append((learner.role, [_text(learner.name), *(_text(str(cell or "?")) for cell in (*trained, *cost))]))
    return "<h3>Cost</h3>\n" + _table(heads, rows)


def _improvement_table(adaptation: Adaptation) -> str:
    episodes = len(adaptation.better[0].probability)
    heads = ["first earns more than second", *(f"episode {k + 1}" for k in range(episodes))]
    rows = [
        ("", [_text(f"{one.name} / {one.other}"), *(_cell(each) for each in one.probability)])
        for one in adaptation.better
    ]
    return "<h3>Probability of improvement, on a variant</h3>\n" + _table(heads, rows)


def _calibration_table(adaptation: Adaptation) -> str:
    rules = list(dict.fromkeys(rule for found in adaptation.calibrations.values() for rule in found.rules))
    episodes = next(iter(adaptation.calibrations.values())).episodes
    heads = ["", "all", *rules, *(f"episode {k + 1}" for k in range(episodes))]
    rows = []
    for name, found in adaptation.calibrations.items():
        errors = [found.reliability(), *(found.reliability(rule) for rule in rules)]
        errors += [found.reliability(episode=k) for k in range(episodes)]
        cells = ["–" if math.isnan(one.error) else f"{one.error:.3f}" for one in errors]
        rows.append(("", [_text(name), *cells]))
    return "<h3>Expected calibration error of beliefs</h3>\n" + _table(heads, rows)


def _rule_table(adaptation: Adaptation, learner: Adapted) -> str:
    last = learner.scores.shape[-1]
    columns = sorted({1, min(2, last), last})
    rows = []
    before = ""
    for share in adaptation.shares(learner):
        hidden = "" if share.rule in adaptation.hidden else " (visible)"
        name = f"{share.rule}{hidden}" if share.rule != before else ""
        before = share.rule
        scores = [_decimal(share.scores[column - 1]) for column in columns]
        rows.append(("", [_text(name), _text(share.value), str(share.variants), *scores]))
    heads = ["rule", "value", "variants", *(f"S_{column}" for column in columns)]
    return f"<h3>{_text(learner.name)}, rule by rule</h3>\n" + _table(heads, rows)


def _left_out(adaptation: Adaptation) -> Iterator[str]:
    told: dict[str, list[str]] = {}
    for learner in adaptation.learners:
        told.setdefault(" ".join(adaptation.left_out(learner)), []).append(learner.name)
    for ids, names in told.items():
        if ids:
            yield (
                f'<p class="note">Left out for {_text(", ".join(names))}, because the oracle leads over random play by '
                f"less than {LEAST:.0%} of its median lead there, or does not surely lead at all: "
                f"{len(ids.split())} of {len(adaptation.variant_ids)} variants, <code>{_text(ids)}</code></p>"
            )


def _making(evaluation: Evaluation) -> Iterator[str]:
    yield "<h2>How this was made</h2>\n<ul>"
    choice = "took their likeliest action" if evaluation.deterministic else "sampled their actions"
    yield f"<li>Seed {evaluation.seed}; trained teams {choice}. {evaluation.env_steps:,} env-steps were played in "
    yield f"{evaluation.seconds:.0f} seconds.</li>"
    yield from (f"<li>{_text(' '.join(fact.split()))}</li>" for fact in _METHOD.strip().split("\n\n"))
    for name, path in evaluation.teams.items():
        yield f"<li>{_text(name)}: <code>{_text(path or 'not on disk')}</code></li>"
    yield "</ul>"


def _table(heads: Sequence[str], rows: Iterable[tuple[str, Sequence[Cell]]]) -> str:
    head = "".join(f"<th>{_text(one)}</th>" for one in heads)
    body = "\n".join(
        f'<tr class="{kind}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" for kind, cells in rows
    )
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{body}\n</table></div>'


def _cell(found: Interval) -> Cell:
    return _interval(found.value, found.low, found.high)


def _interval(value: float, low: float, high: float) -> Cell:
    return f'{_decimal(value)} <span class="range">{_decimal(low)} to {_decimal(high)}</span>'


def _decimal(number: float) -> str:
    """Return a number with two decimals, and no minus before what is rounded to nothing."""
    return f"{round(number, 2) + 0.0:.2f}"


def _number(value: Any) -> str | None:
    return None if value is None else f"{value:,.0f}"


def _text(text: str) -> str:
    return html.escape(text)
