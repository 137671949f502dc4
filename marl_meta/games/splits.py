"""Splits: named, frozen sets of variants, disjoint by construction.

Two splits are disjoint when something shows it: they take disjoint shares of the hashed combinations, or some rule
takes disjoint values in them. A family.yaml whose splits lack such a witness is refused.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from marl_meta.games.reading import Entry
from marl_meta.games.rules import Rule, Rules, canonical_json, draw_between, draw_from, read_interval, read_value
from marl_meta.types import UserError
from marl_meta.wording import close_match, listed

MAX_PRODUCT = 100_000
"""The most variants that `variants: all` may list."""

_MISSES = 20_000
"""Whoever has not drawn anything new for so long will not do so any more."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Domain:
    """The values that a rule takes in a split: a list of values, or closed intervals of a float rule."""

    values: tuple[Any, ...] = ()
    intervals: tuple[Interval, ...] = ()

    def draw(self, rng: np.random.Generator) -> Any:
        """Return a value drawn uniformly: over the values, or over the intervals by their length."""
        if not self.intervals:
            return draw_from(rng, list(self.values))
        position = rng.random() * sum(high - low for low, high in self.intervals)
        for low, high in self.intervals:
            if position <= high - low:
                return draw_between(rng, low, high)
            position -= high - low
        return self.intervals[-1][1]  # rounding can leave the position a hair beyond the last interval

    def contains(self, value: Any) -> bool:
        """Return whether the rule takes `value` here."""
        if self.intervals:
            return any(low <= value <= high for low, high in self.intervals)
        return value in self.values

    def disjoint(self, other: Domain) -> bool:
        """Return whether no value is in both."""
        if self.intervals and other.intervals:
            return all(a[1] < b[0] or b[1] < a[0] for a in self.intervals for b in other.intervals)
        listing, domain = (other, self) if self.intervals else (self, other)
        return not any(domain.contains(value) for value in listing.values)

    def __str__(self) -> str:
        """Return the values as people read them."""
        if self.intervals:
            return " or ".join(f"{low:.10g} to {high:.10g}" for low, high in self.intervals)
        return ", ".join(canonical_json(value).strip('"') for value in self.values)


@dataclass(frozen=True, slots=True)
class CombinationHash:
    """Assigns every combination of some rules' values a number in [0, 1), of which splits take shares."""

    rules: tuple[str, ...]
    salt: int

    def number(self, rules: Mapping[str, Any]) -> float:
        """Return the number of the combination in `rules`: 53 bits of the hash of its canonical JSON."""
        text = f"{self.salt}:{canonical_json({name: rules[name] for name in self.rules})}"
        # A float holds 53 bits; with all 64 the largest would round to 1, which is in no share.
        return (int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 11) / 2**53


