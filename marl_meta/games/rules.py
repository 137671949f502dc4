"""Rules as data: what a rule may be, how its values are checked, drawn, encoded, and how variants get their ids."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Literal, get_args

import numpy as np

from marl_meta.games.reading import Entry, is_number
from marl_meta.types import BoundRule, RuleForm, UserError
from marl_meta.wording import listed, shorten

RuleKind = Literal["int", "float", "choice", "permutation", "flag"]
Rules = dict[str, Any]
"""Rule values by name: int, float, str, bool, or a list of numbers (a permutation)."""

RULE_KINDS: tuple[str, ...] = get_args(RuleKind)

MOST_LISTED = 16
"""Whoever infers an int rule of no more values weighs each of them; of more, it estimates the number."""

SIGNIFICANT_DIGITS = 10
"""Floats are equal rules when they agree in this many digits; it hides the last bits of arithmetic."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One adjustable rule of a family: what values it takes, what they mean and where they bind."""

    family: str
    name: str
    kind: RuleKind
    default: Any = field(hash=False)
    about: str
    """One sentence that says what the rule does."""
    binds: tuple[str, ...]
    """Where it binds, as declared: `game`, `agents`, or kinds of entity."""
    kinds: tuple[str, ...]
    """The kinds of entity whose nodes carry it; rules of the whole game are carried by every kind of agent."""
    low: float = 0.0
    """Smallest value of an int or float."""
    high: float = 0.0
    """Largest value of an int or float."""
    options: tuple[Any, ...] = ()
    """Options of a choice; the values that a permutation orders."""
    unit: str = ""
    hidden: bool = False

    @property
    def allowed(self) -> str:
        """What values the rule takes, in words."""
        match self.kind:
            case "int":
                return f"an integer from {self.low} to {self.high}"
            case "float":
                return f"a number from {self.low:.10g} to {self.high:.10g}"
            case "choice":
                return f"one of {listed(self.options)}"
            case "permutation":
                return f"an ordering of [{listed(self.options)}]"
            case "flag":
                return "true or false"

    def check(self, value: object) -> Any:
        """Return `value` in canonical form, equal for equal rules; raises UserError when it is not allowed."""
        canonical = self._canonical(value)
        if canonical is None:
            raise UserError(
                f"Rule {self.name!r} of family {self.family!r} cannot be {shorten(value)}; allowed is {self.allowed}."
            )
        return canonical

    def _canonical(self, value: object) -> Any | None:
        if isinstance(value, np.generic):
            value = value.item()
        match self.kind:
            case "int":
                fits = isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high
                return value if fits else None
            case "float":
                if not isinstance(value, int | float) or not is_number(value):
                    return None
                number = rounded(float(value), SIGNIFICANT_DIGITS)
                return number if self.low <= number <= self.high else None
            case "choice":
                return _equal_option(value, self.options)
            case "permutation":
                return _equal_ordering(value, self.options)
            case "flag":
                return value if isinstance(value, bool) else None

    @property
    def finite(self) -> bool:
        """Whether the rule's values can be listed (floats cannot)."""
        return self.kind != "float"

    def values(self) -> list[Any]:
        """Return every value of a finite rule, in a fixed order; raises ValueError for a float rule."""
        match self.kind:
            case "int":
                return list(range(int(self.low), int(self.high) + 1))
            case "float":
                raise ValueError(f"the values of the float rule {self.name!r} cannot be listed")
            case "choice":
                return list(self.options)
            case "permutation":
                # dict.fromkeys drops orderings that differ only by swapping equal values, and keeps the order.
                return [list(order) for order in dict.fromkeys(itertools.permutations(self.options))]
            case "flag":
                return [False, True]

    def labels(self) -> list[str]:
        """Return what people call the values that a number of the rule may take, in the order of those numbers.

        Of a choice that is its options, of a permutation the values that it orders. A float rule has none.
        """
        match self.kind:
            case "float":
                return []
            case "flag":
                return ["false", "true"]
            case "permutation":
                return [str(value) for value in sorted(set(self.options))]
            case _:
                return [str(value) for value in self.values()]

    def sample(self, rng: np.random.Generator) -> Any:
        """Return a value drawn uniformly over all that the rule allows."""
        if self.kind == "float":
            return self.check(draw_between(rng, self.low, self.high))
        if self.kind == "permutation":
            return self.check([self.options[i] for i in _shuffled(rng, len(self.options))])
        if self.kind == "int":
            return int(self.low) + draw_index(rng, int(self.high) - int(self.low) + 1)
        return draw_from(rng, self.values())

    def encode(self, value: object) -> list[float]:
        """Return the numbers of `columns` for a value.

        An int or float is scaled to [-1, 1] over the rule's range, a flag is -1 or 1, a choice is one-hot, and a
        permutation gives each position's value, scaled to [-1, 1] over its values.
        """
        canonical = self.check(value)
        match self.kind:
            case "int" | "float":
                return [_scaled(canonical, self.low, self.high)]
            case "choice":
                return [float(option == canonical) for option in self.options]
            case "permutation":
                return [_scaled(number, min(self.options), max(self.options)) for number in canonical]
            case "flag":
                return [1.0 if canonical else -1.0]

    @property
    def columns(self) -> list[BoundRule]:
        """The numbers of `encode`, and the nodes of the relation graph that carry each."""
        form, values = self._form
        places: list[tuple[str, str, tuple[str, ...]]]
        names = [f"{self.name}[{i}]" for i in range(len(self.options))] or [self.name]
        if self.kind == "permutation" and len(self.binds) > 1:  # value i belongs to kind i
            places = [(name, self.name, (kind,)) for name, kind in zip(names, self.binds, strict=True)]
        else:
            places = [(name, name, self.kinds) for name in names]
        return [BoundRule(*place, rule=self.name, form=form, values=values) for place in places]

    @property
    def _form(self) -> tuple[RuleForm, tuple[float, ...]]:
        """How the numbers of `encode` may be set, and the values that they take."""
        match self.kind:
            case "choice":
                return "one_hot", ()
            case "permutation":
                return "ordering", tuple(_scaled(value, min(self.options), max(self.options)) for value in self.options)
            case "float":
                return "number", ()
            case "int" if self.high - self.low >= MOST_LISTED:
                return "number", ()
            case _:
                return "value", tuple(self.encode(value)[0] for value in self.values())


