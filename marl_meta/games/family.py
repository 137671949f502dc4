"""Families: games with adjustable rules, declared in a family.yaml of ours or of a user's own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from marl_meta.games.reading import Entry
from marl_meta.games.rules import Rule, Rules, read_rule, variant_id
from marl_meta.games.splits import CombinationHash, Split, digest, draw_distinct, read_splits
from marl_meta.resources import FAMILIES_VARIABLE, families_dirs, is_path, load_symbol, read_yaml
from marl_meta.types import BoundRule, FloatArray, UserError, Variant
from marl_meta.wording import close_match, listed, shorten

FAMILY_FILE = "family.yaml"
_RESERVED_KINDS = ("game", "agents")


@dataclass(frozen=True, slots=True)
class Family:
    """A game with adjustable rules, as its family.yaml declares it."""

    name: str
    title: str
    description: str
    path: Path
    """The family.yaml."""
    entry_point: str
    """What makes a batch of games: `package.module:function`, or `file.py:function` beside the family.yaml."""
    agents: tuple[str, ...]
    """Kinds of entity that act."""
    objects: tuple[str, ...]
    """Kinds of entity that do not."""
    rules: dict[str, Rule] = field(hash=False)
    splits: dict[str, Split] = field(hash=False)
    hashing: CombinationHash | None
    """Numbers the combinations that the splits share out, if they do."""
    engine: dict[str, Any] = field(hash=False)
    """Free-form data for the entry point."""
    canonical: str | None = None
    """What names one of several assignments of complete rules that are the same game, as `entry_point` names code."""
    told_by: str | None = None
    """The flag rule under which players are shown the hidden rules too, if there is one."""

    def complete(self, partial: Mapping[str, Any]) -> Rules:
        """Return complete rules: `partial` checked and in canonical form, all others at their default.

        Raises UserError on an unknown rule or a value that is not allowed.
        """
        if not isinstance(partial, Mapping):
            raise UserError(
                f"Rules of family {self.name!r} must be a mapping of names to values, not {shorten(partial)}."
            )
        for name in partial:
            if name not in self.rules:
                raise UserError(
                    f"Family {self.name!r} has no rule {name!r}{close_match(str(name), self.rules)}; "
                    f"its rules are {listed(self.rules)}."
                )
        return {name: rule.check(partial.get(name, rule.default)) for name, rule in self.rules.items()}

    def variant(self, partial: Mapping[str, Any] | None = None) -> Variant:
        """Return the variant with these rules, all others at their default; the same one for the same game."""
        rules = self._one_of_equals(self.complete(partial or {}))
        return Variant(self.name, rules, variant_id(self.name, rules))

    def split(self, name: str) -> list[Variant]:
        """Return the variants of a split, always the same in the same order.

        Raises UserError for an unknown split, and when the variants are not those that were frozen.
        """
        if name not in self.splits:
            raise UserError(
                f"Family {self.name!r} has no split {name!r}{close_match(name, self.splits)}; "
                f"its splits are {listed(self.splits)}."
            )
        split = self.splits[name]
        variants = [self.variant(rules) for rules in split.assignments(self.hashing, self._stands_for_itself)]
        found = digest([variant.variant_id for variant in variants])
        if split.digest not in (None, found):
            raise UserError(
                f"{self.path}: splits.{name}.digest is {split.digest} but the split's variants have {found}; a frozen "
                "split only changes by declaring the new digest, and results on the old one no longer compare."
            )
        return variants

    def sample(self, seed: int, count: int = 1, split: str | None = None) -> list[Variant]:
        """Return `count` distinct variants drawn by `seed`: of a split, or over all that the rules allow."""
        rng = np.random.default_rng(np.random.SeedSequence([check_integer("seed", seed, low=0)]))
        check_integer("The number of variants", count, low=1)
        if split is not None:
            pool = self.split(split)
            if count > len(pool):
                raise UserError(
                    f"Split {split!r} of family {self.name!r} cannot give {count} variants; it holds {len(pool)}."
                )
            order = sorted(range(len(pool)), key=rng.random(len(pool)).tolist().__getitem__)
            return [pool[i] for i in order[:count]]
        names = sorted(self.rules)

        def draw() -> Rules:
            return self.variant({name: self.rules[name].sample(rng) for name in names}).rules

        found = draw_distinct(draw, count)
        if len(found) < count:
            raise UserError(
                f"Family {self.name!r} cannot give {count} distinct variants; its rules allow {len(found)}."
            )
        return [self.variant(rules) for rules in found]

    def hides(self, rules: Mapping[str, Any]) -> set[str]:
        """Return the names of the rules that players are not told under these complete rules."""
        if self.told_by is not None and rules[self.told_by]:
            return set()
        return {name for name, rule in self.rules.items() if rule.hidden}

    def columns(self, *, hidden: bool) -> tuple[BoundRule, ...]:
        """Return what the numbers of `encode` are: those of the hidden rules, or of the visible ones."""
        return tuple(column for rule in self.rules.values() if rule.hidden == hidden for column in rule.columns)

    def encode(self, rules: Mapping[str, Any], *, hidden: bool) -> FloatArray:
        """Return the hidden (or the visible) rules as numbers [R], one for each of `columns`."""
        numbers = [
            number for name, rule in self.rules.items() if rule.hidden == hidden for number in rule.encode(rules[name])
        ]
        return np.array(numbers, dtype=np.float32)

    def load_entry_point(self) -> Any:
        """Return the function that makes a batch of games; raises UserError when it cannot be imported."""
        return self.load_function("entry_point", self.entry_point)

    def load_function(self, key: str, place: str) -> Any:
        """Return the function that the family.yaml names under `key`; raises UserError when it cannot be imported."""
        try:
            function = load_symbol(place, self.path.parent)
        except UserError as error:
            raise UserError(f"{self.path}: {key}: {error}") from error
        if not callable(function):
            raise UserError(f"{self.path}: {key} must name a function, not {shorten(function)}.")
        return function

    def _one_of_equals(self, rules: Rules) -> Rules:
        """Return the complete rules that stand for all that are the same game as these."""
        if self.canonical is None:
            return rules
        return self.complete(self.load_function("canonical", self.canonical)(rules))

    def _stands_for_itself(self, partial: Rules) -> bool:
        """Return whether no other rules stand for the game with these."""
        if self.canonical is None:
            return True
        rules = self.complete(partial)
        return self._one_of_equals(rules) == rules


def list_families() -> list[str]:
    """Return the names of all families, sorted: ours, and those in the folders of MARL_META_ENVS."""
    return sorted({file.parent.name for folder in families_dirs() for file in folder.glob(f"*/{FAMILY_FILE}")})


def load_family(name_or_path: str | Path) -> Family:
    """Return a family by its name, or by the path of its family.yaml or of the folder that holds it.

    Raises UserError when there is none, or when the file is not a family; the sentence names file and key.
    """
    if is_path(name_or_path):
        path = Path(name_or_path).expanduser()
        file = path / FAMILY_FILE if path.is_dir() else path
        if not file.is_file():
            raise UserError(f"There is no family at {path}; allowed is a {FAMILY_FILE} or a folder that holds one.")
        return read_family(file)
    for folder in families_dirs():
        file = folder / name_or_path / FAMILY_FILE
        if file.is_file():
            family = read_family(file)
            if family.name != name_or_path:
                raise UserError(f"{file}: family must be {name_or_path!r} like its folder, not {family.name!r}.")
            return family
    names = list_families()
    raise UserError(
        f"There is no family {name_or_path!r}{close_match(str(name_or_path), names)}; allowed are {listed(names)}, "
        f"the path of a {FAMILY_FILE}, or a name in a folder that {FAMILIES_VARIABLE} lists."
    )


def read_family(file: Path) -> Family:
    """Return the family that a file declares; raises UserError naming file, key and what is allowed."""
    file = file.resolve()
    entry = Entry(file, "", read_yaml(file))
    if not isinstance(entry.value, dict):
        raise UserError(f"{file} is not a family: it must be a mapping with {listed(_REQUIRED_KEYS)}.")
    given = entry.mapping(_KEYS, required=_REQUIRED_KEYS)
    name = entry.child("family").name()
    agents, objects = _read_kinds(entry)
    declared = _merged_rules(entry, _included_rules(entry))
    rules = {rule: read_rule(item, name, rule, agents, objects) for rule, item in declared.items()}
    splits, hashing = read_splits(entry.child("splits"), rules) if "splits" in given else ({}, None)
    engine = entry.child("engine").value if "engine" in given else {}
    if not isinstance(engine, dict):
        raise entry.child("engine").error("a mapping of keys to values")
    return Family(
        name=name,
        title=entry.child("title").text(),
        description=entry.child("description").text() if "description" in given else "",
        path=file,
        entry_point=entry.child("entry_point").text(),
        agents=agents,
        objects=objects,
        rules=rules,
        splits=splits,
        hashing=hashing,
        engine=engine,
        canonical=entry.child("canonical").text() if "canonical" in given else None,
        told_by=_read_told_by(entry.child("told_by"), rules) if "told_by" in given else None,
    )


_REQUIRED_KEYS = ("family", "title", "entry_point", "agents", "rules")
_KEYS = (*_REQUIRED_KEYS, "description", "objects", "include", "canonical", "told_by", "engine", "splits")


def parse_rules(text: str, family: Family) -> Variant:
    """Return the variant that a user names: inline JSON, a YAML or JSON file, or a variant_id of any split.

    A file holds rules, or a record `{variant_id, family, rules}` as `marl-meta variants --json` prints them.
    """
    allowed = "allowed are inline JSON, a YAML or JSON file, or a variant_id of one of the family's splits"
    text = text.strip()
    if text.startswith("{"):
        try:
            return family.variant(_unwrapped(json.loads(text), family, "The inline JSON"))
        except json.JSONDecodeError as error:
            raise UserError(f"Rules {shorten(text)} are not JSON ({error}); {allowed}.") from error
    if re.fullmatch(rf"{re.escape(family.name)}-[0-9a-f]{{10}}", text):
        for name in family.splits:
            for variant in family.split(name):
                if variant.variant_id == text:
                    return variant
        raise UserError(
            f"No split of family {family.name!r} has a variant {text!r}; its splits are {listed(family.splits)}."
        )
    file = Path(text).expanduser()
    if not file.is_file():
        raise UserError(f"Rules {text!r} of family {family.name!r} name no file; {allowed}.")
    content = read_yaml(file)
    if not isinstance(content, dict):
        raise UserError(f"{file} holds no rules of family {family.name!r}: it must be a mapping of names to values.")
    try:
        return family.variant(_unwrapped(content, family, str(file)))
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def check_integer(name: str, value: object, low: int) -> int:
    """Return `value` if it is an integer of at least `low`; raises UserError naming it otherwise."""
    if isinstance(value, np.integer):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise UserError(f"{name} cannot be {shorten(value)}; allowed is an integer of at least {low}.")
    return value


def _unwrapped(content: Any, family: Family, where: str) -> Any:
    if isinstance(content, dict) and "rules" in content and "rules" not in family.rules:
        if content.get("family", family.name) != family.name:
            raise UserError(
                f"{where} holds rules of family {content['family']!r}; allowed are those of {family.name!r}."
            )
        return content["rules"]
    return content


def _read_kinds(entry: Entry) -> tuple[tuple[str, ...], tuple[str, ...]]:
    agents = entry.child("agents").names()
    objects = entry.child("objects").names() if "objects" in entry.value else ()
    if not agents:
        raise entry.child("agents").error("a list of at least one kind of agent")
    for key, kinds in (("agents", agents), ("objects", objects)):
        taken = [kind for kind in kinds if kind in _RESERVED_KINDS or (key == "objects" and kind in agents)]
        if taken:
            raise entry.child(key).error(f"names other than {listed((*_RESERVED_KINDS, *agents))}")
    return agents, objects


def _read_told_by(entry: Entry, rules: Mapping[str, Rule]) -> str:
    flags = [name for name, rule in rules.items() if rule.kind == "flag" and not rule.hidden]
    if entry.name() not in flags:
        raise entry.error(f"a visible flag rule ({listed(flags) or 'there is none'})")
    return entry.name()


def _included_rules(entry: Entry) -> dict[str, Entry]:
    """Return the rules of the included files; they are looked for beside the family's folder, then among ours."""
    if "include" not in entry.value:
        return {}
    included: dict[str, Entry] = {}
    listing = entry.child("include")
    for i in range(len(listing.items("a list of YAML files"))):
        name = listing.item(i).text()
        places = [entry.file.parent, entry.file.parent.parent, *families_dirs()]
        file = next((place / name for place in places if (place / name).is_file()), None)
        if file is None:
            raise UserError(f"{listing.item(i).place} names no file {name!r} in {listed(dict.fromkeys(places))}.")
        content = Entry(file.resolve(), "", read_yaml(file))
        content.mapping(("rules",), required=("rules",))
        for rule in content.child("rules").named():
            declared = content.child("rules").child(rule)
            if rule in included:
                raise UserError(f"{declared.place} is already declared in {included[rule].file}.")
            included[rule] = declared
    return included


def _merged_rules(entry: Entry, included: dict[str, Entry]) -> dict[str, Entry]:
    """Return the rules' declarations: included ones first, each overlaid by what the family itself says of it."""
    merged = dict(included)
    for name in entry.child("rules").named():
        own = entry.child("rules").child(name)
        own.named()
        base = included[name].value if name in included else {}
        if not isinstance(base, dict):
            raise included[name].error("a mapping of keys to values")
        merged[name] = Entry(own.file, own.key, {**base, **own.value})
    if not merged:
        raise entry.child("rules").error("a mapping with at least one rule")
    return merged