@dataclass(frozen=True, slots=True)
class Split:
    """A named set of variants, as declared: which values its rules take, which share of the combinations."""

    name: str
    place: str
    """The file and key that declare it, as complaints begin."""
    domains: Mapping[str, Domain]
    """Domains of the rules that the split names, or takes a share of; every other rule stays at its default."""
    share: Interval | None
    """[from, to) of the numbers of all combinations of the hashed rules; None for a split that is not made of them."""
    count: int | None
    """How many distinct variants are drawn; None for the whole product."""
    seed: int
    digest: str | None
    """Of the sorted variant ids, so that a split cannot change unnoticed; None where none is declared."""

    def assignments(
        self, hashing: CombinationHash | None, wanted: Callable[[Rules], bool] = lambda _: True
    ) -> list[Rules]:
        """Return the split's variants as values of the rules in `domains`, always the same in the same order.

        They are those that are `wanted`: of several assignments that are the same game, the one that stands for it.
        Raises UserError when the split holds no variant, or fewer than it asks for.
        """
        if self.count is None:
            found = [rules for rules in self._product() if self._shares(rules, hashing) and wanted(rules)]
            if not found:
                nothing = "no combination of its values stands for a game of its own"
                if self.share is not None:
                    nothing = f"no combination hashes into {share_text(self.share)}"
                raise UserError(f"{self.place} holds no variant: {nothing}.")
            return found
        return self._drawn(self.count, hashing, wanted)

    def _product(self) -> Iterator[Rules]:
        names = sorted(self.domains)
        for values in itertools.product(*(self.domains[name].values for name in names)):
            yield dict(zip(names, values, strict=True))

    def _drawn(self, count: int, hashing: CombinationHash | None, wanted: Callable[[Rules], bool]) -> list[Rules]:
        rng = np.random.default_rng(np.random.SeedSequence([self.seed]))
        names = sorted(self.domains)

        def draw() -> Rules | None:
            rules = {name: self.domains[name].draw(rng) for name in names}
            return rules if self._shares(rules, hashing) and wanted(rules) else None

        found = draw_distinct(draw, count)
        if len(found) < count:
            raise UserError(
                f"{self.place} asks for {count} distinct variants but its rules allow only {len(found)}; "
                "allowed is at most that number."
            )
        return found

    def _shares(self, rules: Rules, hashing: CombinationHash | None) -> bool:
        return hashing is None or self.share is None or self.share[0] <= hashing.number(rules) < self.share[1]


def draw_distinct(draw: Callable[[], Rules | None], count: int) -> list[Rules]:
    """Return `count` distinct results of `draw` in the order drawn, or fewer if it yields nothing new any more.

    A None of `draw` is a draw that does not count.
    """
    found: dict[str, Rules] = {}
    misses = 0
    while len(found) < count and misses < _MISSES:
        rules = draw()
        before = len(found)
        if rules is not None:
            found.setdefault(canonical_json(rules), rules)
        misses = 0 if len(found) > before else misses + 1
    return list(found.values())


def digest(variant_ids: list[str]) -> str:
    """Return 16 hex digits that change when any variant of a split does."""
    return blake2b("\n".join(sorted(variant_ids)).encode(), digest_size=8).hexdigest()


def witness(a: Split, b: Split, rules: Mapping[str, Rule]) -> str | None:
    """Return in words why no variant is in both splits, or None when nothing shows it."""
    if a.share and b.share and (a.share[1] <= b.share[0] or b.share[1] <= a.share[0]):
        return f"their combinations hash into {share_text(a.share)} against {share_text(b.share)}"
    for name, rule in rules.items():
        default = Domain(values=(rule.default,))
        left, right = a.domains.get(name, default), b.domains.get(name, default)
        if left.disjoint(right):
            return f"{name} {left} against {right}"
    return None


def share_text(share: Interval) -> str:
    """Return a share of the combinations as people read it, such as [0, 0.7)."""
    return f"[{share[0]:.10g}, {share[1]:.10g})"


def read_splits(entry: Entry, rules: Mapping[str, Rule]) -> tuple[dict[str, Split], CombinationHash | None]:
    """Return the splits that a family.yaml declares and its combination hash, if it has one."""
    names = [name for name in entry.named() if name != "hash"]
    hashing = _read_hash(entry.child("hash"), rules) if "hash" in entry.value else None
    splits = {name: _read_split(entry.child(name), name, rules, hashing) for name in names}
    for a, b in itertools.combinations(splits.values(), 2):
        if witness(a, b, rules) is None:
            raise UserError(
                f"{entry.place}: {a.name} and {b.name} may share variants; they need disjoint shares of the hash, or "
                "one rule with disjoint values or intervals."
            )
    return splits, hashing


def _read_hash(entry: Entry, rules: Mapping[str, Rule]) -> CombinationHash:
    entry.mapping(("rules", "salt"), required=("rules", "salt"))
    names = entry.child("rules").names()
    for name in names:
        _require_rule(entry.child("rules"), name, rules)
        if not rules[name].finite:
            raise UserError(f"{entry.place}.rules: {name} is a float; allowed are rules whose values can be listed.")
    if not names:
        raise entry.child("rules").error("a list of at least one rule")
    return CombinationHash(tuple(sorted(names)), entry.child("salt").integer(low=0))


