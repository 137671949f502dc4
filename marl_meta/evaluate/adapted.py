"""What an evaluation found about adaptation on one split: the scores of learners and controls, and their grounds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from marl_meta.evaluate.adaptation import Curve, Interval, Trials, better, curve
from marl_meta.evaluate.calibration import Calibration
from marl_meta.evaluate.controls import Lineup
from marl_meta.evaluate.lineup import RANDOM
from marl_meta.evaluate.robust import Doubles, interquartile_mean
from marl_meta.team import Team
from marl_meta.types import FloatArray

Role = Literal["team", "group", "control", "random", "oracle"]

MOST_VALUES = 10
"""A rule that takes more values than these is broken down by ranges of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """The scores of one learner (several teams that were trained alike, where grouped) or control."""

    name: str
    role: Role
    members: tuple[str, ...]
    """The S players whose scores these are."""
    oracle: str
    """The player that they are measured by."""
    variants: npt.NDArray[np.bool_]
    """[V] those that count: the others are left out, because the oracle is not clearly better than random play."""
    scores: Doubles
    """S_k [S,V',K] on the variants that count."""
    curve: Curve | None
    """None where no variant counts."""


@dataclass(frozen=True, slots=True)
class Better:
    """How likely `name` earns more than `other` on a variant, for each of the K episodes."""

    name: str
    other: str
    probability: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """The interquartile means of S_k over the variants in which a rule has one value."""

    rule: str
    value: str
    variants: int
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Adaptation:
    """All that an evaluation found about adaptation on one split."""

    side: str
    """The side whose play is scored."""
    against: str | None
    """Who played the other sides; None in games of one side."""
    hidden: tuple[str, ...]
    """The hidden rules that vary."""
    varying: tuple[str, ...]
    """All rules that vary, hidden ones first."""
    variant_ids: tuple[str, ...]
    rules: tuple[Mapping[str, Any], ...]
    """Of the V variants."""
    learners: tuple[Adapted, ...]
    better: tuple[Better, ...]
    calibrations: dict[str, Calibration]
    trained: dict[str, dict[str, Any]]
    """By team: with what, how long and from which seed it was trained, where that is known."""

    def learner(self, name: str) -> Adapted | None:
        """Return the learner of that name."""
        return next((learner for learner in self.learners if learner.name == name), None)

    def left_out(self, learner: Adapted) -> list[str]:
        """Return the ids of the variants that a learner's scores leave out."""
        return [name for name, kept in zip(self.variant_ids, learner.variants, strict=True) if not kept]

    def shares(self, learner: Adapted) -> Iterator[Share]:
        """Yield a learner's scores by each value of every rule that varies."""
        kept = [rules for rules, counts in zip(self.rules, learner.variants, strict=True) if counts]
        for rule in self.varying:
            labels = value_labels([rules[rule] for rules in kept])
            for value in dict.fromkeys(sorted(labels, key=_by_number)):
                chosen = [index for index, label in enumerate(labels) if label == value]
                pooled = learner.scores[:, chosen].reshape(-1, learner.scores.shape[-1])
                means = tuple(float(number) for number in interquartile_mean(pooled))
                yield Share(rule, value, len(chosen), means)

    def record(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "side": self.side,
            "against": self.against,
            "hidden_rules": list(self.hidden),
            "learners": [
                {"name": learner.name, "role": learner.role, "members": list(learner.members), **self.scores(learner)}
                for learner in self.learners
            ],
            "improvement": [
                {"name": one.name, "over": one.other, "probability": [each.record() for each in one.probability]}
                for one in self.better
            ],
            "calibration": {name: found.record() for name, found in self.calibrations.items()},
            "by_rule": {
                learner.name: [
                    {"rule": share.rule, "value": share.value, "variants": share.variants, "S_iqm": list(share.scores)}
                    for share in self.shares(learner)
                ]
                for learner in self.learners
                if learner.role in ("team", "group") and learner.curve is not None
            },
        }

    def scores(self, learner: Adapted) -> dict[str, Any]:
        """Return a learner's scores as plain values, lists over episodes; None where no variant counts."""
        found = learner.curve
        return {
            "S_iqm": None if found is None else list(found.iqm),
            "S_low": None if found is None else list(found.low),
            "S_high": None if found is None else list(found.high),
            "S_variants_low": None if found is None else list(found.variants_low),
            "S_variants_high": None if found is None else list(found.variants_high),
            "S_p20": None if found is None else list(found.lowest),
            "auc": None if found is None else found.area.record(),
            "gain": None if found is None else found.gain.record(),
            "episodes_to_0.9": None
            if found is None or math.isinf(found.episodes_to_enough)
            else int(found.episodes_to_enough),
            "oracle_player": learner.oracle,
            "variants_scored": int(learner.variants.sum()),
            "left_out": self.left_out(learner),
        }