RULE_KEYS = ("kind", "range", "options", "values", "default", "unit", "hidden", "binds", "about")
_EXTENT_KEYS: dict[str, str | None] = {
    "int": "range",
    "float": "range",
    "choice": "options",
    "permutation": "values",
    "flag": None,
}
"""The key that says what values a rule of each kind takes."""


def read_rule(entry: Entry, family: str, name: str, agents: tuple[str, ...], objects: tuple[str, ...]) -> Rule:
    """Return the rule that a family.yaml declares; `agents` and `objects` are the family's kinds of entity."""
    entry.mapping(RULE_KEYS)
    kind: Any = entry.child("kind").one_of(RULE_KINDS)
    extent = _EXTENT_KEYS[kind]
    keys = tuple(key for key in RULE_KEYS if key == extent or key not in _EXTENT_KEYS.values())
    given = entry.mapping(keys, required=[key for key in keys if key not in ("unit", "hidden")])
    low, high = read_interval(entry.child("range"), integers=kind == "int") if extent == "range" else (0.0, 0.0)
    options = _read_options(entry.child(extent), kind) if extent in ("options", "values") else ()
    binds, kinds = _read_binds(entry.child("binds"), agents, objects)
    if kind == "permutation" and len(binds) > 1 and len(binds) != len(options):
        raise entry.child("binds").error(
            f"one place, or one kind for each of the {len(options)} values of the permutation"
        )
    unit = entry.child("unit").text() if given.get("unit") else ""
    hidden = entry.child("hidden").flag() if "hidden" in given else False
    about = entry.child("about").text()
    rule = Rule(family, name, kind, None, about, binds, kinds, low, high, options, unit, hidden)
    return replace(rule, default=read_value(entry.child("default"), rule))


def read_value(entry: Entry, rule: Rule) -> Any:
    """Return a value of `rule` that a data file gives, in canonical form."""
    try:
        return rule.check(entry.value)
    except UserError:
        raise entry.error(rule.allowed) from None


def read_interval(entry: Entry, *, integers: bool = False) -> tuple[float, float]:
    """Return a [low, high] that a data file gives, floats in canonical form."""
    low, high = entry.interval(integers=integers)
    return (low, high) if integers else (rounded(low, SIGNIFICANT_DIGITS), rounded(high, SIGNIFICANT_DIGITS))