def _read_split(entry: Entry, name: str, rules: Mapping[str, Rule], hashing: CombinationHash | None) -> Split:
    given = entry.mapping(("share", "rules", "variants", "seed", "digest"), required=("variants",))
    share = _read_share(entry.child("share"), hashing) if "share" in given else None
    hashed = hashing.rules if hashing is not None and share is not None else ()
    domains = {rule: Domain(values=tuple(rules[rule].values())) for rule in hashed}
    for rule in entry.child("rules").named() if "rules" in given else {}:
        _require_rule(entry.child("rules"), rule, rules)
        domains[rule] = _read_domain(entry.child("rules").child(rule), rules[rule])
    count = _read_count(entry.child("variants"), domains)
    if count is not None and "seed" not in given:
        raise UserError(f"{entry.place}.seed is missing; a number of variants is drawn by an integer seed.")
    seed = entry.child("seed").integer(low=0) if "seed" in given else 0
    declared = entry.child("digest").text() if "digest" in given else None
    return Split(name, entry.place, domains, share, count, seed, declared)


def _require_rule(entry: Entry, name: str, rules: Mapping[str, Rule]) -> None:
    if name not in rules:
        raise UserError(
            f"{entry.place} names no rule {name!r}{close_match(name, rules)}; the family's rules are {listed(rules)}."
        )


def _read_share(entry: Entry, hashing: CombinationHash | None) -> Interval:
    if hashing is None:
        raise UserError(f"{entry.place} needs splits.hash, which says of which rules' combinations it is a share.")
    low, high = entry.interval()
    if low < 0 or high > 1:
        raise entry.error("two numbers [from, to) between 0 and 1")
    return low, high


def _read_count(entry: Entry, domains: Mapping[str, Domain]) -> int | None:
    if entry.value != "all":
        if not isinstance(entry.value, int) or isinstance(entry.value, bool) or entry.value < 1:
            raise entry.error("all, or an integer of at least 1")
        return entry.value
    floats = [name for name, domain in domains.items() if domain.intervals]
    if floats:
        raise UserError(f"{entry.place} must be a number, for the intervals of {listed(floats)} cannot be listed.")
    product = math.prod(len(domain.values) for domain in domains.values())
    if product > MAX_PRODUCT:
        raise UserError(f"{entry.place}: all would be {product} variants; allowed are up to {MAX_PRODUCT}.")
    return None


def _read_domain(entry: Entry, rule: Rule) -> Domain:
    if isinstance(entry.value, dict):
        return _read_intervals(entry, rule)
    values = entry.items("a list of values, or {intervals: [[low, high], ...]} for a float rule")
    domain = Domain(values=tuple(read_value(entry.item(i), rule) for i in range(len(values))))
    if len({canonical_json(value) for value in domain.values}) < len(values):
        raise entry.error("a list of distinct values")
    return domain


def _read_intervals(entry: Entry, rule: Rule) -> Domain:
    entry.mapping(("intervals",), required=("intervals",))
    if rule.finite:
        raise entry.error(f"a list of values ({rule.allowed}), for intervals are for float rules")
    listing = entry.child("intervals")
    pairs = [read_interval(listing.item(i)) for i in range(len(listing.items("a list of intervals [low, high]")))]
    for i, (low, high) in enumerate(pairs):
        if low < rule.low or high > rule.high:
            raise listing.item(i).error(f"inside the rule's range, {rule.allowed}")
    ordered = sorted(pairs)
    if any(later[0] <= earlier[1] for earlier, later in itertools.pairwise(ordered)):
        raise listing.error("a list of intervals that do not touch")
    return Domain(intervals=tuple(ordered))