def adaptation(
    lineup: Lineup,
    earned: Mapping[str, FloatArray],
    variants: tuple[Sequence[str], Sequence[Mapping[str, Any]]],
    teams: Mapping[str, Team],
    seed: int,
    *,
    group: bool,
) -> Adaptation:
    """Return what team returns [V,n,K] by player say about adaptation; `variants` are their ids and rules.

    With `group`, teams that were trained with the same `meta` count together too, as seeds of one learner.
    """
    returns = {name: found.astype(np.float64) for name, found in earned.items()}
    chosen: list[tuple[str, Role, tuple[str, ...]]] = [
        (name, _role(name, lineup), (name,)) for name in returns if name in lineup.oracles
    ]
    if group:
        chosen += [(name, "group", members) for name, members in groups_of(teams).items()]
    first = next(iter(lineup.oracles.values()))
    chosen.append((RANDOM, "random", (RANDOM,)))
    oracles = {**lineup.oracles, RANDOM: first}
    learners = tuple(_adapted(*one, returns, oracles, seed) for one in chosen)
    rivals = [one for one in learners if one.role in ("team", "group")]
    pairs = [
        (one, other)
        for index, one in enumerate(rivals)
        for other in rivals[index + 1 :]
        if not set(one.members) & set(other.members)
    ]
    ids, rules = variants
    varying = [rule for rule in rules[0] if len({repr(each[rule]) for each in rules}) > 1]
    return Adaptation(
        side=lineup.side,
        against=lineup.against,
        hidden=lineup.hidden,
        varying=(*lineup.hidden, *(rule for rule in varying if rule not in lineup.hidden)),
        variant_ids=tuple(ids),
        rules=tuple(rules),
        learners=learners,
        better=tuple(
            Better(one.name, other.name, tuple(better(_stack(returns, one), _stack(returns, other), seed)))
            for one, other in pairs
        ),
        calibrations=lineup.calibrations,
        trained={name: _training(team) for name, team in teams.items()},
    )


def value_labels(values: Sequence[Any]) -> list[str]:
    """Return how each value of a rule is called; many different numbers are called by the quarter that they are in."""
    names = [json.dumps(value, separators=(", ", ":")) for value in values]
    if len(set(names)) <= MOST_VALUES or not all(isinstance(value, int | float) for value in values):
        return names
    ends = np.quantile(np.array(values, np.float64), (0.0, 0.25, 0.5, 0.75, 1.0))
    quarter = np.clip(np.searchsorted(ends[1:-1], values, side="right"), 0, 3)
    return [f"{ends[which]:.3g} to {ends[which + 1]:.3g}" for which in quarter]


def _by_number(label: str) -> tuple[float, str]:
    try:
        return float(label.split(" to ", maxsplit=1)[0]), label
    except ValueError:
        return 0.0, label


def _role(name: str, lineup: Lineup) -> Role:
    if lineup.oracles[name] == name:
        return "oracle"
    return "control" if name in lineup.controls else "team"


def groups_of(teams: Mapping[str, Team]) -> dict[str, tuple[str, ...]]:
    """Return the teams that were trained with the same `meta` from different seeds, by a name for them together.

    Those of flat encoders are a learner of their own.
    """
    found: dict[str, dict[int, str]] = {}
    for name, team in teams.items():
        meta, seed = team.trained_on.get("meta"), team.trained_on.get("seed")
        if meta is not None and seed is not None:
            found.setdefault(f"{meta}, flat" if _encoder(team) == "flat" else meta, {}).setdefault(seed, name)
    return {f"{meta} ({len(names)} seeds)": tuple(names.values()) for meta, names in found.items() if len(names) > 1}


def _adapted(
    name: str,
    role: Role,
    members: tuple[str, ...],
    returns: Mapping[str, Doubles],
    oracles: Mapping[str, str],
    seed: int,
) -> Adapted:
    trials = Trials(
        own=np.stack([returns[member] for member in members]),
        oracle=np.stack([returns[oracles[member]] for member in members]),
        random=returns[RANDOM],
    )
    kept = trials.clear()
    counted = trials.of(kept)
    found = curve(counted, seed) if kept.any() else None
    measures = ", ".join(dict.fromkeys(oracles[member] for member in members))
    return Adapted(name, role, members, measures, kept, counted.scores(), found)


def _stack(returns: Mapping[str, Doubles], learner: Adapted) -> Doubles:
    return np.stack([returns[member] for member in learner.members])


def _training(team: Team) -> dict[str, Any]:
    known = {key: team.trained_on.get(key) for key in ("meta", "seed", "env_steps", "seconds")}
    return {**known, "encoder": _encoder(team)}


def _encoder(team: Team) -> str:
    """Return what the team's networks read games with, as `policy.encoder` names it."""
    return "flat" if any(design.slots for design in team.designs.values()) else "graph"