def canonical_json(value: object) -> str:
    """Return JSON that is the same text for the same value: sorted keys, no spaces, floats of 10 digits.

    Raises UserError for a number that is not finite, which JSON does not have, saying where it is.
    """
    return json.dumps(_canonical_floats(value, ""), sort_keys=True, separators=(",", ":"), allow_nan=False)


def variant_id(family: str, rules: Mapping[str, Any]) -> str:
    """Return the id of a variant: the family's name and 10 hex digits of the hash of its complete rules.

    Of a third-party game the rules are its arguments. Raises UserError for a number that is not finite.
    """
    return f"{family}-{blake2b(canonical_json(dict(rules)).encode()).hexdigest()[:10]}"


def rounded(number: float, digits: int) -> float:
    """Return `number` to that many significant digits; a negative zero becomes zero."""
    return float(f"{number:.{digits}g}") + 0.0


def draw_index(rng: np.random.Generator, count: int) -> int:
    """Return one of 0..count-1. From `random()` alone, the one draw whose stream numpy does not change."""
    return min(int(rng.random() * count), count - 1)


def draw_from(rng: np.random.Generator, values: list[Any]) -> Any:
    """Return one of `values`."""
    return values[draw_index(rng, len(values))]


def draw_between(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a number between low and high, both included, of so few digits that people can read and type it."""
    exponent = int(f"{high - low:e}".partition("e")[2])
    return min(max(round(low + (high - low) * rng.random(), 3 - exponent), low), high)


def _shuffled(rng: np.random.Generator, count: int) -> list[int]:
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        j = draw_index(rng, i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def _scaled(value: float, low: float, high: float) -> float:
    return 2.0 * (value - low) / (high - low) - 1.0


def _equal_option(value: object, options: tuple[Any, ...]) -> Any | None:
    # True == 1 in Python, so that a flag would otherwise pass for a number.
    if isinstance(value, bool):
        return None
    return next((option for option in options if option == value), None)


def _equal_ordering(value: object, options: tuple[Any, ...]) -> list[Any] | None:
    if not isinstance(value, list | tuple) or len(value) != len(options):
        return None
    left = list(options)
    ordering = []
    for number in value:
        option = _equal_option(number.item() if isinstance(number, np.generic) else number, tuple(left))
        if option is None:
            return None
        left.remove(option)
        ordering.append(option)
    return ordering


def _read_options(entry: Entry, kind: str) -> tuple[Any, ...]:
    if kind == "permutation":
        allowed = "a list of at least two numbers that are not all equal"
        options = entry.items(allowed)
        if not all(is_number(option) for option in options) or len(set(options)) < 2:
            raise entry.error(allowed)
    else:
        allowed = "a list of at least two distinct texts or numbers (on, off, yes and no need quotes)"
        options = entry.items(allowed)
        if not all(isinstance(option, str) or is_number(option) for option in options):
            raise entry.error(allowed)
        if len(set(options)) < max(2, len(options)):
            raise entry.error(allowed)
    return tuple(rounded(option, SIGNIFICANT_DIGITS) if isinstance(option, float) else option for option in options)


def _read_binds(
    entry: Entry, agents: tuple[str, ...], objects: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return where a rule binds as declared, and the kinds of entity that this means."""
    if entry.value in ("game", "agents"):
        return (entry.value,), agents
    kinds = (*agents, *objects)
    binds = (entry.value,) if isinstance(entry.value, str) else tuple(entry.items(f"{_places(kinds)}, or a list"))
    if not all(isinstance(kind, str) and kind in kinds for kind in binds) or len(set(binds)) < len(binds):
        raise entry.error(f"{_places(kinds)}, or a list of distinct kinds")
    return binds, binds


def _places(kinds: tuple[str, ...]) -> str:
    return f"game, agents, or a kind of entity ({listed(kinds)})"


def _canonical_floats(value: object, where: str) -> object:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UserError(f"The rule or argument {where!r} is {value}; allowed are finite numbers.")
        return rounded(value, SIGNIFICANT_DIGITS)
    if isinstance(value, dict):
        return {key: _canonical_floats(item, f"{where}.{key}" if where else str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical_floats(item, f"{where}[{i}]") for i, item in enumerate(value)]
    return value
